"""From media type to conversion, for every format of `text/formats`; called in the parser process."""

from __future__ import annotations

from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.wikipedia.rules import WikitextRules
from headrace_lake.strict import StrictModel

__all__ = ["MEDIA_TYPES", "ConversionRules", "Malformed", "convert"]

MEDIA_TYPES = frozenset(
    {
        "application/akn+xml",
        "application/feed+xml",
        "application/formex+xml",
        "application/jats+xml",
        "application/nitf+xml",
        "application/uslm+xml",
        "application/vnd.iptc.g2.newsitem+xml",
        "application/x-eprint-tar",
        "application/x-mediawiki-export+xml",
        "application/x-stackexchange-posts+xml",
        "application/x-tex",
        "text/x-gutenberg",
    }
)
"""Media types that `convert` knows; importers declare them."""


class ConversionRules(StrictModel):
    """What conversions are told.

    Attributes:
        wikitext: names of sections, namespaces and templates in the wikis' languages.
    """

    wikitext: WikitextRules = WikitextRules()


def convert(media: str, body: bytes, charset: str | None, rules: ConversionRules) -> Converted:
    """Text of a document, without soft hyphens: those are not characters of its words.

    Raises:
        Malformed: the document is not what its media type says.
    """
    converted = _converted(media, body, charset, rules)
    converted.text = converted.text.replace("\u00ad", "")
    return converted


def _converted(media: str, body: bytes, charset: str | None, rules: ConversionRules) -> Converted:
    match media:
        case "application/x-mediawiki-export+xml":
            from headrace_governance.text.formats.wikipedia.convert import convert_page

            return convert_page(body, rules.wikitext)
        case "application/jats+xml":
            from headrace_governance.text.formats.jats.convert import convert_article

            return convert_article(body)
        case "application/x-tex" | "application/x-eprint-tar":
            from headrace_governance.text.formats.latex.convert import convert_latex

            return convert_latex(body, media)
        case "text/x-gutenberg":
            from headrace_governance.text.formats.gutenberg.convert import convert_book

            return convert_book(body, charset)
        case "application/x-stackexchange-posts+xml":
            from headrace_governance.text.formats.stackexchange.convert import convert_thread

            return convert_thread(body)
        case "application/akn+xml" | "application/uslm+xml" | "application/formex+xml":
            from headrace_governance.text.formats.legal.convert import convert_law

            return convert_law(body)
        case "application/feed+xml" | "application/nitf+xml" | "application/vnd.iptc.g2.newsitem+xml":
            from headrace_governance.text.formats.news.convert import convert_news

            return convert_news(body)
    raise Malformed(f"no conversion of {media}")
