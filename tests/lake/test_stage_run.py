"""The builder of receipts: what it fills in, and counts that do not add up."""

from __future__ import annotations

import os
import re
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace_lake.errors import StageError
from headrace_lake.fingerprint import ENGINE, digest_of
from headrace_lake.receipts import Counts, InputRef, Origin, Receipt, ShardFile
from headrace_lake.slices import Slice
from headrace_lake.stage_run import StageRun, renewed

DAY = Slice("web", "2026-11-01")


def shard(table: str, rows: int, part: int = 0) -> ShardFile:
    return ShardFile(table=table, part=part, path=f"data/{table}/{part}", rows=rows, bytes=1, digest="0" * 32)


FILES = (shard("verdict_c4", 8), shard("exclusions", 2), shard("exclusions", 1, part=1), shard("quarantine", 2))
GOOD: dict[str, Any] = {"outputs": FILES, "tables": ("verdict_c4",), "read": 10, "kept": 5, "reasons": {"long": 1, "alone": 2}, "failed": 2}


def run() -> StageRun:
    return StageRun(DAY, "c4", "3", code="c" * 32, params={"most": 3}, columns="d" * 32, pipeline="text")


def test_times_host_task_code_engine_and_counts_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_ORIGIN", '{"dag_id": "poc"}')
    before = datetime.now(UTC)
    begun = run()
    receipt = begun.receipt("f" * 32, **GOOD, inputs=[InputRef(table="documents", digest="1" * 32, rows=10)], notes=["a note"])
    assert before <= receipt.started_at <= receipt.finished_at <= datetime.now(UTC)
    assert (receipt.host, receipt.process, receipt.origin) == (socket.gethostname(), os.getpid(), Origin(dag_id="poc"))
    assert (receipt.code, receipt.columns, receipt.engine, receipt.version) == ("c" * 32, "d" * 32, ENGINE, "3")
    assert (receipt.stage, receipt.slice_, receipt.pipeline, receipt.run_id) == ("c4", DAY, "text", begun.run_id)
    assert (receipt.params, receipt.params_digest) == ({"most": 3}, digest_of({"most": 3}))
    assert receipt.counts == Counts(read=10, kept=5, dropped=3, failed=2, reasons={"alone": 2, "long": 1})
    assert list(receipt.counts.reasons) == ["alone", "long"] and receipt.notes == ("a note",) and receipt.looked_at is None


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"kept": 6}, "counts do not add up: read 10, but kept 6 + dropped 3 + failed 2 = 11"),
        ({"reasons": {"long": 4}, "kept": 4}, "dropped 4, but exclusions hold 3 rows"),
        ({"failed": 1, "kept": 6}, "failed 1, but quarantine holds 2 rows"),
        ({"outputs": FILES[:1]}, "dropped 3, but exclusions hold 0 rows; failed 2, but quarantine holds 0 rows"),
        (
            {"inputs": [InputRef(table="documents", digest="1" * 32, rows=11)]},
            "10 rows processed of 11. the input changed meanwhile; run again",
        ),
    ],
)
def test_counts_that_do_not_add_up_are_named_and_leave_no_receipt(wrong: dict[str, Any], what: str) -> None:
    with pytest.raises(StageError, match=re.escape(what)) as told:
        run().receipt("f" * 32, **GOOD | wrong)
    assert str(told.value).startswith("stage c4, slice web/2026-11-01: ")


def test_one_row_may_be_excluded_in_several_pieces() -> None:
    several = (*FILES[:2], shard("exclusions", 7, part=1), FILES[3])
    assert run().receipt("f" * 32, **GOOD | {"outputs": several}).counts.dropped == 3


def test_a_renewed_receipt_is_of_now_and_of_the_same_results() -> None:
    old = run().receipt("f" * 32, **GOOD, notes=["before"])
    new = renewed(old, notes=["again"], pipeline="other")
    assert new.run_id != old.run_id and new.started_at == new.finished_at >= old.finished_at
    changed = {"run_id", "started_at", "finished_at", "notes", "pipeline"}
    assert {n for n in Receipt.model_fields if getattr(new, n) != getattr(old, n)} == changed
    assert (new.notes, new.pipeline) == (("again",), "other")


def test_receipts_of_versions_that_did_not_name_the_engine_are_read() -> None:
    text = run().receipt("f" * 32, **GOOD).model_dump(mode="json")
    del text["engine"]
    assert Receipt.model_validate(text).engine is None
