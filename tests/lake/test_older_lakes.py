"""A lake whose tables an older version created: new columns are added at the next commit, rows without them are named when read."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.tables import TABLES, TableSpec

OLD, NEW = Slice("mill", "2026-11-01"), Slice("mill", "2026-11-02")
AGREED = "content_digest"


@pytest.fixture
def older(lake: Lake, with_documents: Callable[..., Receipt], monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake with one slice of documents from before a column was declared."""
    now = TABLES["documents"]
    fields = [f for f in now.schema if f.name != AGREED]
    with monkeypatch.context() as before:
        before.setitem(TABLES._known, "documents", TableSpec(now.name, pa.schema(fields), now.partition, now.doc, now.key))
        with_documents(OLD)
    return lake


def test_a_slice_of_today_is_committed_beside_one_of_yesterday(
    older: Lake, settings: Settings, with_documents: Callable[..., Receipt]
) -> None:
    with_documents(NEW)
    again = Lake.open(settings)
    for lake in (older, again):
        assert lake.read("documents", NEW, columns=["uid", AGREED])[AGREED].null_count == 0
        assert lake.read("documents", columns=["uid"]).num_rows == 240
        assert lake.read("documents", NEW, columns=[AGREED], where="characters > 0").num_rows == 120
    assert again.table("documents").schema().column_names.count(AGREED) == 1


@pytest.mark.parametrize("where", [None, "characters > 0"])
@pytest.mark.parametrize("evolved", [False, True])
def test_rows_without_a_column_are_named_with_the_way_out(
    older: Lake, with_documents: Callable[..., Receipt], where: str | None, evolved: bool
) -> None:
    if evolved:
        with_documents(NEW)
    with pytest.raises(InputError, match=f"no column '{AGREED}': an older Headrace wrote it.*run the stage that writes it again"):
        older.read("documents", OLD, columns=["uid", AGREED], where=where)


@pytest.mark.parametrize("where", [None, "characters > 0"])
def test_a_column_that_holds_nulls_is_not_called_missing(
    lake: Lake, with_documents: Callable[..., Receipt], monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    now = TABLES["documents"]
    title = now.schema.get_field_index("title")
    assert now.schema.field(title).nullable
    with_documents(OLD)  # without titles
    strict = TableSpec(now.name, now.schema.set(title, now.schema.field(title).with_nullable(False)), now.partition, now.doc, now.key)
    monkeypatch.setitem(TABLES._known, "documents", strict)
    with pytest.raises(InputError, match=r"column 'title' holds \d+ nulls, but it is declared as never null. declare it nullable"):
        lake.read("documents", OLD, columns=["uid", "title"], where=where)


def test_a_slice_of_yesterday_can_be_written_again(older: Lake, with_documents: Callable[..., Receipt]) -> None:
    with_documents(OLD)
    assert older.read("documents", columns=[AGREED]).num_rows == 120
