"""The compiled inner loops of jieba's segmentation: its dictionary as a hash table, the best path, the hidden Markov model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.statistics.kernels import BASE, is_space, mixed

FIRST_HAN, LAST_HAN = 0x4E00, 0x9FD5
"""jieba's Han characters; later additions to Unicode are symbols to it."""
IMPOSSIBLE = -3.14e100
_B, _E, _M, _S = 0, 1, 2, 3
"""States begin, end, middle, single, in the order of their letters: of equal paths jieba takes the later letter."""


@njit(cache=True)
def fill_dictionary(points: Any, ends: Any, logs: Any, slots: Any, values: Any) -> None:
    """Fill the hash table of entries, whose code points lie one after another; a slot is 0 where empty."""
    mask = len(slots) - 1
    start = 0
    for i in range(len(ends)):
        h = np.uint64(0)
        for j in range(start, ends[i]):
            h = h * BASE + mixed(points[j])
        start = ends[i]
        slot = np.int64(mixed(h) & np.uint64(mask))
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = h
        values[slot] = logs[i]


@njit(cache=True)
def best_path(points: Any, slots: Any, values: Any, longest: int, total: float, ends: Any) -> None:
    """jieba's `get_DAG` and `calc`: where the word that begins at each place ends on the most probable path from there.

    Args:
        total: logarithm of the sum of all frequencies.
    """
    mask = len(slots) - 1
    n = len(points)
    route = np.zeros(n + 1, np.float64)
    for k in range(n - 1, -1, -1):
        best, best_end = 0.0, -1
        h = np.uint64(0)
        for i in range(k, min(n, k + longest)):
            h = h * BASE + mixed(points[i])
            slot = np.int64(mixed(h) & np.uint64(mask))
            while slots[slot] != 0 and slots[slot] != h:
                slot = (slot + 1) & mask
            if slots[slot] == 0:
                break  # no entry begins so
            if not np.isnan(values[slot]):
                value = values[slot] - total + route[i + 1]
                # Of equals jieba takes the longer word.
                if best_end < 0 or value >= best:
                    best, best_end = value, i + 1
        if best_end < 0:
            # A character that is not an entry counts as if it had been seen once.
            best, best_end = 0.0 - total + route[k + 1], k + 1
        route[k] = best
        ends[k] = best_end


@njit(cache=True)
def _is_han(p: int) -> bool:
    return FIRST_HAN <= p <= LAST_HAN


@njit(cache=True)
def _is_ascii_word(p: int) -> bool:
    return 48 <= p <= 57 or 65 <= p <= 90 or 97 <= p <= 122


@njit(cache=True)
def _in_block(p: int) -> bool:
    """Han characters, Latin letters, digits and `+ # & . _ % -`: what jieba looks up together."""
    return _is_han(p) or _is_ascii_word(p) or p in (43, 35, 38, 46, 95, 37, 45)


@njit(cache=True)
def _is_entry(points: Any, start: int, end: int, slots: Any, values: Any) -> bool:
    """Whether the dictionary counts this string (a mere prefix of an entry has no count)."""
    mask = len(slots) - 1
    h = np.uint64(0)
    for i in range(start, end):
        h = h * BASE + mixed(points[i])
    slot = np.int64(mixed(h) & np.uint64(mask))
    while slots[slot] != 0:
        if slots[slot] == h:
            return not np.isnan(values[slot])
        slot = (slot + 1) & mask
    return False


@njit(cache=True)
def _by_model(points: Any, start: int, end: int, first: Any, steps: Any, emissions: Any, starts: Any, ends: Any, n: int) -> int:
    """`finalseg`'s words of a run of Han characters by Viterbi's algorithm; returns the new number of words."""
    size = end - start
    scores = np.empty((size, 4), np.float64)
    came = np.zeros((size, 4), np.int8)
    for y in range(4):
        scores[0, y] = first[y] + emissions[y, points[start] - FIRST_HAN]
    for t in range(1, size):
        for y in range(4):
            emission = emissions[y, points[start + t] - FIRST_HAN]
            # What may come before: end or single before begin and single, begin or middle before middle and end.
            low, high = (_E, _S) if y in (_B, _S) else (_B, _M)
            a = scores[t - 1, low] + steps[low, y] + emission
            b = scores[t - 1, high] + steps[high, y] + emission
            if b >= a:
                scores[t, y], came[t, y] = b, high
            else:
                scores[t, y], came[t, y] = a, low
    states = np.empty(size, np.int8)
    y = _S if scores[size - 1, _S] >= scores[size - 1, _E] else _E
    for t in range(size - 1, -1, -1):
        states[t] = y
        y = came[t, y]
    begin = after = 0
    for t in range(size):
        if states[t] == _B:
            begin = t
        elif states[t] == _E or states[t] == _S:
            if states[t] == _S:
                begin = t
            starts[n], ends[n] = start + begin, start + t + 1
            n += 1
            after = t + 1
    if after < size:
        starts[n], ends[n] = start + after, end
        n += 1
    return n


@njit(cache=True)
def _left_over(points: Any, start: int, end: int, first: Any, steps: Any, emissions: Any, starts: Any, ends: Any, n: int) -> int:
    """`finalseg.cut`: Han by the model, Latin words and numbers (with decimals and percent sign) whole, what is between them whole."""
    at = start
    while at < end:
        to = at
        if _is_han(points[at]):
            while to < end and _is_han(points[to]):
                to += 1
            n = _by_model(points, at, to, first, steps, emissions, starts, ends, n)
        else:
            if _is_ascii_word(points[at]):
                while to < end and _is_ascii_word(points[to]):
                    to += 1
                if to + 1 < end and points[to] == 46 and 48 <= points[to + 1] <= 57:
                    to += 1
                    while to < end and 48 <= points[to] <= 57:
                        to += 1
                if to < end and points[to] == 37:
                    to += 1
            else:
                while to < end and not _is_han(points[to]) and not _is_ascii_word(points[to]):
                    to += 1
            starts[n], ends[n] = at, to
            n += 1
        at = to
    return n


@njit(cache=True)
def segment(
    points: Any, slots: Any, values: Any, longest: int, total: float, first: Any, steps: Any, emissions: Any, starts: Any, ends: Any
) -> int:
    """jieba's words of a text, white space left out: their places; returns their number.

    Args:
        points: uint32 code points of the text.
        first: float64[4] logarithms of the model's first states; steps: float64[4, 4] of its transitions; emissions: float64[4, Han].
        starts, ends: int64, as long as the text.
    """
    n = at = 0
    path = np.empty(len(points), np.int64)
    while at < len(points):
        if not _in_block(points[at]):
            if not is_space(points[at]):
                starts[n], ends[n] = at, at + 1
                n += 1
            at += 1
            continue
        stop = at
        while stop < len(points) and _in_block(points[stop]):
            stop += 1
        best_path(points[at:stop], slots, values, longest, total, path[at:stop])
        run = place = at
        while place <= stop:
            to = at + path[place] if place < stop else stop + 2
            if to - place > 1:
                # The single characters before it.
                if place - run == 1 or _is_entry(points, run, place, slots, values):
                    for i in range(run, place):
                        starts[n], ends[n] = i, i + 1
                        n += 1
                elif place > run:
                    n = _left_over(points, run, place, first, steps, emissions, starts, ends, n)
                if place < stop:
                    starts[n], ends[n] = place, to
                    n += 1
                run = to
            place = to
        at = stop
    return n
