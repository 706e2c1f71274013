"""What the verdicts over spans share: whose copy stays, and the verdict's columns.

A passage stays where it occurs first: in the document of the smallest rank (`headrace_governance.text.rank`), at the smallest place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headrace_lake.schemas import TABLES
from headrace_lake.stage import DROP_DETAIL, DROP_REASON

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


def span_verdict(uids: pa.ChunkedArray, known: Mapping[str, dict[str, Any]], table: str, reason: str, max_share: float) -> pa.Table:
    """The rows of a verdict over spans: dropped is what consists of repeated passages by more than `max_share` of its bytes."""
    rows = []
    for uid in uids.to_pylist():
        found = known.get(uid)
        if found is None:
            rows.append({"uid": uid, "keep": True, "starts": [], "ends": []})
            continue
        repeated = sum(found["ends"]) - sum(found["starts"])
        share = repeated / found["bytes"] if found["bytes"] else 0.0
        measured = json.dumps({"keeper": found["keeper"], "share": round(share, 3), "spans": len(found["starts"])})
        dropped = share > max_share
        rows.append(
            {"uid": uid, "keep": not dropped, "reason": reason if dropped else None, "measured": measured}
            | {"starts": found["starts"], "ends": found["ends"], "keeper": found["keeper"]}
            | {DROP_REASON: reason if dropped else None, DROP_DETAIL: measured if dropped else None}
        )
    schema = TABLES[table].schema
    fields = [f for f in schema if f.name not in ("source", "slice", "part")]
    return pa.Table.from_pylist(rows, schema=pa.schema([*fields, (DROP_REASON, pa.string()), (DROP_DETAIL, pa.string())]))
