"""Events of a page → Markdown blocks: the compiled writer, and the page with the containers its blocks lie in.

Nothing is decided here about what is main content; `main_content` chooses among the blocks. Text keeps its character references until
the end, so that no `&lt;` can turn into markup. Speed: about 500 MB/s of text a core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.attributes import ABSENT, FRAGMENT, HREF, LOWERED, PRESENTATION, RAISED, REVERSED
from headrace_governance.text.html.block_rows import (
    CODE,
    FIELDS,
    HEADING,
    ITEM,
    PROSE,
    TABLE,
    add_block,
    add_marks,
    is_blank,
    is_tight,
    open_marks,
    write_space,
    write_text,
)
from headrace_governance.text.html.code import BY_BREAKS, LINE_TAGS, between_lines, code_kinds, code_text, is_line
from headrace_governance.text.html.marks import BARE, LOWER, NO_NOTE, RAISE, close_script, footnote, grown, rubies
from headrace_governance.text.html.tables import CELL_AT, GRID_FIELDS, MAX_COLUMNS, close_cell, close_row, open_cell, open_row, open_table
from headrace_governance.text.html.tags import BLOCK, INLINE_CODE, PROPERTIES, VOID, number
from headrace_governance.text.html.tokens import CLOSE, N_FLAGS, N_NUMBER, N_SECOND, OPEN, T_ITEMS, TEXT, Tokens, only_places

MAX_NESTED = 24
"""Lists and quotes whose indent is written; deeper ones stay at that indent."""
MAX_SCRIPTS = 16
"""Raised and lowered texts inside of each other that are marked."""

_H1, _H6, _LI, _UL, _OL, _MENU, _QUOTE, _TABLE, _TR, _TD, _TH, _A, _BR, _HR, _Q, _CAPTION, _SUP, _SUB, _RT = (
    number(n) for n in "h1 h6 li ul ol menu blockquote table tr td th a br hr q caption sup sub rt".split()
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
    text, n, blocks, n_blocks, spans, hidden = _write(
        tokens.data, tokens.events, tokens.nodes, tokens.tables, dropped, code_kinds(tokens), PROPERTIES, LINE_TAGS
    )
    return Blocks(text[:n], blocks[:n_blocks], spans, hidden)


@njit(cache=True)
def _write(
    data: Any, events: Any, nodes: Any, tables: Any, dropped: Any, codes_of: Any, properties: Any, line_tags: Any
) -> tuple[Any, int, Any, int, Any, int]:
    n_nodes = len(nodes)
    out = np.empty(len(data) + len(data) // 2 + 4096, dtype=np.uint8)
    pos = hidden = 0
    blocks = np.empty((64 + len(events), FIELDS), dtype=np.int32)
    n_blocks = 0
    spans = np.zeros((n_nodes, 2), dtype=np.int32)
    begin = 0  # where the current block's text begins
    pending = False  # a space that is written only if text follows
    size = link = 0
    links = codes = quotes = 0
    places = place_from = linked = place_linked = 0  # open links into the page, where the last began; bytes in links, in those
    pre = -1  # the node whose code is being written
    line_due = False  # a line of code is to end before more is written
    scripts = np.zeros((MAX_SCRIPTS, 6), dtype=np.int64)  # node, begin, size, link, bytes in links and in those into the page
    n_scripts = 0
    annotations = rubies(nodes)
    ruby_end = -1  # behind the last bracket that was closed
    skip = -1  # the node whose content is being left out
    code_at = -1
    table = -1  # the data table whose cells are being written
    grid = np.zeros(GRID_FIELDS, dtype=np.int64)
    below = np.zeros(MAX_COLUMNS, dtype=np.int32)
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
            out = grown(out, pos + 2 * (b - a) + 16)
            if pre >= 0:
                if is_blank(data, a, b) and between_lines(events, nodes, x, properties, line_tags):
                    continue
                if line_due and (codes_of[pre] == BY_BREAKS or (data[a] != 10 and data[a] != 13)):
                    out[pos] = 10
                    pos += 1
                line_due = False
                pos = code_text(data, a, b, out, pos, begin, codes_of[pre] == BY_BREAKS)
                continue
            before = pos
            pos, pending = write_text(data, a, b, out, pos, begin, code_at, pending, table >= 0)
            size += pos - before
            if links > 0:
                link += pos - before
                linked += pos - before
                if places > 0:
                    place_linked += pos - before
            continue

        tag = nodes[node, 0]
        flags = nodes[node, N_FLAGS]
        block = properties[tag] & BLOCK != 0 or (codes_of[node] > 0 and table < 0 and (pre < 0 or node == pre))
        if pre >= 0 and node != pre:
            if kind == OPEN and dropped[node] and properties[tag] & VOID == 0:
                skip = node
                spans[node, 0] = spans[node, 1] = n_blocks
                continue
            lines = is_line(nodes, node, properties, line_tags)
            before = events[x - 1, 1]  # one `code` a line
            twin = kind == OPEN and properties[tag] & INLINE_CODE and events[x - 1, 0] == CLOSE and nodes[before, 0] == tag
            if lines or tag in (_TD, _TH) or (twin and nodes[node, 1] == pre and nodes[before, 1] == pre):
                # Lines that elements make: a line ends where one begins and, if more follows, where one ends.
                if kind == OPEN:
                    spans[node, 0] = spans[node, 1] = n_blocks
                else:
                    spans[node, 1] = n_blocks
                if tag in (_TD, _TH):
                    continue
                out = grown(out, pos + 16)
                if kind == OPEN:
                    if line_due or (pos > begin and out[pos - 1] != 10):
                        out[pos] = 10
                        pos += 1
                    line_due = False
                elif events[x - 1, 0] == OPEN and events[x - 1, 1] == node and block and pos > begin and nodes[node, 3] > nodes[node, 2]:
                    out[pos] = 10  # an empty line
                    pos += 1
                elif pos > begin and out[pos - 1] != 10:
                    line_due = True
                continue
        if table >= 0 and tag != _TABLE and tag != _TR and tag != _TD and tag != _TH and tag != _CAPTION:
            # Inside a cell everything is one line.
            if block or tag == _BR:
                pending = True
                block = False
        elif table < 0 and (block or tag == _HR):
            # -- end of a block
            n_scripts = 0
            if codes > 0 and pos >= begin:  # code in the text ends with its block
                codes = 0
                if pos == code_at:
                    pos -= 1
                elif pos > begin:
                    out = grown(out, pos + 16)
                    out[pos] = 96
                    pos += 1
            if pos > begin:
                level = tag - _H1 + 1 if kind == CLOSE and _H1 <= tag <= _H6 else 0
                is_code = kind == CLOSE and node == pre
                if is_code:
                    size = pos - begin
                while pos > begin and (out[pos - 1] == 32 or out[pos - 1] == 10):
                    pos -= 1
                if pos > begin:
                    what = CODE if is_code else HEADING if level else ITEM if top > 0 else PROSE
                    add_marks(blocks, n_blocks, first_from, first_to, rest_from, rest_to, fresh)
                    add_block(blocks, n_blocks, begin, pos, size, link, what, level, is_tight(nodes, stack, top, n_blocks), node)
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
                if pre >= 0:
                    out = grown(out, pos + 16)
                    if line_due:
                        out[pos] = 10
                        pos += 1
                        line_due = False
                    out[pos] = 10
                    pos += 1
                elif table < 0:
                    pending = False
                    out = grown(out, pos + 16)
                    if pos > begin and not (pos > begin + 1 and out[pos - 1] == 10 and out[pos - 2] == 10):
                        out[pos] = 10
                        pos += 1
            elif tag == _A:
                if flags & HREF:
                    links += 1
                if flags & FRAGMENT:
                    places += 1
                    place_from = pos
            elif codes_of[node] > 0 and table < 0:
                if pre < 0:
                    pre = node
                    line_due = False
            elif properties[tag] & INLINE_CODE and pre < 0:
                codes += 1
                if codes == 1:
                    out = grown(out, pos + 16)
                    pos = write_space(out, pos, begin, pending)
                    pending = False
                    out[pos] = 96
                    pos += 1
                    code_at = pos
            elif tag == _Q:
                out = grown(out, pos + 16)
                pos = write_space(out, pos, begin, pending)
                pending = False
                out[pos], out[pos + 1], out[pos + 2] = 0xE2, 0x80, 0x9C if quotes % 2 == 0 else 0x98
                pos += 3
                quotes += 1
                code_at = pos
            elif annotations[node]:
                out = grown(out, pos + 16)
                pending = False
                if ruby_end == pos and tag == _RT:
                    pos -= 3
                    out[pos] = 32
                    pos += 1
                else:
                    out[pos], out[pos + 1], out[pos + 2] = 0xEF, 0xBC, 0x88
                    pos += 3
                code_at = pos
            elif tag == _TABLE:
                if table < 0 and pre < 0 and not only_places(tables[node], flags & PRESENTATION):
                    table = node
                    open_table(grid, below, events, nodes, x)
            elif table >= 0 and tag == _TR:
                open_row(grid, below, nodes[node, N_SECOND])
            elif table >= 0 and (tag in (_TD, _TH)):
                out = grown(out, pos + 4 * MAX_COLUMNS + 16)
                pos = code_at = open_cell(out, pos, grid, below)
                pending = False
            elif (tag in (_UL, _OL, _MENU, _LI, _QUOTE)) and table < 0 and top < 512:
                stack[top, 0], stack[top, 1], stack[top, 2] = node, nodes[node, N_NUMBER], n_blocks
                if tag == _OL and nodes[node, N_NUMBER] == ABSENT:
                    stack[top, 1] = tables[node, T_ITEMS] if flags & REVERSED else 1
                stack[top, 3], stack[top, 4], stack[top, 5], stack[top, 6] = first_from, first_to, rest_from, rest_to
                stack[top, 7] = fresh
                if (tag in (_LI, _QUOTE)) and nested < MAX_NESTED:
                    out, pos, first_from, first_to, rest_from, rest_to = open_marks(
                        out, pos, nodes, node, stack, top, first_from, first_to, rest_from, rest_to, fresh
                    )
                    fresh = True
                    begin = pos
                nested += 1
                top += 1
            if tag in (_SUP, _SUB) or flags & (RAISED | LOWERED):
                out = grown(out, pos + 16)
                if pending and pre < 0 and pos > begin and out[pos - 1] != 10 and pos != code_at:
                    out[pos] = 32
                    pos += 1
                    code_at = pos
                if pre < 0:
                    pending = False
                if n_scripts < MAX_SCRIPTS:
                    scripts[n_scripts, 0], scripts[n_scripts, 1], scripts[n_scripts, 2] = node, pos, size
                    scripts[n_scripts, 3], scripts[n_scripts, 4], scripts[n_scripts, 5] = link, linked, place_linked
                    n_scripts += 1
            continue

        # -- CLOSE
        spans[node, 1] = n_blocks
        if n_scripts > 0 and scripts[n_scripts - 1, 0] == node:
            n_scripts -= 1
            at = scripts[n_scripts, 1]
            raised = tag == _SUP or flags & RAISED
            within = linked - scripts[n_scripts, 4]
            # A note's sign: its link stands in the raised text, or begins with it.
            first = links == 0 or (places > 0 and (place_from == at or (place_from + 1 == at and out[place_from] == 32)))
            note = footnote(out, at, pos, within, place_linked > scripts[n_scripts, 5]) if raised and first else NO_NOTE
            if note == BARE:
                pos = at
                size, link = scripts[n_scripts, 2], scripts[n_scripts, 3]
                if pos > begin and out[pos - 1] == 32 and not (table >= 0 and pos == grid[CELL_AT]):
                    pending = True
                    pos -= 1
            elif note == NO_NOTE:
                out = grown(out, pos + 2 * (pos - at) + 16)
                pos = close_script(out, at, pos, RAISE if raised else LOWER)
        if tag == _A:
            if flags & HREF:
                links -= 1
            if flags & FRAGMENT:
                places -= 1
        elif annotations[node]:
            out = grown(out, pos + 16)
            pending = False
            if pos >= 3 and pos == code_at and out[pos - 1] == 0x88:
                pos -= 3
            else:
                out[pos], out[pos + 1], out[pos + 2] = 0xEF, 0xBC, 0x89
                pos += 3
                ruby_end = pos
        elif node == pre:
            pre = -1
            line_due = False
        elif properties[tag] & INLINE_CODE and pre < 0 and codes > 0:
            codes -= 1
            if codes == 0:
                if pos == code_at:
                    pos -= 1
                else:
                    out = grown(out, pos + 16)
                    out[pos] = 96
                    pos += 1
                code_at = -1
        elif tag == _Q:
            out = grown(out, pos + 16)
            quotes -= quotes > 0
            out[pos], out[pos + 1], out[pos + 2] = 0xE2, 0x80, 0x9D if quotes % 2 == 0 else 0x99
            pos += 3
        elif table >= 0 and (tag in (_TD, _TH)):
            out = grown(out, pos + 4 * MAX_COLUMNS + 16)
            pos = close_cell(out, pos, grid, below, nodes, node)
            pending = False
        elif table >= 0 and tag == _TR:
            out = grown(out, pos + 12 * MAX_COLUMNS + 64)
            pos = close_row(out, pos, grid, below)
        elif table >= 0 and tag == _CAPTION and pos > begin:
            out = grown(out, pos + 16)
            out[pos], out[pos + 1] = 10, 10
            pos += 2
            pending = False
        elif tag == _TABLE and node == table:
            if size > 0:
                add_marks(blocks, n_blocks, first_from, first_to, rest_from, rest_to, fresh)
                add_block(blocks, n_blocks, begin, pos, size, link, TABLE, 0, False, node)
                n_blocks += 1
                fresh = False
            spans[node, 1] = n_blocks
            table = -1
            n_scripts = 0
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
        add_block(blocks, n_blocks, begin, pos, size, link, PROSE, 0, False, 0)
        n_blocks += 1
    for k in range(n_nodes):
        if nodes[k, 1] < 0:
            spans[k, 1] = n_blocks
    return out, pos, blocks, n_blocks, spans, hidden
