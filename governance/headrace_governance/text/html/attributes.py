"""The byte level of the HTML tokeniser, compiled: names, attributes, styles that hide, and where raw text ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html.tags import SLOTS, fnv

HREF, HIDDEN, ROLE_DROPPED, ROLE_MAIN, ROLE_ARTICLE, ARTICLE_BODY, PRESENTATION = 1, 2, 4, 8, 16, 32, 64
ARIA_HIDDEN, RAISED, LOWERED, STRUCK, KEEPS_SPACE, SHOWN_AS_BLOCK, OFFSCREEN = 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13
EXPANDS, ROLE_HEADING, REVERSED, MATH_SCRIPT, FRAGMENT = 1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 18
LINE_CLASS, CODE_CLASS, NUMBER_CLASS = 1 << 19, 1 << 20, 1 << 21
"""What a node's attributes say, by bit. Of its style: RAISED and LOWERED (vertical-align), STRUCK (line-through), KEEPS_SPACE
(white-space: pre), SHOWN_AS_BLOCK (display), OFFSCREEN (moved out of sight or clipped: for screen readers). EXPANDS: `aria-expanded`.
FRAGMENT: its `href` is a place in the same page. Of its class: LINE_CLASS names a line of code, CODE_CLASS code, NUMBER_CLASS the numbers
of lines."""
ABSENT = -(1 << 31)
"""An attribute's number where there is none."""
(
    _CLASS, _ID, _ROLE, _ITEMPROP, _HREF, _HIDDEN, _ARIA_HIDDEN, _STYLE, _START, _VALUE, _COLSPAN, _ROWSPAN, _TYPE, _REVERSED, _EXPANDED,
    _LINE,
) = (
    fnv(n)
    for n in (
        b"class id role itemprop href hidden aria-hidden style start value colspan rowspan type reversed aria-expanded data-line-number"
    ).split()
)  # fmt: skip


def _hashes(words: bytes) -> np.ndarray:
    return np.array(sorted(fnv(n) for n in words.split()), dtype=np.int64)


_DROPPED_ROLES = _hashes(
    b"navigation banner contentinfo search complementary menu menubar dialog alert alertdialog tablist toolbar tooltip"
)
_MAIN, _ARTICLE, _ARTICLE_BODY, _PRESENTATION, _NONE, _TRUE, _HEADING, _UNTIL_FOUND, _MATH_SLASH = (
    fnv(n) for n in (b"main", b"article", b"articlebody", b"presentation", b"none", b"true", b"heading", b"until-found", b"math/")
)
_H_TEX, _H_MWE, _H_MATH, _H_LATEX = fnv(b"tex"), fnv(b"mwe-"), fnv(b"math"), fnv(b"latex")
(
    _H_DISPLAY, _H_VISIBILITY, _H_HIDDEN, _H_ALIGN, _H_SUPER, _H_SUB, _H_DECORATION, _H_DECORATION_LINE, _H_THROUGH, _H_SPACE, _H_CLIP,
    _H_RECT,
) = (
    fnv(n)
    for n in (
        b"display visibility hidden vertical-align super sub text-decoration text-decoration-line line-through white-space clip rect("
    ).split()
)  # fmt: skip
_H_PRE, _H_BLOCK, _H_OUTSIDE = (
    _hashes(w)
    for w in (b"pre pre-wrap break-spaces", b"block flex grid table table-row list-item", b"left top text-indent margin-left margin-top")
)
_H_LIST = np.array([fnv(n) for n in b"lower-alpha lower-latin upper-alpha upper-latin lower-roman upper-roman".split()], dtype=np.int64)
_LIST_SIGNS = np.array(list(b"aaAAiI"), dtype=np.int64)
_H_LIST_STYLE, _H_LIST_TYPE = fnv(b"list-style"), fnv(b"list-style-type")
# What generators of code views call a line of code, the code around it, and the numbers beside it (Doxygen, SyntaxHighlighter, Crayon,
# Shiki, Expressive Code, highlight.js with line numbers, Prism, GitHub, Monaco, Ace, Pygments, Rouge, Chroma, Trac, cgit).
_LINE_CLASSES = _hashes(
    b"line code-line codeline code_line view-line ec-line token-line crayon-line ace_line cm-line highlight-line hl-line line-of-code "
    b"codemirror-line react-code-text"
)
_CODE_CLASSES = _hashes(
    b"fragment code codeblock code-block highlight highlighttable syntaxhighlighter crayon-pre crayon-code hljs sourcecode "
    b"source-code blob view-lines ace_text-layer cm-content hljs-ln highlight-source codehilite rouge-table lntable rouge-code "
    b"js-file-line-container diff-table crayon-table"
)
_NUMBER_CLASSES = _hashes(
    b"lineno linenos linenumber linenumbers line-number line-numbers line-num line-nums gutter ln lnt lnum hljs-ln-numbers hljs-ln-n "
    b"blob-num crayon-nums crayon-num rouge-gutter react-syntax-highlighter-line-number linenr line-no lno js-line-number "
    b"lineno-cell linenodiv code-line-number"
)


@njit(cache=True)
def lower(c: int) -> int:
    return c + 32 if 65 <= c <= 90 else c


@njit(cache=True)
def is_space(c: int) -> bool:
    return c == 32 or (9 <= c <= 13)


@njit(cache=True)
def hash_of(data: Any, a: int, b: int) -> int:
    h = 2166136261
    for i in range(a, b):
        h = ((h ^ lower(data[i])) * 16777619) & 0xFFFFFFFF
    return h


@njit(cache=True)
def lookup(h: int, table: Any) -> int:
    slot = h % SLOTS
    while table[slot, 1] != 0:
        if table[slot, 0] == h:
            return int(table[slot, 1])
        slot = (slot + 1) % SLOTS
    return 0


@njit(cache=True)
def find(data: Any, c: int, at: int) -> int:
    for i in range(at, len(data)):
        if data[i] == c:
            return i
    return -1


@njit(cache=True)
def _is_in(h: int, hashes: Any) -> bool:
    for other in hashes:  # noqa: SIM110 - numba has no any()
        if other == h:
            return True
    return False


@njit(cache=True)
def _styled(data: Any, a: int, b: int, node: Any) -> None:
    """Put into a node what its style says, word by word: of a property, and behind the colon of its values."""
    word = colon = 0
    i = a
    while i < b:
        c = lower(data[i])
        if c == 59:  # ;
            word = colon = 0
        elif c == 58:  # :
            colon = 1
        elif not is_space(c):
            end = i
            while end < b and data[end] != 58 and data[end] != 59 and data[end] != 33 and not is_space(data[end]):
                end += 1
            h = hash_of(data, i, end)
            if colon == 0:
                word = h
            elif word == _H_DISPLAY:
                node[6] |= HIDDEN if h == _NONE else SHOWN_AS_BLOCK if _is_in(h, _H_BLOCK) else 0
            elif word == _H_VISIBILITY:
                node[6] |= HIDDEN if h == _H_HIDDEN else 0
            elif word == _H_ALIGN:
                node[6] |= RAISED if h == _H_SUPER else LOWERED if h == _H_SUB else 0
            elif word in (_H_DECORATION, _H_DECORATION_LINE):
                node[6] |= STRUCK if h == _H_THROUGH else 0
            elif word == _H_SPACE:
                node[6] |= KEEPS_SPACE if _is_in(h, _H_PRE) else 0
            elif word in (_H_LIST_STYLE, _H_LIST_TYPE):
                for k in range(len(_H_LIST)):
                    if _H_LIST[k] == h:
                        node[8] = _LIST_SIGNS[k]
            elif word == _H_CLIP:
                node[6] |= OFFSCREEN if end - i >= 5 and hash_of(data, i, i + 5) == _H_RECT else 0
            elif data[i] == 45 and _is_in(word, _H_OUTSIDE):  # -9999px
                node[6] |= OFFSCREEN if whole_number(data, i, end) <= -900 else 0
            i = max(end, i + 1)
            continue
        i += 1


@njit(cache=True)
def _classed(data: Any, a: int, b: int, node: Any) -> None:
    """Put into a node what its class says about code."""
    i = a
    while i < b:
        while i < b and is_space(data[i]):
            i += 1
        end = i
        while end < b and not is_space(data[end]):
            end += 1
        if 2 <= end - i <= 40:
            first = lower(data[i])
            if 97 <= first <= 122:
                h = hash_of(data, i, end)
                if _is_in(h, _LINE_CLASSES):
                    node[6] |= LINE_CLASS
                elif _is_in(h, _CODE_CLASSES):
                    node[6] |= CODE_CLASS
                elif _is_in(h, _NUMBER_CLASSES):
                    node[6] |= NUMBER_CLASS
        i = end


@njit(cache=True)
def whole_number(data: Any, a: int, b: int) -> int:
    """The integer that a text begins with (HTML standard 2.3.4.1), or ABSENT."""
    i = a
    while i < b and is_space(data[i]):
        i += 1
    sign = 1
    if i < b and (data[i] == 45 or data[i] == 43):
        sign = -1 if data[i] == 45 else 1
        i += 1
    value, first = 0, i
    while i < b and i < first + 9 and 48 <= data[i] <= 57:
        value = value * 10 + (int(data[i]) - 48)
        i += 1
    return sign * value if i > first else ABSENT


@njit(cache=True)
def is_formula(data: Any, a: int, b: int) -> bool:
    """Whether an image's class begins with the word for a formula."""
    found = False
    for n in (3, 4, 5):
        found |= b - a >= n and hash_of(data, a, a + n) in (_H_TEX, _H_MWE, _H_MATH, _H_LATEX)
    return found


@njit(cache=True)
def raw_end(data: Any, name_from: int, name_to: int, at: int) -> int:
    """Behind the end tag of a raw text element that begins before `at`, or -1."""
    n, length = len(data), name_to - name_from
    i = at
    while True:
        i = find(data, 60, i)
        if i < 0 or i + 2 + length > n:
            return -1
        if data[i + 1] == 47:
            same = True
            for k in range(length):
                if lower(data[i + 2 + k]) != lower(data[name_from + k]):
                    same = False
                    break
            if same and (i + 2 + length == n or is_space(data[i + 2 + length]) or data[i + 2 + length] in (47, 62)):
                end = find(data, 62, i)
                return end + 1 if end >= 0 else n
        i += 1


@njit(cache=True)
def read_attributes(data: Any, at: int, node: Any, missing: Any) -> tuple[int, int, bool]:
    """Read a tag's attributes from `at`; returns (behind the tag, how many, self-closing)."""
    n, count, slash, i = len(data), 0, False, at
    while i < n:
        while i < n and (is_space(data[i]) or data[i] == 47):
            slash = data[i] == 47
            i += 1
        if i >= n or data[i] == 62:
            break
        if data[i] == 60 and count > 0:  # a tag that is never closed before the next begins
            return i, count, False
        slash = False
        a = i
        i += 1
        while i < n and not is_space(data[i]) and data[i] != 61 and data[i] != 62 and data[i] != 47:
            i += 1
        name = hash_of(data, a, i)
        count += 1
        j = i
        while j < n and is_space(data[j]):
            j += 1
        va = vb = 0
        if j < n and data[j] == 61:
            i = j + 1
            while i < n and is_space(data[i]):
                i += 1
            quote = data[i] if i < n else 0
            end = -1
            if quote == 34 or quote == 39:
                kind = 0 if quote == 34 else 1
                if not missing[kind]:
                    end = find(data, quote, i + 1)
                    if end < 0:
                        missing[kind] = True
                va = i + 1
            if end >= 0:
                vb = end
                i = end + 1
            else:
                va = i
                while i < n and not is_space(data[i]) and data[i] != 62:
                    i += 1
                vb = i
        if name == _CLASS:
            node[2], node[3] = va, vb
            _classed(data, va, min(vb, va + 300), node)
        elif name == _ID:
            node[4], node[5] = va, vb
        elif name == _HREF:
            node[6] |= HREF | (FRAGMENT if vb > va and data[va] == 35 else 0)
        elif name == _HIDDEN:
            node[6] |= HIDDEN if hash_of(data, va, vb) != _UNTIL_FOUND else 0
        elif name == _ARIA_HIDDEN:
            node[6] |= ARIA_HIDDEN if hash_of(data, va, vb) == _TRUE else 0
        elif name == _STYLE:
            _styled(data, va, vb, node)
        elif name == _ROLE:
            h = hash_of(data, va, vb)
            if h == _MAIN:
                node[6] |= ROLE_MAIN
            elif h == _ARTICLE:
                node[6] |= ROLE_ARTICLE
            elif h == _HEADING:
                node[6] |= ROLE_HEADING
            elif h in (_PRESENTATION, _NONE):
                node[6] |= PRESENTATION
            elif _is_in(h, _DROPPED_ROLES):
                node[6] |= ROLE_DROPPED
        elif name == _ITEMPROP:
            node[6] |= ARTICLE_BODY if hash_of(data, va, vb) == _ARTICLE_BODY else 0
        elif name == _TYPE:
            if vb - va == 1:
                node[8] = data[va]
            elif vb - va >= 8 and hash_of(data, va, va + 5) == _MATH_SLASH:
                node[6] |= MATH_SCRIPT
        elif name in (_START, _VALUE, _COLSPAN):
            node[7] = whole_number(data, va, vb)
        elif name == _ROWSPAN:
            node[8] = whole_number(data, va, vb)
        elif name == _REVERSED:
            node[6] |= REVERSED
        elif name == _EXPANDED:
            node[6] |= EXPANDS
        elif name == _LINE:
            node[6] |= NUMBER_CLASS
    return (i + 1 if i < n else n), count, slash
