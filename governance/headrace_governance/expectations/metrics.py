"""Metrics: what an expectation compares with its bounds, computed over Arrow columns.

Great Expectations could compute them, over a pandas copy of the rows. Here one number is measured for each expectation: no copy, less
than half of the processor time on a million rows (`benchmarks/text/bench_expectations.py`), no import of seconds, and the same path for
the expectations that it lacks. What the numbers mean is its definition, to the null: a share is of the values that are not null, and of
no value at all it is 1.
`tests/governance/expectations/test_expectations.py` holds both against each other on the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headrace_governance.expectations import suite as s
from headrace_governance.expectations.drift import psi_of


@dataclass(frozen=True)
class Measured:
    """The number, and the bounds that it must lie within (None: no bound).

    Attributes:
        value: None where there is nothing to measure; `note` says why.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def success(self) -> bool | None:
        """Whether the number lies between its bounds, which belong to what is allowed; one that is not a number does not."""
        if self.value is None:
            return None
        return (
            not math.isnan(self.value) and (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)
        )


@dataclass(frozen=True)
class Around:
    """What an expectation may ask about beyond the table's own rows."""

    rows_of: Callable[[str], int]
    earlier: Callable[[int], pa.Table]


def measure(e: s.Expectation, rows: pa.Table, around: Around) -> Measured:
    """Measure one expectation on the rows of a table."""
    if rows.num_rows < e.from_rows:
        return Measured(None, note=f"{rows.num_rows:,} rows, judged from {e.from_rows:,}")
    match e:
        case s.RowCount():
            return Measured(float(rows.num_rows), e.min_value, e.max_value)
        case s.RowCountOfOther():
            other = float(around.rows_of(e.other_table_name))
            return Measured(float(rows.num_rows), other, other)
        case s.NotNull():
            column = rows[e.column]
            return Measured(_share(len(column) - column.null_count, len(column)), low=e.mostly)
        case s.PairGreater():
            compare = pc.greater_equal if e.or_equal else pc.greater
            return Measured(_share_true(compare(rows[e.column_A], rows[e.column_B])), low=e.mostly)
        case s.Unique() | s.Between() | s.InSet() | s.MatchRegex():
            return Measured(_values(e, pc.drop_null(rows[e.column])), low=e.mostly)
        case s.Drift():
            return _drift(e, rows, around)
        case s.Mean() | s.Median() | s.MostCommonShare():
            values = pc.drop_null(rows[e.column])
            if not len(values):
                return Measured(None, note="no value")
            return Measured(_statistic(e, values), e.min_value, e.max_value)


def _values(e: s.Unique | s.Between | s.InSet | s.MatchRegex, values: pa.ChunkedArray) -> float:
    """Share of the values that are as expected."""
    match e:
        case s.Unique():
            if pc.count_distinct(values).as_py() == len(values):
                return 1.0
            once = pc.equal(pc.struct_field(pc.value_counts(values), "counts"), 1)
            return _share(pc.sum(once).as_py() or 0, len(values))
        case s.Between():
            low = pc.greater_equal(values, -math.inf if e.min_value is None else e.min_value)
            high = pc.less_equal(values, math.inf if e.max_value is None else e.max_value)
            return _share_true(pc.and_(low, high))
        case s.InSet():
            return _share_true(pc.is_in(values, value_set=pa.array(e.value_set).cast(values.type)))
        case s.MatchRegex():
            return _share_true(pc.match_substring_regex(values, e.regex))


def _statistic(e: s.Mean | s.Median | s.MostCommonShare, values: pa.ChunkedArray) -> float:
    match e:
        case s.Mean():
            return float(pc.mean(values).as_py())
        case s.Median():
            return float(pc.quantile(values, 0.5)[0].as_py())
        case s.MostCommonShare():
            counts = pc.struct_field(pc.value_counts(values), "counts")
            return float(pc.max(counts).as_py()) / len(values)


def _drift(e: s.Drift, rows: pa.Table, around: Around) -> Measured:
    earlier = around.earlier(e.slices)[e.column]
    fewest = min(len(c) - c.null_count for c in (rows[e.column], earlier))
    if not len(earlier):
        return Measured(None, note="no earlier slice of this source")
    if fewest < e.from_rows:
        return Measured(None, note=f"{fewest:,} values on one side, judged from {e.from_rows:,}")
    return Measured(psi_of(rows[e.column], earlier, e.bins), high=e.max_value)


def _share_true(values: pa.ChunkedArray) -> float:
    known = len(values) - values.null_count
    return _share(pc.sum(values).as_py() or 0, known)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
