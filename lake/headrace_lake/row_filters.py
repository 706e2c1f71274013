"""Row filters over tables: parsing what a user wrote, the columns that a filter names, the filter for one slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyiceberg.expressions import And, BooleanExpression, EqualTo, In
from pyiceberg.table import Table

from headrace_lake.errors import InputError
from headrace_lake.slices import Slice
from headrace_lake.tables.listing import partition_columns


def row_filter(expression: str, where: str = "") -> BooleanExpression:
    """A row filter, parsed.

    Raises:
        InputError: it is none; names `where`, the part of it that the user wrote.
    """
    from pyiceberg.expressions.parser import parse

    try:
        return parse(expression)
    except Exception as exc:  # the parser's own kind of error, whose package is not ours to know
        problem = " ".join(str(exc).split())
        raise InputError(
            f"'{where or expression}' is not a row filter: {problem}", "write for example \"language = 'zh' and bytes > 1000\""
        ) from exc


def expression_columns(expression: Any) -> set[str]:
    """The columns that a row filter names."""
    if hasattr(expression, "term"):
        return {expression.term.name}
    return set().union(*(expression_columns(getattr(expression, side)) for side in ("left", "right", "child") if hasattr(expression, side)))


def of_slice(table: Table, slice_: Slice, stages: Sequence[str] = ()) -> BooleanExpression:
    """The filter for a slice of a table (for some stages, in a table that keeps them apart)."""
    if "source" not in table.schema().column_names:  # artifacts lie by kind, where slices lie by interval
        return EqualTo("kind", slice_.interval)
    condition: BooleanExpression = And(EqualTo("source", slice_.source), EqualTo("slice", slice_.interval))
    if stages and "stage" in partition_columns(table):
        condition = And(condition, In("stage", stages))
    return condition
