"""What the verdicts over spans share: whose copy stays, and the stage but for how passages are found.

A passage stays where it occurs first: in the document of the smallest rank (`headrace_governance.duplicates.rank`), at the smallest place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from headrace_lake.stage import PartWriter
from headrace_lake.strict import StrictModel
from headrace_lake.verdict_stage import Verdicts, VerdictStage

Rank = tuple[str, str, str]
"""Interval, source, uid."""
SHARED = "spans"
_LIST = pa.list_(pa.int64())
_UNIQUE: Mapping[str, Any] = {"starts": [], "ends": [], "keeper": None}
"""The row of a document without repeated passages."""
SCHEMA = pa.schema([("uid", pa.string()), ("starts", _LIST), ("ends", _LIST), ("keeper", pa.string()), ("bytes", pa.int64())])


@dataclass
class Spans:
    """The repeated passages of one document: first byte and byte after the last, by place, and whose copy of the first stays."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    keeper: Rank = ("", "", "")

    def add(self, start: int, end: int, keeper: Rank) -> None:
        """Append a span that begins after the others; one that touches the last is joined to it."""
        if self.starts and start <= self.ends[-1]:
            self.ends[-1] = max(self.ends[-1], end)
            return
        if not self.starts:
            self.keeper = keeper
        self.starts.append(start)
        self.ends.append(end)


def shared_table(found: Mapping[str, Spans], sizes: Mapping[str, int]) -> pa.Table:
    """What workers get: documents with repeated passages, by uid; sizes in bytes."""
    rows = [
        {
            "uid": uid,
            "starts": found[uid].starts,
            "ends": found[uid].ends,
            "keeper": f"{found[uid].keeper[1]}/{found[uid].keeper[0]}/{found[uid].keeper[2]}",
            "bytes": sizes[uid],
        }
        for uid in sorted(found)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


class RepeatedPassagesParams(StrictModel):
    """Parameters of a verdict over repeated passages.

    Attributes:
        max_share: of a document's bytes in repeated passages; above it the document is dropped. 0.9 is ours: what is left of such
            a document is crumbs.
    """

    max_share: float = Field(default=0.9, gt=0, le=1)


class RepeatedPassages(VerdictStage):
    """A verdict over spans: dropped is what consists of repeated passages by more than `max_share` of its bytes.

    `prepare` finds them and shares them as `shared_table`.

    Attributes:
        reason: of the drop.
    """

    Params = RepeatedPassagesParams
    batch_rows = 4096
    reason: ClassVar[str]

    params: RepeatedPassagesParams

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._known: dict[str, dict[str, Any]] = {r["uid"]: r for r in shared[SHARED].to_pylist()}

    def judge(self, batch: pa.Table) -> Verdicts:
        rows = [self._known.get(uid, _UNIQUE) for uid in batch["uid"].to_pylist()]
        verdicts = [self._verdict(row) for row in rows]
        columns = {name: [row[name] for row in rows] for name in ("starts", "ends", "keeper")}
        return Verdicts([reason for reason, _ in verdicts], [measured for _, measured in verdicts], columns)

    def _verdict(self, row: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
        """Reason and measured value of a document, given by its row of the shared table."""
        if row is _UNIQUE:
            return None, None
        repeated = sum(row["ends"]) - sum(row["starts"])
        share = repeated / row["bytes"] if row["bytes"] else 0.0
        measured = {"keeper": row["keeper"], "share": round(share, 3), "spans": len(row["starts"])}
        return self.reason if share > self.params.max_share else None, measured
