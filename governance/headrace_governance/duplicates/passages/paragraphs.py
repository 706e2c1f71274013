"""Stages `paragraph_digests` and `duplicate_paragraph`: paragraphs that occur more than once, within a slice and across slices.

A paragraph is what stands between line feeds, as in CCNet (Wenzek et al. 2020, section 3.1); unlike there, case and digits count, and
short ones do not, because headings and list items recur in good texts. Two are equal when they are but for white space; digests have
64 bits, so of 10^9 different paragraphs two share one with a chance of 3 %. The first occurrence stays (`spans`); the others are
cut when shards are written, if `tokenise` names the verdict in `cut`; the stored text keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headrace_governance.duplicates.passages.spans import SHARED, Rank, RepeatedPassages, Spans, shared_table
from headrace_governance.duplicates.rank import earlier, here
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, SliceReader, Stage
from headrace_lake.strict import StrictModel

_COLUMNS = ["uid", "source", "slice", "bytes", "digests", "starts", "ends"]
Int64s = npt.NDArray[np.int64]


class ParagraphDigestsParams(StrictModel):
    """Parameters of `paragraph_digests`.

    Attributes:
        min_letters: letters and digits of a paragraph, one of a script without spaces counting twice, from which it is remembered.
            100 is ours: about 17 words, or 50 Chinese characters.
    """

    min_letters: int = Field(default=100, ge=1)


class ParagraphDigests(Stage):
    """Documents → `paragraph_digests`."""

    name = "paragraph_digests"
    output = "paragraph_digests"
    Params = ParagraphDigestsParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=1 << 30)
    batch_rows = 1024

    params: ParagraphDigestsParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"))

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        from headrace_governance.duplicates.near.characters import fold_table

        self._fold = fold_table()

    def process(self, batch: pa.Table) -> pa.Table:
        from headrace_governance.duplicates.passages.kernels import column_paragraphs
        from headrace_governance.encoding.utf8 import buffers

        texts = batch["text"].combine_chunks().cast(pa.large_string())
        data, offsets = buffers(texts)
        room = pc.sum(pc.count_substring(texts, "\n")).as_py() + len(texts)
        digests = np.empty(room, np.uint64)
        starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
        places = np.zeros(len(texts) + 1, np.int64)
        column_paragraphs(data, offsets, self._fold, self.params.min_letters, digests, starts, ends, places)
        n = int(places[-1])
        lists = {"digests": digests[:n].view(np.int64), "starts": starts[:n], "ends": ends[:n]}
        return pa.table(
            {
                "uid": batch["uid"],
                "bytes": np.diff(offsets),
                **{name: pa.ListArray.from_arrays(places.astype(np.int32), values) for name, values in lists.items()},
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )


class DuplicateParagraph(RepeatedPassages):
    """`paragraph_digests` → `verdict_duplicate_paragraph`; reason `duplicate_paragraphs`."""

    name = "duplicate_paragraph"
    output = "verdict_duplicate_paragraph"
    reason = "duplicate_paragraphs"

    def inputs(self) -> Inputs:
        return Inputs("paragraph_digests", ("uid",))

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """The paragraphs of this slice that occur earlier, in it or in slices of a smaller rank."""
        own = _rows(reader, here(slice_)).sort_by("uid")
        digests, documents = _flat(own)
        different, firsts, which = np.unique(digests, return_index=True, return_inverse=True)
        keepers: dict[int, Rank] = {}
        if len(different):
            for rows in reader.stream("paragraph_digests", columns=["uid", "source", "slice", "digests"], where=earlier(slice_)):
                _keep_smallest(rows, different, keepers)
        uids = own["uid"].to_pylist()
        starts, ends = (own[name].combine_chunks().flatten().to_pylist() for name in ("starts", "ends"))
        outside = np.zeros(len(different), np.bool_)
        outside[list(keepers)] = True
        found: dict[str, Spans] = {}
        # Paragraphs lie by uid and place, so the first index of a digest is the copy that stays.
        for i in np.flatnonzero(outside[which] | (firsts[which] != np.arange(len(which)))).tolist():
            digest = int(which[i])
            keeper = keepers.get(digest) or (slice_.interval, slice_.source, uids[documents[firsts[digest]]])
            found.setdefault(uids[documents[i]], Spans()).add(starts[i], ends[i], keeper)
        return {SHARED: shared_table(found, dict(zip(uids, own["bytes"].to_pylist(), strict=True)))}


def _rows(reader: SliceReader, where: str) -> pa.Table:
    from headrace_lake.tables import TABLES

    schema = TABLES["paragraph_digests"].schema
    empty = pa.schema([schema.field(name) for name in _COLUMNS]).empty_table()
    return pa.concat_tables([empty, *reader.stream("paragraph_digests", columns=_COLUMNS, where=where)]).combine_chunks()


def _flat(rows: pa.Table) -> tuple[Int64s, Int64s]:
    """All digests, and the row of each."""
    lists = rows["digests"].combine_chunks()
    return lists.flatten().to_numpy(zero_copy_only=False), pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)


def _keep_smallest(rows: pa.Table, wanted: Int64s, keepers: dict[int, Rank]) -> None:
    """Note the smallest-ranked document of each wanted digest (sorted) among these rows."""
    digests, documents = _flat(rows)
    places = np.minimum(np.searchsorted(wanted, digests), len(wanted) - 1)
    for i in np.flatnonzero(wanted[places] == digests).tolist():
        row = int(documents[i])
        rank = (rows["slice"][row].as_py(), rows["source"][row].as_py(), rows["uid"][row].as_py())
        place = int(places[i])
        if place not in keepers or rank < keepers[place]:
            keepers[place] = rank
