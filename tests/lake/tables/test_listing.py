"""Files of a slice come from one listing of the table a snapshot, and are those that pyiceberg plans for the slice itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from conftest import write_documents
from stages_for_tests import Admit, Length, LengthParams

from headrace_lake.engine import Pipeline, run_slices
from headrace_lake.lake import Lake
from headrace_lake.row_filters import of_slice
from headrace_lake.slices import Slice
from headrace_lake.tables import listing

SLICES = [Slice(source, day) for source in ("a", "b") for day in ("2026-11-01", "2026-11-02")]
PIPELINE = Pipeline.of("t", Length(LengthParams(minimum=5, poison=" 7")), Admit())


@pytest.fixture
def full(lake: Lake) -> Lake:
    """Four slices; two of them written twice, so that tables have several snapshots and files that are gone."""
    for slice_ in SLICES:
        write_documents(lake, slice_, parts=2, rows=20)
    run_slices(lake, PIPELINE, SLICES)
    for slice_ in SLICES[:2]:
        write_documents(lake, slice_, parts=1, rows=20)
    run_slices(lake, PIPELINE, SLICES)
    return lake


@pytest.mark.parametrize("at_most", [20_000, 0], ids=["listed", "too large to list"])
def test_the_files_of_every_slice_are_those_that_pyiceberg_plans(full: Lake, monkeypatch: pytest.MonkeyPatch, at_most: int) -> None:
    monkeypatch.setattr(listing, "LISTED_AT_MOST", at_most)
    looked = 0
    for name in ("documents", "verdict_c4", "admitted", "exclusions", "quarantine", "receipts"):
        table = full.table(name)
        stages: list[tuple[str, ...]] = [(), ("length",), ("admit",), ("length", "admit"), ("none",)]
        for snapshot in [None, *(s.snapshot_id for s in table.metadata.snapshots)]:
            for slice_ in [*SLICES, Slice("nobody", "2026-11-01")]:
                for some in stages if snapshot is None else stages[:1]:
                    planned = [t.file for t in table.scan(row_filter=of_slice(table, slice_, some), snapshot_id=snapshot).plan_files()]
                    found = full._files_of(table, slice_, snapshot, some)
                    assert sorted(e.file.file_path for e in found) == sorted(f.file_path for f in planned), (name, snapshot, slice_, some)
                    assert all(e.file.file_path.endswith(e.shard.path) and e.sequence > 0 for e in found)
                    looked += bool(found)
    assert looked > 40


def test_a_table_is_listed_once_a_snapshot_however_many_slices_are_asked_for(full: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()
    plain = Lake._files

    def counted(self: Lake, table: Any, *rest: Any) -> Any:
        asked[table.name()[-1]] += 1
        return plain(self, table, *rest)

    monkeypatch.setattr(Lake, "_files", counted)
    other = Lake.open(full.settings)
    for slice_ in SLICES * 3:
        other.slice_files("documents", slice_)
    assert asked == {"documents": 1}
    write_documents(full, SLICES[0], parts=3, rows=5)
    asked.clear()
    assert len(other.slice_files("documents", SLICES[0])) == 3, "what another process commits is seen at once"
    assert len(other.slice_files("documents", SLICES[1])) == 1 and asked == {"documents": 1}
