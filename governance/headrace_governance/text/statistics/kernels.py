"""The compiled inner loops of the statistics: n-grams over words that are numbers.

A word's hash is a polynomial in its characters, so the hash of words written together, or with spaces between, follows from the
words' own: two n-grams are equal here exactly if their strings are, but for one chance in 2^64 a pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BASE = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def _mixed(point: Any) -> Any:
    """splitmix64's finaliser, so that neighbours in the alphabet are strangers."""
    h = np.uint64(point) + np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)
def word_hash(points: Any) -> tuple[Any, Any]:
    """Hash of a word's code points, and the base's power to their number."""
    h, power = np.uint64(0), np.uint64(1)
    for i in range(len(points)):
        h = h * BASE + _mixed(points[i])
        power = power * BASE
    return h, power


@njit(cache=True)
def top_n_gram(words: Any, n: int, lengths: Any, hashes: Any, powers: Any, keys: Any, counts: Any) -> int:
    """Characters of the most frequent n-gram, spaces included, times its count; of equals the one seen first.

    Args:
        keys, counts: tables of a power of two of at least twice the words.
    """
    mask = len(keys) - 1
    counts[:] = 0
    space = _mixed(0x20)
    best = best_first = most = 0
    firsts = np.empty(len(keys), np.int64)
    for i in range(len(words) - n + 1):
        h = hashes[words[i]]
        for j in range(i + 1, i + n):
            h = (h * BASE + space) * powers[words[j]] + hashes[words[j]]
        slot = np.int64(_mixed(h) & np.uint64(mask))
        while counts[slot] > 0 and keys[slot] != h:
            slot = (slot + 1) & mask
        if counts[slot] == 0:
            keys[slot] = h
            firsts[slot] = i
        counts[slot] += 1
        if counts[slot] > most or (counts[slot] == most and firsts[slot] < best_first):
            most, best_first = counts[slot], firsts[slot]
            length = n - 1
            for j in range(i, i + n):
                length += lengths[words[j]]
            best = length * most
    return best


@njit(cache=True)
def duplicate_n_grams(words: Any, n: int, lengths: Any, hashes: Any, powers: Any, keys: Any, counts: Any) -> int:
    """Characters in n-grams, written together, that occurred before; a found one is stepped over."""
    mask = len(keys) - 1
    counts[:] = 0
    repeated = 0
    i = 0
    while i < len(words) - n + 1:
        h = np.uint64(0)
        for j in range(i, i + n):
            h = h * powers[words[j]] + hashes[words[j]]
        slot = np.int64(_mixed(h) & np.uint64(mask))
        while counts[slot] > 0 and keys[slot] != h:
            slot = (slot + 1) & mask
        if counts[slot] > 0:
            for j in range(i, i + n):
                repeated += lengths[words[j]]
            i += n
        else:
            keys[slot] = h
            counts[slot] = 1
            i += 1
    return repeated


@njit(cache=True)
def n_gram_statistics(words: Any, lengths: Any, hashes: Any, powers: Any, tops: Any, duplicates: Any, out: Any) -> None:
    """`top_n_gram` for every n of `tops`, then `duplicate_n_grams` for every n of `duplicates`."""
    size = 16
    while size < 2 * len(words):
        size *= 2
    keys = np.empty(size, np.uint64)
    counts = np.empty(size, np.int64)
    for k in range(len(tops)):
        out[k] = top_n_gram(words, tops[k], lengths, hashes, powers, keys, counts)
    for k in range(len(duplicates)):
        out[len(tops) + k] = duplicate_n_grams(words, duplicates[k], lengths, hashes, powers, keys, counts)


@njit(cache=True)
def word_statistics(words: Any, lengths: Any, symbols: Any, alphas: Any) -> tuple[int, int, int]:
    """Words that are not pure punctuation, their characters, and words with a letter."""
    real = characters = with_letter = 0
    for i in range(len(words)):
        w = words[i]
        if not symbols[w]:
            real += 1
            characters += lengths[w]
        with_letter += alphas[w]
    return real, characters, with_letter


@njit(cache=True)
def sentences(words: Any, stops: Any, marks: Any) -> int:
    """spaCy's `Sentencizer` over words."""
    if len(words) == 0:
        return 0
    count = 1
    ended = False
    for i in range(len(words)):
        w = words[i]
        if ended and not marks[w] and not stops[w]:
            count += 1
            ended = False
        elif stops[w]:
            ended = True
    return count


# -- jieba's dictionary ------------------------------------------------------------------------------------------------


@njit(cache=True)
def fill_dictionary(points: Any, ends: Any, logs: Any, slots: Any, values: Any) -> None:
    """Fill the hash table of entries, whose code points lie one after another; a slot is 0 where empty."""
    mask = len(slots) - 1
    start = 0
    for i in range(len(ends)):
        h = np.uint64(0)
        for j in range(start, ends[i]):
            h = h * BASE + _mixed(points[j])
        start = ends[i]
        slot = np.int64(_mixed(h) & np.uint64(mask))
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
            h = h * BASE + _mixed(points[i])
            slot = np.int64(_mixed(h) & np.uint64(mask))
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
            # A character that is no entry counts as if it had been seen once.
            best, best_end = 0.0 - total + route[k + 1], k + 1
        route[k] = best
        ends[k] = best_end
