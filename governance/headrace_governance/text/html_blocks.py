"""Events of a page → Markdown blocks: the compiled writer, and the page with the containers its blocks lie in.

Nothing is decided here about what is main content; `main_content` chooses among the blocks. Text keeps its character references until
the end, so that no `&lt;` can turn into markup. Speed: about 500 MB/s of text a core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html_attributes import HREF, PRESENTATION
from headrace_governance.text.html_tags import BLOCK, INLINE_CODE, PROPERTIES, VOID, number
from headrace_governance.text.html_tokens import CLOSE, OPEN, T_COLUMNS, TEXT, Tokens, only_places

PROSE, HEADING, ITEM, CODE, TABLE = range(5)
TEXT_FROM, TEXT_TO, FIRST_FROM, FIRST_TO, REST_FROM, REST_TO, SIZE, LINK, KIND, LEVEL, TIGHT, NODE, FIELDS = range(13)
"""Columns of a block: where its text and the marks before its first line and its other lines lie in `Blocks.text`; its bytes of text,
and of those in links; what it is; heading level; no empty line before it; the node that holds it."""
MAX_NESTED = 24
"""Lists and quotes whose indent is written; deeper ones stay at that indent."""
MAX_COLUMNS = 200

_H1, _H6, _LI, _UL, _OL, _MENU, _QUOTE, _PRE, _XMP, _LISTING, _TABLE, _TR, _TD, _TH, _A, _BR, _HR, _Q, _CAPTION = (
    number(n) for n in "h1 h6 li ul ol menu blockquote pre xmp listing table tr td th a br hr q caption".split()
)


@dataclass(frozen=True, slots=True)
class Blocks:
    """What the writer wrote.

    Attributes:
        text: bytes that the blocks point into.
        blocks: one row a block, in order (see above).
        spans: blocks from and to, by node.
        hidden: bytes of text, without spaces, in nodes that were left out.
    """

    text: Any
    blocks: Any
    spans: Any
    hidden: int


def write_blocks(tokens: Tokens, dropped: Any) -> Blocks:
    """Write a page's blocks, without the content of `dropped` nodes (a flag a node)."""
    text, n, blocks, n_blocks, spans, hidden = _write(tokens.data, tokens.events, tokens.nodes, tokens.tables, dropped, PROPERTIES)
    return Blocks(text[:n], blocks[:n_blocks], spans, hidden)


@njit(cache=True)
def _grown(out: Any, needed: int) -> Any:
    if needed <= len(out):
        return out
    bigger = np.empty(max(needed, 2 * len(out)), dtype=np.uint8)
    bigger[: len(out)] = out
    return bigger


@njit(cache=True)
def _number_sign(out: Any, at: int, value: int) -> int:
    """Write `value. `; returns the place behind it."""
    digits = 1
    while value >= 10**digits and digits < 9:
        digits += 1
    for d in range(digits - 1, -1, -1):
        out[at] = 48 + (value // 10**d) % 10
        at += 1
    out[at] = 46
    out[at + 1] = 32
    return at + 2


@njit(cache=True)
def _write(data: Any, events: Any, nodes: Any, tables: Any, dropped: Any, properties: Any) -> tuple[Any, int, Any, int, Any, int]:
    n_nodes = len(nodes)
    out = np.empty(len(data) + len(data) // 2 + 4096, dtype=np.uint8)
    pos = hidden = 0
    blocks = np.empty((64 + len(events), FIELDS), dtype=np.int32)
    n_blocks = 0
    spans = np.zeros((n_nodes, 2), dtype=np.int32)
    begin = 0  # where the current block's text begins
    pending = False  # a space that is written only if text follows
    size = link = 0
    links = pre = codes = 0
    skip = -1  # the node whose content is being left out
    code_at = -1
    table = -1  # the data table whose cells are being written
    table_row = table_cell = 0
    first_from = first_to = rest_from = rest_to = 0  # marks of the next block
    fresh = False  # the next block is the first one of its list item
    # The stack of open lists, items and quotes: node, number, blocks at its begin, and what to go back to.
    stack = np.zeros((520, 8), dtype=np.int32)
    top = nested = 0

    for x in range(len(events)):
        kind, node, a, b = events[x, 0], events[x, 1], events[x, 2], events[x, 3]
        if skip >= 0:
            if kind == CLOSE and node == skip:
                skip = -1
                spans[node, 1] = n_blocks
            elif kind == TEXT:
                for i in range(a, b):
                    hidden += data[i] > 32
            continue
        if kind == TEXT:
            out = _grown(out, pos + 2 * (b - a) + 16)
            if pre > 0:
                for i in range(a, b):
                    c = data[i]
                    if c != 13 and (c >= 32 or c == 9 or c == 10):
                        out[pos] = c
                        pos += 1
                continue
            before = pos
            i = a
            while i < b:
                c = data[i]
                if c <= 32:
                    if c == 32 or 9 <= c <= 13:
                        pending = True
                    i += 1
                    continue
                if c == 0xC2 and i + 1 < b and data[i + 1] == 0xA0:
                    pending = True
                    i += 2
                    continue
                if (
                    c == 38
                    and i + 5 < b
                    and (
                        (data[i + 1] == 110 and data[i + 2] == 98 and data[i + 3] == 115 and data[i + 4] == 112 and data[i + 5] == 59)
                        or (data[i + 1] == 35 and data[i + 2] == 49 and data[i + 3] == 54 and data[i + 4] == 48 and data[i + 5] == 59)
                    )
                ):
                    pending = True
                    i += 6
                    continue
                if pending:
                    pending = False
                    if pos > begin and out[pos - 1] != 10 and pos != code_at:
                        out[pos] = 32
                        pos += 1
                if table >= 0 and c == 124:
                    out[pos] = 92
                    pos += 1
                out[pos] = c
                pos += 1
                i += 1
            size += pos - before
            if links > 0:
                link += pos - before
            continue

        tag = nodes[node, 0]
        block = properties[tag] & BLOCK != 0
        if table >= 0 and tag != _TABLE and tag != _TR and tag != _TD and tag != _TH and tag != _CAPTION:
            # Inside a cell everything is one line.
            if block or tag == _BR:
                pending = True
                block = False
        elif table < 0 and (block or tag == _HR):
            # -- end of a block
            if pos > begin:
                level = tag - _H1 + 1 if kind == CLOSE and _H1 <= tag <= _H6 else 0
                is_code = kind == CLOSE and (tag in (_PRE, _XMP, _LISTING))
                if is_code:
                    size = pos - begin
                while pos > begin and (out[pos - 1] == 32 or out[pos - 1] == 10):
                    pos -= 1
                if pos > begin:
                    blocks[n_blocks, TEXT_FROM] = begin
                    blocks[n_blocks, TEXT_TO] = pos
                    blocks[n_blocks, FIRST_FROM] = first_from if fresh else rest_from
                    blocks[n_blocks, FIRST_TO] = first_to if fresh else rest_to
                    blocks[n_blocks, REST_FROM] = rest_from
                    blocks[n_blocks, REST_TO] = rest_to
                    blocks[n_blocks, SIZE] = size
                    blocks[n_blocks, LINK] = min(link, size)
                    blocks[n_blocks, KIND] = CODE if is_code else HEADING if level else ITEM if top > 0 else PROSE
                    blocks[n_blocks, LEVEL] = level
                    # Within an item, and from a list's second item on, no empty line.
                    tight = 0
                    if top > 0 and nodes[stack[top - 1, 0], 0] == _LI:
                        for up in range(1, min(top, 3) + 1):  # the item, its list, the item around that
                            holds = nodes[stack[top - up, 0], 0]
                            if n_blocks > stack[top - up, 2] and (up < 3 or holds == _LI):
                                tight = 1
                    blocks[n_blocks, TIGHT] = tight
                    blocks[n_blocks, NODE] = node
                    n_blocks += 1
                    fresh = False
            begin = pos
            size = link = 0
            pending = False
            code_at = -1

        if kind == OPEN:
            spans[node, 0] = n_blocks
            spans[node, 1] = n_blocks
            if dropped[node] and properties[tag] & VOID == 0:
                skip = node
                if block:
                    begin = pos
                continue
            if tag == _BR:
                if pre > 0:
                    out = _grown(out, pos + 16)
                    out[pos] = 10
                    pos += 1
                elif table < 0:
                    pending = False
                    out = _grown(out, pos + 16)
                    if pos > begin and not (pos > begin + 1 and out[pos - 1] == 10 and out[pos - 2] == 10):
                        out[pos] = 10
                        pos += 1
            elif tag == _A:
                if nodes[node, 6] & HREF:
                    links += 1
            elif properties[tag] & INLINE_CODE and pre == 0:
                codes += 1
                if codes == 1:
                    out = _grown(out, pos + 16)
                    if pending and pos > begin and out[pos - 1] != 10:
                        out[pos] = 32
                        pos += 1
                    pending = False
                    out[pos] = 96
                    pos += 1
                    code_at = pos
            elif tag == _Q:
                out = _grown(out, pos + 16)
                if pending and pos > begin and out[pos - 1] != 10:
                    out[pos] = 32
                    pos += 1
                pending = False
                out[pos], out[pos + 1], out[pos + 2] = 0xE2, 0x80, 0x9C
                pos += 3
                code_at = pos
            elif (tag in (_PRE, _XMP, _LISTING)) and table < 0:
                pre += 1
            elif tag == _TABLE:
                if table < 0 and not only_places(tables[node], nodes[node, 6] & PRESENTATION):
                    table = node
                    table_row = table_cell = 0
            elif table >= 0 and tag == _TR:
                table_cell = 0
            elif table >= 0 and (tag in (_TD, _TH)):
                out = _grown(out, pos + 16)
                if table_cell == 0 and table_row > 0:
                    out[pos] = 10
                    pos += 1
                out[pos], out[pos + 1] = 124, 32
                pos += 2
                pending = False
                code_at = pos
                table_cell += 1
            elif (tag in (_UL, _OL, _MENU, _LI, _QUOTE)) and table < 0 and top < 512:
                stack[top, 0], stack[top, 1], stack[top, 2] = node, nodes[node, 7], n_blocks
                if tag == _OL and nodes[node, 7] == 0:
                    stack[top, 1] = 1
                stack[top, 3], stack[top, 4], stack[top, 5], stack[top, 6] = first_from, first_to, rest_from, rest_to
                stack[top, 7] = fresh
                if (tag in (_LI, _QUOTE)) and nested < MAX_NESTED:
                    width = rest_to - rest_from
                    out = _grown(out, pos + 3 * width + 64)
                    # The indent lies before the block's text, so the text begins behind it.
                    outer_from, outer_to, outer_fresh = first_from, first_to, fresh
                    first_from = pos
                    if tag == _QUOTE and outer_fresh:
                        for i in range(outer_from, outer_to):
                            out[pos] = out[i]
                            pos += 1
                    else:
                        for i in range(rest_from, rest_to):
                            out[pos] = out[i]
                            pos += 1
                    sign = pos
                    if tag == _QUOTE:
                        out[pos], out[pos + 1] = 62, 32
                        pos += 2
                    elif top > 0 and nodes[stack[top - 1, 0], 0] == _OL:
                        pos = _number_sign(out, pos, stack[top - 1, 1])
                        stack[top - 1, 1] += 1
                    else:
                        out[pos], out[pos + 1] = 45, 32
                        pos += 2
                    first_to = pos
                    for i in range(rest_from, rest_to):
                        out[pos] = out[i]
                        pos += 1
                    for i in range(first_to - sign):
                        out[pos] = (62 if i == 0 else 32) if tag == _QUOTE else 32
                        pos += 1
                    rest_to = pos
                    rest_from = pos - width - (first_to - sign)
                    fresh = True
                    begin = pos
                nested += 1
                top += 1
            continue

        # -- CLOSE
        spans[node, 1] = n_blocks
        if tag == _A:
            if nodes[node, 6] & HREF:
                links -= 1
        elif properties[tag] & INLINE_CODE and pre == 0 and codes > 0:
            codes -= 1
            if codes == 0:
                if pos == code_at:
                    pos -= 1
                else:
                    out = _grown(out, pos + 16)
                    out[pos] = 96
                    pos += 1
                code_at = -1
        elif tag == _Q:
            out = _grown(out, pos + 16)
            out[pos], out[pos + 1], out[pos + 2] = 0xE2, 0x80, 0x9D
            pos += 3
        elif (tag in (_PRE, _XMP, _LISTING)) and pre > 0:
            pre -= 1
        elif table >= 0 and (tag in (_TD, _TH)):
            out = _grown(out, pos + 16)
            if out[pos - 1] != 32:
                out[pos] = 32
                pos += 1
            pending = False
        elif table >= 0 and tag == _TR and table_cell > 0:
            out = _grown(out, pos + 10 * MAX_COLUMNS + 64)
            out[pos] = 124
            pos += 1
            if table_row == 0:
                wide = min(tables[table, T_COLUMNS], MAX_COLUMNS)
                for _ in range(wide - table_cell):
                    out[pos], out[pos + 1], out[pos + 2] = 32, 32, 124
                    pos += 3
                out[pos], out[pos + 1] = 10, 124
                pos += 2
                for _ in range(wide):
                    for c in (32, 45, 45, 45, 32, 124):
                        out[pos] = c
                        pos += 1
            table_row += 1
        elif table >= 0 and tag == _CAPTION and pos > begin:
            out = _grown(out, pos + 16)
            out[pos], out[pos + 1] = 10, 10
            pos += 2
            pending = False
        elif tag == _TABLE and node == table:
            if size > 0:
                blocks[n_blocks] = 0
                blocks[n_blocks, TEXT_FROM], blocks[n_blocks, TEXT_TO] = begin, pos
                blocks[n_blocks, FIRST_FROM], blocks[n_blocks, FIRST_TO] = (first_from, first_to) if fresh else (rest_from, rest_to)
                blocks[n_blocks, REST_FROM], blocks[n_blocks, REST_TO] = rest_from, rest_to
                blocks[n_blocks, SIZE], blocks[n_blocks, LINK], blocks[n_blocks, KIND] = size, min(link, size), TABLE
                blocks[n_blocks, NODE] = node
                n_blocks += 1
                fresh = False
            spans[node, 1] = n_blocks
            table = -1
            begin = pos
            size = link = 0
            pending = False
            code_at = -1
        elif top > 0 and node == stack[top - 1, 0]:
            top -= 1
            nested -= 1
            first_from, first_to, rest_from, rest_to = stack[top, 3], stack[top, 4], stack[top, 5], stack[top, 6]
            # The outer item's own first block: still to come only if nothing was written inside.
            fresh = stack[top, 7] != 0 and n_blocks == stack[top, 2]
    if pos > begin:
        blocks[n_blocks] = 0
        blocks[n_blocks, TEXT_FROM], blocks[n_blocks, TEXT_TO] = begin, pos
        blocks[n_blocks, SIZE], blocks[n_blocks, LINK] = size, min(link, size)
        n_blocks += 1
    for k in range(n_nodes):
        if nodes[k, 1] < 0:
            spans[k, 1] = n_blocks
    return out, pos, blocks, n_blocks, spans, hidden
