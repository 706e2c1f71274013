"""HTML → Markdown-like text of a page's main content: headings, paragraphs, lists, code, tables, quotes, formulas.

One parse (libxml2), one walk (`html_blocks`), one choice of blocks with a confidence (`main_content`). Where the confidence is below
`CONFIDENT`, trafilatura (Barbaresi 2021: statistics over the whole page, with readability and jusText behind it) reads the page too,
and its answer is taken unless it found much less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headrace_governance.text import formulas
from headrace_governance.text.html_blocks import DROPPED, TRANSPARENT, Block, Walk
from headrace_governance.text.main_content import choose

CONFIDENT = 0.5
_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0]+")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@dataclass(frozen=True)
class PageText:
    """What a page gave.

    Attributes:
        confidence: of the fast reading, 0 to 1.
        method: `fast` or `trafilatura`, whose text it is.
    """

    text: str
    title: str | None
    confidence: float
    method: str


def page_text(markup: str) -> tuple[str, str | None]:
    """Text and title of a page; the text is empty if there is none."""
    page = read_page(markup)
    return page.text, page.title


def read_page(markup: str, *, fallback: bool = True) -> PageText:
    """Read a page; with `fallback`, a second time where the first reading is unsure."""
    tree = parse(markup)
    if tree is None:
        return PageText("", None, 0.0, "fast")
    title = _SPACE.sub(" ", tree.findtext(".//title") or "").strip() or None
    _prepare(tree, markup)
    walk = Walk()
    body = tree.find("body")
    walk.element(tree if body is None else body)
    walk.flush()
    blocks, confidence = choose(walk.page)
    text = write(blocks)
    if not fallback or confidence >= CONFIDENT:
        return PageText(text, title, confidence, "fast")
    import trafilatura

    other = trafilatura.extract(markup, output_format="markdown", include_formatting=True, include_comments=False) or ""
    if len(other) * 3 < len(text):
        return PageText(text, title, confidence, "fast")
    return PageText(other.strip(), title, confidence, "trafilatura")


def parse(markup: str) -> Any:
    """The tree of a page, or None if there is nothing to parse."""
    import lxml.etree
    import lxml.html

    # Bytes in a known encoding: libxml2 then needs no look at declarations, and Python keeps no wide copy.
    data = _DECLARATION.sub("", markup, count=1).replace("\x00", "").replace("\x01", "").encode("utf-8", "replace")
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        return lxml.html.document_fromstring(data, parser=parser)
    except (lxml.etree.ParserError, ValueError):
        return None


def _prepare(tree: Any, markup: str) -> None:
    import lxml.etree

    formulas.to_text(tree, markup)
    for e in tree.xpath("//*[@style]"):
        if _HIDDEN.search(e.get("style")) and e.tag not in ("body", "html", "main", "article"):
            e.drop_tree()
    if "sr-only" in markup or "editsection" in markup or "lineno" in markup or "visually-hidden" in markup:
        for e in tree.xpath(_SPANS):
            e.drop_tree()
    lxml.etree.strip_elements(tree, *DROPPED, with_tail=False)
    lxml.etree.strip_tags(tree, *TRANSPARENT)


_SPANS = (
    "//span[contains(@class,'sr-only') or contains(@class,'visually-hidden') or contains(@class,'editsection') or contains(@class,'lineno')]"
)


def write(blocks: list[Block]) -> str:
    """Markdown of blocks."""
    parts: list[str] = []
    for b in blocks:
        if parts:
            parts.append("\n" if b.tight else "\n\n")
        text = b.text.replace("\n", "\n" + b.rest) if b.rest and "\n" in b.text else b.text
        parts.append(b.first + text)
    return "".join(parts).strip()
