"""Stages `simhash` and `near_duplicate_simhash`: near duplicates by SimHash (Charikar 2002), in place of `minhash` and `near_duplicate`.

A document has 64 bits: the majority, bit by bit, over the hashes of its shingles. Two are near duplicates if at most
`max_distance` bits differ; 3 is Manku, Jain and Das Sarma's for 8 billion pages (2007). All such pairs are found: the bits are cut
in `blocks`, and of two numbers that differ in k bits at least `blocks - k` blocks are equal, so documents meet in the bucket of those.

Eight bytes a document instead of MinHash's 600, and no pair is confirmed by anything else: right for large pools of long texts, not
for forms and change logs, which it merges. Pipelines choose one of the two by naming its stages; both write `verdict_near_duplicate`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator

from headrace_governance.duplicates.near.signatures import as_binary
from headrace_governance.duplicates.near.verdict import DUPLICATES, Matcher, NearDuplicate, NearDuplicateParams
from headrace_governance.duplicates.rank import earlier, here
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, SliceReader, Stage
from headrace_lake.strict import StrictModel

BITS = 64


class SimhashParams(StrictModel):
    """Parameters of `simhash`.

    Attributes:
        width: units of a shingle (words, characters of scripts without spaces); 4 as in Data-Juicer's recipe for Chinese.
    """

    width: int = Field(default=4, ge=1, le=64)


class Simhash(Stage):
    """Documents → `simhash_signatures`."""

    name = "simhash"
    output = "simhash_signatures"
    Params = SimhashParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=1 << 30)
    batch_rows = 1024

    params: SimhashParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"))

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        from headrace_governance.duplicates.near.characters import fold_table

        self._fold = fold_table()

    def process(self, batch: pa.Table) -> pa.Table:
        from headrace_governance.duplicates.near.kernels import simhash_documents
        from headrace_governance.encoding.utf8 import buffers

        data, offsets = buffers(batch["text"].combine_chunks().cast(pa.large_string()))
        hashes, shingles = np.zeros(batch.num_rows, np.uint64), np.zeros(batch.num_rows, np.int64)
        simhash_documents(data, offsets, self._fold, self.params.width, hashes, shingles)
        return pa.table(
            {
                "uid": batch["uid"],
                "shingles": shingles,
                "simhash": hashes.view(np.int64),
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )


class NearDuplicateSimhashParams(StrictModel):
    """Parameters of `near_duplicate_simhash`.

    Attributes:
        max_distance: bits that may differ.
        blocks: more than `max_distance`; more of them make more and smaller buckets.
    """

    max_distance: int = Field(default=3, ge=0, le=16)
    blocks: int = Field(default=6, ge=1, le=16)

    @model_validator(mode="after")
    def _meets(self) -> NearDuplicateSimhashParams:
        if self.blocks <= self.max_distance:
            raise ValueError(f"'blocks' must be more than 'max_distance' ({self.max_distance}), or near duplicates share none")
        return self


class NearDuplicateSimhash(NearDuplicate):
    """`simhash_signatures` → `verdict_near_duplicate`; reason `near_duplicate`."""

    name = "near_duplicate_simhash"
    Params = NearDuplicateSimhashParams

    params: NearDuplicateSimhashParams  # type: ignore[assignment]

    def inputs(self) -> Inputs:
        return Inputs("simhash_signatures", ("uid",))

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """The documents of this slice that nearly equal one of a smaller rank, with the smallest of those."""
        matcher = SimhashMatcher(_as_signatures(reader, here(slice_)), self.params)
        for rows in _as_signatures(reader, earlier(slice_)):
            matcher.look_at(rows)
        return {DUPLICATES: matcher.duplicates()}


class SimhashMatcher(Matcher):
    """`Matcher` over bits: a signature is 64 numbers of 0 or 1, of which all but `max_distance` must agree."""

    def __init__(self, own: Iterator[pa.Table], params: NearDuplicateSimhashParams) -> None:
        self._simhash = params
        super().__init__(own, NearDuplicateParams(min_similarity=1 - params.max_distance / BITS))

    def _bands(self, signatures: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        packed = np.packbits(signatures.astype(np.uint8), axis=1, bitorder="little").view("<u8")[:, 0]
        edges = np.linspace(0, BITS, self._simhash.blocks + 1).astype(int)
        masks = [((1 << int(high)) - 1) ^ ((1 << int(low)) - 1) for low, high in itertools.pairwise(edges)]
        chosen = itertools.combinations(masks, self._simhash.blocks - self._simhash.max_distance)
        columns = [_spread(packed & np.uint64(sum(some))) for some in chosen]
        return np.ascontiguousarray(np.stack(columns, axis=1))


def _spread(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """Hash of the chosen bits; a bucket that others fall into by chance costs comparisons only."""
    mixed = (keys ^ (keys >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    out: npt.NDArray[np.uint32] = ((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)).astype(np.uint32)
    return out


def _as_signatures(reader: SliceReader, where: str) -> Iterator[pa.Table]:
    """Rows of `simhash_signatures` as `Matcher` reads signatures, without facts."""
    from headrace_governance.duplicates.near.kernels import FACTS

    for rows in reader.stream("simhash_signatures", columns=["uid", "source", "slice", "shingles", "simhash"], where=where):
        n = rows.num_rows
        hashes = rows["simhash"].to_numpy().astype("<i8").view(np.uint8).reshape(n, 8)
        bits = np.unpackbits(hashes, axis=1, bitorder="little").astype("<u4")
        rows = rows.append_column("signature", as_binary(bits, "<u4"))
        rows = rows.append_column("facts", as_binary(np.full((n, 2, FACTS), 0xFFFFFFFF, np.uint32), "<u4"))
        yield rows.append_column("fact_counts", as_binary(np.zeros((n, 2), np.int32), "<i4"))
