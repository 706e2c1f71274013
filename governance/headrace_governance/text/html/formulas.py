"""Formulas of a page as LaTeX between dollar signs, before anything else looks at its tree.

Sources, in the order in which they are believed: MathML's `<annotation encoding="application/x-tex">` (KaTeX, MediaWiki, LaTeXML,
pandoc), `alttext` of `<math>`, MathML itself (`formats/mathml.py`, as for JATS), MathJax 2's `<script type="math/tex">`, what MathJax 3
drew (`mathjax.py`), the `alt` of an image that a server rendered from LaTeX (MediaWiki `mwe-math`, WordPress `latex`, Sphinx `math`).
Formulas that are in the text as LaTeX already (`\\( \\)`, `$$`) stay as they are.
"""

from __future__ import annotations

import html
import re
from typing import Any

from headrace_governance.text.formats.mathml import latex
from headrace_governance.text.html.mathjax import drawn

_WRAPPERS = ("katex-display", "katex", "mwe-math-element", "MathJax_Display", "MathJax", "MathJax_SVG", "MathJax_CHTML", "ltx_Math")
_SUBSET_BEGIN, _SUBSET_END = re.compile(rb"<!DOCTYPE[^>\[]{0,500}+\[", re.IGNORECASE), re.compile(rb"\]\s*+>")
_LONGEST_SUBSET = 100_000
_MATH_CDATA = re.compile(rb"<!\[CDATA\[([^\]<]{0,2000}(?:<[^\]]{0,2000})?)\]\]>")
"""What an author put into MathML by XML's means; a longer one is not a formula's."""
MAX_FORMULA = 20_000


def _without_subset(data: bytes) -> bytes:
    """A page without its doctype if that has declarations, which libxml2's HTML parser would take for text."""
    close = -1
    for begin in _SUBSET_BEGIN.finditer(data):
        if close < begin.end():
            close = data.find(b"]", begin.end())
        if close < 0:
            break
        end = _SUBSET_END.match(data, close)
        if end is not None and close - begin.end() <= _LONGEST_SUBSET:
            return data[: begin.start()] + data[end.end() :]
    return data


def as_text(data: bytes) -> bytes:
    """A page's UTF-8 with every formula replaced by a text; unchanged if it cannot be parsed."""
    from lxml import etree

    if b"<mml:math" in data:
        data = data.replace(b"<mml:", b"<").replace(b"</mml:", b"</")
    data = _MATH_CDATA.sub(lambda found: html.escape(found[1].decode("utf-8", "replace"), quote=False).encode(), data)
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        tree = etree.fromstring(_without_subset(data), parser)
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
    for e in tree.xpath("//script[starts-with(@type,'math/')]"):
        _drop_preview(e)
        _replace(e, _scripted(e.get("type"), (e.text or "").strip()))
    for e in tree.xpath("//math | //*[local-name()='math']"):
        if e.getparent() is None or _gone(e, tree):
            continue
        source = _annotation(e) or (e.get("alttext") or "").strip() or _converted(e)
        wrapper = _wrapper(e)
        display = "block" in (e.get("display"), e.get("mode")) or e.get("mode") == "display" or wrapper.get("display") == "true"
        display = display or "display" in (wrapper.get("class") or "").lower()
        _replace(wrapper, _dollars(source, display) if source else " ".join("".join(e.itertext()).split()))
    for e in tree.xpath("//mjx-container"):
        source = drawn(e)
        if source and e.getparent() is not None:
            _replace(e, _dollars(source, e.get("display") == "true"))
    for e in tree.xpath("//img[@alt]"):
        names = f"{e.get('class') or ''} {e.get('src') or ''}"
        if any(w in names for w in ("latex", "mwe-math", "math", "tex.cgi")) and e.get("alt").strip():
            _replace(e, _dollars(e.get("alt").strip(), False))


def _scripted(kind: str, text: str) -> str:
    """A formula from MathJax 2's script: TeX, MathML, or AsciiMath, which stays as it is."""
    if kind.startswith("math/tex"):
        return _dollars(text, "display" in kind)
    if kind.startswith("math/mml"):
        from lxml import etree

        try:
            found = etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
        except etree.XMLSyntaxError:
            return ""
        return _dollars(_converted(found), found.get("display") == "block")
    return text


def _gone(e: Any, tree: Any) -> bool:
    """Whether an element was taken out with its wrapper: of two formulas in one, the second."""
    top = e
    for up in e.iterancestors():
        top = up
    return top is not tree


def _converted(e: Any) -> str:
    """LaTeX of MathML that says nothing else; its lines are one, as in JATS."""
    return " ".join(latex(e).split())


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
        elif up.tag not in ("span", "mjx-assistive-mml", "nobr"):
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
    while (before := script.getprevious()) is not None and not (before.tail or "").strip():
        if "MathJax" not in (before.get("class") or "") and "mjx" not in (before.get("class") or ""):
            break
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
