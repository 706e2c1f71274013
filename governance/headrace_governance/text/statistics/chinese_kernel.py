"""The compiled loop over Chinese texts: characters, lines and repetitions in one pass over their bytes.

Full-width letters, digits and marks (U+FF01 to U+FF5E, U+3000) count as the plain ones they stand for; the text stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from headrace_governance.encoding.utf8 import buffers, code_point
from headrace_governance.text.statistics.character_classes import ALNUM, CODE_POINTS, DIGIT, SPACE, character_classes
from headrace_governance.text.statistics.kernels import BASE
from headrace_governance.text.statistics.kernels import mixed as hashed

COUNTS = (
    "characters",
    "han_characters",
    "digits",
    "alnum_characters",
    "brackets",
    "visible_characters",
    "unique_characters",
    "sentences",
    "lines",
    "expand_lines",
    "short_lines",
    "ten_grams",
    "repeated_ten_grams",
)
N = 10
"""Characters of an n-gram, as in Data-Juicer's `character_repetition_filter`."""


def chinese_facts(
    column: pa.Array, wanted: npt.NDArray[np.bool_], endings: Sequence[str], short_line: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(int64[n, `COUNTS`], entropy in nats) of a large_string array; zeros for texts that are not wanted.

    Args:
        endings: what a line ends in that asks to expand something.
        short_line: Chinese or Latin letters and digits below which a line is short.
    """
    data, places = buffers(column)
    counts, entropy = np.zeros((len(column), len(COUNTS)), np.int64), np.zeros(len(column), np.float64)
    words = [e.encode("utf-8") for e in endings]
    table = np.frombuffer(b"".join(words) or b"\0", np.uint8)
    ends = np.cumsum([len(w) for w in words], dtype=np.int64)
    if len(column):
        _chinese_facts(data, places, wanted, character_classes(), table, ends, short_line, counts, entropy)
    return counts, entropy


@njit(cache=True)
def _chinese_facts(
    data: Any, places: Any, wanted: Any, classes: Any, table: Any, ends: Any, short_line: int, counts: Any, entropy: Any
) -> None:
    seen = np.zeros(CODE_POINTS, np.int32)
    longest = 0
    for row in range(len(wanted)):
        if wanted[row]:
            longest = max(longest, places[row + 1] - places[row])
    different = np.empty(min(longest, CODE_POINTS) + 1, np.int32)
    mixed = np.empty(longest, np.uint64)
    for row in range(len(wanted)):
        if wanted[row]:
            first, last = places[row], places[row + 1]
            entropy[row] = _characters(data, first, last, classes, table, ends, short_line, seen, different, mixed, counts[row])
            _repetition(mixed[: counts[row, 0]], counts[row])


@njit(cache=True)
def _characters(
    data: Any, first: int, last: int, classes: Any, table: Any, ends: Any, short_line: int, seen: Any, different: Any, mixed: Any, out: Any
) -> float:
    """Everything but repetition; returns the entropy of the visible characters and leaves each character's hash in `mixed`."""
    characters = han = digits = alnum = brackets = visible = unique = sentences = 0
    lines, expand, short = 1, 0, 0
    in_sentence = False
    letters = 0
    line_start = at = first
    while at < last:
        point, size = code_point(data, at)
        if 0xFF01 <= point <= 0xFF5E:
            point -= 0xFEE0
        elif point == 0x3000:
            point = np.int64(0x20)
        mixed[characters] = hashed(point)
        characters += 1
        flags = classes[point]
        if not flags & SPACE:
            if seen[point] == 0:
                different[unique] = point
                unique += 1
            seen[point] += 1
            visible += 1
        if flags & ALNUM:
            alnum += 1
            digits += (flags & DIGIT) != 0
            in_sentence = True
            is_han = 0x4E00 <= point <= 0x9FFF or 0x3400 <= point <= 0x4DBF or point >= 0x20000
            han += is_han
            letters += is_han or point < 0x80
        elif point == 0x0A:
            lines += 1
            short += at > line_start and letters < short_line
            expand += _ends_in(data, line_start, at, classes, table, ends)
            letters = 0
            line_start = at + size
        elif point == 0x3010 or point == 0x3011:
            brackets += 1
        elif point == 0x3002 or point == 0xFF61 or point == 0x21 or point == 0x3F or point == 0x3B or point == 0x2026:
            sentences += in_sentence
            in_sentence = False
        at += size
    short += at > line_start and letters < short_line
    expand += _ends_in(data, line_start, at, classes, table, ends)
    h = 0.0
    for i in range(unique):
        share = seen[different[i]] / visible
        h -= share * log(share)
        seen[different[i]] = 0
    out[0], out[1], out[2], out[3], out[4] = characters, han, digits, alnum, brackets
    out[5], out[6], out[7] = visible, unique, sentences
    out[8], out[9], out[10] = lines, expand, short
    return h


@njit(cache=True)
def _ends_in(data: Any, start: int, end: int, classes: Any, table: Any, ends: Any) -> bool:
    """Whether a line, marks and white space at its end left out, ends in one of the words of `table`."""
    while end > start:
        place = end - 1
        while place > start and data[place] & 0xC0 == 0x80:
            place -= 1
        if classes[code_point(data, place)[0]] & ALNUM:
            break
        end = place
    begin = 0
    for i in range(len(ends)):
        n = ends[i] - begin
        if n <= end - start:
            j = 0
            while j < n and data[end - n + j] == table[begin + j]:
                j += 1
            if j == n:
                return True
        begin = ends[i]
    return False


@njit(cache=True)
def _repetition(mixed: Any, out: Any) -> None:
    """Data-Juicer's measure: of the n-grams that occur more than once the most frequent, as many as the root of all different ones."""
    n = len(mixed) - N + 1
    if n <= 0:
        return
    size = 16
    while size < 2 * n:
        size *= 2
    mask = size - 1
    keys, times = np.empty(size, np.uint64), np.zeros(size, np.int32)
    power = np.uint64(1)
    for _ in range(N):
        power *= BASE
    h = np.uint64(0)
    different = 0
    for i in range(len(mixed)):
        h = h * BASE + mixed[i]
        if i >= N:
            h -= mixed[i - N] * power
        if i >= N - 1:
            slot = np.int64(hashed(h) & np.uint64(mask))
            while times[slot] > 0 and keys[slot] != h:
                slot = (slot + 1) & mask
            different += times[slot] == 0
            keys[slot] = h
            times[slot] += 1
    often = np.sort(times[times > 1])
    taken = min(int(sqrt(different)), len(often))
    out[11] = n
    out[12] = often[len(often) - taken :].sum()
