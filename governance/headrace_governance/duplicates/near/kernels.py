"""The compiled inner loops of near duplicates: signing documents, and matching signatures.

A shingle is `width` units in a row (Broder 1997), a unit a word or a character of an unspaced script. MinHash values are
`(a * x + b) >> 32` over 64-bit shingle hashes (multiply-shift, Dietzfelbinger et al. 1997).

Beside them a document has two small sketches of its *facts*: its numbers, and its words that begin with a capital inside a
sentence. Forms, letters and change logs share nearly all their shingles and differ in just these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.duplicates.hashing import mixed
from headrace_governance.duplicates.near.characters import ALONE, DIGIT, SEPARATOR, SKIPPED, UPPER
from headrace_governance.encoding.utf8 import Int64, code_point

FACTS = 16
"""Smallest hashes kept of each kind of fact."""
NUMBERS, NAMES = 0, 1
_POINT = (1 << 21) - 1
_MOST_COMPARED = 256
"""Members of one band's bucket with which a document is compared at most; the smallest-ranked come first."""


@njit(cache=True)
def _keep_fact(facts: Any, counts: Any, kind: int, h: Any) -> None:
    """Keep the `FACTS` smallest different hashes, in order; count all different ones while they fit."""
    value = np.uint32(mixed(h) >> np.uint64(32))
    place = FACTS
    while place > 0 and facts[kind, place - 1] >= value:
        place -= 1
    if place < FACTS and facts[kind, place] == value:
        return
    counts[kind] += 1
    if place < FACTS:
        for i in range(FACTS - 1, place, -1):
            facts[kind, i] = facts[kind, i - 1]
        facts[kind, place] = value


@njit(cache=True)
def _shingle(ring: Any, units: int, width: int, a: Any, b: Any, signature: Any) -> None:
    """Take the shingle of the last `width` units into the signature."""
    x = np.uint64(0)
    for i in range(width):
        x = (x ^ ring[(units - width + i) % len(ring)]) * np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(29)
    for k in range(len(a)):
        value = np.uint32((a[k] * x + b[k]) >> np.uint64(32))
        if value < signature[k]:
            signature[k] = value


@njit(cache=True)
def sign_document(data: Any, start: int, end: int, fold: Any, width: int, a: Any, b: Any, signature: Any, facts: Any, counts: Any) -> int:
    """Sign one document.

    Args:
        signature: uint32[hashes], filled with the greatest value; facts: uint32[2, FACTS], too; counts: int32[2], zeros.

    Returns:
        its shingles, repeated ones included; 0 for a text without words.
    """
    ring = np.zeros(width, np.uint64)
    offset = np.uint64(0xCBF29CE484222325)
    prime = np.uint64(0x100000001B3)
    word = offset
    number = offset
    letters = 0
    digits = 0
    capital = False
    uppers = 0
    opens = True  # the next word begins a sentence
    units = 0
    at = start
    while at <= end:
        point, size = (np.int64(0x0A), 1) if at == end else code_point(data, at)
        at += size
        value = np.int64(fold[point]) if at <= end else np.int64(SEPARATOR)
        if value == SKIPPED:
            continue
        alone = value & ALONE
        if letters > 0 and (value == SEPARATOR or alone):
            units += 1
            ring[units % width] = mixed(word)
            if units >= width:
                _shingle(ring, units + 1, width, a, b, signature)
            # A word all in capitals is emphasis or an abbreviation, and a whole text may be written so.
            if capital and uppers == 1 and letters > 1 and not opens:
                _keep_fact(facts, counts, NAMES, word)
            opens = False
            word, letters, capital, uppers = offset, 0, False, 0
        if digits > 0 and not value & DIGIT:
            # A point, comma, colon, slash or hyphen between two digits belongs to the number.
            inside = point == 0x2E or point == 0x2C or point == 0x3A or point == 0x2F or point == 0x2D
            if inside and at < end and 0x30 <= data[at] <= 0x39:
                number = (number ^ np.uint64(point)) * prime
            else:
                _keep_fact(facts, counts, NUMBERS, number)
                number, digits = offset, 0
        if value == SEPARATOR:
            if point == 0x0A or point == 0x2E or point == 0x21 or point == 0x3F:
                opens = True
            continue
        folded = np.uint64(value & _POINT)
        if value & DIGIT:
            number = (number ^ folded) * prime
            digits += 1
        if alone:
            units += 1
            ring[units % width] = mixed((offset ^ folded) * prime)
            if units >= width:
                _shingle(ring, units + 1, width, a, b, signature)
            opens = False
            continue
        if value & UPPER:
            uppers += 1
            if letters == 0:
                capital = True
        word = (word ^ folded) * prime
        letters += 1
    if 0 < units < width:
        _shingle(ring, units + 1, units, a, b, signature)
        return 1
    return max(0, units - width + 1)


@njit(cache=True)
def sign_documents(
    data: Any, offsets: Any, fold: Any, width: int, a: Any, b: Any, signatures: Any, facts: Any, counts: Any, shingles: Any
) -> None:
    """`sign_document` for a column: rows of uint32[n, hashes], uint32[n, 2, FACTS], int32[n, 2], int64[n]."""
    for i in range(len(offsets) - 1):
        shingles[i] = sign_document(data, offsets[i], offsets[i + 1], fold, width, a, b, signatures[i], facts[i], counts[i])


@njit(cache=True)
def _vote(ring: Any, units: int, width: int, votes: Any) -> None:
    """Count the bits of the shingle that ends at the latest unit."""
    x = np.uint64(0)
    for i in range(width):
        x = (x ^ ring[(units - width + i) % len(ring)]) * np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(29)
    x = mixed(x)
    for bit in range(64):
        votes[bit] += 1 if (x >> np.uint64(bit)) & np.uint64(1) else -1


@njit(cache=True)
def simhash_documents(data: Any, offsets: Any, fold: Any, width: int, hashes: Any, shingles: Any) -> None:
    """SimHash of a column: uint64[n], and its shingles int64[n], repeated ones counted as often; shorter texts have one of all units."""
    votes = np.empty(64, np.int64)
    ring = np.empty(width, np.uint64)
    offset, prime = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
    for i in range(len(offsets) - 1):
        votes[:] = 0
        word, letters, units = offset, 0, 0
        at, end = offsets[i], offsets[i + 1]
        while at <= end:
            point, size = (np.int64(0x0A), 1) if at == end else code_point(data, at)
            value = np.int64(fold[point]) if at < end else np.int64(SEPARATOR)
            at += size
            if value == SKIPPED:
                continue
            alone = value & ALONE
            if letters > 0 and (value == SEPARATOR or alone):
                ring[units % width] = mixed(word)
                units += 1
                if units >= width:
                    _vote(ring, units, width, votes)
                word, letters = offset, 0
            if value == SEPARATOR:
                continue
            folded = (word ^ np.uint64(value & _POINT)) * prime
            if alone:
                ring[units % width] = mixed(folded)
                units += 1
                if units >= width:
                    _vote(ring, units, width, votes)
            else:
                word = folded
                letters += 1
        if 0 < units < width:
            _vote(ring, units, units, votes)
        shingles[i] = 1 if 0 < units < width else max(0, units - width + 1)
        h = np.uint64(0)
        for bit in range(64):
            if votes[bit] > 0:
                h |= np.uint64(1) << np.uint64(bit)
        hashes[i] = h


# -- matching ----------------------------------------------------------------------------------------------------------


@njit(cache=True)
def band_hashes(signatures: Any, bands: int, rows: int, out: Any) -> None:
    """uint32[n, bands]: what documents of one bucket share."""
    for i in range(len(signatures)):
        for band in range(bands):
            h = np.uint64(band)
            for row in range(rows):
                h = mixed(h ^ np.uint64(signatures[i, band * rows + row]))
            out[i, band] = np.uint32(h >> np.uint64(32))


@njit(cache=True)
def similarity(one: Any, other: Any) -> float:
    """Jaccard similarity of the shingles as the signatures estimate it."""
    same = 0
    for k in range(len(one)):
        same += one[k] == other[k]
    return same / len(one)


@njit(cache=True)
def fact_similarity(one: Any, other: Any) -> float:
    """Jaccard similarity of two sets of facts, of the smallest hashes of their union."""
    i = j = seen = same = 0
    greatest = np.uint32(0xFFFFFFFF)
    while seen < FACTS and (i < FACTS or j < FACTS):
        x = one[i] if i < FACTS else greatest
        y = other[j] if j < FACTS else greatest
        if x == greatest and y == greatest:
            break
        seen += 1
        if x == y:
            same += 1
            i += 1
            j += 1
        elif x < y:
            i += 1
        else:
            j += 1
    return same / seen if seen > 0 else 1.0


@njit(cache=True)
def matches(
    one: Any, other: Any, one_facts: Any, other_facts: Any, one_counts: Any, other_counts: Any,
    least: float, least_facts: float, facts_from: int,
) -> float:  # fmt: skip
    """The estimated similarity if two documents are near duplicates, else 0."""
    estimated = similarity(one, other)
    if estimated < least:
        return 0.0
    for kind in range(2):
        enough = one_counts[kind] >= facts_from and other_counts[kind] >= facts_from
        if enough and fact_similarity(one_facts[kind], other_facts[kind]) < least_facts:
            return 0.0
    return estimated


@njit(cache=True)
def _met_before(one: Any, other: Any, band: int) -> bool:
    """Whether two documents share a bucket of an earlier band too, and so have been compared there."""
    for b in range(band):  # noqa: SIM110 - numba compiles no generators
        if one[b] == other[b]:
            return True
    return False


@njit(cache=True)
def match_within(
    band: int, hashes: Any, order: Any, signatures: Any, facts: Any, counts: Any, least: float, least_facts: float, facts_from: int,
    best: Any, estimated: Any, parents: Any,
) -> None:  # fmt: skip
    """Match the documents of one slice, in rank order, within the buckets of one band.

    Args:
        hashes: uint32[n, bands]; order: int64[n], which sorts the band's column stably.
        best: int64[n], the smallest-ranked match so far or n; estimated: float64[n], its similarity.
        parents: int64[n], the union-find forest.
    """
    n = len(order)
    first = 0
    while first < n:
        last = first + 1
        while last < n and hashes[order[last], band] == hashes[order[first], band]:
            last += 1
        for y in range(first + 1, last):
            later = order[y]
            for x in range(first, min(y, first + _MOST_COMPARED)):
                earlier = order[x]
                if _met_before(hashes[earlier], hashes[later], band):
                    continue
                value = matches(
                    signatures[earlier], signatures[later], facts[earlier], facts[later], counts[earlier], counts[later],
                    least, least_facts, facts_from,
                )  # fmt: skip
                if value > 0:
                    join(parents, earlier, later)
                    if earlier < best[later]:
                        best[later] = earlier
                        estimated[later] = value
        first = last


@njit(cache=True)
def match_earlier(
    band: int, hashes: Any, sorted_hashes: Any, order: Any, signatures: Any, facts: Any, counts: Any,
    their_hashes: Any, their_signatures: Any, their_facts: Any, their_counts: Any,
    least: float, least_facts: float, facts_from: int, best: Any, estimated: Any,
) -> None:  # fmt: skip
    """Match documents of an earlier slice, in rank order, with ours, within the buckets of one band.

    Args:
        hashes, their_hashes: uint32[n, bands]; sorted_hashes: the band's column of ours, in `order`.
        best: int64[ours], the smallest of theirs that matches, or the number of theirs.
    """
    n = len(sorted_hashes)
    for i in range(len(their_hashes)):
        at = np.searchsorted(sorted_hashes, their_hashes[i, band])
        stop = min(n, at + _MOST_COMPARED)
        while at < stop and sorted_hashes[at] == their_hashes[i, band]:
            mine = order[at]
            at += 1
            if best[mine] <= i or _met_before(hashes[mine], their_hashes[i], band):
                continue
            value = matches(
                signatures[mine], their_signatures[i], facts[mine], their_facts[i], counts[mine], their_counts[i],
                least, least_facts, facts_from,
            )  # fmt: skip
            if value > 0:
                best[mine] = i
                estimated[mine] = value


@njit(cache=True)
def root(parents: Any, at: int) -> Int64:
    """The representative of a document's cluster; paths are halved on the way (Tarjan and van Leeuwen 1984)."""
    while parents[at] != at:
        parents[at] = parents[parents[at]]
        at = parents[at]
    return at


@njit(cache=True)
def roots(parents: Any, out: Any) -> None:
    """`root` of every document."""
    for i in range(len(parents)):
        out[i] = root(parents, i)


@njit(cache=True)
def join(parents: Any, one: int, other: int) -> None:
    """One cluster of two; the smaller-ranked root stays."""
    x, y = root(parents, one), root(parents, other)
    if x < y:
        parents[y] = x
    else:
        parents[x] = y
