"""The compiled inner loops of repeated passages: digests of paragraphs, fingerprints of runs of units, and how far two texts agree.

Fingerprints are chosen by winnowing (Schleimer, Wilkerson and Aiken 2003): of every `WINDOW` hashes in a row the smallest, the
rightmost of equals. Two texts that share `WIDTH + WINDOW - 1` units share a fingerprint, wherever the run begins in each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.duplicates.hashing import mixed
from headrace_governance.duplicates.near.characters import ALONE, SEPARATOR, SKIPPED
from headrace_governance.encoding.utf8 import Int64, code_point

WIDTH, WINDOW = 25, 26
"""Units under a fingerprint, and hashes of which one is kept: every shared run of 50 units has one."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def _is_blank(b: Any) -> Any:
    return b == 0x20 or (0x09 <= b <= 0x0D)


@njit(cache=True)
def _weight(fold: Any, point: Int64) -> int:
    """A character's weight against `least` of a passage: 2 in a script without spaces, else 1."""
    value = np.int64(fold[point])
    if value in (SEPARATOR, SKIPPED):
        return 0
    return 2 if value & ALONE else 1


@njit(cache=True)
def paragraphs(data: Any, start: int, end: int, fold: Any, least: int, digests: Any, starts: Any, ends: Any, n: int) -> int:
    """Digests of a text's paragraphs, what stands between line feeds, white space at the ends left out and inside as one space.

    Args:
        least: weight of its letters and digits from which a paragraph counts; see `_weight`.
        digests: uint64; starts, ends: int64, bytes from the text's start, without the line feed. As long as the text has line
            feeds, and one more. They are filled from place n on.

    Returns:
        the place after the last one.
    """
    at = start
    while at < end:
        first = at
        h = np.uint64(0)
        weight = 0
        blank = False
        begun = False
        while at < end and data[at] != 0x0A:
            if _is_blank(data[at]):
                blank = begun
                at += 1
                continue
            point, size = code_point(data, at)
            if blank:
                h = mixed(h ^ np.uint64(0x20)) * _BASE
                blank = False
            h = mixed(h ^ np.uint64(point)) * _BASE
            begun = True
            weight += _weight(fold, point)
            at += size
        if weight >= least:
            digests[n], starts[n], ends[n] = h, first - start, at - start
            n += 1
        if at < end:
            at += 1
    return n


@njit(cache=True)
def column_paragraphs(data: Any, offsets: Any, fold: Any, least: int, digests: Any, starts: Any, ends: Any, places: Any) -> None:
    """`paragraphs` for a column; text i's lie at `places[i]:places[i + 1]`, int64[n + 1]."""
    n = 0
    for i in range(len(offsets) - 1):
        places[i] = n
        n = paragraphs(data, offsets[i], offsets[i + 1], fold, least, digests, starts, ends, n)
    places[len(offsets) - 1] = n


@njit(cache=True)
def units(data: Any, start: int, end: int, fold: Any, starts: Any, ends: Any, weights: Any) -> int:
    """Words, and single characters of scripts without spaces: their bytes in the text, and their weights (2 and 1); their number."""
    n = 0
    at = start
    inside = False
    while at < end:
        point, size = code_point(data, at)
        value = np.int64(fold[point])
        if value & ALONE:
            starts[n], ends[n], weights[n] = at - start, at + size - start, 1
            n += 1
            inside = False
        elif value == SEPARATOR:
            inside = False
        elif inside:
            ends[n - 1] = at + size - start
        elif value != SKIPPED:
            starts[n], ends[n], weights[n] = at - start, at + size - start, 2
            n += 1
            inside = True
        at += size
    return n


@njit(cache=True)
def fingerprints(data: Any, start: int, end: int, fold: Any, hashes: Any, places: Any, n: int) -> int:
    """The text's fingerprints: hash of the bytes from a unit's start to the `WIDTH`th unit's end, and where the first begins.

    Args:
        hashes: uint64; places: int64, bytes from the text's start; room for all units; filled from place n on.

    Returns:
        the place after the last one.
    """
    size = end - start
    firsts, lasts, weights = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int8)
    count = units(data, start, end, fold, firsts, lasts, weights)
    windows = count - WIDTH + 1
    if windows < 1:
        return n
    # Hashes of all prefixes, so that a run's hash is a difference; powers of the base by place.
    sums, powers = np.empty(size + 1, np.uint64), np.empty(size + 1, np.uint64)
    sums[0], powers[0] = np.uint64(0), np.uint64(1)
    for i in range(size):
        sums[i + 1] = sums[i] * _BASE + mixed(data[start + i])
        powers[i + 1] = powers[i] * _BASE
    values = np.empty(windows, np.uint64)
    for i in range(windows):
        a, b = firsts[i], lasts[i + WIDTH - 1]
        values[i] = mixed(sums[b] - sums[a] * powers[b - a])
    chosen = -1
    for last in range(min(WINDOW, windows) - 1, windows):
        low = max(0, last - WINDOW + 1)
        if chosen < low:
            chosen = low
            for i in range(low + 1, last + 1):
                if values[i] <= values[chosen]:
                    chosen = i
        elif values[last] <= values[chosen]:
            chosen = last
        else:
            continue
        hashes[n], places[n] = values[chosen], firsts[chosen]
        n += 1
    return n


@njit(cache=True)
def column_fingerprints(data: Any, offsets: Any, fold: Any, hashes: Any, starts: Any, places: Any) -> None:
    """`fingerprints` for a column; text i's lie at `places[i]:places[i + 1]`, int64[n + 1]."""
    n = 0
    for i in range(len(offsets) - 1):
        places[i] = n
        n = fingerprints(data, offsets[i], offsets[i + 1], fold, hashes, starts, n)
    places[len(offsets) - 1] = n


@njit(cache=True)
def agreement(one: Any, at: int, other: Any, place: int, low: int, other_high: int) -> tuple[Int64, Int64]:
    """How far two texts agree around a place of each: first and last byte (exclusive) in `one`.

    Args:
        low: byte of `one` below which nothing counts; other_high: byte of `other` above which nothing counts.
    """
    first, there = at, place
    while first > low and there > 0 and one[first - 1] == other[there - 1]:
        first -= 1
        there -= 1
    last, there = at, place
    while last < len(one) and there < other_high and one[last] == other[there]:
        last += 1
        there += 1
    return first, last


@njit(cache=True)
def trimmed(first: int, last: int, starts: Any, ends: Any, weights: Any) -> tuple[Int64, Int64, Int64]:
    """The whole units inside a span: its first and last byte (exclusive), and their weight, 0 if there is none."""
    a = np.searchsorted(starts, first)
    b = np.searchsorted(ends, last, side="right") - 1
    if a >= len(starts) or b < a:
        return np.int64(first), np.int64(first), np.int64(0)
    weight = np.int64(0)
    for i in range(a, b + 1):
        weight += weights[i]
    return starts[a], ends[b], weight
