"""The compiled loop over the lines of texts: words, capitals and digits of every line that a line rule could touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from headrace_governance.encoding.utf8 import buffers, code_point
from headrace_governance.text.statistics.character_classes import ALNUM, DIGIT, SPACE, UPPER, character_classes
from headrace_governance.text.statistics.prose import LINE_FROM, LINE_KIND, LINE_TO, Prose
from headrace_governance.text.text_format import TEXT

FACTS = ("starts", "ends", "tokens", "words", "characters", "uppercase", "digits")
"""What is known of a line: its bytes in the stored text, `str.split` tokens, tokens of fastText that begin with a letter or number,
characters."""
TOKENS, UPPERCASE, DIGITS = 4, 0.25, 0.5
"""A line is kept if it has fewer tokens than this, or a higher share of capitals or of digits than these."""


def line_facts(prose: Prose, skip_markup: bool) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(int64[n, 2] words and tokens of each text, int64[n + 1] offsets into the lines, int64[lines, `FACTS`]) of texts without markup.

    Starts and ends are those of the stored lines; everything else is measured on the lines without their marks.

    Args:
        skip_markup: leave headings, list items and rows of tables out.
    """
    data, places = buffers(prose.texts)
    n = len(prose.texts)
    words, offsets = np.zeros((n, 2), np.int64), np.zeros(n + 1, np.int64)
    lines = np.empty((len(prose.lines), len(FACTS)), np.int64)
    found = _line_facts(data, places, prose.firsts, prose.lines, character_classes(), skip_markup, words, offsets, lines) if n else 0
    return words, offsets, lines[:found]


@njit(cache=True)
def _line_facts(
    data: Any, places: Any, firsts: Any, stored: Any, classes: Any, skip_markup: bool, words: Any, offsets: Any, lines: Any
) -> int:
    found = 0
    for row in range(len(places) - 1):
        at, last = places[row], places[row + 1]
        total = total_tokens = 0
        for line in range(firsts[row], firsts[row + 1]):
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
            if end == start or (skip_markup and stored[line, LINE_KIND] != TEXT):
                continue
            if tokens < TOKENS or uppercase > UPPERCASE * characters or digits > DIGITS * characters:
                lines[found, 0], lines[found, 1] = stored[line, LINE_FROM], stored[line, LINE_TO]
                lines[found, 2], lines[found, 3], lines[found, 4] = tokens, counted, characters
                lines[found, 5], lines[found, 6] = uppercase, digits
                found += 1
        words[row, 0], words[row, 1] = total, total_tokens
        offsets[row + 1] = found
    return found
