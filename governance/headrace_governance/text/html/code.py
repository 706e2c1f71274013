"""Which elements of a page are code whose lines must be kept: `pre`, and what pages draw like it by style or by class.

Lines may be made by newlines, by `br`, or by an element each (`div`, `li`, rows of a table, whatever has `display: block` or a class
that generators of code views give to a line); the numbers beside them are not text. Linear: a parent is read before its children, and
what holds for it is handed down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.attributes import CODE_CLASS, KEEPS_SPACE, LINE_CLASS, NUMBER_CLASS, SHOWN_AS_BLOCK
from headrace_governance.text.html.tags import BLOCK, INLINE_CODE, PROPERTIES, number
from headrace_governance.text.html.tokens import CLOSE, N_FIRST, N_FLAGS, N_LAST, T_PRE, T_ROWS, TEXT, Tokens

PREFORMATTED, BY_BREAKS = 1, 2
"""White space counts; only `br`, elements that are lines and no-break spaces do."""
_PRE, _XMP, _LISTING, _BR, _TABLE, _TD, _TH = (number(n) for n in "pre xmp listing br table td th".split())
_IN_PRE, _IN_CODE, _IN_SPACE = 1, 2, 4

LINE_TAGS = np.zeros(256, dtype=np.bool_)
LINE_TAGS[[number(n) for n in "div p ol ul li dl dt dd table tr custom-element center address".split()]] = True
"""Block elements that end a line of code, and not the code."""


def code_kinds(tokens: Tokens) -> Any:
    """PREFORMATTED, BY_BREAKS or 0, by node; what lies inside of another is not told apart."""
    return _kinds(tokens.data, tokens.events, tokens.nodes, tokens.tables, PROPERTIES)


@njit(cache=True)
def _kinds(data: Any, events: Any, nodes: Any, tables: Any, properties: Any) -> Any:
    n = len(nodes)
    kinds = np.zeros(n, dtype=np.int8)
    within = np.zeros(n, dtype=np.int8)
    special = False
    for k in range(1, n):
        tag, flags = nodes[k, 0], nodes[k, N_FLAGS]
        if tag in (_PRE, _XMP, _LISTING):
            kinds[k] = PREFORMATTED
            within[k] = _IN_PRE
        elif properties[tag] & INLINE_CODE or flags & (CODE_CLASS | KEEPS_SPACE):
            special = True
    if not special:
        return kinds
    table_of = np.zeros(n, dtype=np.int32)
    code_of = np.zeros(n, dtype=np.int32)
    lines = np.zeros(n, dtype=np.int32)
    numbers = np.zeros(n, dtype=np.int32)
    for k in range(1, n):
        parent, tag, flags = nodes[k, 1], nodes[k, 0], nodes[k, N_FLAGS]
        around = within[parent]
        within[k] |= around
        table_of[k] = k if tag == _TABLE else table_of[parent]
        code_of[k] = code_of[parent]
        if within[k] & _IN_PRE:
            continue
        if properties[tag] & INLINE_CODE:
            within[k] |= _IN_CODE
            if code_of[k] == 0:
                code_of[k] = k
        elif flags & CODE_CLASS:
            within[k] |= _IN_CODE
        if flags & LINE_CLASS and around & _IN_CODE:
            lines[parent] += 1
        if flags & NUMBER_CLASS and (tag in (_TD, _TH)):
            numbers[table_of[k]] += 1
        if flags & KEEPS_SPACE and not around & _IN_SPACE and within[k] & _IN_CODE:
            within[k] |= _IN_SPACE
            if _has_lines(data, events, nodes, k):
                kinds[k] = PREFORMATTED
        elif code_of[parent] and (tag == _BR or flags & SHOWN_AS_BLOCK):
            after = nodes[k, N_LAST] + 1
            code = code_of[parent]
            if after < len(events) and not (events[after, 0] == CLOSE and events[after, 1] == code):
                kinds[code] = max(kinds[code], BY_BREAKS)
    for k in range(1, n):
        if within[k] & _IN_PRE:
            continue
        if (
            lines[k] >= 2
            or (lines[k] and nodes[k, N_FLAGS] & CODE_CLASS)
            or (numbers[k] and not tables[k, T_PRE] and (within[k] & _IN_CODE or 2 * numbers[k] >= max(4, tables[k, T_ROWS])))
        ):
            kinds[k] = PREFORMATTED
    return kinds


@njit(cache=True)
def _has_lines(data: Any, events: Any, nodes: Any, k: int) -> bool:
    """Whether an element's content has a line break that is not at one of its ends."""
    text = broken = False
    for x in range(nodes[k, N_FIRST] + 1, nodes[k, N_LAST]):
        if events[x, 0] == TEXT:
            for i in range(events[x, 2], events[x, 3]):
                if data[i] > 32:
                    if broken:
                        return True
                    text = True
                elif data[i] == 10 and text:
                    broken = True
        elif text and (nodes[events[x, 1], 0] == _BR or nodes[events[x, 1], N_FLAGS] & (SHOWN_AS_BLOCK | LINE_CLASS)):
            broken = True
    return False


@njit(cache=True)
def is_line(nodes: Any, node: int, properties: Any, line_tags: Any) -> bool:
    """Whether an element inside of code is a line of it, or holds lines."""
    tag = nodes[node, 0]
    return bool(line_tags[tag] or (not properties[tag] & BLOCK and nodes[node, N_FLAGS] & (SHOWN_AS_BLOCK | LINE_CLASS)))


@njit(cache=True)
def code_text(data: Any, a: int, b: int, out: Any, pos: int, begin: int, by_breaks: bool) -> int:
    """Write text of code; returns the place behind it. A no-break space is a space; other white space is kept, or not (`by_breaks`)."""
    i = a
    while i < b:
        c = data[i]
        space = no_break_space(data, i, b) if c == 0xC2 or c == 38 else 0
        if space:
            c = 32
            i += space - 1
        elif by_breaks and (c == 32 or 9 <= c <= 13):
            if pos == begin or out[pos - 1] == 32 or out[pos - 1] == 10:
                i += 1
                continue
            c = 32
        if c >= 32 or c == 9 or c == 10:
            out[pos] = c
            pos += 1
        i += 1
    return pos


@njit(cache=True)
def no_break_space(data: Any, i: int, b: int) -> int:
    """How many bytes of a no-break space, as UTF-8, `&nbsp;` or `&#160;`, stand here."""
    if data[i] == 0xC2:
        return 2 if i + 1 < b and data[i + 1] == 0xA0 else 0
    if i + 5 >= b or data[i + 5] != 59:
        return 0
    named = data[i + 1] == 110 and data[i + 2] == 98 and data[i + 3] == 115 and data[i + 4] == 112
    numbered = data[i + 1] == 35 and data[i + 2] == 49 and data[i + 3] == 54 and data[i + 4] == 48
    return 6 if named or numbered else 0


@njit(cache=True)
def between_lines(events: Any, nodes: Any, x: int, properties: Any, line_tags: Any) -> bool:
    """Whether a blank text inside of code stands between elements that are lines, where it is not a line itself."""
    if x == 0 or x + 1 >= len(events):
        return False
    for y in (x - 1, x + 1):
        node = events[y, 1]
        tag = nodes[node, 0]
        if events[y, 0] == TEXT or not (line_tags[tag] or tag in (_TD, _TH) or nodes[node, N_FLAGS] & SHOWN_AS_BLOCK):
            return False
    # Alone in a line, it is that line.
    return bool(events[x - 1, 1] != events[x + 1, 1])
