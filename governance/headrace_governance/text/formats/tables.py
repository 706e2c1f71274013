"""A table's cells placed in a grid, as the HTML standard forms a table (4.9.12.1), for all formats that have `rowspan` and `colspan`.

A cell's text stands in its first slot, the others that it covers are empty. Cost: linear in the slots, of which there are `MAX_SLOTS` at
most: in what follows, cells cover only themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDEST = 60
"""Columns a cell covers at most; the standard has 1,000, which no reader of text sees."""
MAX_SLOTS = 500_000
"""Slots of a table that its cells' spans may fill: a hundred bytes of markup could claim 65,534 rows of them."""
_TALLEST = 65534
"""Rows a cell covers at most, as in the standard."""


@dataclass(frozen=True)
class Cell:
    """A cell's finished text, and how many columns and rows it covers; 0 rows are all that follow."""

    text: str
    columns: int = 1
    rows: int = 1


def spans(columns: object, rows: object) -> tuple[int, int]:
    """The numbers that a cell's attributes `colspan` and `rowspan` say; what is not a number is 1."""
    wide, tall = _number(columns), _number(rows)
    return max(1, min(WIDEST, 1 if wide is None else wide)), min(_TALLEST, 1 if tall is None else tall)


def _number(value: object) -> int | None:
    digits = str(value if value is not None else "").strip().strip("\"'")
    return int(digits[:6]) if digits.isascii() and digits.isdecimal() else None


def placed(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """The texts by row and column; rows keep the length that their cells give them, and none is left out."""
    grid: list[list[str]] = []
    hanging: dict[int, int] = {}  # column → rows that a cell from above still covers there
    slots = 0
    for row in rows:
        line: list[str] = []
        if slots > MAX_SLOTS:
            grid.append([cell.text for cell in row])
            continue
        left = dict(hanging)
        column = 0
        for cell in row:
            while left.get(column, 0) > 0:
                line.append("")
                column += 1
            line += [cell.text] + [""] * (cell.columns - 1)
            if cell.rows != 1:
                for covered in range(column, column + cell.columns):
                    hanging[covered] = cell.rows or _TALLEST
            column += cell.columns
        while left.get(column, 0) > 0:
            line.append("")
            column += 1
        hanging = {c: n - 1 for c, n in hanging.items() if n > 1}
        slots += len(line) + len(hanging)
        grid.append(line)
    return grid
