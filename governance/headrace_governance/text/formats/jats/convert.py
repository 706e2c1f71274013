"""JATS articles (NISO Z39.96; PubMed Central) → Markdown: title, abstract, sections, formulas as LaTeX, tables, captions.

Cut: the list of references and what cites it, figures themselves, notes of authors, supplementary files. A formula comes from
`tex-math` if there is one, else from MathML, else from its alternative text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.mathml import latex
from headrace_governance.text.formats.scripts import raised
from headrace_governance.text.formats.tree import TreeWriter, kinds, words
from headrace_governance.text.xml_tree import local_name, parse_xml

_TEX_BEGIN, _TEX_END = r"\begin{document}", r"\end{document}"
_LIST_STYLES = {"alpha-lower": "a", "alpha-upper": "A", "roman-lower": "i", "roman-upper": "I"}
"""JATS `list-type` → HTML's `type`."""
_SIDE_ABSTRACTS = {"graphical", "teaser", "toc", "key-points", "precis", "executive-summary", "web-summary"}


class JatsWriter(TreeWriter):
    """What JATS elements are."""

    KINDS: ClassVar[dict[str, str]] = kinds(
        block="p boxed-text disp-formula-group fig-group verse-group caption attrib speech",
        section="sec",
        heading="title",
        anylist="list",
        definitions="def-list",
        quote="disp-quote",
        pre="preformat code",
        code="monospace",
        strong="bold",
        emphasis="italic",
        sup="sup",
        sub="sub",
        xref="xref",
        display="disp-formula",
        inline="inline-formula math tex-math",
        captioned="fig table-wrap",
        table="table",
        statement="statement",
        first="alternatives",
        verse="verse-line",
        ruby="ruby",
        drop="strike label ref-list ref fn fn-group graphic inline-graphic media supplementary-material inline-supplementary-material "
        "permissions object-id sec-meta alt-text long-desc",
    )
    KINDS["break"] = "break"

    def do_heading(self, e: Any) -> None:
        """A section's title; a caption's is a sentence of it."""
        if local_name(e.getparent()) == "caption":
            self.do_block(e)
        else:
            super().do_heading(e)

    def do_xref(self, e: Any) -> None:
        """A citation is cut; a pointer to a figure or section keeps its words."""
        if e.get("ref-type") in ("bibr", "fn", "table-fn", "aff", "corresp"):
            self.do_drop(e)
        else:
            self.children(e)

    def do_sup(self, e: Any) -> None:
        """Raised; not if it held only citations."""
        inner = self.line(e)  # once: read twice, raised text within raised text would double the work at each level
        if any(local_name(x) == "xref" for x in e) and not inner.strip("[](), -–"):
            self.do_drop(e)
        else:
            self.take(raised(inner))

    def do_anylist(self, e: Any) -> None:
        """A list by its type; its own title before it."""
        kind = str(e.get("list-type") or "")
        style = _LIST_STYLES.get(kind, "1")
        self._items(e, ordered=kind.startswith(("order", "alpha", "roman")), style=style)

    def label(self, item: Any) -> str:
        """An item's `label`; one that is only a bullet is none."""
        own = next((words(x) for x in item if local_name(x) == "label"), "")
        return own if any(c.isalnum() for c in own) else ""

    def do_definitions(self, e: Any) -> None:
        """Terms in bold, each with its definition."""
        for item in (x for x in e if local_name(x) == "def-item"):
            term = " ".join(self.line(x) for x in item if local_name(x) == "term")
            meaning = " ".join(self.line(x) for x in item if local_name(x) == "def")
            self.block(f"**{term}** {meaning}".strip() if term else meaning)

    def do_captioned(self, e: Any) -> None:
        """A figure or table: its label and caption, and the table itself."""
        label = next((words(x) for x in e if local_name(x) == "label"), "")
        caption = " ".join(self.line(x) for x in e if local_name(x) == "caption")
        lead = f"**{label.rstrip('.:')}.**" if label else ""
        self.block(f"{lead} {caption}".strip())
        for child in e:
            name = local_name(child)
            if name in ("table", "alternatives", "table-wrap-foot"):
                tables = [child] if name == "table" else [x for x in child if local_name(x) == "table"]
                for table in tables:
                    self.do_table(table)

    def do_statement(self, e: Any) -> None:
        """A theorem, proof or definition."""
        label = next((words(x) for x in e if local_name(x) == "label"), "")
        self.block(f"**{label}**" if label else "")
        self.do_block(e)

    def do_verse(self, e: Any) -> None:
        """A line of a poem."""
        self.children(e)
        self.do_break(e)

    def do_first(self, e: Any) -> None:
        """Alternatives: the formula's or table's words count, not its picture."""
        formula = formula_of(e)
        if formula:
            self.take(f"${formula}$")
            return
        for child in e:
            if self.KINDS.get(local_name(child)) != "drop":
                self.visit(child)
                return

    def do_inline(self, e: Any) -> None:
        """A formula in the running text."""
        formula = formula_of(e)
        if formula:
            self.take(f"${' '.join(formula.split())}$")
        elif local_name(e) == "inline-formula":
            self.children(e)

    def do_display(self, e: Any) -> None:
        """A formula of its own."""
        formula = formula_of(e)
        if formula:
            self.block(f"$$\n{formula}\n$$")
        else:
            self.do_block(e)


def formula_of(e: Any) -> str:
    """LaTeX of a formula: TeX if there is some, else MathML, else the alternative text; without delimiters."""
    for x in _self_and_below(e, "tex-math"):
        text = "".join(x.itertext())
        _, begun, rest = text.partition(_TEX_BEGIN)
        body, ended, _ = rest.partition(_TEX_END)
        return (body if begun and ended else text).strip().strip("$").strip()
    for x in _self_and_below(e, "math"):
        formula = latex(x).strip()
        return formula or (x.get("alttext") or "").strip()
    return next((words(x) for x in _self_and_below(e, "alt-text")), "")


def _self_and_below(e: Any, name: str) -> Iterator[Any]:
    return (x for x in e.iter() if local_name(x) == name)


def convert_article(body: bytes) -> Converted:
    """Text of one article.

    Raises:
        Malformed: not XML, or no article.
    """
    try:
        root = parse_xml(body)
    except ValueError as exc:
        raise Malformed(str(exc)) from exc
    article = next(_self_and_below(root, "article"), None)
    if article is None:
        raise Malformed(f"no article but '{local_name(root)}'")
    writer = JatsWriter(level=1)
    title = None
    front = next((x for x in article if local_name(x) in ("front", "front-stub")), None)
    meta = next((x for x in _self_and_below(front, "article-meta")), front) if front is not None else None
    if meta is not None:
        group = next((x for x in meta if local_name(x) == "title-group"), None)
        named = next((x for x in (group if group is not None else ()) if local_name(x) == "article-title"), None)
        if named is not None:
            title = writer.line(named) or None
            writer.heading(title or "", 1)
        for abstract in (x for x in meta if local_name(x) == "abstract" and x.get("abstract-type") not in _SIDE_ABSTRACTS):
            if next((x for x in abstract if local_name(x) == "title"), None) is None:
                writer.heading("Abstract", 2)
            writer.do_section(abstract)
    for part in article:
        name = local_name(part)
        if name == "body":
            writer.do_section(part) if _bare(part) else _sections(writer, part)
        elif name == "back":
            for x in part:
                if local_name(x) in ("ack", "app-group", "sec"):
                    writer.visit(x) if local_name(x) == "sec" else _back(writer, x)
    return Converted(writer.text(), title, _facts(article, front, meta))


def _bare(body: Any) -> bool:
    return all(local_name(x) != "sec" for x in body)


def _sections(writer: JatsWriter, body: Any) -> None:
    writer.flush()
    writer.children(body)
    writer.flush()


def _back(writer: JatsWriter, part: Any) -> None:
    if local_name(part) == "ack":
        writer.do_section(part)
        return
    for app in part:
        if local_name(app) == "app":
            writer.do_section(app)


def _facts(article: Any, front: Any, meta: Any) -> dict[str, str]:
    facts = {"article_type": article.get("article-type") or ""}
    if front is not None:
        facts["journal"] = next((words(x) for x in _self_and_below(front, "journal-title")), "")
    for x in meta if meta is not None else ():
        name = local_name(x)
        if name == "article-id":
            facts[str(x.get("pub-id-type") or "id")] = words(x)
        elif name == "pub-date" and "date" not in facts:
            parts = {local_name(p): words(p) for p in x}
            if parts.get("year"):
                facts["date"] = "-".join(p.zfill(2) for p in (parts["year"], parts.get("month", ""), parts.get("day", "")) if p.isdecimal())
        elif name == "kwd-group" and "keywords" not in facts:
            facts["keywords"] = "; ".join(words(k) for k in _self_and_below(x, "kwd"))
    return {k: v for k, v in facts.items() if v}
