"""What MathJax 3 and 4 drew → LaTeX, where the page holds neither its source nor MathML.

Both outputs keep MathML's structure: CHTML in the names of its elements (`mjx-mfrac`; characters by class, `mjx-c1D465`), SVG in
attributes (`data-mml-node`, characters in `data-c`). From it MathML is built, which `formats/mathml.py` converts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from headrace_governance.text.formats.mathml import latex

_CHARACTER = re.compile(r"(?:^|\s)mjx-c([0-9A-F]{1,5})(?:$|\s)")
_SHIFT = re.compile(r"translate\([^,()]{1,20},\s?(-?)")
_TOKENS = frozenset("mi mn mo mtext ms".split())
_ROWS = {"math": "mrow", "texatom": "mrow", "mstyle": "mrow", "mpadded": "mrow"}
DEPTH = 60


def drawn(container: Any) -> str:
    """LaTeX of an `mjx-container`, or nothing."""
    from lxml import etree

    for e in container.iter():
        if isinstance(e.tag, str) and e.get("data-latex") and _name(e) == "math":
            return str(e.get("data-latex")).strip()
    root = etree.Element("mrow")
    for child in _parts(container, 0):
        _build(child, root, 0)
    return " ".join(latex(root).split())


def _name(e: Any) -> str:
    """MathML's name of a drawn element, or nothing if it only places."""
    if not isinstance(e.tag, str):
        return ""
    name = str(e.get("data-mml-node") or "").lower()
    if (not name and e.tag.startswith("mjx-m")) or e.tag == "mjx-texatom":
        name = e.tag[4:]
    return name


def _parts(e: Any, depth: int) -> Iterator[Any]:
    """The drawn elements next below."""
    if depth > DEPTH:
        return
    for child in e:
        if _name(child):
            yield child
        elif isinstance(child.tag, str):
            yield from _parts(child, depth + 1)


def _build(e: Any, parent: Any, depth: int) -> None:
    from lxml import etree

    name = _name(e)
    if depth > DEPTH:
        return
    made = etree.SubElement(parent, _ROWS.get(name, name))
    if name in _TOKENS:
        made.text = "".join(_characters(e))
        return
    parts = list(_parts(e, 0))
    if name == "mfrac":
        parts = [p for part in ("mjx-num", "mjx-den") for p in _within(e, part)] or parts
    elif name in ("msqrt", "mroot"):
        root = _within(e, "mjx-root")
        parts = [*(_within(e, "mjx-box") or [p for p in parts if _name(p) != "mo"]), *root]
    elif name in ("munder", "mover", "munderover"):
        base, under, over = (_within(e, part) for part in ("mjx-base", "mjx-under", "mjx-over"))
        parts = [*base, *under, *over] if base else parts
    if name in ("msubsup", "munderover") and len(parts) == 3 and _is_raised(parts[1]):
        parts = [parts[0], parts[2], parts[1]]
    for part in parts:
        _build(part, made, depth + 1)


def _within(e: Any, tag: str) -> list[Any]:
    """What the first element of this name below holds, as one part or none."""
    found = next(e.iter(tag), None)
    if found is None:
        return []
    parts = list(_parts(found, 0))
    return parts[:1]


def _is_raised(e: Any) -> bool:
    """Whether the first of two scripts is the upper one: always in CHTML, in SVG by its place."""
    shift = _SHIFT.match(e.get("transform") or "")
    return not shift[1] if shift else str(e.tag).startswith("mjx-")


def _characters(e: Any) -> Iterator[str]:
    for c in e.iter():
        if not isinstance(c.tag, str):
            continue
        code = c.get("data-c")
        if code is None and c.tag == "mjx-c":
            found = _CHARACTER.search(c.get("class") or "")
            code = found[1] if found else None
        if code is not None and re.fullmatch(r"[0-9A-Fa-f]{1,5}", code):
            yield unicodedata.normalize("NFKC", chr(int(code, 16)))
        elif c.tag in ("mjx-utext", "text", "mjx-c") and c.text:
            yield c.text
