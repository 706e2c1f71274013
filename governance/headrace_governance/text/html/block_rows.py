"""Rows of a page's blocks: their columns, and the compiled functions that fill a row, its text and the marks before its lines."""

from __future__ import annotations

from typing import Any

from numba import njit

from headrace_governance.text.html.attributes import ABSENT, REVERSED
from headrace_governance.text.html.code import no_break_space
from headrace_governance.text.html.marks import grown, number_sign
from headrace_governance.text.html.tags import number
from headrace_governance.text.html.tokens import N_FLAGS, N_NUMBER, N_SECOND

PROSE, HEADING, ITEM, CODE, TABLE = range(5)
TEXT_FROM, TEXT_TO, FIRST_FROM, FIRST_TO, REST_FROM, REST_TO, SIZE, LINK, KIND, LEVEL, TIGHT, NODE, FIELDS = range(13)
"""Columns of a block: where its text and the marks before its first line and its other lines lie in `Blocks.text`; its bytes of text,
and of those in links; what it is; heading level; no empty line before it; the node that holds it."""

_LI, _OL, _QUOTE = (number(n) for n in "li ol blockquote".split())


@njit(cache=True)
def add_block(blocks: Any, row: int, begin: int, end: int, size: int, link: int, kind: int, level: int, tight: bool, node: int) -> None:
    """Fill a block's row; `add_marks` fills the rest of it."""
    blocks[row, TEXT_FROM], blocks[row, TEXT_TO] = begin, end
    blocks[row, SIZE], blocks[row, LINK] = size, min(link, size)
    blocks[row, KIND], blocks[row, LEVEL], blocks[row, TIGHT], blocks[row, NODE] = kind, level, tight, node


@njit(cache=True)
def add_marks(blocks: Any, row: int, first_from: int, first_to: int, rest_from: int, rest_to: int, fresh: bool) -> None:
    """Fill in where the marks before a block's lines lie: only the first block of a list item has the item's sign."""
    blocks[row, FIRST_FROM], blocks[row, FIRST_TO] = (first_from, first_to) if fresh else (rest_from, rest_to)
    blocks[row, REST_FROM], blocks[row, REST_TO] = rest_from, rest_to


@njit(cache=True)
def is_tight(nodes: Any, stack: Any, top: int, n_blocks: int) -> bool:
    """Whether no empty line goes before a block: within an item, and from a list's second item on."""
    tight = False
    if top > 0 and nodes[stack[top - 1, 0], 0] == _LI:
        for up in range(1, min(top, 3) + 1):  # the item, its list, the item around that
            holds = nodes[stack[top - up, 0], 0]
            if n_blocks > stack[top - up, 2] and (up < 3 or holds == _LI):
                tight = True
    return tight


@njit(cache=True)
def is_blank(data: Any, a: int, b: int) -> bool:
    """Whether a text is white space and control characters alone."""
    for i in range(a, b):  # noqa: SIM110 - compiled
        if data[i] > 32:
            return False
    return True


@njit(cache=True)
def write_space(out: Any, pos: int, begin: int, pending: bool) -> int:
    """Write the space that is due, unless a line begins here; returns the end."""
    if pending and pos > begin and out[pos - 1] != 10:
        out[pos] = 32
        pos += 1
    return pos


@njit(cache=True)
def write_text(data: Any, a: int, b: int, out: Any, pos: int, begin: int, code_at: int, pending: bool, in_cell: bool) -> tuple[int, bool]:
    """Write text with every run of white space as one space; `out` has room for it.

    Returns:
        where it ends, and whether a space is to be written if more follows.
    """
    i = a
    while i < b:
        c = data[i]
        if c <= 32:
            if c == 32 or 9 <= c <= 13:
                pending = True
            i += 1
            continue
        if c == 0xC2 or c == 38:
            space = no_break_space(data, i, b)
            if space:
                pending = True
                i += space
                continue
        if pending:
            pending = False
            if pos > begin and out[pos - 1] != 10 and pos != code_at:
                out[pos] = 32
                pos += 1
        if in_cell and c == 124:
            out[pos] = 92
            pos += 1
        out[pos] = c
        pos += 1
        i += 1
    return pos, pending


@njit(cache=True)
def open_marks(
    out: Any,
    pos: int,
    nodes: Any,
    node: int,
    stack: Any,
    top: int,
    first_from: int,
    first_to: int,
    rest_from: int,
    rest_to: int,
    fresh: bool,
) -> tuple[Any, int, int, int, int, int]:
    """Write the marks before the lines of a list item or quote; they lie before the block's text, so the text begins behind them.

    Args:
        stack: what is open; the number of the list around the item moves on.
        first_from, first_to, rest_from, rest_to, fresh: marks of what is around it.

    Returns:
        `out`, where the marks end, and the marks before its first line and before its others.
    """
    quote = nodes[node, 0] == _QUOTE
    width = rest_to - rest_from
    out = grown(out, pos + 3 * width + 64)
    begin = pos
    from_, to = (first_from, first_to) if quote and fresh else (rest_from, rest_to)
    for i in range(from_, to):
        out[pos] = out[i]
        pos += 1
    sign = pos
    if quote:
        out[pos], out[pos + 1] = 62, 32
        pos += 2
    elif top > 0 and nodes[stack[top - 1, 0], 0] == _OL:
        listed = stack[top - 1, 0]
        if nodes[node, N_NUMBER] != ABSENT:
            stack[top - 1, 1] = nodes[node, N_NUMBER]
        pos = number_sign(out, pos, stack[top - 1, 1], nodes[listed, N_SECOND])
        stack[top - 1, 1] += -1 if nodes[listed, N_FLAGS] & REVERSED else 1
    else:
        out[pos], out[pos + 1] = 45, 32
        pos += 2
    end = pos
    for i in range(rest_from, rest_to):
        out[pos] = out[i]
        pos += 1
    for i in range(end - sign):
        out[pos] = 62 if quote and i == 0 else 32
        pos += 1
    return out, pos, begin, end, pos - width - (end - sign), pos
