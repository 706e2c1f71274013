"""HTML → Markdown-like text of a page's main content: headings, paragraphs, lists, code, tables, quotes.

Two readings are made and the better one kept (`page_text`). *Structure*: the page's own main region (`main`, `article`,
`role=main`, else `body`) without navigation, forms and link lists; keeps headings and code as they are, right for
documentation. *trafilatura* (Barbaresi 2021): statistics over the whole page; more exact where boilerplate is not
marked as such, but it flattens code and loses headings in manuals. The structure reading wins if at most
`LINK_SHARE` of its characters are links, or if trafilatura finds less than a third of it.
"""

from __future__ import annotations

import re
from typing import Any

LINK_SHARE = 0.25
"""Articles measured on manuals: 0.02-0.15; indexes and portals: above 0.4."""
_DROP = frozenset(
    (
        "script style noscript template nav header footer aside form button select textarea input iframe object embed "
        "svg canvas audio video map dialog head math"
    ).split()
)
_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog", "alert"})
_BOILER = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|menu|sidebar|breadcrumbs?|footer|cookie|share|social|advert|ads?|banner|skip|toc|docnav|popup)(?:$|[\s_-])",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLOCK = frozenset(
    (
        "address article blockquote body center dd details div dl dt fieldset figcaption figure h1 h2 h3 h4 h5 h6 hr "
        "html li main ol p pre section summary table ul"
    ).split()
)
_SPACE = re.compile(r"[ \t\r\n\f\v\u00a0]+")


def page_text(markup: str) -> tuple[str, str | None]:
    """Text and title of a page; the text is empty if there is none."""
    import lxml.html

    try:
        tree = lxml.html.document_fromstring(_without_declaration(markup))
    except (lxml.etree.ParserError, ValueError):
        return "", None
    title = _SPACE.sub(" ", tree.findtext(".//title") or "").strip() or None
    writer = _Writer()
    main = _main(tree)
    writer.element(main)
    structure = writer.text()
    if structure and writer.link_characters <= LINK_SHARE * max(1, writer.characters):
        return structure, title
    import trafilatura

    other = (
        trafilatura.extract(markup, output_format="markdown", include_formatting=True, include_comments=False, favor_precision=True) or ""
    )
    return (structure if len(other) * 3 < len(structure) else other.strip()), title


def _without_declaration(markup: str) -> str:
    # lxml refuses str with an XML encoding declaration; the text is decoded already. It also refuses NUL.
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", markup, count=1).replace("\x00", "")


def _main(tree: Any) -> Any:
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = tree.findall(path)
        if len(found) == 1 and len(found[0].text_content()) > 200:
            return found[0]
    body = tree.find("body")
    return tree if body is None else body


def _is_boilerplate(e: Any) -> bool:
    if e.tag in _DROP or e.get("hidden") is not None or e.get("aria-hidden") == "true":
        return True
    if e.get("role", "").lower() in _ROLES or _HIDDEN.search(e.get("style", "")):
        return True
    return e.tag in ("div", "ul", "ol", "section", "table", "p") and bool(_BOILER.search(f"{e.get('class', '')} {e.get('id', '')}"))


class _Writer:
    """Walks a tree and writes Markdown blocks. Depth is bounded before parsing (`hostile`), so recursion is safe."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.characters = 0
        self.link_characters = 0
        self._run: list[str] = []

    def text(self) -> str:
        self._flush()
        return "\n\n".join(self.blocks).strip()

    def _add(self, block: str, *, join: bool = False) -> None:
        if join and self.blocks:
            self.blocks[-1] += "\n" + block
        elif block:
            self.blocks.append(block)

    def _flush(self, prefix: str = "", *, join: bool = False) -> bool:
        line = _SPACE.sub(" ", "".join(self._run).replace("\x1e", "\n"))
        line = re.sub(r" ?\n ?", "\n", line).strip()
        self._run.clear()
        if line:
            self._add(prefix + line, join=join)
        return bool(line)

    def element(self, e: Any, prefix: str = "") -> None:
        """Write an element's content; its tail belongs to the parent."""
        if not isinstance(e.tag, str) or _is_boilerplate(e):
            return
        tag = e.tag
        if tag in _BLOCK:
            self._flush()
        if tag == "pre":
            self._code(e)
        elif tag == "table":
            self._table(e)
        elif tag in ("ul", "ol"):
            self._list(e, prefix)
        elif re.fullmatch("h[1-6]", tag):
            self._inside(e, prefix)
            self._flush("#" * int(tag[1]) + " ")
        elif tag == "br":
            self._run.append("\x1e")
        elif tag == "blockquote":
            self._inside(e, prefix)
            self._flush("> ")
        elif tag == "code" or tag in ("kbd", "samp", "tt"):
            inner = _SPACE.sub(" ", e.text_content()).strip()
            self._count(inner)
            self._run.append(f"`{inner}`" if inner else "")
        else:
            self._inside(e, prefix, link=tag == "a" and e.get("href") is not None)
        if tag in _BLOCK:
            self._flush()

    def _inside(self, e: Any, prefix: str, *, link: bool = False) -> None:
        before = self.characters
        self._take(e.text)
        for child in e:
            self.element(child, prefix)
            self._take(child.tail)
        if link:
            self.link_characters += self.characters - before

    def _take(self, text: str | None) -> None:
        if text:
            self._count(text)
            self._run.append(text)

    def _count(self, text: str) -> None:
        self.characters += len(text) - text.count(" ") - text.count("\n")

    def _code(self, e: Any) -> None:
        code = e.text_content().strip("\n")
        self._count(code)
        if code.strip():
            self._add(f"```\n{code.rstrip()}\n```")

    def _list(self, e: Any, prefix: str) -> None:
        items = [c for c in e if c.tag == "li" and not _is_boilerplate(c)]
        links = sum(len(a.text_content()) for i in items for a in i.iter("a"))
        words = sum(len(i.text_content()) for i in items)
        if len(items) >= 3 and links > 0.8 * max(1, words):
            return  # a list of links is navigation, whatever it is called
        for number, item in enumerate(items, start=1):
            mark = f"{number}. " if e.tag == "ol" else "- "
            inner = _Writer()
            inner._inside(item, prefix)
            body = inner.text()
            self.characters += inner.characters
            self.link_characters += inner.link_characters
            if body:
                indented = re.sub(r"\n+", "\n" + " " * len(mark), body)
                self._add(mark + indented, join=number > 1 and bool(self.blocks))

    def _table(self, e: Any) -> None:
        rows = []
        for row in e.iter("tr"):
            cells = []
            for cell in row:
                if cell.tag in ("td", "th"):
                    inner = _Writer()
                    inner._inside(cell, "")
                    self.characters += inner.characters
                    self.link_characters += inner.link_characters
                    cells.append(_SPACE.sub(" ", inner.text()).replace("|", "\\|"))
            if any(cells):
                rows.append(cells)
        if not rows:
            return
        if max(map(len, rows)) == 1 or any(row.find(".//table") is not None for row in e.iter("tr")):
            for cells in rows:  # a layout table
                self._add(" ".join(c for c in cells if c))
            return
        wide = max(map(len, rows))
        lines = ["| " + " | ".join(cells + [""] * (wide - len(cells))) + " |" for cells in rows]
        lines.insert(1, "|" + " --- |" * wide)
        self._add("\n".join(lines))
