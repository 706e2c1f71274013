"""News → Markdown: one entry of an RSS or Atom feed, a NITF story, a NewsML-G2 item. Headline as heading, then the story.

Dates, section and language go to the fields; names of authors are left out. An HTML page's schema.org data (`NewsArticle` and its kin,
JSON-LD) gives the same fields, by `page_facts`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from headrace_governance.text.formats.converted import Converted, Malformed
from headrace_governance.text.formats.html_fragment import HtmlWriter, fragment_text
from headrace_governance.text.formats.tree import TreeWriter, kinds, words
from headrace_governance.text.xml_tree import local_name, parse_xml

FEED_ROOTS = ("rss", "feed", "RDF")
_BODIES = ("encoded", "content", "description", "summary")
"""Elements that hold an entry's text, the fullest first."""
_LD_START = re.compile(r"<script[^<>]{0,300}?application/ld\+json[^<>]{0,200}>", re.IGNORECASE)
_KINDS_OF_NEWS = ("Reportage", "Analysis", "Opinion", "Background", "Review")
_ARTICLES = frozenset({"Article", "NewsArticle", "BlogPosting", *(f"{kind}NewsArticle" for kind in _KINDS_OF_NEWS)})
_FACTS = {
    "headline": "headline",
    "datePublished": "date",
    "dateModified": "modified",
    "articleSection": "section",
    "inLanguage": "language",
    "license": "licence",
    "isAccessibleForFree": "free",
}
_MAX_SCRIPTS = 20


class NitfWriter(TreeWriter):
    """What NITF's body elements are."""

    KINDS: ClassVar[dict[str, str]] = kinds(
        block="p block abstract body.content content",
        subheading="hl2 hl1",
        list="ul",
        ordered="ol",
        quote="bq",
        strong="b strong",
        emphasis="em i",
        pre="pre",
        table="table",
        drop="media byline dateline distributor note series hedline rights body.end credit",
    )
    KINDS["br"] = "break"

    def do_subheading(self, e: Any) -> None:
        """A line between paragraphs that titles what follows."""
        self.heading(self.line(e), 2)


def entry_body(entry: Any) -> str:
    """The fullest HTML of a feed's entry; empty if there is none."""
    found: dict[str, str] = {}
    for e in entry:
        name = local_name(e)
        if name not in _BODIES or name in found:
            continue
        if name == "content" and not len(e) and e.get("url"):
            continue  # media:content
        if len(e):  # Atom's xhtml: elements, not text
            from lxml import etree

            found[name] = "".join(etree.tostring(child, encoding="unicode") for child in e)
        else:
            text = e.text or ""
            found[name] = text if e.get("type") != "text" else text.replace("&", "&amp;").replace("<", "&lt;")
    return max(found.values(), key=len, default="")


def convert_news(body: bytes) -> Converted:
    """Text of one story.

    Raises:
        Malformed: no story in one of the formats.
    """
    try:
        root = parse_xml(body)
    except ValueError as exc:
        raise Malformed(str(exc)) from exc
    name = local_name(root)
    if name in FEED_ROOTS:
        entry = next((e for e in root.iter() if local_name(e) in ("item", "entry")), None)
        if entry is None:
            raise Malformed("a feed without an entry")
        return _entry(entry)
    if name == "nitf":
        return _nitf(root)
    item = next((e for e in root.iter() if local_name(e) == "newsItem"), None)
    if item is not None:
        return _news_item(item)
    raise Malformed(f"'{name}' is not a feed, NITF or NewsML-G2")


def _entry(entry: Any) -> Converted:
    values: dict[str, str] = {}
    tags: list[str] = []
    for e in entry:
        name = local_name(e)
        if name in ("pubDate", "published", "updated", "date"):
            values.setdefault("date" if name != "updated" else "modified", words(e))
        elif name == "category":
            tags.append(e.get("term") or words(e))
        elif name == "title" and "media" not in str(e.tag):
            # A title may be HTML in disguise.
            values.setdefault("title", " ".join(fragment_text(words(e)).split()) if "<" in words(e) else words(e))
    title = values.pop("title", "")
    if tags:
        values["section"] = "; ".join(t for t in tags if t)
    return _story(title, fragment_text(entry_body(entry)), values)


def _nitf(root: Any) -> Converted:
    head = next((e for e in root.iter() if local_name(e) == "hl1"), None)
    title = words(head) if head is not None else next((words(e) for e in root.iter() if local_name(e) == "title"), "")
    facts = {"date": "", "section": ""}
    for e in root.iter():
        if local_name(e) == "date.issue":
            facts["date"] = str(e.get("norm") or "")
        elif local_name(e) == "tobject":
            facts["section"] = str(e.get("tobject.type") or "")
    writer = NitfWriter()
    for e in root.iter():
        if local_name(e) == "body.content":
            writer.visit(e)
    return _story(title, writer.text(), facts)


def _news_item(item: Any) -> Converted:
    facts = {"date": "", "language": ""}
    title = ""
    parts: list[str] = []
    for e in item.iter():
        match local_name(e):
            case "headline":
                title = title or words(e)
            case "versionCreated" | "contentCreated":
                facts["date"] = facts["date"] or words(e)
            case "language":
                facts["language"] = facts["language"] or str(e.get("tag") or "")
            case "inlineXML":
                nitf = next((x for x in e if local_name(x) == "nitf"), None)
                if nitf is not None:
                    story = _nitf(nitf)
                    title = title or story.title or ""
                    parts.append(story.text.removeprefix(f"# {story.title}").strip())
                else:
                    writer = HtmlWriter(1)
                    for child in e:
                        writer.visit(child)
                    parts.append(writer.text())
            case "inlineData":
                parts.append("\n\n".join(" ".join(p.split()) for p in (e.text or "").split("\n\n")))
    return _story(title, "\n\n".join(p for p in parts if p), facts)


def _story(title: str, text: str, facts: dict[str, str]) -> Converted:
    if title and text and not text.startswith(f"# {title}"):
        text = f"# {title}\n\n{text}"
    return Converted(text, title or None, {k: v for k, v in facts.items() if v})


def page_facts(markup: str) -> dict[str, str]:
    """What a page's JSON-LD says of its article: headline, dates, section, language, licence; empty if it says nothing."""
    if "ld+json" not in markup:
        return {}
    for number, found in enumerate(_LD_START.finditer(markup)):
        if number == _MAX_SCRIPTS:
            break
        end = markup.find("</script", found.end(), found.end() + (1 << 20))
        if end < 0:
            continue
        try:
            data = json.loads(markup[found.end() : end])
        except (ValueError, RecursionError):
            continue
        for node in _nodes(data):
            types = node.get("@type")
            if _ARTICLES & set(types if isinstance(types, list) and all(isinstance(t, str) for t in types) else [str(types)]):
                facts = {"type": str(types[0] if isinstance(types, list) else types)}
                for theirs, ours in _FACTS.items():
                    value = node.get(theirs)
                    if isinstance(value, str | bool) and str(value).strip():
                        facts[ours] = str(value).strip()[:1000]
                return facts
    return {}


def _nodes(data: Any) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-LD document, two levels deep."""
    for node in data if isinstance(data, list) else [data]:
        if isinstance(node, dict):
            yield node
            graph = node.get("@graph")
            yield from (x for x in graph if isinstance(x, dict)) if isinstance(graph, list) else ()
