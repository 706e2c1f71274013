"""The index of evaluation items: what is looked for, and the search in a column of texts.

Memory: about 200 bytes a unit of all items while it is built; 80,000 questions of 50 words take 0.9 GiB and 3 s. One process keeps
the last index, since every part of a slice asks for the same.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace_governance.decontamination.rules import DecontaminationParams

Int = npt.NDArray[np.int64]
WORDS, CHARACTERS, SHORT = 0, 1, 2
"""Kinds of seeds: runs of `words.seed`, of `characters.seed`, of `short.units` units."""
_SALTS = np.array([0x8F3B1A6D00000001, 0x8F3B1A6D00000002, 0x8F3B1A6D00000003], np.uint64)
_SAME_PLACES = 4
"""Places of one item at which the same seed is remembered; a text that repeats itself has many."""
_DIFFERENT = 3
"""Different units that a seed has at least: a row of one word over and over is not evidence. One less for `short.units`."""


@dataclass(frozen=True)
class Hits:
    """Items found in documents, one a row, by document; places in bytes of the document's UTF-8."""

    document: Int
    item: Int
    ngrams: Int
    covered: Int
    longest: Int
    start: Int
    end: Int


class Index:
    """Finds evaluation items in texts.

    Args:
        texts: large_string, a text an item.
        common: keys of seeds that start no match.
        every_seed: keep all seeds of all items, to count in how many documents they occur.

    Attributes:
        units: int64[items], units of each item; gram_lengths: its n, 0 where it counts only as a whole.
        unspaced: bool[items], whether half of its units are characters of unspaced scripts.
        searched: bool[items], whether the item has a seed at all: one that is too short or all template has none.
    """

    def __init__(
        self, texts: pa.Array, params: DecontaminationParams, common: npt.NDArray[np.uint64] | None = None, *, every_seed: bool = False
    ) -> None:
        from headrace_governance.decontamination import kernels
        from headrace_governance.decontamination.characters import comparison_table
        from headrace_governance.encoding.utf8 import buffers

        self._kernels = kernels
        self._buffers = buffers
        self._fold = comparison_table()
        self.params = params
        self._lengths: Int = np.array([params.words.seed, params.characters.seed, params.short.units], np.int64)
        self._take_units(texts)
        kinds = self._kinds()
        self._choose_seeds(kinds, common, every_seed)

    # -- building ------------------------------------------------------------------------------------------------------

    def _take_units(self, texts: pa.Array) -> None:
        """Units and folded characters of all items."""
        k = self._kernels
        data, offsets = self._buffers(texts.cast(pa.large_string()))
        room = int(np.max(np.diff(offsets), initial=0))
        starts, ends, hashes = np.empty(room // 2 + 2, np.int32), np.empty(room // 2 + 2, np.int32), np.empty(room // 2 + 2, np.uint64)
        points, bounds = np.empty(room + 1, np.uint32), np.empty(room // 2 + 3, np.int64)
        counts, alone = [], []
        all_hashes, all_points, all_bounds = [], [], [np.zeros(1, np.int64)]
        total = 0
        for i in range(len(offsets) - 1):
            units = k.split_units(data, offsets[i], offsets[i + 1], self._fold, starts, ends, hashes)
            n = k.fold_units(data, offsets[i], starts, ends, units, self._fold, points, bounds)
            counts.append(units)
            alone.append(k.alone_units(data, offsets[i], starts, units, self._fold))
            all_hashes.append(hashes[:units].copy())
            all_points.append(points[:n].copy())
            all_bounds.append(bounds[1 : units + 1] + total)
            total += n
        self.units: Int = np.array(counts, np.int64)
        self._alone: Int = np.array(alone, np.int64)
        self.unspaced: npt.NDArray[np.bool_] = 2 * self._alone >= np.maximum(self.units, 1)
        self._firsts: Int = np.concatenate([[0], np.cumsum(self.units)]).astype(np.int64)
        self._hashes = np.concatenate([*all_hashes, np.zeros(0, np.uint64)])
        self._points = np.concatenate([*all_points, np.zeros(0, np.uint32)])
        self._bounds: Int = np.concatenate(all_bounds)

    def _kinds(self) -> Int:
        """Kind of each item's seeds, -1 for one that is too short; fills `gram_lengths`, `_seed_lengths` and `_least`."""
        p = self.params
        unspaced = self.unspaced
        letters = self._bounds[self._firsts[1:]] - self._bounds[self._firsts[:-1]] + (p.short.letters_a_character - 1) * self._alone
        n = np.where(unspaced, p.characters.n, p.words.n)
        whole = self.units < n
        kinds = np.where(unspaced, CHARACTERS, WORDS).astype(np.int64)
        kinds[self.units < self._lengths[kinds]] = SHORT
        kinds[whole & ((self.units < p.short.units) | (letters < p.short.letters))] = -1
        self.gram_lengths: Int = np.where(whole, 0, n).astype(np.int64)
        self._seed_lengths: Int = self._lengths[np.maximum(kinds, 0)]
        bounds = np.array([[r.min_overlap, r.min_coverage] for r in (p.words, p.characters)])
        self._least = np.ascontiguousarray(bounds[unspaced.astype(np.int64)])
        return kinds

    def _choose_seeds(self, kinds: Int, common: npt.NDArray[np.uint64] | None, every_seed: bool) -> None:
        """Which seeds are looked for: all of an item with n-grams, the rarest of one that counts as a whole."""
        keys, items, places = self._all_seeds(kinds)
        # Seeds of templates and common phrases go; the number of items counts an item once.
        order = np.lexsort((places, items, keys))
        keys, items, places = keys[order], items[order], places[order]
        new_key = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
        new_item = new_key | np.concatenate([[True], items[1:] != items[:-1]])[: len(keys)]
        group = np.cumsum(new_key) - 1
        in_items = np.bincount(group, weights=new_item).astype(np.int64)[group] if len(keys) else np.zeros(0, np.int64)
        keep = (in_items <= self.params.max_items) | every_seed
        if common is not None and len(common):
            keep &= ~np.isin(keys, common)
        run_start = np.maximum.accumulate(np.where(new_item, np.arange(len(keys)), 0)) if len(keys) else np.zeros(0, np.int64)
        keep &= np.arange(len(keys)) - run_start < _SAME_PLACES
        whole = self.gram_lengths[items] == 0
        if not every_seed:
            keep &= ~whole | self._rarest(keys, items, places, in_items, keep & whole)
        keys, items, places = keys[keep], items[keep], places[keep]
        seeds, firsts = np.unique(keys, return_index=True)
        self.seeds: npt.NDArray[np.uint64] = seeds
        self._postings: Int = np.append(firsts, len(keys)).astype(np.int64)
        self._posting_items, self._posting_places = items.astype(np.int64), places.astype(np.int64)
        self.searched = np.zeros(len(self.units), bool)
        self.searched[items] = True
        slots = 1 << max(4, int(2 * len(seeds)).bit_length())
        self._keys, self._values = np.zeros(slots, np.uint64), np.full(slots, -1, np.int32)
        # A bitmap a kind, so that what one language needs stays in the processor's cache: 16 to 32 bits a seed.
        seed_kinds = kinds[items[firsts]]
        words = [1 << int(n // 4).bit_length() if n else 0 for n in np.bincount(seed_kinds, minlength=len(_SALTS)).tolist()]
        self._bit_firsts: Int = np.concatenate([[0], np.cumsum(words)]).astype(np.int64)
        self._bits = np.zeros(max(1, sum(words)), np.uint64)
        self._kernels.fill_table(seeds, seed_kinds, self._keys, self._values, self._bits, self._bit_firsts)

    def _all_seeds(self, kinds: Int) -> tuple[npt.NDArray[np.uint64], Int, Int]:
        """Key, item and place of every seed with enough different units."""
        keys, items, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for item in np.flatnonzero(kinds >= 0).tolist():
            kind = int(kinds[item])
            length = int(self._lengths[kind])
            units = self._hashes[self._firsts[item] : self._firsts[item + 1]]
            if len(units) < length:
                continue
            out = np.empty(len(units) - length + 1, np.uint64)
            self._kernels.seed_keys(units, length, _SALTS[kind], out)
            at = np.flatnonzero(self._kernels.varied(units, length, _DIFFERENT - (kind == SHORT)))
            keys.append(out[at])
            items.append(np.full(len(at), item, np.int64))
            places.append(at)
        return np.concatenate(keys), np.concatenate(items), np.concatenate(places)

    def _rarest(self, keys: npt.NDArray[np.uint64], items: Int, places: Int, in_items: Int, asked: npt.NDArray[np.bool_]) -> Any:
        """One seed of each item asked for: in the fewest items, then with the most letters, then the first."""
        at = np.flatnonzero(asked)
        first = self._firsts[items[at]] + places[at]
        letters = self._bounds[first + self._seed_lengths[items[at]]] - self._bounds[first]
        order = at[np.lexsort((places[at], -letters, in_items[at], items[at]))]
        chosen = np.zeros(len(keys), bool)
        chosen[order[np.concatenate([[True], items[order][1:] != items[order][:-1]])[: len(order)]]] = True
        return chosen

    # -- searching -----------------------------------------------------------------------------------------------------

    def find(self, texts: pa.ChunkedArray | pa.Array) -> Hits:
        """The items that occur in each text."""
        column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
        data, offsets = self._buffers(column.cast(pa.large_string()))
        found = self._kernels.find_items(
            data, offsets, self._fold, *self._table, self._postings, self._posting_items, self._posting_places,
            self._firsts, self._hashes, self._bounds, self._points, self._seed_lengths, self.gram_lengths, self._least,
        )  # fmt: skip
        return Hits(*(np.ascontiguousarray(c) for c in found.T))

    def add_document_counts(self, texts: pa.Array, counts: Int) -> None:
        """Add to each seed's count (in the order of `seeds`) the texts that it occurs in."""
        data, offsets = self._buffers(texts.cast(pa.large_string()))
        self._kernels.count_documents(data, offsets, self._fold, *self._table, counts)

    @property
    def _table(self) -> tuple[Any, Any, Any, Any, Any, Any]:
        return self._lengths, _SALTS, self._keys, self._values, self._bits, self._bit_firsts

    def seed_text(self, seed: int) -> str:
        """The folded words of a seed, for people."""
        posting = int(self._postings[seed])
        item = int(self._posting_items[posting])
        first = int(self._firsts[item] + self._posting_places[posting])
        bounds = self._bounds[first : first + int(self._seed_lengths[item]) + 1].tolist()
        return " ".join("".join(map(chr, self._points[a:b].tolist())) for a, b in itertools.pairwise(bounds))
