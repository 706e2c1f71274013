"""What the crawler reads from a page: links, declared language, charset, licence and robots hints.

Only the first 1 MiB of a page is looked at, so a hostile page costs seconds at worst; the text itself is extracted by a
later stage under its own guard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml import etree

from headrace_governance.crawl.licence import PageFacts
from headrace_governance.crawl.urls import MAX_URL, joined, normal_url
from headrace_governance.text.charsets import encoding_of
from headrace_governance.text.decode import decode
from headrace_governance.text.meta_charset import declared_in_page

_LOOKED_AT = 1 << 20
_MAX_LINKS = 5000
_VALUE = re.compile(rb"""\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]*)""")
_TAG_END = re.compile(rb"""(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_DECLARED = [re.compile(name + rb"\s*=\s*[\"']?\s*([a-z0-9_.:-]+)") for name in (b"charset", b"encoding")]
_MARGIN = 1024
"""Bytes beyond the last telling tag, for tags whose quotes are not what they seem."""
_ASCII_WITHIN = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859", "latin", "windows-", "cp125", "koi8", "gb", "big5", "shift", "euc-")
"""Charsets in which an ASCII character is always its own byte."""


@dataclass
class Page:
    """Links in document order, and facts."""

    links: list[str] = field(default_factory=list)
    language: str = ""
    facts: PageFacts = field(default_factory=PageFacts)


def media_type(content_type: str) -> tuple[str, str]:
    """`text/html; charset="utf-8"` → (`text/html`, `utf-8`)."""
    kind, _, params = content_type.partition(";")
    found = re.search(r"charset\s*=\s*\"?([\w.:-]+)", params, re.IGNORECASE)
    return kind.strip().lower(), found[1].lower() if found else ""


def read_page(url: str, body: bytes, charset: str = "", agent: str = "") -> Page:
    """Read an HTML page; a page that cannot be parsed has no links."""
    return _read(url, body[:_LOOKED_AT], charset, agent, links=True)


def read_facts(url: str, body: bytes, charset: str = "") -> Page:
    """Language and facts of an HTML page, without its links; parses no more of it than can hold them."""
    data = body[:_LOOKED_AT]
    return _read(url, data[: facts_end(data, charset)], charset, "", links=False)


def facts_end(data: bytes, charset: str = "") -> int:
    """Bytes of a page from its start after which no tag can say anything about its language, licence or robots.

    Such tags are `html`, `meta`, `base` and those whose `rel` may be `license`; their names are ASCII in every encoding but those that
    are refused here (then all of the page counts). A match that is no tag, in a script for instance, only makes the part longer.
    """
    if b"\0" in data or not (not charset or charset.lower().startswith(_ASCII_WITHIN)):
        return len(data)
    folded = data.lower()
    if not all(named[1].decode().startswith(_ASCII_WITHIN) for pattern in _DECLARED for named in pattern.finditer(folded)):
        return len(data)
    last = max(0, *(folded.rfind(name) for name in (b"<html", b"<meta", b"<base")))
    at = folded.rfind(b"rel")
    while at > last and not _names_licence(folded, at + 3):
        at = folded.rfind(b"rel", 0, at)
    last = max(last, at)
    end = _TAG_END.match(data, last)
    return len(data) if end is None else min(len(data), end.end() + _MARGIN)


def _names_licence(folded: bytes, at: int) -> bool:
    """Whether an attribute's value follows that may hold the word `license`, written out or in character references."""
    value = _VALUE.match(folded, at)
    return value is not None and (b"license" in value[0] or b"&" in value[0])


def _read(url: str, data: bytes, charset: str, agent: str, *, links: bool) -> Page:
    page = Page()
    if not data.strip():
        return page
    named = encoding_of(charset) or declared_in_page(data)
    if named not in (None, "utf-8"):  # libxml2 would read a page of ASCII that calls itself UTF-16 as UTF-16, and find no licence in it
        data, named = decode(data, charset, html=True).text.encode("utf-8", "replace"), "utf-8"
    try:
        parser = etree.HTMLParser(encoding=named, huge_tree=False, collect_ids=False)
        tree = etree.fromstring(data, parser=parser)
    except (ValueError, etree.ParserError, etree.XMLSyntaxError):
        return page
    if tree is None:  # nothing but a comment, for instance
        return page
    base_tag = tree.find(".//base[@href]")
    base = (joined(url, base_tag.get("href")) if base_tag is not None else "") or url
    page.language = str(tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang") or "")[:35]
    for element in tree.iter("a", "area", "link", "meta"):
        if element.tag == "meta":
            _meta(page, element, agent)
            continue
        named = element.get("rel")
        if named is None and not links:
            continue
        href = (element.get("href") or "").strip()
        rel = (named or "").lower().split()
        if not href or len(href) > MAX_URL:
            continue
        if "license" in rel:
            page.facts.licence_links.append(("rel-license", joined(base, href) or href))
        follows = links and (element.tag != "link" or bool({"next", "prev"} & set(rel)))
        if follows and "nofollow" not in rel and len(page.links) < _MAX_LINKS:
            target = normal_url(joined(base, href))
            if target:
                page.links.append(target)
    return page


def _meta(page: Page, element: etree._Element, agent: str) -> None:
    name = (element.get("name") or element.get("property") or "").lower()
    content = (element.get("content") or "").strip()
    if name in ("robots", agent.lower() or "robots"):
        tags = [t.strip().lower() for t in content.split(",") if t.strip()]
        page.facts.robots_tags += tags
        page.facts.nofollow = page.facts.nofollow or bool({"nofollow", "none"} & set(tags))
    elif name == "tdm-reservation" and content == "1":
        page.facts.tdm_reserved = "meta"
    elif name in ("license", "dc.rights", "dcterms.license") and content and " " not in content:
        # Free prose in a rights field names no licence; addresses and single words (SPDX ids) do.
        page.facts.licence_links.append(("meta", content[:MAX_URL]))
