"""Suites: what is expected of a table, declared in `governance/policies/expectations/TABLE.yaml`.

    table: documents              # or a pattern for many tables: verdict_*
    expectations:
      - expect: column_values_to_be_unique     # Great Expectations' name without its leading `expect_`
        column: uid
        severity: error                        # or warning
      - expect: column_values_to_be_between
        column: characters
        min_value: 200
        mostly: 0.5                            # share of the rows, nulls left out
        from_rows: 50                          # fewer rows are not judged
        severity: warning
        why: where the bound comes from

Names, arguments and meaning are Great Expectations' own, so a suite reads the same to whoever knows it; two are not in it and
say so below. An expectation that no slice could meet by chance (ids unique, spans within the text) is an `error`, whatever
depends on the source is a `warning`. Reading costs milliseconds and imports no Great Expectations.
"""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from headrace_lake.errors import ConfigError
from headrace_lake.fingerprint import digest_of
from headrace_lake.strict import StrictModel, load_yaml, read_yaml_file
from headrace_lake.tables import TABLES

Severity = Literal["warning", "error"]
Share = Annotated[float, Field(gt=0, le=1)]


class _Expectation(StrictModel):
    """Attributes: from_rows: fewer rows are not judged; why: where the bound comes from, for people."""

    severity: Severity
    from_rows: int = Field(default=0, ge=0)
    why: str = ""

    def columns(self) -> tuple[str, ...]:
        """Columns of the table that must be read."""
        return (self.column,) if hasattr(self, "column") else ()

    def arguments(self) -> dict[str, Any]:
        """What it was declared with, severity and reason apart."""
        kept = self.model_dump(mode="json", exclude={"expect", "severity", "from_rows", "why"}, exclude_none=True)
        ordered = sorted(kept.items(), key=lambda item: not item[0].startswith("column"))
        return {k: v for k, v in ordered if not (k == "mostly" and v == 1.0)}


class _Bounds(_Expectation):
    min_value: float | None = None
    max_value: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> _Bounds:
        if self.min_value is None and self.max_value is None:
            raise ValueError("give min_value, max_value or both")
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError(f"min_value {self.min_value} is above max_value {self.max_value}")
        return self


class RowCount(_Bounds):
    """Rows of the table."""

    expect: Literal["table_row_count_to_be_between"]


class RowCountOfOther(_Expectation):
    """As many rows as another table of the same slice has."""

    expect: Literal["table_row_count_to_equal_other_table"]
    other_table_name: str


class NotNull(_Expectation):
    """Values that are there."""

    expect: Literal["column_values_to_not_be_null"]
    column: str
    mostly: Share = 1.0


class Unique(_Expectation):
    """Values that occur once."""

    expect: Literal["column_values_to_be_unique"]
    column: str
    mostly: Share = 1.0


class Between(_Bounds):
    """Values within bounds, both inclusive."""

    expect: Literal["column_values_to_be_between"]
    column: str
    mostly: Share = 1.0


class InSet(_Expectation):
    """Values among those that are listed."""

    expect: Literal["column_values_to_be_in_set"]
    column: str
    value_set: tuple[str | int | bool, ...] = Field(min_length=1)
    mostly: Share = 1.0


class MatchRegex(_Expectation):
    """Values with a match somewhere; the expression is RE2's, which cannot run away."""

    expect: Literal["column_values_to_match_regex"]
    column: str
    regex: str = Field(min_length=1, max_length=200)
    mostly: Share = 1.0


class PairGreater(_Expectation):
    """Rows whose value in column_A is above that in column_B."""

    expect: Literal["column_pair_values_a_to_be_greater_than_b"]
    column_A: str
    column_B: str
    or_equal: bool = False
    mostly: Share = 1.0

    def columns(self) -> tuple[str, ...]:
        return (self.column_A, self.column_B)


class Mean(_Bounds):
    """Mean of a column; of a truth value, the share that is true."""

    expect: Literal["column_mean_to_be_between"]
    column: str


class Median(_Bounds):
    """Median of a column."""

    expect: Literal["column_median_to_be_between"]
    column: str


class MostCommonShare(_Bounds):
    """Share of the most frequent value. Not in Great Expectations, which has only the set of most common values."""

    expect: Literal["column_most_common_value_share_to_be_between"]
    column: str


class Drift(_Expectation):
    """Population stability index against the earlier slices of the same source. Not in Great Expectations, which has one half
    of it (the Kullback-Leibler divergence). See `drift`, also for why few rows must not be judged.

    Attributes:
        max_value: above 0.2 a shift is called significant (done.md, chapter 12; Siddiqi 2006 says 0.25).
        bins: quantiles of the earlier rows that a number is sorted into; anything else is compared value by value.
        slices: how many earlier slices are compared with.
    """

    expect: Literal["column_psi_to_be_less_than"]
    column: str
    max_value: float = Field(default=0.2, gt=0)
    bins: int = Field(default=10, ge=2, le=100)
    slices: int = Field(default=5, ge=1, le=100)
    from_rows: int = Field(default=400, ge=1)


Expectation = (
    RowCount | RowCountOfOther | NotNull | Unique | Between | InSet | MatchRegex | PairGreater | Mean | Median | MostCommonShare | Drift
)
NAMES: dict[str, type[StrictModel]] = {get_args(m.model_fields["expect"].annotation)[0]: m for m in get_args(Expectation)}
"""Name → model of every expectation that a suite may use."""


class SuiteFile(StrictModel):
    """A suite as written."""

    table: str
    expectations: tuple[Annotated[Expectation, Field(discriminator="expect")], ...] = Field(min_length=1)


@dataclass(frozen=True)
class Suite:
    """A suite that was read: the tables it is about, its expectations, and the digest of its content."""

    file: Path
    table: str
    expectations: tuple[Expectation, ...]
    digest: str

    def about(self, table: str) -> bool:
        return fnmatch.fnmatchcase(table, self.table)


def load_suites(folder: Path) -> list[Suite]:
    """All suites of a folder, by name.

    Raises:
        ConfigError: a file, key, expectation, table or column is wrong; names it and the nearest right one.
    """
    return [load_suite(file) for file in sorted(folder.glob("*.yaml"))]


def load_suite(file: Path) -> Suite:
    """One suite, checked against the tables that it is about."""
    _check_names(file)
    written = load_yaml(file, SuiteFile)
    tables = [t for t in TABLES if fnmatch.fnmatchcase(t, written.table)]
    if not tables:
        raise ConfigError(f"{file}: no table '{written.table}'", _nearest(written.table, TABLES))
    for i, e in enumerate(written.expectations):
        if isinstance(e, RowCountOfOther) and e.other_table_name not in TABLES:
            raise ConfigError(f"{file}: expectations.{i}: no table '{e.other_table_name}'", _nearest(e.other_table_name, TABLES))
        for t in tables:
            known = TABLES[t].schema.names
            for column in e.columns():
                if column not in known:
                    raise ConfigError(f"{file}: expectations.{i}: table {t} has no column '{column}'", _nearest(column, known))
    return Suite(file, written.table, written.expectations, digest_of(written.model_dump(mode="json")))


def _check_names(file: Path) -> None:
    """Before anything else: pydantic would list every name there is for one that is misspelt."""
    try:
        data = read_yaml_file(file)
    except ConfigError:
        return  # load_yaml says what is wrong
    entries = data.get("expectations") if isinstance(data, dict) else None
    for i, entry in enumerate(entries if isinstance(entries, list) else []):
        name = entry.get("expect") if isinstance(entry, dict) else None
        if name not in NAMES:
            what = f"no expectation '{name}'" if name is not None else "field 'expect' is missing"
            raise ConfigError(f"{file}: expectations.{i}: {what}", _nearest(str(name), NAMES))


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word.removeprefix("expect_"), list(known), n=1, cutoff=0.4)
    return f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
