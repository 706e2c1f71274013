"""Stage `near_duplicate`: `minhash_signatures` → `verdict_near_duplicate`, within a slice and across slices.

Documents have a rank, (interval, source, uid). A document is dropped if it nearly equals one of a smaller rank; of any two
near duplicates the later goes, so what stays holds none. A slice looks at itself and at slices of a smaller (interval, source)
only, so the verdict does not depend on the order in which slices ran: a back-filled old slice makes just those newer verdicts
stale that it has near duplicates in.

Two documents are near duplicates if they share a band's bucket, their signatures agree in `min_similarity` of their values, and
their facts (numbers; words with a capital inside a sentence) agree in `min_fact_similarity`, where both have facts enough. The
last rule keeps forms, change logs and letters of one template apart, whose shingles are nearly the same.

Memory: 150 bytes a document of the slice; its signatures go to a file without a name, from which they are mapped, as soon as they are
more than `spill.MOST_HELD`. Earlier slices pass by file by file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from headrace_governance.duplicates.near.signatures import from_binary
from headrace_governance.duplicates.near.spill import Gathered
from headrace_governance.duplicates.rank import earlier, here
from headrace_lake.errors import InputError
from headrace_lake.slices import Slice
from headrace_lake.stage import Inputs, PartWriter, SliceReader
from headrace_lake.strict import StrictModel
from headrace_lake.verdict_stage import Verdicts, VerdictStage

_COLUMNS = ["uid", "source", "slice", "shingles", "signature", "facts", "fact_counts"]
DUPLICATES = "duplicates"
_SCHEMA = pa.schema([("uid", pa.string()), ("keeper", pa.string()), ("similarity", pa.float64()), ("copies", pa.int64())])


class NearDuplicateParams(StrictModel):
    """Parameters of `near_duplicate`.

    Attributes:
        bands, rows: how the signature is cut. 28 x 4 finds a pair of similarity 0.8 with probability 0.9999996, FineWeb's 14 x 8
            with 0.924; the looser buckets are affordable because every pair is confirmed.
        min_similarity: agreeing values of a signature. 112 values estimate a Jaccard similarity of 0.8 with a standard error of
            0.038, so 0.7 lets 99.6 % of such pairs through.
        min_fact_similarity: Jaccard similarity of the numbers and of the names, each.
        facts_from: facts of a kind from which they are compared.
    """

    bands: int = Field(default=28, ge=1)
    rows: int = Field(default=4, ge=1)
    min_similarity: float = Field(default=0.7, gt=0, le=1)
    min_fact_similarity: float = Field(default=0.65, ge=0, le=1)
    facts_from: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> NearDuplicateParams:
        if self.bands * self.rows > 1024:
            raise ValueError("bands x rows must be at most 1024")
        return self


class NearDuplicate(VerdictStage):
    """`minhash_signatures` → `verdict_near_duplicate`; reason `near_duplicate`."""

    name = "near_duplicate"
    output = "verdict_near_duplicate"
    Params: ClassVar[type[StrictModel]] = NearDuplicateParams
    batch_rows = 4096

    params: NearDuplicateParams

    def inputs(self) -> Inputs:
        return Inputs("minhash_signatures", ("uid",))

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """The documents of this slice that nearly equal one of a smaller rank, with the smallest of those."""
        matcher = Matcher(self._signed(reader, here(slice_)), self.params)
        for rows in self._signed(reader, earlier(slice_)):
            matcher.look_at(rows)
        return {DUPLICATES: matcher.duplicates()}

    def _signed(self, reader: SliceReader, where: str) -> Iterator[pa.Table]:
        return reader.stream("minhash_signatures", columns=_COLUMNS, where=where)

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._known = {r["uid"]: r for r in shared[DUPLICATES].to_pylist()}
        self._here = f"{part.source}/{part.slice}"

    def judge(self, batch: pa.Table) -> Verdicts:
        uids = batch["uid"].to_pylist()
        found = [self._known.get(uid) for uid in uids]
        return Verdicts(
            reasons=[None if f is None else "near_duplicate" for f in found],
            measured=[None if f is None else {"keeper": f["keeper"], "similarity": round(f["similarity"], 3)} for f in found],
            columns={
                "keeper": [f"{self._here}/{u}" if f is None else f["keeper"] for f, u in zip(found, uids, strict=True)],
                "copies": [1 if f is None else f["copies"] for f in found],
            },
        )


@dataclass
class _Signed:
    """Signed documents by rank: signatures uint32[n, hashes], facts uint32[n, 2, 16], counts int32[n, 2]."""

    source: str
    interval: str
    uids: pa.ChunkedArray
    signatures: npt.NDArray[np.uint32]
    facts: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.int32]

    @classmethod
    def of(cls, tables: Iterable[pa.Table], facts: int) -> _Signed | None:
        """The documents of some files of one slice that have shingles; None if there are none.

        Raises:
            InputError: signatures of different sizes.
        """
        source = interval = ""
        uids: list[pa.Array] = []
        gathered: tuple[Gathered, ...] = ()
        for rows in map(_with_shingles, tables):
            if not rows.num_rows:
                continue
            hashes = len(rows["signature"][0].as_py()) // 4
            if not gathered:
                source, interval = rows["source"][0].as_py(), rows["slice"][0].as_py()
                gathered = (Gathered("<u4", (hashes,)), Gathered("<u4", (2, facts)), Gathered("<i4", (2,)))
            if (hashes,) != gathered[0].shape:
                raise InputError(f"slice {source}/{interval}: signatures of different sizes", "run 'minhash' for it again")
            uids += rows["uid"].chunks
            for field, column in zip(gathered, ("signature", "facts", "fact_counts"), strict=True):
                field.add(from_binary(rows[column], field.dtype, field.shape))
        if not gathered:
            return None
        names = pa.chunked_array(uids)
        order = pc.sort_indices(names).to_numpy()
        if bool((order == np.arange(len(order))).all()):
            return cls(source, interval, names, *(g.array() for g in gathered))
        return cls(source, interval, names.take(pa.array(order)), *(g.array(order) for g in gathered))


def _with_shingles(rows: pa.Table) -> pa.Table:
    # Without a copy where nothing is to be left out, as nearly always.
    present = pc.greater(rows["shingles"], 0)
    return rows if pc.all(present).as_py() else rows.filter(present)


class Matcher:
    """Finds, for documents of one slice, their smallest-ranked near duplicate.

    Args:
        own: rows of `minhash_signatures` of one slice, in one table or several; those without shingles match nothing.

    Raises:
        InputError: the signatures are too short for the bands.
    """

    def __init__(self, own: Iterable[pa.Table], params: NearDuplicateParams) -> None:
        from headrace_governance.duplicates.near import kernels

        self._kernels = kernels
        self._params = params
        self._earlier: dict[int, tuple[tuple[str, str, str], float]] = {}
        self._mine = mine = _Signed.of(own, kernels.FACTS)
        if mine is None:
            return
        n = len(mine.signatures)
        self._buckets = self._bands(mine.signatures)
        self._orders: list[npt.NDArray[np.int32]] = []
        self._within: npt.NDArray[np.int64] = np.full(n, n, np.int64)
        self._estimated = np.zeros(n, np.float64)
        self._parents: npt.NDArray[np.int64] = np.arange(n, dtype=np.int64)
        rules = self._rules
        for band in range(self._buckets.shape[1]):
            kernels.match_within(
                band, self._buckets, self._order(band), mine.signatures, mine.facts, mine.counts, *rules,
                self._within, self._estimated, self._parents,
            )  # fmt: skip

    def _order(self, band: int) -> npt.NDArray[np.int32]:
        """The documents by their bucket in a band, and by rank within it."""
        return np.argsort(self._buckets[:, band], kind="stable").astype(np.int32)

    @property
    def _rules(self) -> tuple[float, float, int]:
        return self._params.min_similarity, self._params.min_fact_similarity, self._params.facts_from

    def _bands(self, signatures: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """uint32[n, bands]: what documents of one bucket share."""
        bands, rows = self._params.bands, self._params.rows
        if bands * rows > signatures.shape[1]:
            raise InputError(
                f"{bands} bands of {rows} rows need {bands * rows} hashes, the signatures have {signatures.shape[1]}",
                "lower 'bands' or 'rows' of near_duplicate, or raise 'hashes' of minhash",
            )
        out = np.zeros((len(signatures), bands), np.uint32)
        self._kernels.band_hashes(signatures, bands, rows, out)
        return out

    def look_at(self, rows: pa.Table) -> None:
        """Compare with some documents of one earlier slice."""
        mine, theirs = self._mine, _Signed.of([rows], self._kernels.FACTS)
        if mine is None or theirs is None:
            return
        if theirs.signatures.shape[1] != mine.signatures.shape[1]:
            raise InputError(f"slice {theirs.source}/{theirs.interval}: its signatures have another size", "run 'minhash' for it again")
        n, others = len(mine.signatures), len(theirs.signatures)
        best = np.full(n, others, np.int64)
        estimated = np.zeros(n, np.float64)
        buckets = self._bands(theirs.signatures)
        bands = buckets.shape[1]
        if not self._orders:
            self._orders = [self._order(band) for band in range(bands)]
        for band in range(bands):
            self._kernels.match_earlier(
                band, self._buckets, self._buckets[self._orders[band], band], self._orders[band], mine.signatures, mine.facts, mine.counts,
                buckets, theirs.signatures, theirs.facts, theirs.counts, *self._rules, best, estimated,
            )  # fmt: skip
        for i in np.flatnonzero(best < others).tolist():
            rank = (theirs.interval, theirs.source, theirs.uids[int(best[i])].as_py())
            if i not in self._earlier or rank < self._earlier[i][0]:
                self._earlier[i] = (rank, float(estimated[i]))

    def duplicates(self) -> pa.Table:
        """`uid`, `keeper` (source/slice/uid), `similarity`, `copies`: documents of the slice in the cluster, and the keeper."""
        mine = self._mine
        if mine is None:
            return _SCHEMA.empty_table()
        n = len(mine.signatures)
        roots: npt.NDArray[np.int64] = np.zeros(n, np.int64)
        self._kernels.roots(self._parents, roots)
        sizes = np.bincount(roots, minlength=n)
        outside = {int(roots[i]) for i in self._earlier}
        rows: list[dict[str, Any]] = []
        dropped = sorted({*self._earlier, *np.flatnonzero(self._within < n).tolist()})
        for i in dropped:
            if i in self._earlier:
                (their_interval, their_source, uid), similarity = self._earlier[i]
                keeper = f"{their_source}/{their_interval}/{uid}"
            else:
                keeper = f"{mine.source}/{mine.interval}/{mine.uids[int(self._within[i])].as_py()}"
                similarity = float(self._estimated[i])
            copies = int(sizes[roots[i]]) + (int(roots[i]) in outside)
            rows.append({"uid": mine.uids[i].as_py(), "keeper": keeper, "similarity": similarity, "copies": copies})
        return pa.Table.from_pylist(rows, schema=_SCHEMA)
