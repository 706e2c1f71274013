"""Strata: removals dealt into groups of a kind, and which of each group are drawn.

A stratum is verdict × reason × language × source, for duplicates verdict × reason × language × cluster size × similarity. A
stratum too small for `floor` cases of a proportional sample is joined with its like under the same language, and what is then still
too small under the same reason; so a lake of a thousand sources does not need a case of each.

A stratum gets its proportional share of `target`, rounded up, and `floor` cases at least. Which ones: the smallest keyed hashes of
(seed, verdict, document), so the draw depends neither on the order of rows nor on what else is in the lake.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ALL = "*"
_SIZES = ((2, "2 copies"), (5, "3-5 copies"), (20, "6-20 copies"))
_SIMILARITIES = ((0.8, "similarity below 0.8"), (0.9, "similarity 0.8-0.9"), (1.0, "similarity 0.9-1"))


@dataclass(frozen=True)
class Stratum:
    """A stratum with the rows that were drawn from it, in the order of their hashes."""

    name: str
    population: int
    rows: tuple[int, ...]


def draw(removals: pa.Table, *, target: int, floor: int, seed: int) -> list[Stratum]:
    """Strata of one verdict's removals, by name, with the rows drawn."""
    n = removals.num_rows
    if n == 0:
        return []
    names = _assigned(removals, threshold=floor * n / target)
    values, codes = np.unique(names, return_inverse=True)
    ranks = np.array([_rank(seed, *row) for row in _keys(removals)], np.uint64)
    order = np.lexsort((ranks, codes))
    starts = np.searchsorted(codes[order], np.arange(len(values) + 1))
    found = []
    for i, name in enumerate(values.tolist()):
        rows = order[starts[i] : starts[i + 1]]
        share = min(len(rows), max(floor, math.ceil(target * len(rows) / n)))
        found.append(Stratum(name, len(rows), tuple(rows[:share].tolist())))
    return found


def _keys(removals: pa.Table) -> Iterator[tuple[str, ...]]:
    return zip(*(removals[c].to_pylist() for c in ("verdict", "source", "slice", "uid")), strict=True)


def _rank(seed: int, *key: str) -> int:
    text = "\0".join([str(seed), *key])
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "big")


def _assigned(removals: pa.Table, threshold: float) -> npt.NDArray[Any]:
    """The name of each row's stratum: the finest whose rows reach the threshold, or that of its reason."""
    levels = [[", ".join(parts) for parts in zip(*columns, strict=True)] for columns in _levels(removals)]
    names = np.array(levels[0], dtype=object)
    for coarser in levels[1:]:
        values, codes, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
        small = (counts < threshold)[codes]
        names = np.where(small, np.array(coarser, dtype=object), values[codes])
    return names.astype(str)


def _levels(removals: pa.Table) -> list[list[list[str]]]:
    verdict, language, source = (removals[c].to_pylist() for c in ("verdict", "language", "source"))
    reason = [r or "no reason" for r in removals["reason"].to_pylist()]
    copies, similarity = removals["copies"].to_pylist(), removals["similarity"].to_pylist()
    detail = [s if c is None else _size(c) + _similarity(x) for s, c, x in zip(source, copies, similarity, strict=True)]
    every = [ALL] * len(verdict)
    return [[verdict, reason, language, detail], [verdict, reason, language, every], [verdict, reason, every, every]]


def _size(copies: int) -> str:
    return next((name for most, name in _SIZES if copies <= most), "21 or more copies")


def _similarity(value: float | None) -> str:
    if value is None:
        return ""
    return " " + next((name for below, name in _SIMILARITIES if value < below), "similarity 1")
