"""The compiled inner loops of decontamination: units of a text, seeds looked up, matches extended and verified.

A *seed* is a short run of units (words, or characters of unspaced scripts) of an evaluation item. A document's runs are hashed as
they roll by (Karp and Rabin 1987) and looked up behind a bitmap, so a document that shares nothing costs one probe a unit. A seed
that is found is extended to both sides as far as the texts agree, *character by character*: a hash decides nothing. What the runs
cover of an item, and how many of its n-grams lie in them, is what the rules compare.

Work on a document that repeats itself is bounded: a seed is extended once a run, and not at all where it can add no n-gram.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.decontamination.characters import TWICE
from headrace_governance.duplicates.hashing import mixed
from headrace_governance.duplicates.near.characters import ALONE, SKIPPED
from headrace_governance.encoding.utf8 import Int64, code_point

BASE = 0x9E3779B97F4A7C15
"""Multiplier of the rolling hash, modulo 2^64."""
_POINT = (1 << 21) - 1
COVERED, SEEDED, GRAM = 1, 2, 4
"""Flags of a unit of an item: it lies in a run; a seed, an n-gram that begins here does."""


@njit(cache=True)
def split_units(data: Any, start: int, end: int, fold: Any, starts: Any, ends: Any, hashes: Any) -> Int64:
    """Units of a text: their bytes from `start` (int32) and their hashes (uint64); returns how many.

    The arrays must hold (end - start) // 2 + 2: a word takes a letter and a separator, other units take two bytes and more.
    """
    offset, prime = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
    units = np.int64(0)
    word = offset
    letters = 0
    at = start
    while at < end:
        if data[at] < 0x80:
            point, size = np.int64(data[at]), 1
        else:
            point, size = code_point(data, at)
        value = np.int64(fold[point])
        if value > SKIPPED and not value & ALONE:
            if letters == 0:
                starts[units] = at - start
            folded = np.uint64(value & _POINT)
            word = (word ^ folded) * prime
            if value & TWICE:
                word = (word ^ folded) * prime
            letters += 1
            ends[units] = at + size - start
        elif value != SKIPPED:
            if letters > 0:
                hashes[units] = mixed(word)
                units += 1
                word, letters = offset, 0
            if value & ALONE:
                starts[units] = at - start
                ends[units] = at + size - start
                hashes[units] = mixed((offset ^ np.uint64(value & _POINT)) * prime)
                units += 1
        at += size
    if letters > 0:
        hashes[units] = mixed(word)
        units += 1
    return units


@njit(cache=True)
def fold_units(data: Any, start: int, starts: Any, ends: Any, units: int, fold: Any, points: Any, bounds: Any) -> Int64:
    """The folded characters of units (uint32), unit i at points[bounds[i]:bounds[i + 1]]; returns how many characters."""
    n = np.int64(0)
    for i in range(units):
        bounds[i] = n
        at = start + starts[i]
        while at < start + ends[i]:
            point, size = code_point(data, at)
            value = np.int64(fold[point])
            at += size
            if value == SKIPPED:
                continue
            points[n] = value & _POINT
            n += 1
            if value & TWICE:
                points[n] = value & _POINT
                n += 1
    bounds[units] = n
    return n


@njit(cache=True)
def alone_units(data: Any, start: int, starts: Any, units: int, fold: Any) -> Int64:
    """How many units are characters of unspaced scripts."""
    n = np.int64(0)
    for i in range(units):
        n += (np.int64(fold[code_point(data, start + starts[i])[0]]) & ALONE) != 0
    return n


@njit(cache=True)
def same_unit(data: Any, at: int, end: int, fold: Any, points: Any, first: int, last: int) -> bool:
    """Whether the unit in data[at:end] has the folded characters points[first:last]."""
    while at < end:
        point, size = code_point(data, at)
        value = np.int64(fold[point])
        at += size
        if value == SKIPPED:
            continue
        for _ in range(2 if value & TWICE else 1):
            if first >= last or np.int64(points[first]) != value & _POINT:
                return False
            first += 1
    return first == last


@njit(cache=True)
def seed_keys(hashes: Any, length: int, salt: Any, keys: Any) -> Int64:
    """Key of every run of `length` units (uint64); returns how many."""
    base, power = np.uint64(BASE), np.uint64(1)
    for _ in range(length):
        power *= base
    rolling = np.uint64(0)
    for i in range(len(hashes)):
        rolling = rolling * base + hashes[i]
        if i >= length:
            rolling -= hashes[i - length] * power
        if i >= length - 1:
            keys[i - length + 1] = mixed(rolling ^ salt)
    return max(0, len(hashes) - length + 1)


@njit(cache=True)
def varied(hashes: Any, length: int, least: int) -> Any:
    """Which runs of `length` units have at least so many different ones (bool)."""
    out = np.zeros(max(0, len(hashes) - length + 1), np.bool_)
    for i in range(len(out)):
        different = 0
        for j in range(i, i + length):
            seen = False
            for k in range(i, j):
                seen |= hashes[k] == hashes[j]
            different += not seen
        out[i] = different >= least
    return out


@njit(cache=True)
def fill_table(seeds: Any, kinds: Any, keys: Any, values: Any, bits: Any, bit_firsts: Any) -> None:
    """Put seeds (uint64, all different) into an open-addressing table of a power of two slots, and their bits into bitmaps.

    Args:
        bits: one bitmap a kind, of 64-bit words; bit_firsts: int64[kinds + 1], where each begins; its size is a power of two or 0.
    """
    mask = np.uint64(len(keys) - 1)
    for i in range(len(seeds)):
        key = seeds[i]
        slot = key & mask
        while values[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        keys[slot] = key
        values[slot] = i
        first, size = bit_firsts[kinds[i]], bit_firsts[kinds[i] + 1] - bit_firsts[kinds[i]]
        bit = (key >> np.uint64(20)) & np.uint64(64 * size - 1)
        bits[first + np.int64(bit >> np.uint64(6))] |= np.uint64(1) << (bit & np.uint64(63))


@njit(cache=True)
def look_up(
    hashes: Any, units: int, lengths: Any, salts: Any, keys: Any, values: Any, bits: Any, bit_firsts: Any, places: Any, seeds: Any
) -> Int64:  # fmt: skip
    """Seeds among the runs of a document: the first unit of each and its number; returns how many.

    Args:
        places, seeds: int64, must hold len(lengths) * units.
    """
    base = np.uint64(BASE)
    kinds = len(lengths)
    mask = np.uint64(len(keys) - 1)
    powers, rolling = np.ones(kinds, np.uint64), np.zeros(kinds, np.uint64)
    for kind in range(kinds):
        for _ in range(lengths[kind]):
            powers[kind] *= base
    n = np.int64(0)
    for i in range(units):
        unit = hashes[i]
        for kind in range(kinds):
            size = bit_firsts[kind + 1] - bit_firsts[kind]
            if size == 0:
                continue
            length = lengths[kind]
            value = rolling[kind] * base + unit
            if i >= length:
                value -= hashes[i - length] * powers[kind]
            rolling[kind] = value
            if i < length - 1:
                continue
            key = mixed(value ^ salts[kind])
            bit = (key >> np.uint64(20)) & np.uint64(64 * size - 1)
            if not (bits[bit_firsts[kind] + np.int64(bit >> np.uint64(6))] >> (bit & np.uint64(63))) & np.uint64(1):
                continue
            slot = key & mask
            while values[slot] >= 0:
                if keys[slot] == key:
                    places[n] = i - length + 1
                    seeds[n] = values[slot]
                    n += 1
                    break
                slot = (slot + np.uint64(1)) & mask
    return n


@njit(cache=True)
def count_documents(
    data: Any, offsets: Any, fold: Any, lengths: Any, salts: Any, keys: Any, values: Any, bits: Any, bit_firsts: Any, counts: Any
) -> None:
    """Add to each seed's count (int64) the documents that it occurs in."""
    most = 0
    for i in range(len(offsets) - 1):
        most = max(most, offsets[i + 1] - offsets[i])
    room = most // 2 + 2
    starts, ends, hashes = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint64)
    places, seeds = np.empty(room * len(lengths), np.int64), np.empty(room * len(lengths), np.int64)
    last = np.full(len(counts), -1, np.int64)
    for i in range(len(offsets) - 1):
        units = split_units(data, offsets[i], offsets[i + 1], fold, starts, ends, hashes)
        found = look_up(hashes, units, lengths, salts, keys, values, bits, bit_firsts, places, seeds)
        for f in range(found):
            if last[seeds[f]] != i:
                last[seeds[f]] = i
                counts[seeds[f]] += 1


@njit(cache=True)
def _adds_nothing(flags: Any, here: int, first: int, stop: int, seed_length: int, gram_length: int) -> bool:
    """Whether the seed at an item's unit `here` was met, and so was every n-gram that holds it."""
    if not flags[here] & SEEDED:
        return False
    for p in range(max(first, here + seed_length - gram_length), min(here, stop - gram_length) + 1):  # noqa: SIM110 - numba
        if not flags[p] & GRAM:
            return False
    return True


@njit(cache=True)
def _grown(array: Any, used: int) -> Any:
    if used < len(array):
        return array
    bigger = np.empty((2 * len(array), array.shape[1]), array.dtype)
    for i in range(used):  # an array assigned to a slice takes numba four seconds to compile
        for j in range(array.shape[1]):
            bigger[i, j] = array[i, j]
    return bigger


@njit(cache=True)
def find_items(
    data: Any, offsets: Any, fold: Any, lengths: Any, salts: Any, keys: Any, values: Any, bits: Any, bit_firsts: Any,
    postings: Any, posting_items: Any, posting_places: Any,
    firsts: Any, item_hashes: Any, bounds: Any, points: Any, seed_lengths: Any, gram_lengths: Any, least: Any,
) -> Any:  # fmt: skip
    """Items that occur in documents.

    Args:
        postings: int64[seeds + 1], where a seed's (item, place) begin; firsts: int64[items + 1], an item's units in `item_hashes`;
            bounds: int64[units + 1], a unit's characters in `points`.
        seed_lengths, gram_lengths: int64[items]; gram length 0: the item counts only as a whole.
        least: float64[items, 2], share of n-grams and share of units from which an item counts.

    Returns:
        int64[hits, 7]: document, item, n-grams found, units covered, longest run, first byte and end of the place in the document.
    """
    items = len(firsts) - 1
    most = 0
    for i in range(len(offsets) - 1):
        most = max(most, offsets[i + 1] - offsets[i])
    room = most // 2 + 2
    starts, ends, hashes = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint64)
    places, seeds = np.empty(room * len(lengths), np.int64), np.empty(room * len(lengths), np.int64)
    flags = np.zeros(len(item_hashes), np.uint8)
    longest, longest_at = np.zeros(items, np.int64), np.zeros(items, np.int64)
    run_shifts, run_ends = np.zeros(items, np.int64), np.zeros(items, np.int64)
    low, high = np.zeros(items, np.int64), np.zeros(items, np.int64)
    runs = np.empty((64, 3), np.int64)
    touched = np.empty((64, 1), np.int64)
    hits = np.empty((64, 7), np.int64)
    n_hits = 0
    for i in range(len(offsets) - 1):
        start = offsets[i]
        units = split_units(data, start, offsets[i + 1], fold, starts, ends, hashes)
        found = look_up(hashes, units, lengths, salts, keys, values, bits, bit_firsts, places, seeds)
        n_runs, n_touched = 0, 0
        for f in range(found):
            for posting in range(postings[seeds[f]], postings[seeds[f] + 1]):
                item = posting_items[posting]
                first, stop = firsts[item], firsts[item + 1]
                here = first + posting_places[posting]
                whole_only = gram_lengths[item] == 0
                if longest[item] == stop - first or (run_ends[item] > places[f] and run_shifts[item] == places[f] - here):
                    continue
                if not whole_only and _adds_nothing(flags, here, first, stop, seed_lengths[item], gram_lengths[item]):
                    continue
                # Extend: to the right from the seed's first unit, so that the seed itself is verified, then to the left.
                unit, place = places[f], here
                while (
                    unit < units and place < stop and hashes[unit] == item_hashes[place]
                    and same_unit(data, start + starts[unit], start + ends[unit], fold, points, bounds[place], bounds[place + 1])
                ):  # fmt: skip
                    unit, place = unit + 1, place + 1
                if place - here < seed_lengths[item]:
                    continue  # only the hashes were equal
                left, begin = places[f] - 1, here - 1
                while (
                    left >= 0 and begin >= first and hashes[left] == item_hashes[begin]
                    and same_unit(data, start + starts[left], start + ends[left], fold, points, bounds[begin], bounds[begin + 1])
                ):  # fmt: skip
                    left, begin = left - 1, begin - 1
                left, begin = left + 1, begin + 1
                size = place - begin
                if whole_only and size < stop - first:
                    continue
                if longest[item] == 0:
                    touched = _grown(touched, n_touched)
                    touched[n_touched, 0] = item
                    n_touched += 1
                run_shifts[item], run_ends[item] = places[f] - here, left + size
                if size > longest[item]:
                    longest[item], longest_at[item] = size, left
                runs = _grown(runs, n_runs)
                runs[n_runs, 0], runs[n_runs, 1], runs[n_runs, 2] = item, left, left + size
                n_runs += 1
                seed_length, gram_length = seed_lengths[item], gram_lengths[item]
                for p in range(begin, place):
                    flags[p] |= COVERED
                    if p + seed_length <= place:
                        flags[p] |= SEEDED
                    if gram_length > 0 and p + gram_length <= place:
                        flags[p] |= GRAM
        if n_touched == 0:
            continue
        # The place in the document: the longest run, and others of the item where what it lacks can be, half as much again.
        for t in range(n_touched):
            item = touched[t, 0]
            low[item], high[item] = longest_at[item], longest_at[item] + longest[item]
        for r in range(n_runs):
            item, left, right = runs[r, 0], runs[r, 1], runs[r, 2]
            reach = 3 * (firsts[item + 1] - firsts[item] - longest[item]) // 2
            if left >= longest_at[item] - reach and right <= longest_at[item] + longest[item] + reach:
                low[item], high[item] = min(low[item], left), max(high[item], right)
        for t in range(n_touched):
            item = touched[t, 0]
            size = firsts[item + 1] - firsts[item]
            covered, grams = 0, 0
            for p in range(firsts[item], firsts[item + 1]):
                covered += flags[p] & COVERED != 0
                grams += flags[p] & GRAM != 0
                flags[p] = 0
            all_grams = size - gram_lengths[item] + 1
            if gram_lengths[item] == 0:
                counts = longest[item] == size
            else:
                counts = grams >= least[item, 0] * all_grams or covered >= least[item, 1] * size
            if counts:
                hits = _grown(hits, n_hits)
                hits[n_hits, 0], hits[n_hits, 1] = i, item
                hits[n_hits, 2], hits[n_hits, 3], hits[n_hits, 4] = grams, covered, longest[item]
                hits[n_hits, 5], hits[n_hits, 6] = starts[low[item]], ends[high[item] - 1]
                n_hits += 1
            longest[item], run_ends[item] = 0, 0
    return hits[:n_hits]
