"""An element tree → Markdown blocks; each format says in a table what its elements are.

A format subclasses `TreeWriter` and maps element names to *kinds*: the methods `do_KIND`. What is not listed is passed through.
libxml2 ends at 256 levels; beyond `DEPTH` here only the words are taken, so recursion stays shallow.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from headrace_governance.text.formats.hollows import without_hollows
from headrace_governance.text.formats.scripts import annotated, list_sign, lowered, raised
from headrace_governance.text.formats.tables import MAX_SLOTS, Cell, placed, spans
from headrace_governance.text.xml_tree import local_name

DEPTH = 120
_INDENTED = 60
"""Levels of elements below which lists and quotations are no longer indented: a megabyte of lines would grow at each of them."""
SPACE = re.compile(r"[ \t\r\n\f\v\u00a0\u2009\u202f]+")
_BREAK = "\x1e"
_INTEGER = re.compile(r"-?[0-9]{1,9}")


def words(element: Any) -> str:
    """All text below an element on one line."""
    return SPACE.sub(" ", "".join(element.itertext())).strip()


def pipe_table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its head. Rows of a huge one are not filled up to its width, which Markdown does not ask for."""
    wide = max(map(len, rows))
    if wide * len(rows) > MAX_SLOTS:
        rows = [rows[0] + [""] * (wide - len(rows[0])), *rows[1:]]
        lines = ["| " + " | ".join(c.replace("|", "\\|") for c in r) + " |" for r in rows]
        lines.insert(1, "|" + " --- |" * wide)
        return "\n".join(lines)
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in [*r, *[""] * (wide - len(r))]) + " |" for r in rows]
    lines.insert(1, "|" + " --- |" * wide)
    return "\n".join(lines)


def fenced(code: str, language: str = "") -> str:
    """A code block whose fence is longer than any inside."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", code))])
    return f"{fence}{language}\n{code}\n{fence}"


def code_span(code: str) -> str:
    """Code in the running text, on one line, between more backticks than stand in it."""
    code = " ".join(code.split())
    fence = "`" * max([0, *(len(run) for run in re.findall("`+", code))])
    return f"`{code}`" if not fence else f"{fence}` {code} `{fence}"


def kinds(**names: str) -> dict[str, str]:
    """A table of kinds, from the elements' names by kind."""
    return {name: kind for kind, listed in names.items() for name in listed.split()}


def own_rows(table: Any) -> Iterator[Any]:
    """The rows of a table, at any depth, but not those of tables within it: read again at each level, work would double with each."""
    waiting = [iter(table)]
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
        elif local_name(child) in ("tr", "row"):
            yield child
        elif local_name(child) != "table":
            waiting.append(iter(child))


class TreeWriter:
    """Walks a tree and collects blocks.

    Attributes:
        KINDS: element name → kind.
        level: depth of the section that is being written; headings get one mark more.
    """

    KINDS: ClassVar[Mapping[str, str]] = {}

    def __init__(self, level: int = 0) -> None:
        self.blocks: list[str] = []
        self.level = level
        self._run: list[str] = []
        self._depth = 0
        self._cut = False

    def text(self) -> str:
        """The blocks so far, blank lines between them."""
        self.flush()
        return "\n\n".join(self.blocks).strip()

    # -- writing -------------------------------------------------------------------------------------------------

    def take(self, text: str | None) -> None:
        """Running text, white space as it comes."""
        if text:
            self._run.append(text)

    def flush(self, prefix: str = "", suffix: str = "") -> None:
        """End the paragraph."""
        line = SPACE.sub(" ", "".join(self._run))
        self._run.clear()
        line = re.sub(f" ?{_BREAK} ?", "\n", line).strip()
        if self._cut:
            line = without_hollows(line).strip()
        if line:
            self.blocks.append(prefix + line + suffix)

    def block(self, text: str) -> None:
        """A finished block of its own."""
        self.flush()
        if text.strip():
            self.blocks.append(text)

    def heading(self, text: str, level: int | None = None) -> None:
        """A heading at the section's level."""
        self.block("#" * max(1, min(6, self.level + 1 if level is None else level)) + " " + text if text else "")

    def nested(self) -> TreeWriter:
        """A writer of the same format for the inside of an item or cell."""
        inner = type(self)(self.level)
        inner._depth = self._depth
        return inner

    def inside(self, element: Any) -> str:
        """Markdown of an element's content, apart from what is written here."""
        inner = self.nested()
        inner.children(element)
        return inner.text()

    def line(self, element: Any) -> str:
        """The same on one line."""
        return SPACE.sub(" ", self.inside(element))

    # -- walking -------------------------------------------------------------------------------------------------

    def children(self, element: Any) -> None:
        """An element's text and children."""
        self.take(element.text)
        for child in element:
            self.visit(child)
            self.take(child.tail)

    def visit(self, element: Any) -> None:
        """One element by its kind; its tail belongs to the parent."""
        name = local_name(element)
        if not name:
            # An entity that the document's DTD would define; HTML's names are the ones that articles use.
            self.take(html.unescape(element.text) if (element.text or "").startswith("&") else None)
            return
        if self._depth >= DEPTH:
            self.take(words(element))
            return
        self._depth += 1
        kind = self.KINDS.get(name, "pass")
        handler: Callable[[Any], None] = getattr(self, f"do_{kind}")
        handler(element)
        self._depth -= 1

    # -- kinds ---------------------------------------------------------------------------------------------------

    def do_pass(self, e: Any) -> None:
        """Its content, in the running text."""
        self.children(e)

    def do_drop(self, e: Any) -> None:
        """Nothing."""
        self._cut = True

    def do_block(self, e: Any) -> None:
        """A paragraph or a container of blocks."""
        self.flush()
        self.children(e)
        self.flush()

    def do_section(self, e: Any) -> None:
        """A container whose headings are one level lower."""
        self.flush()
        self.level += 1
        self.children(e)
        self.flush()
        self.level -= 1

    def do_heading(self, e: Any) -> None:
        """The section's heading."""
        self.heading(self.line(e), max(1, self.level))

    def do_strong(self, e: Any) -> None:
        """Bold."""
        self._marked(e, "**")

    def do_emphasis(self, e: Any) -> None:
        """Italic."""
        self._marked(e, "*")

    def _marked(self, e: Any, mark: str) -> None:
        inner = self.line(e)
        if inner and mark[0] not in inner and "$" not in inner:
            lead = " " if (e.text or "")[:1].isspace() else ""
            self._run.append(f"{lead}{mark}{inner}{mark}")
        else:
            self._run.append(inner)

    def do_code(self, e: Any) -> None:
        """Code in the running text."""
        inner = words(e).replace("`", "")
        self._run.append(f"`{inner}`" if inner else "")

    def do_pre(self, e: Any) -> None:
        """A code block."""
        code = "".join(e.itertext()).strip("\n").rstrip()
        self.block(fenced(code) if code else "")

    def do_quote(self, e: Any) -> None:
        """A quotation."""
        inner = self.inside(e)
        if self._depth <= _INDENTED:
            inner = "\n".join(f"> {line}".rstrip() for line in inner.split("\n")) if inner else ""
        self.block(inner)

    def do_break(self, e: Any) -> None:
        """A forced line break."""
        self._run.append(_BREAK)

    def do_sup(self, e: Any) -> None:
        """Raised."""
        self._run.append(raised(self.line(e)))

    def do_sub(self, e: Any) -> None:
        """Lowered."""
        self._run.append(lowered(self.line(e)))

    def do_ruby(self, e: Any) -> None:
        """A word with its reading in brackets, its own ones (`rp`) if it has some."""
        if any(local_name(x) == "rp" for x in e):
            self.children(e)
            return
        base = [e.text or ""]
        for child in e:
            if local_name(child) in ("rt", "rtc"):
                self._run.append(annotated(SPACE.sub(" ", "".join(base)).strip(), self.line(child)))
                base = []
            else:
                base.append(self.line(child))
            base.append(child.tail or "")
        self._run.append("".join(base))

    def do_list(self, e: Any) -> None:
        """A list; its items are its elements."""
        self._items(e, ordered=False)

    def do_ordered(self, e: Any) -> None:
        """A numbered list."""
        self._items(e, ordered=True)

    def _items(self, e: Any, *, ordered: bool, start: int = 1, style: str = "1", step: int = 1) -> None:
        """The items, numbered from `start` in a style of HTML's (`1`, `a`, `A`, `i`, `I`); an item's own `value` counts from there on."""
        lines: list[str] = []
        number = start
        for child in e:
            if not local_name(child) or self.KINDS.get(local_name(child)) == "drop":
                continue
            value = str(child.get("value") or "").strip()
            number = int(value) if ordered and _INTEGER.fullmatch(value) else number
            body = self.inside(child)
            if body:
                own = self.label(child)
                mark = f"{own} " if own else f"{list_sign(number, style)} " if ordered else "- "
                lines.append(mark + re.sub(r"\n+", "\n" + " " * (len(mark) if self._depth <= _INDENTED else 0), body))
            number += step
        self.block("\n".join(lines))

    def label(self, item: Any) -> str:
        """The sign that a list's item brings itself; none, unless a format has such."""
        return ""

    def do_table(self, e: Any) -> None:
        """A table of `tr` with `td` and `th`, at any depth; its cells as a grid. A table within a cell is that cell's text."""
        cells: list[list[Cell]] = []
        for row in own_rows(e):
            cells.append(
                [
                    Cell(self.line(cell), *spans(cell.get("colspan"), cell.get("rowspan")))
                    for cell in row
                    if local_name(cell) in ("td", "th", "entry")
                ]
            )
        rows = [row for row in placed(cells) if any(row)]
        if not rows:
            return
        if max(map(len, rows)) == 1:
            for row in rows:
                self.block(row[0])
            return
        self.block(pipe_table(rows))
