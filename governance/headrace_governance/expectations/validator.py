"""The validator of the text line: suites in YAML, numbers measured by Arrow, held against their bounds before the engine commits.

Of all stages that are committed together, each expectation becomes one number, which has to lie between its bounds. Great Expectations
did that last step until 1.24.1; for one comparison of two numbers it cost each process that judged anything 5.2 s of processor time
and 250 MB to import, and each stage 10 ms, where this takes 0.7 (an EPYC with AVX2, 2026-12-01). Its answers on the rows
themselves stay the reference: tests hold number and verdict against it, `benchmarks/text/bench_expectations.py` does so on more rows.
If it could be imported in a tenth of a second, it could have its place back.
Rows are read back from the files that were just written, only the columns that the suites name: no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from headrace_governance.expectations.drift import earlier_rows
from headrace_governance.expectations.metrics import Around, Measured, measure
from headrace_governance.expectations.suite import Drift, Expectation, Suite, load_suites
from headrace_lake.engine.validator import Validator
from headrace_lake.lake import Lake
from headrace_lake.receipts import ExpectationResult, ShardFile
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import StrictModel
from headrace_lake.tables import table_spec
from headrace_lake.tables.shards import read_shard


@dataclass(frozen=True)
class _Number:
    """One expectation about one table, measured."""

    table: str
    suite: Suite
    expectation: Expectation
    rows: int
    measured: Measured


class SuiteValidator(Validator):
    """Judges tables by the suites of `policies/expectations`."""

    def __init__(self, settings: Settings, params: StrictModel | None = None) -> None:
        super().__init__(settings, params)
        self.suites = load_suites(settings.resolve(settings.policies) / "expectations")

    def validate(self, lake: Lake, slice_: Slice, tables: Mapping[str, Sequence[ShardFile]]) -> Mapping[str, tuple[ExpectationResult, ...]]:
        numbers = [n for table, files in tables.items() for n in self._measured(lake, slice_, table, files, tables)]
        results: dict[str, list[ExpectationResult]] = {}
        for n in numbers:
            results.setdefault(n.table, []).append(_result(n))
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


def _result(n: _Number) -> ExpectationResult:
    return ExpectationResult(
        table=n.table,
        expectation=n.expectation.expect,
        arguments=n.expectation.arguments(),
        severity=n.expectation.severity,
        success=n.measured.success,
        observed=None if n.measured.value is None else round(n.measured.value, 6),
        rows=n.rows,
        note=n.measured.note,
        suite=n.suite.digest,
    )
