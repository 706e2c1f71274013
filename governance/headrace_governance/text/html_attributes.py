"""The byte level of the HTML tokeniser, compiled: names, attributes, styles that hide, and where raw text ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from headrace_governance.text.html_tags import SLOTS, fnv

HREF, HIDDEN, ROLE_DROPPED, ROLE_MAIN, ROLE_ARTICLE, ARTICLE_BODY, PRESENTATION = 1, 2, 4, 8, 16, 32, 64
"""What a node's attributes say, by bit."""
_TYPE, _MATH_TEX = fnv(b"type"), fnv(b"math/tex")
_CLASS, _ID, _ROLE, _ITEMPROP, _HREF, _HIDDEN, _ARIA_HIDDEN, _STYLE, _START = (
    fnv(n) for n in b"class id role itemprop href hidden aria-hidden style start".split()
)
_DROPPED_ROLES = np.array(
    sorted(
        fnv(n)
        for n in b"navigation banner contentinfo search complementary menu menubar dialog alert alertdialog tablist toolbar tooltip".split()
    ),
    dtype=np.int64,
)
_MAIN, _ARTICLE, _ARTICLE_BODY, _PRESENTATION, _NONE, _TRUE = (
    fnv(n) for n in (b"main", b"article", b"articlebody", b"presentation", b"none", b"true")
)
_H_TEX, _H_MWE, _H_MATH, _H_LATEX = fnv(b"tex"), fnv(b"mwe-"), fnv(b"math"), fnv(b"latex")
_H_DISPLAY, _H_VISIBILITY, _H_HIDDEN = fnv(b"display"), fnv(b"visibility"), fnv(b"hidden")


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
def _hides(data: Any, a: int, b: int) -> bool:
    """Whether a style says display:none or visibility:hidden: its `none` or `hidden` follows a colon and that word."""
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
            elif (word == _H_DISPLAY and h == _NONE) or (word == _H_VISIBILITY and h == _H_HIDDEN):
                return True
            i = max(end, i + 1)
            continue
        i += 1
    return False


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
        elif name == _ID:
            node[4], node[5] = va, vb
        elif name == _HREF:
            node[6] |= HREF
        elif name == _HIDDEN:
            node[6] |= HIDDEN
        elif name == _ARIA_HIDDEN:
            if hash_of(data, va, vb) == _TRUE:
                node[6] |= HIDDEN
        elif name == _STYLE:
            if _hides(data, va, vb):
                node[6] |= HIDDEN
        elif name == _ROLE:
            h = hash_of(data, va, vb)
            if h == _MAIN:
                node[6] |= ROLE_MAIN
            elif h == _ARTICLE:
                node[6] |= ROLE_ARTICLE
            elif h in (_PRESENTATION, _NONE):
                node[6] |= PRESENTATION
            else:
                for role in _DROPPED_ROLES:
                    if role == h:
                        node[6] |= ROLE_DROPPED
        elif name == _ITEMPROP:
            if hash_of(data, va, vb) == _ARTICLE_BODY:
                node[6] |= ARTICLE_BODY
        elif name == _TYPE:
            if vb - va >= 8 and hash_of(data, va, va + 8) == _MATH_TEX:
                node[7] = -1
        elif name == _START:
            value = 0
            for k in range(va, min(vb, va + 8)):
                if data[k] < 48 or data[k] > 57:
                    break
                value = value * 10 + (data[k] - 48)
            node[7] = value
    return (i + 1 if i < n else n), count, slash
