"""What the verdicts over spans share: whose copy stays, and the stage but for how passages are found.

A passage stays where it occurs first: in the document of the smallest rank (`headrace_governance.text.rank`), at the smallest place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from headrace_lake.schemas import TABLES
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, PartWriter, Stage
from headrace_lake.strict import StrictModel

Rank = tuple[str, str, str]
"""Interval, source, uid."""
SHARED = "spans"
_LIST = pa.list_(pa.int64())
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


class RepeatedPassages(Stage):
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

    def process(self, batch: pa.Table) -> pa.Table:
        assert self.output is not None
        schema = TABLES[self.output].schema
        fields = [f for f in schema if f.name not in ("source", "slice", "part")]
        rows = [self._row(uid) for uid in batch["uid"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=pa.schema([*fields, (DROP_REASON, pa.string()), (DROP_DETAIL, pa.string())]))

    def _row(self, uid: str) -> dict[str, Any]:
        found = self._known.get(uid)
        if found is None:
            return {"uid": uid, "keep": True, "starts": [], "ends": []}
        repeated = sum(found["ends"]) - sum(found["starts"])
        share = repeated / found["bytes"] if found["bytes"] else 0.0
        measured = json.dumps({"keeper": found["keeper"], "share": round(share, 3), "spans": len(found["starts"])})
        reason = self.reason if share > self.params.max_share else None
        return (
            {"uid": uid, "keep": reason is None, "reason": reason, "measured": measured}
            | {"starts": found["starts"], "ends": found["ends"], "keeper": found["keeper"]}
            | {DROP_REASON: reason, DROP_DETAIL: measured if reason else None}
        )
