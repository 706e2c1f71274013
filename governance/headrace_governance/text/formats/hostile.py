"""A cheap look at markup before any parser sees it: one linear pass, no nesting, no backtracking.

Measured on real parsers: 40,000 nested `<div>` cost resiliparse 18.5 s, 80,000 attributes cost lxml 5.4 s. Real pages
stay two orders of magnitude below these bounds (the deepest of 25,000 manual pages has 40 levels).
"""

from __future__ import annotations

import re

MAX_DEPTH = 512
"""Open block elements. HTML parsers themselves recommend 512 (WebKit's limit)."""
MAX_TAGS = 300_000
MAX_ATTRIBUTES = 1_000
"""In one tag."""
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]*)([^<>]*)>?")
_LOOSE = frozenset(
    (
        "area base br col embed hr img input link meta param source track wbr p li dt dd tr td th thead tbody tfoot "
        "option optgroup colgroup rp rt html head body"
    ).split()
)
"""Void elements, and elements whose end tag HTML lets the author leave out: they do not nest by being unclosed."""


def hostile(markup: str) -> str | None:
    """Why the markup must not reach a parser, or None."""
    depth = tags = 0
    for m in _TAG.finditer(markup):
        tags += 1
        if tags > MAX_TAGS:
            return f"more than {MAX_TAGS} tags"
        if m[3].count("=") > MAX_ATTRIBUTES or len(m[3].split(None, MAX_ATTRIBUTES + 1)) > MAX_ATTRIBUTES:
            return f"more than {MAX_ATTRIBUTES} attributes in a tag"
        name = m[2].lower()
        if name in _LOOSE or m[3].endswith("/"):
            continue
        depth = max(0, depth - 1) if m[1] else depth + 1
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH}"
    return None
