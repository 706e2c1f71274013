"""Laws and government documents → Markdown: Akoma Ntoso 3.0 (OASIS LegalDocML), USLM (US Code, bills), Formex 4 (EUR-Lex).

Parts, chapters, sections and articles become headings with their numbers; paragraphs, points and items keep their numbers before
their text. Cut: metadata, notes, tables of contents, source credits.
"""

from __future__ import annotations

from typing import Any, ClassVar

from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.tree import TreeWriter, kinds, words
from headrace_governance.text.xml_tree import local_name, parse_xml

AKN_ROOTS, USLM_ROOTS = ("akomaNtoso",), ("lawDoc", "uscDoc", "bill", "resolution", "pLaw", "statutesAtLarge", "document")
FORMEX_ROOTS = ("ACT", "CONS.ACT", "CONS.DOC", "GENERAL", "ANNEX", "AGR", "LETTER", "DECISION", "OPINION")
_HEADED = frozenset("book tome part title subtitle chapter subchapter division subdivision article rule section appendix".split())
"""Which get a heading even if they have only a number."""


class LawWriter(TreeWriter):
    """What Akoma Ntoso and USLM elements are: both nest containers of `num`, `heading` and content."""

    KINDS: ClassVar[dict[str, str]] = kinds(
        level="book tome part title subtitle chapter subchapter division subdivision article rule section subsection paragraph "
        "subparagraph clause subclause item subitem point indent alinea list level hcontainer transitional proviso appendix compartment",
        block="p preamble preface body mainBody conclusions recitals citations formula longTitle docTitle shortTitle content intro wrapUp "
        "chapeau continuation main docketNumber background introduction motivation decision arguments remedies speech speechGroup "
        "debateSection from question answer statement attachment doc act judgment amendment schedule listIntroduction listWrapUp "
        "crossHeading",
        items="blockList",
        list="ul",
        ordered="ol",
        recital="recital citation",
        heading="subheading",
        quote="embeddedStructure quotedStructure quotedContent blockContainer",
        strong="b strong",
        emphasis="i em",
        sup="sup",
        sub="sub",
        table="table",
        drop="meta toc authorialNote note notes sourceCredit noteRef img marginalia remark editorialNote num coverPage statutoryNote",
    )
    KINDS.update({"br": "break", "eol": "break"})

    def do_level(self, e: Any) -> None:
        """A numbered container: a heading, or its number before its first words."""
        name = local_name(e)
        number = " ".join(words(x) for x in e if local_name(x) == "num")
        heading = " ".join(self.line(x) for x in e if local_name(x) == "heading")
        rest = [x for x in e if local_name(x) not in ("num", "heading")]
        self.flush()
        if heading or (name in _HEADED and number):
            self.heading(f"{number} {heading}".strip())
            self.level += 1
            for x in rest:
                self.visit(x)
                self.take(x.tail)
            self.flush()
            self.level -= 1
            return
        inner = self.nested()
        inner.take(e.text)
        for x in rest:
            inner.visit(x)
            inner.take(x.tail)
        inner.flush()
        self.numbered(number, inner.blocks)

    def numbered(self, number: str, blocks: list[str]) -> None:
        """Blocks with a number before the first."""
        if blocks and number and not blocks[0].startswith(("#", "|", ">")):
            self.block(f"{number} {blocks[0]}")
            blocks = blocks[1:]
        elif number:
            self.block(number)
        for block in blocks:
            self.block(block)

    def do_items(self, e: Any) -> None:
        """A list whose items carry their own numbers."""
        self.flush()
        for child in e:
            if local_name(child) == "item":
                self.do_level(child)
            else:
                self.visit(child)
                self.flush()

    def do_recital(self, e: Any) -> None:
        """A recital with its number."""
        self.do_level(e)


class FormexWriter(LawWriter):
    """What Formex elements are."""

    KINDS: ClassVar[dict[str, str]] = kinds(
        block="P ALINEA TXT PREAMBLE PREAMBLE.INIT PREAMBLE.FINAL GR.VISA VISA GR.CONSID GR.CONSID.INIT ENACTING.TERMS FINAL SIGNATURE "
        "CONTENTS PL.DATE SIGNATORY ACT CONS.ACT GENERAL ANNEX INTERM",
        article="ARTICLE",
        division="DIVISION GR.SEQ",
        numbered="NP PARAG CONSID NP.ECR",
        title="TITLE TI.ART STI.ART TI STI",
        list="LIST",
        highlight="HT",
        formex_table="TBL CORPUS",
        quote="QUOT.S",
        drop="BIB.INSTANCE BIB.DATA NOTE FN PAGE INCL.ELEMENT TOC NO.P NO.PARAG FAMILY.COMP LINK IE",
    )
    KINDS.update({"QUOT.START": "open_quote", "QUOT.END": "close_quote"})

    def do_title(self, e: Any) -> None:
        """A title of its own, one level below what encloses it."""
        self.heading(self.line(e))

    def do_article(self, e: Any) -> None:
        """`Article 5` and its title as one heading."""
        head = [self.line(x) for x in e if local_name(x) in ("TI.ART", "STI.ART")]
        self.heading(" – ".join(h for h in head if h))
        self._below(e, ("TI.ART", "STI.ART"))

    def do_division(self, e: Any) -> None:
        """A chapter or part: the lines of its title as one heading."""
        head = [self.line(p) for t in e if local_name(t) == "TITLE" for p in t if local_name(p) in ("TI", "STI")]
        self.heading(" – ".join(h for h in head if h))
        self._below(e, ("TITLE",))

    def _below(self, e: Any, without: tuple[str, ...]) -> None:
        self.level += 1
        for x in e:
            if local_name(x) not in without:
                self.visit(x)
                self.take(x.tail)
        self.flush()
        self.level -= 1

    def do_numbered(self, e: Any) -> None:
        """A paragraph or recital with its number."""
        self.flush()
        number = " ".join(words(x) for x in e.iter("NO.P", "NO.PARAG") if x.getparent() is e)
        inner = self.nested()
        inner.children(e)
        inner.flush()
        self.numbered(number, inner.blocks)

    def do_list(self, e: Any) -> None:
        """Items carry their own numbers, or are dashes."""
        self.flush()
        for item in e:
            if local_name(item) == "ITEM":
                if any(local_name(x) == "NP" for x in item):
                    self.do_block(item)
                else:
                    self.block(f"- {self.line(item)}")

    def do_highlight(self, e: Any) -> None:
        """Bold, italic, raised or lowered."""
        match e.get("TYPE"):
            case "BOLD":
                self.do_strong(e)
            case "ITALIC":
                self.do_emphasis(e)
            case "SUP":
                self.do_sup(e)
            case "SUB":
                self.do_sub(e)
            case _:
                self.children(e)

    def do_open_quote(self, e: Any) -> None:
        """Formex codes quotation marks as empty elements."""
        self.take("‘")

    def do_close_quote(self, e: Any) -> None:
        """The same at the end."""
        self.take("’")

    def do_formex_table(self, e: Any) -> None:
        """Rows and cells."""
        from headrace_governance.text.formats.tree import pipe_table

        rows = [[self.line(c) for c in r if local_name(c) == "CELL"] for r in e.iter("ROW")]
        rows = [r for r in rows if any(r)]
        if rows:
            self.block(pipe_table(rows) if max(map(len, rows)) > 1 else "\n\n".join(r[0] for r in rows))


def convert_law(body: bytes) -> Converted:
    """Text of one document.

    Raises:
        Malformed: none of the three formats.
    """
    try:
        root = parse_xml(body)
    except ValueError as exc:
        raise Malformed(str(exc)) from exc
    name = local_name(root)
    facts = facts_of(root)
    if name in FORMEX_ROOTS:
        formex = FormexWriter(level=1)
        heading = next((x for x in root if local_name(x) == "TITLE"), None)
        title = formex.line(heading) if heading is not None else ""
        for x in root:
            if x is not heading:
                formex.visit(x)
        writer: TreeWriter = formex
    elif name in (*AKN_ROOTS, *USLM_ROOTS):
        writer = LawWriter(level=1)
        title = facts.pop("title", "")
        for x in root:
            writer.visit(x)
    else:
        raise Malformed(f"'{name}' is neither Akoma Ntoso, USLM nor Formex")
    text = writer.text()
    title = " ".join(title.replace("#", " ").split())
    return Converted(f"# {title}\n\n{text}" if title and text else text, title or None, facts)


def facts_of(root: Any) -> dict[str, str]:
    """Title, address, date, country, language and kind, as the document says them."""
    facts: dict[str, str] = {}
    for e in root.iter():
        match local_name(e):
            case "FRBRuri" if local_name(e.getparent()) == "FRBRWork":
                facts.setdefault("uri", str(e.get("value") or ""))
            case "FRBRdate" if local_name(e.getparent()) == "FRBRWork":
                facts.setdefault("date", str(e.get("date") or ""))
            case "FRBRcountry":
                facts.setdefault("country", str(e.get("value") or ""))
            case "FRBRlanguage":
                facts.setdefault("language", str(e.get("language") or ""))
            case "FRBRalias" if e.get("name") == "title":
                facts.setdefault("title", str(e.get("value") or ""))
            case "docTitle" | "shortTitle" | "officialTitle":
                facts.setdefault("title", words(e))
            case "title" if "purl.org/dc" in str(e.tag):
                facts.setdefault("title", words(e))
            case "date" | "created" if "purl.org/dc" in str(e.tag):
                facts.setdefault("date", words(e))
            case "main" | "title" | "bill" if e.get("identifier"):
                facts.setdefault("uri", str(e.get("identifier")))
            case "NO.CELEX":
                facts.setdefault("celex", words(e))
            case "LG.DOC" | "LG":
                facts.setdefault("language", words(e).lower())
            case "DATE" if e.get("ISO"):
                facts.setdefault("date", str(e.get("ISO")))
    facts["kind"] = next((local_name(x) for x in root if local_name(x)), "") if local_name(root) == "akomaNtoso" else local_name(root)
    return {k: v for k, v in facts.items() if v}
