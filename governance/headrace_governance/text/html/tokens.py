"""The HTML tokeniser and tree builder: UTF-8 bytes → events and nodes, in one linear pass without recursion.

It keeps the HTML standard's rules that matter for text (raw text elements, implied end tags of p, li, dt, dd, tr, td, a, headings;
an end tag closes what is open between) and leaves out those that only matter for drawing (adoption agency, foster parenting).
Time and memory are linear in the input, whatever it holds: open elements, tags and attributes are counted and bounded, and a search
for an end that is not there is made once. Speed: about 300 MB/s a core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.attributes import (
    ABSENT,
    MATH_SCRIPT,
    find,
    hash_of,
    is_formula,
    is_space,
    lookup,
    lower,
    raw_end,
    read_attributes,
)
from headrace_governance.text.html.tags import BLOCK, CLOSES_P, PROPERTIES, RAW, SKIPPED, TABLE, VOID, number

MAX_DEPTH = 512
"""Open elements. HTML parsers themselves recommend 512 (WebKit's limit); the deepest of 25,000 manual pages has 40 levels."""
MAX_TAGS = 300_000
MAX_ATTRIBUTES = 1_000
"""In one tag."""
TEXT, OPEN, CLOSE = 0, 1, 2
T_ROWS, T_COLUMNS, T_NESTED, T_HEADER, T_LAYOUT, T_BLOCKS, T_PRE = 0, 1, 2, 3, 4, 5, 6
T_ITEMS = 0
"""Of a list: its items."""
N_FLAGS, N_NUMBER, N_SECOND, N_FIRST, N_LAST, NODE_FIELDS = 6, 7, 8, 9, 10, 11
"""Columns of a node: flags (`html_attributes`); `start`, `value` or `colspan`; `type` of a list, `rowspan` of a cell, or the row group of
a row; the events that open and close it. 0 to 5 are tag, parent, begin and end of class and of id."""
_DEEP, _TAGS, _ATTRIBUTES = 1, 2, 3

_P, _LI, _DT, _DD = (number(n) for n in "p li dt dd".split())
_TABLE, _TR, _TD, _TH, _CAPTION, _A, _H1, _H6 = (number(n) for n in "table tr td th caption a h1 h6".split())
_CUSTOM, _SCRIPT, _PRE, _DIV, _ADDRESS = (number(n) for n in "custom-element script pre div address".split())
_LAYOUT_TAGS = np.zeros(256, dtype=np.bool_)
_LAYOUT_TAGS[[number(n) for n in "h1 h2 h3 h4 form pre blockquote article section nav".split()]] = True
_CELL_BLOCKS = np.zeros(256, dtype=np.bool_)
_CELL_BLOCKS[[number(n) for n in "p div ul br".split()]] = True
_MATH, _PREFIXED_MATH, _MATHJAX, _IMG, _BUTTON = (number(n) for n in "math mml:math mjx-container img button".split())
_THEAD, _TBODY, _TFOOT, _OL = (number(n) for n in "thead tbody tfoot ol".split())
_RUBY, _RB, _RT, _RP, _RTC = (number(n) for n in "ruby rb rt rp rtc".split())


@dataclass(frozen=True, slots=True)
class Tokens:
    """A page taken apart.

    Attributes:
        source: the page's UTF-8; `data` are the same bytes as an array.
        events: (kind, node, a, b): text from byte a to b, a node opened, a node closed.
        nodes: one row a node (see `N_FLAGS`).
        tables: what is in each table node (`T_*`) and ordered list, by node; zeros elsewhere.
        formulas: whether it holds MathML, TeX scripts or pictures of formulas.
        hostile: why the page must not be read, or None.
    """

    source: bytes
    data: Any
    events: Any
    nodes: Any
    tables: Any
    formulas: bool
    hostile: str | None


def tokenise(markup: bytes) -> Tokens:
    """Take a page apart."""
    data = np.frombuffer(markup, dtype=np.uint8)
    events, nodes, tables, n_events, n_nodes, formulas, status = _tokenise(data, TABLE, PROPERTIES)
    reason = {
        0: None,
        _DEEP: f"nested deeper than {MAX_DEPTH}",
        _TAGS: f"more than {MAX_TAGS} tags",
        _ATTRIBUTES: f"more than {MAX_ATTRIBUTES} attributes in a tag",
    }[status]
    return Tokens(markup, data, events[:n_events], nodes[:n_nodes], tables[:n_nodes], formulas, reason)


@njit(cache=True)
def only_places(t: Any, presentation: int) -> bool:
    """Whether a table only places things; its cells are then read as any other container."""
    if t[T_ROWS] == 0 or t[T_COLUMNS] <= 1 or t[T_NESTED] or t[T_PRE] or presentation:
        return True
    if t[T_HEADER] == 1 and t[T_ROWS] <= 2 and t[T_BLOCKS]:
        return True  # one label over one text of blocks: an admonition as DocBook draws it (icon, "Note", paragraphs)
    if t[T_HEADER]:
        return False
    if t[T_LAYOUT]:
        return True
    return bool(t[T_ROWS] <= 3 and t[T_BLOCKS])


@njit(cache=True)
def _event(events: Any, e: int, kind: int, node: int, a: int, b: int) -> int:
    events[e, 0], events[e, 1], events[e, 2], events[e, 3] = kind, node, a, b
    return e + 1


@njit(cache=True)
def _tokenise(data: Any, table: Any, properties: Any) -> tuple[Any, Any, Any, int, int, bool, int]:
    n = len(data)
    tags = 0
    for i in range(n):
        tags += data[i] == 60
    tags = min(tags, MAX_TAGS + 1)
    events = np.empty((3 * tags + 8, 4), dtype=np.int32)
    nodes = np.zeros((tags + 2, NODE_FIELDS), dtype=np.int32)
    tables = np.zeros((tags + 2, 8), dtype=np.int32)
    missing = np.zeros(2, dtype=np.bool_)
    no_end = np.zeros(256, dtype=np.bool_)  # raw text elements whose end tag comes no more
    comment_end_missing = subset_end_missing = False
    stack = np.empty(MAX_DEPTH + 1, dtype=np.int32)
    stack_tag = np.empty(MAX_DEPTH + 1, dtype=np.int32)
    stack_table = np.empty(MAX_DEPTH + 1, dtype=np.int32)
    depth = e = k = seen = 0
    open_table = -1
    columns = group = 0
    formulas = False
    button_end = -1  # behind the next end tag of a button
    i = start = 0

    # The root: everything lies in it.
    nodes[0, 1] = -1
    k = 1

    while i < n:
        if data[i] != 60:
            i += 1
            continue
        c = lower(data[i + 1]) if i + 1 < n else 0
        closing = c == 47
        first = i + 2 if closing else i + 1
        letter = lower(data[first]) if first < n else 0
        if not (97 <= letter <= 122):
            if c == 33 or c == 63 or closing:  # comment, doctype, processing instruction, nonsense end tag
                if i > start:
                    e = _event(events, e, TEXT, 0, start, i)
                end = -1
                if c == 33 and i + 3 < n and data[i + 2] == 45 and data[i + 3] == 45 and not comment_end_missing:
                    j = i + 2
                    while True:
                        j = find(data, 62, j + 1)
                        if j < 0:
                            comment_end_missing = True
                            break
                        if (data[j - 1] == 45 and data[j - 2] == 45) or (data[j - 1] == 33 and data[j - 2] == 45 and data[j - 3] == 45):
                            end = j
                            break
                elif c == 33 and i + 2 < n and lower(data[i + 2]) == 100 and not subset_end_missing:
                    # A doctype; what stands in its brackets are XML's declarations.
                    j = i
                    while j < n and data[j] != 62 and data[j] != 91:
                        j += 1
                    if j < n and data[j] == 91:
                        j = find(data, 93, j)
                        if j < 0:
                            subset_end_missing = True
                        else:
                            end = find(data, 62, j)
                if end < 0:
                    end = find(data, 62, i)
                i = n if end < 0 else end + 1
                start = i
            else:
                i += 1
            continue
        seen += 1
        if seen > MAX_TAGS:
            return events, nodes, tables, e, k, formulas, _TAGS
        if i > start:
            e = _event(events, e, TEXT, 0, start, i)
        j, hyphen = first, False
        while j < n and not is_space(data[j]) and data[j] != 62 and data[j] != 47:
            hyphen |= data[j] == 45
            j += 1
        tag = lookup(hash_of(data, first, j), table)
        if tag == 0 and hyphen:
            tag = _CUSTOM
        has = properties[tag]

        if closing:
            end = find(data, 62, j)
            i = n if end < 0 else end + 1
            start = i
            if has & (SKIPPED | VOID | RAW):
                group += tag in (_THEAD, _TBODY, _TFOOT)
                continue
            heading = _H1 <= tag <= _H6
            block, in_table = has & BLOCK, tag in (_TABLE, _TR, _TD, _TH)
            found = -1
            for d in range(depth - 1, -1, -1):
                t = stack_tag[d]
                if t == tag or (heading and _H1 <= t <= _H6):
                    found = d
                    break
                if (not block and tag != _BUTTON and properties[t] & BLOCK) or (not in_table and (t in (_TD, _TH, _TABLE))):
                    break
                if in_table and tag != _TABLE and t == _TABLE:
                    break
            if found >= 0:
                while depth > found:
                    depth -= 1
                    nodes[stack[depth], N_LAST] = e
                    e = _event(events, e, CLOSE, stack[depth], i, i)
                    if stack_tag[depth] == _TABLE:
                        open_table = stack_table[depth]
            continue

        nodes[k, 2:] = 0
        nodes[k, N_NUMBER] = nodes[k, N_SECOND] = ABSENT
        after, count, slash = read_attributes(data, j, nodes[k], missing)
        if count > MAX_ATTRIBUTES:
            return events, nodes, tables, e, k, formulas, _ATTRIBUTES
        i = start = after
        if (
            tag in (_MATH, _PREFIXED_MATH, _MATHJAX)
            or (tag == _SCRIPT and nodes[k, N_FLAGS] & MATH_SCRIPT)
            or (tag == _IMG and is_formula(data, nodes[k, 2], nodes[k, 3]))
        ):
            formulas = True
        if has & RAW:
            if (not slash or tag == _SCRIPT) and not no_end[tag]:
                end = raw_end(data, first, j, after)
                if end < 0:
                    no_end[tag] = True
                else:
                    i = start = end
            continue
        if has & SKIPPED:
            group += tag in (_THEAD, _TBODY, _TFOOT)
            continue
        if tag == _BUTTON:
            if button_end >= 0 and button_end <= after:
                button_end = -1
            if button_end < 0 and not no_end[tag]:
                button_end = raw_end(data, first, j, after)
                no_end[tag] = button_end < 0
            if no_end[tag]:
                continue  # never closed: no element that could hold the rest of the page

        # -- implied end tags: how much of the stack goes
        keep = depth
        if has & CLOSES_P:
            for d in range(depth - 1, -1, -1):
                t = stack_tag[d]
                if t == _P:
                    keep = d
                    break
                if properties[t] & BLOCK:
                    break
        if tag in (_LI, _DT, _DD):
            for d in range(keep - 1, -1, -1):
                t = stack_tag[d]
                if t == tag or (tag != _LI and (t in (_DT, _DD))):
                    keep = d
                    break
                if properties[t] & BLOCK and t != _P and t != _DIV and t != _ADDRESS:
                    break
        elif tag in (_TR, _TD, _TH, _CAPTION):
            for d in range(keep - 1, -1, -1):
                t = stack_tag[d]
                if t == _TABLE or (t == _TR and tag != _TR):
                    keep = d + 1
                    break
        elif _H1 <= tag <= _H6:
            if keep > 0 and _H1 <= stack_tag[keep - 1] <= _H6:
                keep -= 1
        elif tag == _A:
            for d in range(keep - 1, -1, -1):
                t = stack_tag[d]
                if t == _A:
                    keep = d
                    break
                if t in (_TD, _TH, _TABLE):
                    break
        elif tag in (_RB, _RT, _RP, _RTC):
            for d in range(keep - 1, -1, -1):
                t = stack_tag[d]
                if t in (_RB, _RT, _RP) or (t == _RTC and tag in (_RB, _RTC)):
                    keep = d
                elif t in (_RUBY, _RTC) or properties[t] & BLOCK:
                    break
        elif tag == _BUTTON:
            for d in range(keep - 1, -1, -1):
                t = stack_tag[d]
                if t == _BUTTON:
                    keep = d
                    break
                if t in (_TD, _TH, _TABLE):
                    break
        while depth > keep:
            depth -= 1
            nodes[stack[depth], N_LAST] = e
            e = _event(events, e, CLOSE, stack[depth], i, i)
            if stack_tag[depth] == _TABLE:
                open_table = stack_table[depth]

        # -- tables count what is in them
        if open_table >= 0:
            if tag == _TR:
                tables[open_table, T_ROWS] += 1
                columns = 0
            elif tag in (_TD, _TH):
                columns += 1
                tables[open_table, T_COLUMNS] = max(tables[open_table, T_COLUMNS], columns)
                if tag == _TH:
                    tables[open_table, T_HEADER] += 1
            elif tag == _CAPTION:
                tables[open_table, T_HEADER] += 2
            elif tag == _TABLE:
                tables[open_table, T_NESTED] = 1
            if _LAYOUT_TAGS[tag]:
                tables[open_table, T_LAYOUT] = 1
                if tag == _PRE:
                    tables[open_table, T_PRE] = 1
            if _CELL_BLOCKS[tag]:
                tables[open_table, T_BLOCKS] = 1

        nodes[k, 0] = tag
        nodes[k, 1] = stack[depth - 1] if depth > 0 else 0
        nodes[k, N_FIRST] = nodes[k, N_LAST] = e
        if tag == _TR:
            nodes[k, N_SECOND] = group
        elif tag == _LI and depth > 0 and stack_tag[depth - 1] == _OL:
            tables[stack[depth - 1], T_ITEMS] += 1
        e = _event(events, e, OPEN, k, after, after)
        if slash and not (has & VOID):
            # XHTML's <a id="x"/>: real pages mean an empty element, though HTML does not.
            nodes[k, N_LAST] = e
            e = _event(events, e, CLOSE, k, after, after)
        elif not (has & VOID):
            if depth >= MAX_DEPTH:
                return events, nodes, tables, e, k, formulas, _DEEP
            stack[depth] = k
            stack_tag[depth] = tag
            stack_table[depth] = open_table
            if tag == _TABLE:
                open_table = k
                columns = 0
            depth += 1
        k += 1
    if n > start:
        e = _event(events, e, TEXT, 0, start, n)
    while depth > 0:
        depth -= 1
        nodes[stack[depth], N_LAST] = e
        e = _event(events, e, CLOSE, stack[depth], n, n)
    nodes[0, N_LAST] = e
    return events, nodes, tables, e, k, formulas, 0
