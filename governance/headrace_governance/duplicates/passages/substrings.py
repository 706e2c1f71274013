"""Stages `passage_fingerprints` and `exact_substring`: long passages that occur more than once, for books and legal texts.

As in Lee et al. 2022 ("Deduplicating training data makes language models better", section 4.2) a passage is a run of the same
bytes of at least 50 tokens, wherever it begins; a token is a word here, and 100 characters count in scripts without spaces. Instead of
a suffix array over everything, each document has fingerprints (`kernels`), stored once, about a seventh of its units; documents that
share one are compared byte by byte, so no passage is cut because of a hash. The first occurrence stays, within a document too.

Memory: the slice's texts and the earlier texts that share a fingerprint with them, while `prepare` runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headrace_governance.duplicates.passages.spans import SHARED, Rank, RepeatedPassages, RepeatedPassagesParams, Spans, shared_table
from headrace_governance.duplicates.rank import earlier, here
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, SliceReader, Stage
from headrace_lake.strict import StrictModel

_MOST_COMPARED = 16
"""Occurrences of one fingerprint with which a passage is compared; the smallest-ranked come first."""
Bytes = npt.NDArray[np.uint8]


class PassageFingerprintsParams(StrictModel):
    """Parameters of `passage_fingerprints`.

    Attributes:
        sources: shell patterns of the ids of sources whose documents have fingerprints; others have none, and no passage of theirs is
            ever cut. Web pages are better served by paragraphs and near duplicates, which cost a tenth of the room.
    """

    sources: tuple[str, ...] = ("*",)


class PassageFingerprints(Stage):
    """Documents → `passage_fingerprints`."""

    name = "passage_fingerprints"
    output = "passage_fingerprints"
    Params = PassageFingerprintsParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=1 << 30)
    batch_rows = 256

    params: PassageFingerprintsParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"))

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        from headrace_governance.duplicates.near.characters import fold_table

        self._wanted = any(fnmatchcase(part.source, pattern) for pattern in self.params.sources)
        if self._wanted:
            self._fold = fold_table()

    def process(self, batch: pa.Table) -> pa.Table:
        from headrace_governance.duplicates.passages.kernels import column_fingerprints
        from headrace_governance.encoding.utf8 import buffers

        texts = batch["text"].combine_chunks().cast(pa.large_string())
        data, offsets = buffers(texts)
        room = int(offsets[-1] - offsets[0]) if self._wanted else 0
        hashes, starts = np.empty(room, np.uint64), np.empty(room, np.int64)
        places = np.zeros(len(texts) + 1, np.int64)
        if self._wanted:
            column_fingerprints(data, offsets, self._fold, hashes, starts, places)
        n = int(places[-1])
        lists = {"hashes": hashes[:n].view(np.int64), "places": starts[:n]}
        return pa.table(
            {
                "uid": batch["uid"],
                **{name: pa.ListArray.from_arrays(places.astype(np.int32), values) for name, values in lists.items()},
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )


class ExactSubstringParams(RepeatedPassagesParams):
    """Parameters of `exact_substring`.

    Attributes:
        min_weight: words count 2, characters of scripts without spaces 1: 100 is 50 words or 100 characters. Below 100 passages would
            be missed, because fingerprints are made for it.
    """

    min_weight: int = Field(default=100, ge=100)


class ExactSubstring(RepeatedPassages):
    """`passage_fingerprints` → `verdict_exact_substring`; reason `repeated_passages`."""

    name = "exact_substring"
    output = "verdict_exact_substring"
    Params = ExactSubstringParams
    reason = "repeated_passages"

    params: ExactSubstringParams

    def inputs(self) -> Inputs:
        return Inputs("passage_fingerprints", ("uid",))

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """The passages of this slice that occur earlier, in it or in slices of a smaller rank."""
        occurrences = _shared_fingerprints(reader, slice_)
        texts = _texts(reader, slice_, {o[0] for found in occurrences.values() for o in found})
        mine: dict[Rank, list[tuple[int, int]]] = defaultdict(list)
        for h, found in occurrences.items():
            for rank, place in found:
                if rank[:2] == (slice_.interval, slice_.source):
                    mine[rank].append((place, h))
        found_spans: dict[str, Spans] = {}
        if mine:  # most slices have nothing to compare, and then need not load what compares
            comparer = _Comparer(texts, occurrences, self.params.min_weight)
            for rank in sorted(mine):
                spans = comparer.spans(rank, sorted(mine[rank]))
                if spans.starts:
                    found_spans[rank[2]] = spans
        return {SHARED: shared_table(found_spans, {rank[2]: len(texts[rank]) for rank in mine})}


class _Comparer:
    """Compares a document with what occurs earlier."""

    def __init__(self, texts: Mapping[Rank, Bytes], occurrences: Mapping[int, list[tuple[Rank, int]]], least: int) -> None:
        from headrace_governance.duplicates.near.characters import fold_table
        from headrace_governance.duplicates.passages import kernels

        self._kernels, self._fold = kernels, fold_table()
        self._texts, self._occurrences, self._least = texts, occurrences, least

    def spans(self, rank: Rank, fingerprints: list[tuple[int, int]]) -> Spans:
        """Passages of a document, given by places and hashes of its fingerprints, that occur earlier."""
        text = self._texts[rank]
        starts, ends, weights = np.empty(len(text), np.int64), np.empty(len(text), np.int64), np.empty(len(text), np.int8)
        n = self._kernels.units(text, 0, len(text), self._fold, starts, ends, weights)
        starts, ends, weights = starts[:n], ends[:n], weights[:n]
        passages: list[tuple[int, int, Rank]] = []
        reached: dict[tuple[Rank, int], int] = {}
        for place, h in fingerprints:
            for other, there in self._occurrences[h][:_MOST_COMPARED]:
                if (other, there) >= (rank, place):
                    break
                if place < reached.get((other, place - there), 0):
                    continue
                inside = other == rank
                # Inside one document an occurrence must not overlap the one that stays: it is no longer than they lie apart.
                low, high = (there, place) if inside else (0, len(self._texts[other]))
                first, last = self._kernels.agreement(text, place, self._texts[other], there, low, high)
                reached[other, place - there] = last
                if inside:
                    first = max(first, last - (place - there))
                first, last, weight = self._kernels.trimmed(first, last, starts, ends, weights)
                if weight >= self._least:
                    passages.append((int(first), int(last), other))
        spans = Spans()
        for first, last, other in sorted(passages):
            spans.add(first, last, other)
        return spans


def _shared_fingerprints(reader: SliceReader, slice_: Slice) -> dict[int, list[tuple[Rank, int]]]:
    """Hashes of this slice that occur at least twice, here or in earlier slices → (rank, place) of the occurrences, by rank."""
    columns = ["uid", "source", "slice", "hashes", "places"]
    own = list(reader.stream("passage_fingerprints", columns=columns, where=here(slice_)))
    wanted = np.unique(np.concatenate([_numbers(rows, "hashes") for rows in own] or [np.zeros(0, np.int64)]))
    seen: dict[int, list[tuple[Rank, int]]] = defaultdict(list)
    if not len(wanted):
        return {}
    counts = np.zeros(len(wanted), np.int64)
    for rows in own:
        counts += np.bincount(np.searchsorted(wanted, _numbers(rows, "hashes")), minlength=len(wanted))
    outside = np.zeros(len(wanted), np.bool_)
    for rows in reader.stream("passage_fingerprints", columns=columns, where=earlier(slice_)):
        hashes = _numbers(rows, "hashes")
        places = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
        hits = np.flatnonzero(wanted[places] == hashes)
        outside[places[hits]] = True
        _note(rows, hits, seen)
    for rows in own:
        at = np.searchsorted(wanted, _numbers(rows, "hashes"))
        _note(rows, np.flatnonzero(outside[at] | (counts[at] > 1)), seen)
    return {h: sorted(found) for h, found in seen.items()}


def _numbers(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    out: npt.NDArray[np.int64] = rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return out


def _note(rows: pa.Table, which: npt.NDArray[np.int64], seen: dict[int, list[tuple[Rank, int]]]) -> None:
    hashes, places = _numbers(rows, "hashes"), _numbers(rows, "places")
    documents = pc.list_parent_indices(rows["hashes"].combine_chunks()).to_numpy(zero_copy_only=False)
    for i in which.tolist():
        row = int(documents[i])
        rank = (rows["slice"][row].as_py(), rows["source"][row].as_py(), rows["uid"][row].as_py())
        seen[int(hashes[i])].append((rank, int(places[i])))


def _texts(reader: SliceReader, slice_: Slice, wanted: set[Rank]) -> dict[Rank, Bytes]:
    """The stored texts of documents, as bytes."""
    texts: dict[Rank, Bytes] = {}
    for interval, source in sorted({rank[:2] for rank in wanted}):
        uids = pa.array(sorted(rank[2] for rank in wanted if rank[:2] == (interval, source)), pa.string())
        for rows in reader.stream("documents", columns=["uid", "text"], where=here(Slice(source, interval))):
            chosen = rows.filter(pc.is_in(rows["uid"], value_set=uids))
            for uid, text in zip(chosen["uid"].to_pylist(), chosen["text"].cast(pa.large_binary()).to_pylist(), strict=True):
                texts[interval, source, uid] = np.frombuffer(text, np.uint8)
    return texts
