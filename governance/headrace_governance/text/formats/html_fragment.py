"""HTML that is content throughout (a post, a feed entry) → Markdown: nothing is taken for navigation, emphasis is kept.

Whole pages go through `text/markdown.py`, which looks for the main text among what surrounds it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from headrace_governance.text.formats.hostile import hostile
from headrace_governance.text.formats.mathml import latex
from headrace_governance.text.formats.tree import TreeWriter, fenced, kinds
from headrace_governance.text.xml_tree import local_name


class HtmlWriter(TreeWriter):
    """What HTML elements are."""

    KINDS: ClassVar[dict[str, str]] = kinds(
        block="p form div section article header footer main figure figcaption details summary center address dl dd fieldset aside body "
        "html",
        html_heading="h1 h2 h3 h4 h5 h6",
        list="ul menu",
        ordered="ol",
        quote="blockquote",
        code="code kbd samp tt",
        pre="pre",
        strong="b strong dt",
        emphasis="i em cite dfn var",
        sup="sup",
        sub="sub",
        table="table",
        rule="hr",
        ruby="ruby",
        math="math",
        drop="script style noscript template iframe object embed svg canvas audio video select input textarea head img del s strike",
    )
    KINDS["br"] = "break"

    def do_html_heading(self, e: Any) -> None:
        """A heading, below the document's own."""
        self.heading(self.line(e), min(6, int(local_name(e)[1]) + self.level))

    def do_rule(self, e: Any) -> None:
        """A rule parts paragraphs."""
        self.flush()

    def do_ordered(self, e: Any) -> None:
        """A numbered list, by its `start`, `type` and `reversed`."""
        start, style = str(e.get("start") or "").strip(), str(e.get("type") or "1").strip()
        count = sum(1 for x in e if local_name(x) == "li")
        backwards = e.get("reversed") is not None
        first = int(start) if start.lstrip("-").isdecimal() and len(start) < 10 else count if backwards else 1
        self._items(e, ordered=True, start=first, style=style, step=-1 if backwards else 1)

    def do_math(self, e: Any) -> None:
        """A formula, as LaTeX."""
        formula = " ".join(latex(e).split())
        if not formula:
            self.children(e)
        elif e.get("display") == "block":
            self.block(f"$$\n{formula}\n$$")
        else:
            self.take(f"${formula}$")

    def do_pre(self, e: Any) -> None:
        """Code, with the language its class names (`lang-py`, `language-py`)."""
        named = f"{e.get('class') or ''} {' '.join(x.get('class') or '' for x in e if local_name(x) == 'code')}"
        language = next((c.partition("-")[2] for c in named.split() if c.startswith(("lang-", "language-"))), "")
        for line_break in [x for x in e.iter() if local_name(x) == "br"]:
            line_break.text = "\n"
        code = "".join(e.itertext()).strip("\n").rstrip()
        self.block(fenced(code, "".join(c for c in language if c.isalnum() or c in "+#-")[:30]) if code else "")


def fragment_text(markup: str, level: int = 1) -> str:
    """Markdown of an HTML fragment; markup that must not reach a parser (`hostile`) is empty.

    Args:
        level: how much lower its headings become.
    """
    import lxml.html

    if not markup.strip() or hostile(markup) is not None:
        return ""
    markup = markup.replace("\r\n", "\n").replace("\r", "\n")
    parser = lxml.html.HTMLParser(remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        tree = lxml.html.document_fromstring(f"<html><body>{markup}</body></html>".replace("\x00", ""), parser=parser)
    except (lxml.etree.ParserError, ValueError):
        return ""
    writer = HtmlWriter(level)
    writer.visit(tree)
    return writer.text()
