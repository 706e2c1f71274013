"""A verdict stage returns reasons and measured values; the table's columns, exclusions and counts follow from them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow as pa
import pytest

from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.errors import ConfigError, StageError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs
from headrace_lake.tables import TABLES
from headrace_lake.tables.fields import FLOAT64, INT64, field, spec, verdict
from headrace_lake.verdict_stage import Verdicts, VerdictStage

DAY = Slice("web", "2026-11-01")
EXTRA = [field("share", FLOAT64, "a share"), field("starts", pa.list_(INT64), "places", unit="bytes")]


class Odd(VerdictStage):
    """Drops texts of an odd length; raises on one of length 5."""

    name = "odd"
    output = "verdict_odd"
    tables = (verdict("verdict_odd", "texts of an odd length", EXTRA),)
    batch_rows = 16

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "characters"))

    def judge(self, batch: pa.Table) -> Verdicts:
        lengths = batch["characters"].to_pylist()
        if 5 in lengths:
            raise ValueError("five")
        return Verdicts(
            reasons=["odd" if n % 2 else None for n in lengths],
            measured=[{"length": n} if n > 2 else None for n in lengths],
            columns={"share": [n / 10 for n in lengths], "starts": pa.array([[] if n > 3 else [n] for n in lengths], pa.list_(pa.int64()))},
        )


def table(*lengths: int) -> pa.Table:
    return pa.table({"uid": [f"{i:032x}" for i in range(len(lengths))], "characters": lengths})


def test_the_base_writes_the_columns_of_the_contract_in_the_types_of_the_table() -> None:
    rows = Odd().process(table(1, 2, 3, 4))
    assert rows.column_names == ["uid", "keep", "reason", "measured", "share", "starts", DROP_REASON, DROP_DETAIL]
    assert rows["keep"].to_pylist() == [False, True, False, True]
    assert rows["reason"].to_pylist() == rows[DROP_REASON].to_pylist() == ["odd", None, "odd", None]
    assert rows["measured"].to_pylist() == rows[DROP_DETAIL].to_pylist() == [None, None, '{"length": 3}', '{"length": 4}']
    assert rows["starts"].to_pylist() == [[1], [2], [3], []]
    declared = Odd.tables[0].schema
    assert all(rows[name].type == declared.field(name).type for name in ("keep", "reason", "measured", "share", "starts"))
    assert Odd().process(table().cast(table(1).schema)).num_rows == 0


def test_the_engine_counts_keeps_and_quarantines_what_it_gives(
    lake: Lake, with_documents: Callable[..., Receipt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES._known, "verdict_odd", Odd.tables[0])
    with_documents(DAY, parts=2, rows=40)
    lengths = lake.read("documents", DAY, columns=["characters"])["characters"].to_pylist()
    [stage] = run_pipeline(lake, Pipeline.of("t", Odd()), DAY).stages
    counts = stage.receipt.counts
    odd = [n for n in lengths if n % 2 and n != 5]
    assert odd and 5 in lengths, "both happen"
    assert (counts.read, counts.dropped, counts.failed) == (80, len(odd), lengths.count(5))
    rows = lake.read("verdict_odd", DAY)
    assert rows.num_rows == 80 - counts.failed and rows["keep"].to_pylist().count(False) == counts.dropped
    found = [(r["reason"], json.loads(r["detail"])["length"] if r["detail"] else 1) for r in lake.read("exclusions", DAY).to_pylist()]
    assert sorted(found) == sorted(("odd", n) for n in odd)


class Few(Odd):
    def judge(self, batch: pa.Table) -> Verdicts:
        good = super().judge(batch)
        return Verdicts(good.reasons[1:], good.measured, good.columns)


class Short(Odd):
    def judge(self, batch: pa.Table) -> Verdicts:
        good = super().judge(batch)
        return Verdicts(good.reasons, good.measured, {**good.columns, "share": []})


class Unknown(Odd):
    def judge(self, batch: pa.Table) -> Verdicts:
        good = super().judge(batch)
        return Verdicts(good.reasons, good.measured, {**good.columns, "keep": [True] * batch.num_rows})


class NoVerdict(Odd):
    output = "lengths"
    tables = (spec("lengths", EXTRA, "no verdict"),)


@pytest.mark.parametrize(
    ("kind", "error", "what"),
    [
        (Few, StageError, "stage odd: 1 reasons for 2 rows. return one for each row"),
        (Short, StageError, "stage odd: 0 share for 2 rows"),
        (Unknown, StageError, "no column 'keep' for a stage to fill. declare it there; columns beside the verdict's own: share, starts"),
        (NoVerdict, ConfigError, "stage odd: table lengths is not a verdict table"),
    ],
)
def test_a_stage_that_breaks_the_contract_is_named(kind: type[VerdictStage], error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        kind().process(table(2, 4))
