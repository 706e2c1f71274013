"""The compiled inner loops of the statistics: n-grams over words that are numbers.

A word's hash is a polynomial in its characters, so the hash of words written together, or with spaces between, follows from the
words' own: two n-grams are equal here exactly if their strings are, but for one chance in 2^64 a pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BASE = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(0xF1DE83E19937733D)
"""`BASE * INVERSE` is 1 modulo 2^64."""


@njit(cache=True)
def mixed(point: Any) -> Any:
    """splitmix64's finaliser, so that neighbours in the alphabet are strangers."""
    h = np.uint64(point) + np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)
def _spread(h: Any) -> Any:
    """Bring a hash's high bits down to where tables look."""
    return (h ^ (h >> np.uint64(32))) * np.uint64(0x9FB21C651E98DF25) >> np.uint64(20)


@njit(cache=True)
def word_hash(points: Any) -> tuple[Any, Any, Any]:
    """Hash of a word's code points, the base's power to their number, and that power's inverse modulo 2^64."""
    h, power, inverse = np.uint64(0), np.uint64(1), np.uint64(1)
    for i in range(len(points)):
        h = h * BASE + mixed(points[i])
        power = power * BASE
        inverse = inverse * INVERSE
    return h, power, inverse


@njit(cache=True)
def word_hashes(points: Any, lengths: Any, hashes: Any, powers: Any, inverses: Any) -> None:
    """`word_hash` of words that stand one after another."""
    at = 0
    for i in range(len(lengths)):
        hashes[i], powers[i], inverses[i] = word_hash(points[at : at + lengths[i]])
        at += lengths[i]


@njit(cache=True)
def flags_of_words(points: Any, lengths: Any, table: Any) -> Any:
    """1 where all characters of a word have flag 1, 2 where one has flag 2, 4 where all have flag 4."""
    out = np.empty(len(lengths), np.uint8)
    at = 0
    for i in range(len(lengths)):
        every, some = 5, 0
        for j in range(at, at + lengths[i]):
            every &= table[points[j]]
            some |= table[points[j]]
        out[i] = every | (some & 2)
        at += lengths[i]
    return out


@njit(cache=True)
def _prefixes(words: Any, hashes: Any, powers: Any, inverses: Any, spaced: bool, sums: Any, reaches: Any) -> None:
    """From the first word on: sums of the words' hashes, scaled back to the text's start, and the base's power at each word's end.

    The hash of the words from i up to j, written together, is then `(sums[j] - sums[i]) * reaches[j]`.

    Args:
        spaced: whether every word has a space before it.
    """
    space = mixed(0x20)
    back = np.uint64(1)
    sums[0], reaches[0] = np.uint64(0), np.uint64(1)
    for i in range(len(words)):
        w = words[i]
        h, power, inverse = hashes[w], powers[w], inverses[w]
        if spaced:
            h, power, inverse = space * power + h, power * BASE, inverse * INVERSE
        back = back * inverse
        reaches[i + 1] = reaches[i] * power
        sums[i + 1] = sums[i] + h * back


@njit(cache=True)
def top_n_gram(words: Any, n: int, lengths: Any, sums: Any, reaches: Any, keys: Any, counts: Any, firsts: Any) -> int:
    """Characters of the most frequent n-gram, spaces included, times its count; of equals the one seen first.

    Args:
        keys, counts, firsts: tables of a power of two of at least twice the words.
    """
    mask = len(keys) - 1
    counts[:] = 0
    best_first = most = 0
    for i in range(len(words) - n + 1):
        h = (sums[i + n] - sums[i]) * reaches[i + n]
        slot = np.int64(_spread(h) & np.uint64(mask))
        while counts[slot] > 0 and keys[slot] != h:
            slot = (slot + 1) & mask
        if counts[slot] == 0:
            keys[slot] = h
            firsts[slot] = i
        counts[slot] += 1
        if counts[slot] > most or (counts[slot] == most and firsts[slot] < best_first):
            most, best_first = counts[slot], firsts[slot]
    if most == 0:
        return 0
    length = n - 1
    for j in range(best_first, best_first + n):
        length += lengths[words[j]]
    return length * most


@njit(cache=True)
def duplicate_n_grams(words: Any, n: int, lengths: Any, sums: Any, reaches: Any, keys: Any) -> int:
    """Characters in n-grams, written together, that occurred before; a found one is stepped over."""
    mask = len(keys) - 1
    keys[:] = 0
    repeated = 0
    i = 0
    while i < len(words) - n + 1:
        h = (sums[i + n] - sums[i]) * reaches[i + n]
        if h == 0:
            h = np.uint64(1)
        slot = np.int64(_spread(h) & np.uint64(mask))
        while keys[slot] != 0 and keys[slot] != h:
            slot = (slot + 1) & mask
        if keys[slot] == h:
            for j in range(i, i + n):
                repeated += lengths[words[j]]
            i += n
        else:
            keys[slot] = h
            i += 1
    return repeated


@njit(cache=True)
def n_gram_statistics(words: Any, lengths: Any, hashes: Any, powers: Any, inverses: Any, tops: Any, duplicates: Any, out: Any) -> None:
    """`top_n_gram` for every n of `tops`, then `duplicate_n_grams` for every n of `duplicates`."""
    size = 16
    while size < 2 * len(words):
        size *= 2
    keys = np.empty(size, np.uint64)
    counts = np.empty(size, np.int32)
    firsts = np.empty(size, np.int32)
    sums = np.empty(len(words) + 1, np.uint64)
    reaches = np.empty(len(words) + 1, np.uint64)
    _prefixes(words, hashes, powers, inverses, True, sums, reaches)
    for k in range(len(tops)):
        out[k] = top_n_gram(words, tops[k], lengths, sums, reaches, keys, counts, firsts)
    _prefixes(words, hashes, powers, inverses, False, sums, reaches)
    for k in range(len(duplicates)):
        out[len(tops) + k] = duplicate_n_grams(words, duplicates[k], lengths, sums, reaches, keys)


@njit(cache=True)
def word_statistics(words: Any, lengths: Any, symbols: Any, alphas: Any, wanted: Any) -> tuple[int, int, int, int]:
    """Words that are not pure punctuation, their characters, words with a letter, and how many of the different `wanted` occur."""
    real = characters = with_letter = present = 0
    found = np.zeros(len(wanted), np.bool_)
    most = np.int64(-1)
    for k in range(len(wanted)):
        most = max(most, wanted[k])
    for i in range(len(words)):
        w = words[i]
        if not symbols[w]:
            real += 1
            characters += lengths[w]
        with_letter += alphas[w]
        # Stop words are frequent and known early, so their numbers are small: most words are told apart by one comparison.
        if w <= most:
            for k in range(len(wanted)):
                if wanted[k] == w:
                    found[k] = True
    for k in range(len(wanted)):
        present += found[k]
    return real, characters, with_letter, present


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


# -- tables from a hash to a number ------------------------------------------------------------------------------------


@njit(cache=True)
def put(keys: Any, values: Any, key: Any, value: int) -> None:
    """Add a key (not 0) that is not in the table yet."""
    mask = len(keys) - 1
    slot = np.int64(_spread(key) & np.uint64(mask))
    while keys[slot] != 0:
        slot = (slot + 1) & mask
    keys[slot] = key
    values[slot] = value


@njit(cache=True)
def get(keys: Any, values: Any, key: Any) -> int:
    """The value of a key, -1 if it has none."""
    mask = len(keys) - 1
    slot = np.int64(_spread(key) & np.uint64(mask))
    while keys[slot] != 0:
        if keys[slot] == key:
            return values[slot]  # type: ignore[no-any-return]
        slot = (slot + 1) & mask
    return -1


@njit(cache=True)
def put_all(keys: Any, values: Any, new_keys: Any, new_values: Any) -> None:
    """Add entries to a table that has room and none of their keys."""
    for i in range(len(new_keys)):
        put(keys, values, new_keys[i], new_values[i])


@njit(cache=True)
def rehash(keys: Any, values: Any, more_keys: Any, more_values: Any) -> None:
    """Put every entry of a table into a larger one."""
    for i in range(len(keys)):
        if keys[i] != 0:
            put(more_keys, more_values, keys[i], values[i])


@njit(cache=True)
def is_space(p: int) -> bool:
    """Whether Python's `str.split` splits at a code point."""
    if p < 0x80:
        return p == 0x20 or (9 <= p <= 13) or (0x1C <= p <= 0x1F)
    return (
        p == 0x85
        or p == 0xA0
        or p == 0x1680
        or (0x2000 <= p <= 0x200A)
        or p == 0x2028
        or p == 0x2029
        or p == 0x202F
        or p == 0x205F
        or p == 0x3000
    )


@njit(cache=True)
def stretches(points: Any, keys: Any, values: Any, starts: Any, ends: Any, hashes: Any, found: Any) -> tuple[int, int]:
    """What stands between white space: places, hashes (never 0), and each one's value or -1; their number, and how many have none."""
    n = unknown = 0
    at = 0
    while at < len(points):
        if is_space(points[at]):
            at += 1
            continue
        starts[n] = at
        h = np.uint64(0)
        while at < len(points) and not is_space(points[at]):
            h = h * BASE + mixed(points[at])
            at += 1
        if h == 0:
            h = np.uint64(1)
        ends[n] = at
        hashes[n] = h
        found[n] = get(keys, values, h)
        unknown += found[n] < 0
        n += 1
    return n, unknown


@njit(cache=True)
def neighbours_meet(points: Any, starts: Any, ends: Any, entries: Any, asked: Any, edges: Any, meeting: Any) -> bool:
    """Whether two stretches one space apart, one of them asked for, meet at their edges (`Affixes.meeting`)."""
    for i in range(1, len(entries)):
        left, right = entries[i - 1], entries[i]
        near = starts[i] - ends[i - 1] == 1 and points[ends[i - 1]] == 0x20
        if near and (asked[left] or asked[right]) and meeting[edges[left, 0], edges[right, 1]]:
            return True
    return False


@njit(cache=True)
def gather(entries: Any, firsts: Any, flat: Any) -> Any:
    """The words of stretches, one after another; those of entry e are `flat[firsts[e]:firsts[e + 1]]`."""
    size = 0
    for i in range(len(entries)):
        size += firsts[entries[i] + 1] - firsts[entries[i]]
    out = np.empty(size, np.int64)
    at = 0
    for i in range(len(entries)):
        for j in range(firsts[entries[i]], firsts[entries[i] + 1]):
            out[at] = flat[j]
            at += 1
    return out


@njit(cache=True)
def look_up(points: Any, starts: Any, ends: Any, keys: Any, values: Any, hashes: Any, found: Any) -> int:
    """Hash (never 0) and value of the words at these places, -1 where one has none; how many have none."""
    unknown = 0
    for i in range(len(starts)):
        h = np.uint64(0)
        for j in range(starts[i], ends[i]):
            h = h * BASE + mixed(points[j])
        if h == 0:
            h = np.uint64(1)
        hashes[i] = h
        found[i] = get(keys, values, h)
        unknown += found[i] < 0
    return unknown


@njit(cache=True)
def places_of_joined(points: Any, joined: Any) -> tuple[Any, Any]:
    """Where units begin and end, white space at their edges left off and empty ones left out.

    Args:
        points: code points of a text that is the units one after another.
        joined: the units with a space between. Where the text has spaces of its own, more of them here than there say that a
            unit ends among them; which of them it takes along does not matter, as they are left off.

    Returns:
        int64 starts and ends.

    Raises:
        ValueError: `joined` is another text's.
    """
    starts, ends = np.empty(len(points), np.int64), np.empty(len(points), np.int64)
    n = first = at = other = 0
    while at < len(points):
        if points[at] != 0x20 and (other >= len(joined) or joined[other] != 0x20):
            if other >= len(joined) or joined[other] != points[at]:
                raise ValueError("the joined units are not the text's")
            at += 1
            other += 1
            continue
        own = 0
        while at + own < len(points) and points[at + own] == 0x20:
            own += 1
        spaces = 0
        while other + spaces < len(joined) and joined[other + spaces] == 0x20:
            spaces += 1
        if spaces < own:
            raise ValueError("the joined units are not the text's")
        if spaces > own:
            n = _trimmed(points, first, at, starts, ends, n)
            first = at + own
        at += own
        other += spaces
    n = _trimmed(points, first, at, starts, ends, n)
    return starts[:n], ends[:n]


@njit(cache=True)
def _trimmed(points: Any, first: int, end: int, starts: Any, ends: Any, n: int) -> int:
    """Note what is between two places without white space at its edges, if anything; the number of notes."""
    while first < end and is_space(points[first]):
        first += 1
    while end > first and is_space(points[end - 1]):
        end -= 1
    if first < end:
        starts[n], ends[n] = first, end
        n += 1
    return n
