"""Formulas of a page as LaTeX between dollar signs, before anything else looks at its tree.

Sources, in the order in which they are believed: MathML's `<annotation encoding="application/x-tex">` (KaTeX, MediaWiki, LaTeXML,
pandoc), `alttext` of `<math>`, MathJax 2's `<script type="math/tex">`, the `alt` of an image that a server rendered from LaTeX
(MediaWiki `mwe-math`, WordPress `latex`, Sphinx `math`). A `<math>` with none of them gives its text. Formulas that are in the text
as LaTeX already (`\\( \\)`, `$$`) stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

_WRAPPERS = ("katex-display", "katex", "mwe-math-element", "MathJax_Display", "MathJax", "mjx-container")
_SUBSET = re.compile(rb"<!DOCTYPE[^>\[]{0,500}\[[^\]]{0,100000}\]\s*>", re.IGNORECASE)
"""A doctype with declarations, which libxml2's HTML parser would take for text."""
MAX_FORMULA = 20_000


def as_text(data: bytes) -> bytes:
    """A page's UTF-8 with every formula replaced by a text; unchanged if it cannot be parsed."""
    from lxml import etree

    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        tree = etree.fromstring(_SUBSET.sub(b"", data, count=1), parser)
    except etree.XMLSyntaxError:
        return data
    if tree is None:
        return data
    try:
        _replace_all(tree)
    except ValueError:  # lxml reads control characters, and refuses to write them
        return data
    out: bytes = etree.tostring(tree, method="html", encoding="utf-8")
    return out


def _replace_all(tree: Any) -> None:
    for e in tree.xpath("//math | //*[local-name()='math']"):
        if e.getparent() is None:
            continue
        source = _annotation(e) or (e.get("alttext") or "").strip()
        display = e.get("display") == "block" or e.get("mode") == "display"
        wrapper = _wrapper(e)
        display = display or "display" in (wrapper.get("class") or "").lower()
        _replace(wrapper, _dollars(source, display) if source else " ".join("".join(e.itertext()).split()))
    for e in tree.xpath("//script[starts-with(@type,'math/tex')]"):
        _drop_preview(e)
        _replace(e, _dollars((e.text or "").strip(), "display" in e.get("type")))
    for e in tree.xpath("//img[@alt]"):
        names = f"{e.get('class') or ''} {e.get('src') or ''}"
        if any(w in names for w in ("latex", "mwe-math", "math", "tex.cgi")) and e.get("alt").strip():
            _replace(e, _dollars(e.get("alt").strip(), False))


def _annotation(e: Any) -> str:
    for a in e.iter("annotation", "{*}annotation"):
        if "tex" in (a.get("encoding") or "").lower():
            return "".join(a.itertext()).strip()
    return ""


def _wrapper(e: Any) -> Any:
    """The outermost element that only draws this formula (KaTeX sets it twice, MediaWiki adds an image)."""
    top = e
    for up in e.iterancestors():
        names = (up.get("class") or "").split()
        if up.tag == "mjx-container" or any(n in _WRAPPERS for n in names):
            top = up
        elif up.tag not in ("span", "mjx-assistive-mml"):
            break
    return top


def _dollars(source: str, display: bool) -> str:
    source = source[:MAX_FORMULA]
    if source.startswith("{\\displaystyle") and source.endswith("}"):  # MediaWiki's wrapping
        source = source[len("{\\displaystyle") : -1].strip()
    if not source:
        return ""
    if source.startswith(("$", "\\(", "\\[", "\\begin")):
        return source
    return f"$${source}$$" if display else f"${source}$"


def _drop_preview(script: Any) -> None:
    """MathJax 2 sets what it drew, and a preview, before the script that holds the source."""
    while (before := script.getprevious()) is not None and "MathJax" in (before.get("class") or "") and not (before.tail or "").strip():
        remove(before)


def _replace(e: Any, text: str) -> None:
    if e.getparent() is not None:
        e.tail = text + (e.tail or "")
        remove(e)


def remove(e: Any) -> None:
    """Take an element out of its tree; the text after it stays."""
    parent = e.getparent()
    if parent is None:
        return
    if e.tail:
        before = e.getprevious()
        if before is None:
            parent.text = (parent.text or "") + e.tail
        else:
            before.tail = (before.tail or "") + e.tail
    parent.remove(e)
