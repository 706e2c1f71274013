"""Stages `text_digests` and `exact_duplicate`: identical texts, within a slice and across slices.

Two texts are duplicates when their normal forms (NFC, every run of white space one space) are equal. The copy that
stays is the smallest (interval, source, uid), so the verdict does not depend on the order in which slices ran: a
slice looks only at itself and at slices with a smaller (interval, source). A new slice therefore never makes an older
verdict stale, and a back-filled old slice makes exactly those newer verdicts stale that share a text with it.

Cost: `prepare` reads the digest column of all earlier slices, 32 bytes a document; at 10^9 documents that is the
place for a partitioned join.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.duplicates.rank import earlier
from headrace_lake.fingerprint import digest_bytes
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, SliceReader, Stage
from headrace_lake.verdict_stage import Verdicts, VerdictStage

KNOWN = "duplicates"


def text_digest(text: str) -> str:
    """Digest of the normal form of a text."""
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    return digest_bytes(normal.encode("utf-8", errors="surrogatepass"))


class TextDigests(Stage):
    """Documents → `text_digests`."""

    name = "text_digests"
    output = "text_digests"
    batch_rows = 1024

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"))

    def process(self, batch: pa.Table) -> pa.Table:
        return pa.table(
            {
                "uid": batch["uid"],
                "text_digest": pa.array([text_digest(t) for t in batch["text"].to_pylist()], pa.string()),
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )


class ExactDuplicate(VerdictStage):
    """`text_digests` → `verdict_exact_duplicate`; reason `exact_duplicate`."""

    name = "exact_duplicate"
    output = "verdict_exact_duplicate"
    batch_rows = 4096

    def inputs(self) -> Inputs:
        return Inputs("text_digests", ("uid", "text_digest"))

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """Digests of this slice that have more than one copy here and in earlier slices, with the copy that stays."""
        columns = ["uid", "source", "slice", "text_digest"]
        own = reader.read("text_digests", slice_, columns=columns)
        if own.num_rows == 0:
            return {KNOWN: _rank(own)}
        others = reader.read("text_digests", None, columns=columns, where=earlier(slice_))
        others = others.filter(pc.is_in(others["text_digest"], value_set=own["text_digest"].combine_chunks()))
        return {KNOWN: _rank(pa.concat_tables([own, others.cast(own.schema)]))}

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._slice = Slice(part.source, part.slice)
        self._known = {r["text_digest"]: (r["keeper"], r["copies"]) for r in shared[KNOWN].to_pylist()}

    def judge(self, batch: pa.Table) -> Verdicts:
        digests = batch["text_digest"].to_pylist()
        me = [f"{self._slice}/{uid}" for uid in batch["uid"].to_pylist()]
        known = [self._known.get(d, (m, 1)) for d, m in zip(digests, me, strict=True)]
        reasons = [None if k[0] == m else "exact_duplicate" for k, m in zip(known, me, strict=True)]
        measured = [{"keeper": k[0], "copies": k[1]} if k[1] > 1 else None for k in known]
        columns = {"text_digest": batch["text_digest"], "keeper": [k[0] for k in known], "copies": [k[1] for k in known]}
        return Verdicts(reasons, measured, columns)


def _rank(rows: pa.Table) -> pa.Table:
    """`text_digest`, `keeper` (source/slice/uid), `copies`, for digests with at least two copies, sorted by digest."""
    ordered = rows.sort_by([("text_digest", "ascending"), ("slice", "ascending"), ("source", "ascending"), ("uid", "ascending")])
    keeper = pc.binary_join_element_wise(ordered["source"], ordered["slice"], ordered["uid"], "/")
    table = pa.table({"text_digest": ordered["text_digest"], "keeper": keeper}).combine_chunks()
    groups = table.group_by("text_digest", use_threads=False).aggregate([("keeper", "first"), ("keeper", "count")])
    groups = groups.filter(pc.greater(groups["keeper_count"], 1)).sort_by("text_digest")
    return pa.table(
        {"text_digest": groups["text_digest"], "keeper": groups["keeper_first"], "copies": groups["keeper_count"].cast(pa.int64())}
    )
