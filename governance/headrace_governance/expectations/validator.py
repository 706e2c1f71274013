"""The validator of the text line: suites in YAML, numbers by Arrow, judgement by Great Expectations.

Of all stages that are committed together, each expectation becomes one number; the numbers are one row of a data frame, and one
call of Great Expectations holds that row against its suite. Importing the library takes 2 to 3 s of a processor (1.24.1), so the first
call does it, once a process, and a run that only adopts never does. After that a slice of the text line, 14 stages with 79 judged
expectations, costs 140 ms in three calls: 10 ms a stage, nine tenths of it inside the library. A million rows cost 1.1 s more.
Rows are read back from the files that were just written, only the columns that the suites name: no text.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from headrace_governance.expectations.drift import earlier_rows
from headrace_governance.expectations.metrics import Around, Measured, measure
from headrace_governance.expectations.suite import Drift, Expectation, Suite, load_suites
from headrace_lake.engine.validator import Validator
from headrace_lake.errors import StageError
from headrace_lake.lake import Lake
from headrace_lake.receipts import ExpectationResult, ShardFile
from headrace_lake.schemas import table_spec
from headrace_lake.settings import Settings
from headrace_lake.shards import read_shard
from headrace_lake.slices import Slice
from headrace_lake.strict import StrictModel


@dataclass(frozen=True)
class _Number:
    """One expectation about one table, measured."""

    table: str
    suite: Suite
    expectation: Expectation
    rows: int
    measured: Measured


class GreatExpectations(Validator):
    """Judges tables by the suites of `policies/expectations`."""

    def __init__(self, settings: Settings, params: StrictModel | None = None) -> None:
        super().__init__(settings, params)
        self.suites = load_suites(settings.resolve(settings.policies) / "expectations")

    def validate(self, lake: Lake, slice_: Slice, tables: Mapping[str, Sequence[ShardFile]]) -> Mapping[str, tuple[ExpectationResult, ...]]:
        numbers = [n for table, files in tables.items() for n in self._measured(lake, slice_, table, files, tables)]
        verdicts = iter(_judge([n for n in numbers if n.measured.value is not None]))
        results: dict[str, list[ExpectationResult]] = {}
        for n in numbers:
            success = None if n.measured.value is None else next(verdicts)
            results.setdefault(n.table, []).append(_result(n, success))
        return {t: tuple(r) for t, r in results.items()}

    def _measured(
        self, lake: Lake, slice_: Slice, table: str, files: Sequence[ShardFile], tables: Mapping[str, Sequence[ShardFile]]
    ) -> list[_Number]:
        wanted = [(suite, e) for suite in self.suites if suite.about(table) for e in suite.expectations]
        if not wanted:
            return []
        rows = _read(lake, table, files, {c for _, e in wanted for c in e.columns()})
        drifting = sorted({c for _, e in wanted if isinstance(e, Drift) for c in e.columns()})
        around = Around(
            rows_of=lambda other: sum(f.rows for f in (tables[other] if other in tables else lake.slice_files(other, slice_))),
            earlier=cache(lambda slices: earlier_rows(lake, table, slice_, drifting, slices)),
        )
        return [_Number(table, suite, e, rows.num_rows, measure(e, rows, around)) for suite, e in wanted]


def _read(lake: Lake, table: str, files: Sequence[ShardFile], columns: set[str]) -> pa.Table:
    """The columns of the files; `part` stands in where no column is asked for, so that rows are counted."""
    schema = table_spec(table).schema
    schema = pa.schema([f for f in schema if f.name in (columns or {"part"})])
    return pa.concat_tables([schema.empty_table(), *(read_shard(lake.storage, f, schema) for f in files)])


def _result(n: _Number, success: bool | None) -> ExpectationResult:
    return ExpectationResult(
        table=n.table,
        expectation=n.expectation.expect,
        arguments=n.expectation.arguments(),
        severity=n.expectation.severity,
        success=success,
        observed=None if n.measured.value is None else round(n.measured.value, 6),
        rows=n.rows,
        note=n.measured.note,
        suite=n.suite.digest,
    )


def _judge(numbers: Sequence[_Number]) -> list[bool]:
    """One call of Great Expectations for all numbers; its verdicts in the same order."""
    if not numbers:
        return []
    gx, batch_of = great_expectations()
    frame = pa.table({_name(i, n): [n.measured.value] for i, n in enumerate(numbers)}).to_pandas()
    # Of a single value the maximum is the value; this expectation is told apart from the others by reporting what it observed.
    suite = gx.ExpectationSuite(
        "metrics",
        expectations=[
            gx.expectations.ExpectColumnMaxToBeBetween(
                column=_name(i, n),
                min_value=n.measured.low,
                max_value=n.measured.high,
                severity="critical" if n.expectation.severity == "error" else "warning",
                meta={"index": i},
            )
            for i, n in enumerate(numbers)
        ],
    )
    found: dict[int, bool] = {}
    for r in batch_of(frame).validate(suite).results:
        index = r.expectation_config.meta["index"]
        if r.exception_info.get("raised_exception"):
            raise StageError(
                f"{_name(index, numbers[index])}: {r.exception_info['exception_message']}", "Great Expectations could not judge it"
            )
        found[index] = bool(r.success)
    return [found[i] for i in range(len(numbers))]


def _name(index: int, n: _Number) -> str:
    return f"{index} {n.table} {n.expectation.expect} {' '.join(n.expectation.columns())}"


@cache
def great_expectations() -> tuple[Any, Callable[[Any], Any]]:
    """The library, and a function that makes its batch of a data frame: no file, no progress bar, no call home."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    definition = context.data_sources.add_pandas("metrics").add_dataframe_asset("metrics").add_batch_definition_whole_dataframe("metrics")
    return gx, lambda frame: definition.get_batch({"dataframe": frame})
