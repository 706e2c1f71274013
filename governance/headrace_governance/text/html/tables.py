"""Cells of a page's data tables, placed in a grid (HTML standard 4.9.12.1) and written as a pipe table.

A cell's text stands in the first place that it covers; the others are empty, as in `formats/tables.py`. Memory is bounded, whatever
`rowspan` and `colspan` say: columns by MAX_COLUMNS, and empty cells of a page by MAX_EMPTY.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.attributes import ABSENT
from headrace_governance.text.html.tags import number
from headrace_governance.text.html.tokens import CLOSE, N_NUMBER, N_SECOND, OPEN

MAX_COLUMNS = 200
MAX_EMPTY = 100_000
"""Cells of a page that spans may leave empty: `rowspan` and `colspan` ask for up to 65 million in a few bytes."""
MAX_COLSPAN, MAX_ROWSPAN = 1_000, 65_534
"""HTML standard 4.9.11 and 4.9.12.1."""
_ROWS, _CELLS, _WIDE, _COLUMN, _EMPTY, CELL_AT, _GROUP, GRID_FIELDS = range(8)
"""What is known of the table that is being written: rows and cells of the row so far, columns in all, the next one, empty cells of the
page so far, where the cell's text begins, row group. Beside it goes, by column, how many rows a cell of an earlier row still covers."""

_TABLE, _TR, _TD, _TH = (number(n) for n in "table tr td th".split())


@njit(cache=True)
def spans_of(nodes: Any, node: int) -> tuple[int, int]:
    """Columns and rows of a cell; 0 rows: as many as its row group has."""
    columns, rows = nodes[node, N_NUMBER], nodes[node, N_SECOND]
    if columns == ABSENT or columns < 1:
        columns = 1
    if rows == ABSENT or rows < 0:
        rows = 1
    return min(columns, MAX_COLSPAN), min(rows, MAX_ROWSPAN)


@njit(cache=True)
def grid_width(events: Any, nodes: Any, x: int, table: int) -> int:
    """Columns of the table that opens at event x, cells placed as the HTML standard does (4.9.12.1); at most MAX_COLUMNS."""
    below = np.zeros(MAX_COLUMNS, dtype=np.int32)  # rows that a cell of an earlier one still covers, by column
    wide = column = 0
    group = ABSENT
    for y in range(x + 1, len(events)):
        kind, node = events[y, 0], events[y, 1]
        tag = nodes[node, 0]
        if kind == CLOSE:
            if node == table:
                break
            if tag == _TR:
                for c in range(column, MAX_COLUMNS):
                    below[c] -= below[c] > 0
        elif kind == OPEN:
            if tag == _TR:
                column = 0
                if nodes[node, N_SECOND] != group:
                    group = nodes[node, N_SECOND]
                    below[:] = 0
            elif tag in (_TD, _TH):
                while column < MAX_COLUMNS and below[column] > 0:
                    below[column] -= 1
                    column += 1
                columns, rows = spans_of(nodes, node)
                cover(below, column, columns, rows)
                column = min(MAX_COLUMNS, column + columns)
                wide = max(wide, column)
    return wide


@njit(cache=True)
def cover(below: Any, column: int, columns: int, rows: int) -> None:
    """Note which columns of the next rows a cell covers."""
    for c in range(column, min(len(below), column + columns)):
        below[c] = rows - 1 if rows > 0 else MAX_ROWSPAN


@njit(cache=True)
def _empty_cell(out: Any, pos: int, grid: Any) -> int:
    """Write a cell that is empty, if the page may have more of them."""
    if grid[_EMPTY] >= MAX_EMPTY:
        return pos
    grid[_EMPTY] += 1
    out[pos], out[pos + 1], out[pos + 2] = 124, 32, 32
    return pos + 3


@njit(cache=True)
def open_table(grid: Any, below: Any, events: Any, nodes: Any, x: int) -> None:
    """Begin the table that opens at event x."""
    grid[_ROWS] = grid[_CELLS] = grid[_COLUMN] = 0
    grid[_GROUP] = ABSENT
    grid[_WIDE] = grid_width(events, nodes, x, events[x, 1])
    below[:] = 0


@njit(cache=True)
def open_row(grid: Any, below: Any, group: int) -> None:
    """Begin a row; no cell reaches into another row group."""
    grid[_CELLS] = grid[_COLUMN] = 0
    if group != grid[_GROUP]:
        grid[_GROUP] = group
        below[:] = 0


@njit(cache=True)
def open_cell(out: Any, pos: int, grid: Any, below: Any) -> int:
    """Write what comes before a cell's text; returns the place behind it. Needs 4 bytes a column."""
    if grid[_CELLS] == 0 and grid[_ROWS] > 0:
        out[pos] = 10
        pos += 1
    while grid[_COLUMN] < MAX_COLUMNS and below[grid[_COLUMN]] > 0:  # a cell of an earlier row lies here
        below[grid[_COLUMN]] -= 1
        grid[_COLUMN] += 1
        pos = _empty_cell(out, pos, grid)
    out[pos], out[pos + 1] = 124, 32
    grid[_CELLS] += 1
    grid[CELL_AT] = pos + 2
    return pos + 2


@njit(cache=True)
def close_cell(out: Any, pos: int, grid: Any, below: Any, nodes: Any, node: int) -> int:
    """Write what comes behind a cell's text, and the cells beside it that it covers."""
    if out[pos - 1] != 32 or pos == grid[CELL_AT]:
        out[pos] = 32
        pos += 1
    columns, rows = spans_of(nodes, node)
    cover(below, grid[_COLUMN], columns, rows)
    for _ in range(min(columns, MAX_COLUMNS - grid[_COLUMN]) - 1):
        pos = _empty_cell(out, pos, grid)
    grid[_COLUMN] = min(MAX_COLUMNS, grid[_COLUMN] + columns)
    return pos


@njit(cache=True)
def close_row(out: Any, pos: int, grid: Any, below: Any) -> int:
    """Write a row's missing cells and its end; behind the first row also the line below a head. Needs 12 bytes a column."""
    for c in range(grid[_COLUMN], MAX_COLUMNS):
        below[c] -= below[c] > 0
    if grid[_CELLS] == 0:
        return pos
    for _ in range(grid[_WIDE] - grid[_COLUMN]):
        pos = _empty_cell(out, pos, grid)
    out[pos] = 124
    pos += 1
    if grid[_ROWS] == 0:
        out[pos], out[pos + 1] = 10, 124
        pos += 2
        for _ in range(grid[_WIDE]):
            for c in (32, 45, 45, 45, 32, 124):
                out[pos] = c
                pos += 1
    grid[_ROWS] += 1
    return pos
