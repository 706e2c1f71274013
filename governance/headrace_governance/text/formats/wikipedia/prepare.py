"""What is taken out of wikitext before it is parsed, in one linear pass: comments, references, tags that nobody closed.

References hold most of a page's templates, so the parser has half the work without them. Unclosed tags matter for safety:
mwparserfromhell reads on to the end of the page for each of them and starts again, which took 35 s for 200 kB of `<div>`.
"""

from __future__ import annotations

import re

_TAG = re.compile(r"<!--|<(/?)([A-Za-z][A-Za-z0-9]{0,20})([^<>]{0,2000})>")
_VERBATIM = frozenset({"nowiki", "pre", "syntaxhighlight", "source", "math", "chem", "score", "timeline", "hiero", "graph", "templatedata"})
"""Whose content is not wikitext: nothing in it is touched, up to the end tag."""
_SINGLE = frozenset({"br", "hr", "wbr", "references", "li", "dt", "dd", "td", "th", "tr", "img", "templatestyles", "nowiki", "section"})
"""Which stand alone, or may by HTML's rules be left open."""


def prepared(source: str) -> str:
    """The wikitext without comments, references and unclosed tags."""
    if "<" not in source:
        return source
    keep: list[str] = []  # pieces; those at the places of `opened` are tags that may turn out to be unclosed
    opened: dict[str, list[int]] = {}
    missing: set[str] = set()  # end tags that do not occur from here on
    lowered = source.lower()
    aligned = len(lowered) == len(source)  # lower-casing may change the length (Turkish dotted I)
    at = 0
    for_search = lowered if aligned else source
    while (found := _TAG.search(source, at)) is not None:
        keep.append(source[at : found.start()])
        at = found.end()
        if found[2] is None:
            end = source.find("-->", at)
            at = len(source) if end < 0 else end + 3  # MediaWiki hides the rest of the page as well
            continue
        name, closing, alone = found[2].lower(), bool(found[1]), found[3].endswith("/")
        if name == "ref" or (name in _VERBATIM and not closing and not alone):
            end = -1 if closing or alone or name in missing else for_search.find(f"</{name}", at)
            if not (closing or alone) and end < 0:
                missing.add(name)
            stop = source.find(">", end) + 1 if end >= 0 else 0
            if name == "ref":
                at = stop or at
            elif stop:
                keep.append(found[0] + source[at:stop])
                at = stop
            continue
        if closing:
            if name in _SINGLE:
                keep.append(found[0])
            elif opened.get(name):
                opened[name].pop()
                keep.append(found[0])
            continue
        if not alone and name not in _SINGLE:
            opened.setdefault(name, []).append(len(keep))
        keep.append(found[0])
    keep.append(source[at:])
    for places in opened.values():
        for place in places:
            keep[place] = ""
    return "".join(keep)
