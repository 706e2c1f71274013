"""A page's tree as a flat list of Markdown blocks, in one walk, with the containers they lie in.

Nothing is decided here: blocks that an element's name marks as boilerplate or comments carry the mark, and `main_content` chooses.
Depth is bounded before parsing (`hostile`), so recursion is safe. Inline elements without meaning are taken out by libxml2 before
the walk, which leaves Python a third fewer elements to see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from headrace_governance.text.html_rules import COMMENTS, DROPPED_ROLES, LONGEST_NAME, NOTHING, BOILERPLATE, mark, rank

PROSE, HEADING, ITEM, CODE, TABLE = range(5)
DROPPED = (
    "script", "style", "noscript", "template", "iframe", "object", "embed", "svg", "canvas", "audio", "video", "map", "head",
    "link", "meta", "select", "textarea", "input", "datalist", "dialog", "option", "frameset", "noframes", "applet", "source", "track",
)  # fmt: skip
TRANSPARENT = (
    "span", "b", "i", "em", "strong", "font", "small", "u", "abbr", "label", "time", "cite", "wbr", "ins", "mark", "bdi", "bdo", "big",
    "acronym", "var", "dfn", "strike", "nobr", "tbody", "thead", "tfoot", "picture", "ruby", "rb", "o:p",
)  # fmt: skip
_BREAK = "\x01"
_BREAKS = re.compile(rf" ?{_BREAK} ?")
_MANY_LINES = re.compile(r"\n{3,}")
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight|brush:|sourceCode|prism|hljs)[-\s:]*([A-Za-z0-9+#_.]{1,20})(?:\s|$|;)")
_NO_LANGUAGE = frozenset(("default", "none", "text", "notranslate", "plain", "plaintext", "nohighlight", "source", "console-output"))
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_CONTAINERS = frozenset(
    (
        "address article blockquote body center dd details div dl dt fieldset figcaption figure html li main ol p section summary table "
        "tr td th ul nav header footer aside form caption hgroup legend menu search"
    ).split()
)
_MARKED_TAGS = frozenset(("nav", "footer", "aside", "menu", "search", "button"))


@dataclass(slots=True)
class Block:
    """One block of text.

    Attributes:
        size, link_size: UTF-8 bytes, of which inside of links.
        mark: what the nearest marked ancestor's name says (`html_rules`).
        first, rest: what stands before the first line and the others (list marks, quotes, indents).
        tight: no empty line before it.
    """

    text: str
    size: int
    link_size: int
    kind: int
    mark: int
    first: str = ""
    rest: str = ""
    tight: bool = False


@dataclass(slots=True)
class Container:
    """An element with blocks: those from `start` to before `end`."""

    parent: int
    tag: str
    rank: int
    mark: int
    start: int
    end: int = 0


@dataclass(slots=True)
class Page:
    """A page's blocks and containers, containers in document order (a parent before its children)."""

    blocks: list[Block] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)


class Walk:
    """One walk over a tree."""

    def __init__(self) -> None:
        self.page = Page()
        self._blocks = self.page.blocks
        self._run: list[str] = []
        self._run_link = 0
        self._links = 0
        self._mark = NOTHING
        self._parent = -1
        self._first: str | None = None
        self._indent = ""
        self._item = 0
        self._pending_language = ""

    def element(self, e: Any) -> None:
        """Write an element's content; its tail belongs to the parent."""
        tag = e.tag
        if tag in _CONTAINERS:
            self._container(e, tag)
        elif tag == "a":
            self._link(e)
        elif tag == "br":
            self._run.append(_BREAK)
        elif tag in _HEADINGS:
            self._heading(e, tag)
        elif tag == "pre" or tag == "listing" or tag == "xmp":
            self._code(e)
        elif tag in ("code", "kbd", "samp", "tt"):
            self._inline_code(e)
        elif tag == "hr":
            self.flush()
        elif tag == "q":
            self._run.append("\u201c")
            self._inside(e)
            self._run.append("\u201d")
        elif tag in ("button", "img") or not isinstance(tag, str):
            pass
        elif "-" in tag:
            self._container(e, tag)  # a custom element
        else:
            self._inside(e)

    def _inside(self, e: Any) -> None:
        text = e.text
        if text:
            self._take(text)
        for child in e:
            self.element(child)
            tail = child.tail
            if tail:
                self._take(tail)

    def _take(self, text: str) -> None:
        self._run.append(text)
        if self._links:
            self._run_link += len(text.strip().encode("utf-8", "replace"))

    # -- blocks ---------------------------------------------------------------------------------------------------------

    def flush(self, kind: int = PROSE, prefix: str = "") -> None:
        """End the current run of inline text as a block."""
        run = self._run
        if not run:
            return
        line = _squeeze("".join(run))
        run.clear()
        link, self._run_link = self._run_link, 0
        if _BREAK in line:
            line = _MANY_LINES.sub("\n\n", _BREAKS.sub("\n", line)).strip()
        if line:
            self._add(prefix + line, len(line.encode("utf-8", "replace")), link, ITEM if kind == PROSE and self._item else kind)

    def _add(self, text: str, size: int, link: int, kind: int) -> None:
        first, tight = self._indent, self._item > 1
        if self._first is not None:
            first, self._first = self._first, None
        if self._item:
            self._item += 1
        self._blocks.append(Block(text, size, min(link, size), kind, self._mark, first, self._indent, tight))

    def _container(self, e: Any, tag: str) -> None:
        self.flush()
        get = e.get
        cls, identifier, role = get("class") or "", get("id") or "", get("role") or ""
        before, names = self._mark, ""
        found = NOTHING
        if tag in _MARKED_TAGS or role in DROPPED_ROLES or get("hidden") is not None or get("aria-hidden") == "true":
            found = BOILERPLATE
        elif cls or identifier:
            names = f"{cls[:LONGEST_NAME]} {identifier[:LONGEST_NAME]}"
            if tag != "body" and tag != "html" and tag != "article" and tag != "main":
                found = mark(tag, names)
        if found != NOTHING and before == NOTHING:
            self._mark = found
        containers = self.page.containers
        number = len(containers)
        ranked = rank(tag, cls[:LONGEST_NAME], identifier[:LONGEST_NAME], get("itemprop") or role) if names or tag in ("article", "main") or role else 0
        containers.append(Container(self._parent, tag, ranked, self._mark, len(self._blocks)))
        outer, self._parent = self._parent, number
        if tag == "ul" or tag == "ol" or tag == "menu":
            self._list(e, tag)
        elif tag == "table":
            self._table(e, cls)
        elif tag == "blockquote":
            self._prefixed(e, "> ", "> ")
        elif tag == "dd":
            self._inside(e)
        elif tag == "li":  # outside of a list
            self._prefixed(e, "- ", "  ")
        else:
            language = _language(cls) if "highlight" in cls or "source" in cls or "lang" in cls else ""
            kept, self._pending_language = self._pending_language, language or self._pending_language
            self._inside(e)
            self._pending_language = kept
        self.flush()
        self._parent, self._mark = outer, before
        containers[number].end = len(self._blocks)

    def _heading(self, e: Any, tag: str) -> None:
        self.flush()
        self._inside(e)
        self.flush(HEADING, "#" * _HEADINGS[tag] + " ")

    def _link(self, e: Any) -> None:
        cls = e.get("class")
        if cls and ("headerlink" in cls or "anchor" in cls) and len(e) == 0 and len(e.text or "") <= 1:
            return
        linked = e.get("href") is not None
        self._links += linked
        self._inside(e)
        self._links -= linked

    def _prefixed(self, e: Any, first: str, rest: str) -> None:
        indent, item, mine = self._indent, self._item, self._indent + first
        self._first, self._indent = mine, indent + rest
        self._item = 1 if first != rest else item
        self._inside(e)
        self.flush()
        if self._first == mine:
            self._first = None
        self._indent, self._item = indent, item

    def _list(self, e: Any, tag: str) -> None:
        start = e.get("start") or ""
        number = int(start) if start.isascii() and start.isdigit() and len(start) < 9 else 1
        tight = self._item > 0
        for child in e:
            if child.tag != "li":
                self.element(child)
                continue
            self.flush()
            sign = f"{number}. " if tag == "ol" else "- "
            number += 1
            at = len(self._blocks)
            names = f"{(child.get('class') or '')[:LONGEST_NAME]} {(child.get('id') or '')[:LONGEST_NAME]}"
            before = self._mark
            if names != " " and before == NOTHING:
                self._mark = mark("li", names)
            self._prefixed(child, sign, " " * len(sign))
            self._mark = before
            if at < len(self._blocks):
                self._blocks[at].tight |= tight
                tight = True
        self.flush()

    def _inline_code(self, e: Any) -> None:
        inner = _squeeze("".join(e.itertext()))
        if inner:
            if self._links:
                self._run_link += len(inner.encode("utf-8", "replace"))
            self._run.append(f"`{inner}`")

    def _code(self, e: Any) -> None:
        self.flush()
        for br in e.iter("br"):
            br.tail = "\n" + (br.tail or "")
        code = "".join(e.itertext()).replace("\r\n", "\n").strip("\n").rstrip()
        if not code.strip():
            return
        inner = e[0] if len(e) and e[0].tag == "code" else None
        language = _language(e.get("class") or "") or (_language(inner.get("class") or "") if inner is not None else "")
        language = language or (e.get("lang") or e.get("data-lang") or "")[:20] or self._pending_language
        fence = "```"
        while fence in code:
            fence += "`"
        self._add(f"{fence}{language}\n{code}\n{fence}", len(code.encode("utf-8", "replace")), 0, CODE)

    # -- tables ---------------------------------------------------------------------------------------------------------

    def _table(self, e: Any, cls: str) -> None:
        rows = [[c for c in row if c.tag in ("td", "th")] for row in e.iter("tr")]
        rows = [r for r in rows if r]
        if not rows or _is_layout(e, rows, cls):
            self._inside(e)
            return
        for child in e:
            if child.tag == "caption":
                self._inside(child)
                self.flush()
        lines, size, link = [], 0, 0
        wide = min(max(map(len, rows)), 200)
        for cells in rows:
            texts = []
            for cell in cells[:wide]:
                text, n, m = _cell(cell)
                texts.append(text)
                size += n
                link += m
            if any(texts):
                lines.append("| " + " | ".join(texts + [""] * (wide - len(texts))) + " |")
        if lines:
            lines.insert(1, "|" + " --- |" * wide)
            self._add("\n".join(lines), size, link, TABLE)


def _cell(cell: Any) -> tuple[str, int, int]:
    if len(cell) == 0:
        text = _squeeze(cell.text or "")
        return text.replace("|", "\\|"), len(text.encode("utf-8", "replace")), 0
    inner = Walk()
    inner._inside(cell)
    inner.flush()
    blocks = inner.page.blocks
    text = " ".join(_squeeze(b.text.replace("\n", " ")) for b in blocks if b.mark == NOTHING)
    return text.replace("|", "\\|"), sum(b.size for b in blocks), sum(b.link_size for b in blocks)


def _is_layout(e: Any, rows: list[list[Any]], cls: str) -> bool:
    """Whether a table only places things: its cells are then read as any other container."""
    if e.get("role") in ("presentation", "none") or max(map(len, rows)) == 1 or "highlight" in cls:
        return True
    if next(e.iterdescendants("table"), None) is not None:
        return True
    if next(e.iterdescendants("th", "caption"), None) is not None and next(e.iterdescendants("pre"), None) is None:
        return False
    if next(e.iterdescendants("h1", "h2", "h3", "h4", "form", "pre", "blockquote", "article", "section", "nav"), None) is not None:
        return True
    return len(rows) <= 3 and any(next(c.iterdescendants("p", "div", "ul", "br"), None) is not None for r in rows for c in r)


def _language(cls: str) -> str:
    found = _LANGUAGE.search(cls)
    name = found[1].lower() if found else ""
    return "" if name in _NO_LANGUAGE else name


def _squeeze(text: str) -> str:
    if "\u3000" in text:  # Chinese and Japanese set it on purpose; it stays
        return re.sub(r"[ \t\r\n\f\v\u00a0]+", " ", text).strip()
    return " ".join(text.split())
