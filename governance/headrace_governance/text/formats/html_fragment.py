"""HTML that is content throughout (a post, a feed entry) → Markdown: nothing is taken for navigation, emphasis is kept.

Whole pages go through `text/markdown.py`, which looks for the main text among what surrounds it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from headrace_governance.importers.containers import local_name
from headrace_governance.text.formats.tree import TreeWriter, fenced, kinds
from headrace_governance.text.hostile import hostile


class HtmlWriter(TreeWriter):
    """What HTML elements are."""

    KINDS: ClassVar[dict[str, str]] = kinds(
        block="p div section article header footer main figure figcaption details summary center address dl dd fieldset aside body html",
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
        drop="script style noscript template iframe object embed svg canvas audio video button select input textarea form head img",
    )
    KINDS["br"] = "break"

    def do_html_heading(self, e: Any) -> None:
        """A heading, below the document's own."""
        self.heading(self.line(e), min(6, int(local_name(e)[1]) + self.level))

    def do_rule(self, e: Any) -> None:
        """A rule parts paragraphs."""
        self.flush()

    def do_pre(self, e: Any) -> None:
        """Code, with the language its class names (`lang-py`, `language-py`)."""
        named = f"{e.get('class') or ''} {' '.join(x.get('class') or '' for x in e if local_name(x) == 'code')}"
        language = next((c.partition("-")[2] for c in named.split() if c.startswith(("lang-", "language-"))), "")
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
    parser = lxml.html.HTMLParser(remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        tree = lxml.html.document_fromstring(f"<html><body>{markup}</body></html>".replace("\x00", ""), parser=parser)
    except (lxml.etree.ParserError, ValueError):
        return ""
    writer = HtmlWriter(level)
    writer.visit(tree)
    return writer.text()
