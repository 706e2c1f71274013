"""The compiled loop over the lines of texts: words, capitals and digits of every line that a line rule could touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from headrace_governance.text.character_classes import ALNUM, DIGIT, SPACE, UPPER, character_classes
from headrace_governance.text.utf8 import buffers, code_point

FACTS = ("starts", "ends", "tokens", "words", "characters", "uppercase", "digits")
"""What is known of a line: its bytes, `str.split` tokens, tokens of fastText that begin with a letter or number, characters."""
TOKENS, UPPERCASE, DIGITS = 4, 0.25, 0.5
"""A line is kept if it has fewer tokens than this, or a higher share of capitals or of digits than these."""


def line_facts(column: pa.Array, skip_markup: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(int64[n, 2] words and tokens of each text, int64[n + 1] offsets into the lines, int64[lines, `FACTS`]) of a large_string array.

    Args:
        skip_markup: leave headings, and lines between code fences, out.
    """
    data, places = buffers(column)
    most = int(np.count_nonzero(data[places[0] : places[-1]] == 0x0A)) + len(column)
    words, offsets = np.zeros((len(column), 2), np.int64), np.zeros(len(column) + 1, np.int64)
    lines = np.empty((most, len(FACTS)), np.int64)
    found = _line_facts(data, places, character_classes(), skip_markup, words, offsets, lines) if len(column) else 0
    return words, offsets, lines[:found]


@njit(cache=True)
def _line_facts(data: Any, places: Any, classes: Any, skip_markup: bool, words: Any, offsets: Any, lines: Any) -> int:
    found = 0
    for row in range(len(places) - 1):
        at, last = places[row], places[row + 1]
        base = at
        in_code = False
        total = total_tokens = 0
        while at < last:
            start = at
            characters = tokens = counted = uppercase = digits = 0
            in_token = in_word = False
            while at < last and data[at] != 0x0A:
                point, size = code_point(data, at)
                at += size
                flags = classes[point]
                characters += 1
                if flags & SPACE:
                    in_token = False
                elif not in_token:
                    in_token = True
                    tokens += 1
                # fastText's white space is ASCII's, and NUL.
                if point == 0x20 or 0x09 <= point <= 0x0D or point == 0:
                    in_word = False
                elif not in_word:
                    in_word = True
                    counted += (flags & ALNUM) != 0
                uppercase += (flags & UPPER) != 0
                digits += (flags & DIGIT) != 0
            end = at
            at += 1  # the line feed
            total += counted
            total_tokens += tokens
            if end == start:
                continue
            fence = end - start >= 3 and data[start] == 0x60 and data[start + 1] == 0x60 and data[start + 2] == 0x60
            if fence:
                in_code = not in_code
            if skip_markup and (fence or in_code or data[start] == 0x23):
                continue
            if tokens < TOKENS or uppercase > UPPERCASE * characters or digits > DIGITS * characters:
                lines[found, 0], lines[found, 1] = start - base, end - base
                lines[found, 2], lines[found, 3], lines[found, 4] = tokens, counted, characters
                lines[found, 5], lines[found, 6] = uppercase, digits
                found += 1
        words[row, 0], words[row, 1] = total, total_tokens
        offsets[row + 1] = found
    return found
