"""What a stage looks at beyond its slice, remembered by names of files, so that staleness is told without reading any data.

`Looking` stands between a stage's `prepare` and the lake. For every table and filter that is asked for it notes a digest over the slices
that match and their files' digests; the receipt keeps it (`LookedAt`). The same digest today means the same rows today. Another digest
means that the stage has to look again; often it then finds what it had found, and nothing is computed (`engine.run` renews the receipt).

Cost: file lists only. For n slices each filter matches n rows of a small table: 25 slices take milliseconds, 10,000 some seconds a stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace_lake.fingerprint import digest_of
from headrace_lake.receipts import LookedAt
from headrace_lake.slices import Slice

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from headrace_lake.lake import Lake

Contents = list[tuple[str, str, str]]
"""(source, interval, digest of the files) of slices, sorted."""


class Looking:
    """A reader for `Stage.prepare` that remembers what was asked for.

    Attributes:
        looked_at: table and filter → what matched, as of the moment before it was read.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.looked_at: dict[tuple[str, str], LookedAt] = {}

    def read(self, table: str, slice_: Slice | None = None, *, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """`Lake.read`, remembered."""
        self._note(table, where or "", slice_)
        return self._lake.read(table, slice_, columns=columns, where=where)

    def stream(self, table: str, *, columns: Sequence[str], where: str) -> Iterator[pa.Table]:
        """`Lake.stream`, remembered."""
        self._note(table, where)
        return self._lake.stream(table, columns=columns, where=where)

    def _note(self, table: str, where: str, slice_: Slice | None = None) -> None:
        if slice_ is not None:
            mine = f"source = '{slice_.source}' and slice = '{slice_.interval}'"
            where = f"({where}) and {mine}" if where else mine
        if (table, where) not in self.looked_at:
            self.looked_at[table, where] = look(self._lake, table, where)


def look(lake: Lake, table: str, where: str) -> LookedAt:
    """What matches a filter now."""
    snapshot, every = lake.contents(table)
    found = matching(every, table, where)
    return LookedAt(table=table, where=where, digest=digest_of(found), slices=len(found), snapshot=snapshot)


def matching(every: pa.Table, table: str, where: str) -> Contents:
    """The slices of which a filter may match rows: `source` and `slice` are heeded, every other column is taken to match.

    Args:
        every: `source`, `slice`, `digest` of all slices of the table, sorted.
    """
    condition = _condition(_interval_column(table), where)
    chosen = every
    if condition is not None:
        chosen = every.rename_columns(["source", _interval_column(table), "digest"]).filter(condition).rename_columns(every.column_names)
    return list(zip(*(chosen[name].to_pylist() for name in ("source", "slice", "digest")), strict=True))


def differences(lake: Lake, before: LookedAt, at_most: int = 3) -> str:
    """Which slices differ from what was looked at, for people: `+` came, `-` went, `~` changed."""
    now = {(s, i): d for s, i, d in matching(lake.contents(before.table)[1], before.table, before.where)}
    if before.snapshot is not None and lake.table(before.table).snapshot_by_id(before.snapshot) is None:  # expired by a vacuum
        return f"{before.slices} slices then, {len(now)} now"
    every = None if before.snapshot is None else lake.contents(before.table, before.snapshot)[1]
    then = {} if every is None else {(s, i): d for s, i, d in matching(every, before.table, before.where)}
    names = [f"+{s}/{i}" for s, i in now if (s, i) not in then]
    names += [f"-{s}/{i}" for s, i in then if (s, i) not in now]
    names += [f"~{s}/{i}" for s, i in now if then.get((s, i), now[s, i]) != now[s, i]]
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")


def _interval_column(table: str) -> str:
    return "kind" if table == "artifacts" else "slice"  # artifacts lie by kind, where slices lie by interval


@lru_cache(maxsize=4096)
def _condition(interval: str, where: str) -> pc.Expression | None:
    """The filter over a table of slices; None where it cannot be told from a slice's name which rows match."""
    from pyiceberg.expressions.visitors import bind
    from pyiceberg.io.pyarrow import expression_to_pyarrow
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField, StringType

    from headrace_lake.row_filters import expression_columns, row_filter

    if not where:
        return None
    parsed = row_filter(where)
    if not expression_columns(parsed) <= {"source", interval}:
        return None
    schema = Schema(NestedField(1, "source", StringType()), NestedField(2, interval, StringType()))
    return expression_to_pyarrow(bind(schema, parsed, case_sensitive=True), schema)
