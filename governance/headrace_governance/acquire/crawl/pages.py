"""What the crawler reads from a page: links, declared language, licence and robots hints.

Links are what a reader without scripts is led to: `a`, `area`, `link rel=next|prev`, frames, inner frames of the same host, and the page
that a `<meta http-equiv=refresh>` goes to.

Only the first 1 MiB of a page is looked at. What is here is linear in it, but libxml2 is not in a tag's attributes: a page is read in a
process under limits (`page_process`). Links are taken up to `LinkLimits`; what is beyond is counted. The text itself is extracted by a
later stage under its own guard.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

from lxml import etree

from headrace_governance.acquire.crawl.fields import refresh
from headrace_governance.acquire.crawl.licence import PageFacts
from headrace_governance.acquire.crawl.urls import MAX_URL, joined, normal_url, origin_of, query_in
from headrace_governance.encoding.charsets import encoding_of
from headrace_governance.encoding.decode import decode
from headrace_governance.encoding.meta_charset import declared_in_page
from headrace_governance.sources.licences.rules import rules
from headrace_governance.sources.licences.statements import read_statement

LOOKED_AT = 1 << 20
"""Bytes of a page that are read."""
_TAGS = re.compile(r"[,;\s]+")
"""Between the words of `<meta name=robots>`: commas, and what is written for them."""
_VALUE = re.compile(rb"""\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'>]{0,256}+)""")
_LONGEST_BARE = 256
"""Bytes of a value without quotes that are looked at; a longer one counts as one that may name a licence."""
_TAG_END = re.compile(rb"""(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")
_DECLARED = [re.compile(name + rb"\s*+=\s*+[\"']?+\s*+([a-z0-9_.:-]+)") for name in (b"charset", b"encoding")]
_MAX_LICENCES = 100
"""Different statements of one page about its licence; the pages with the most have a dozen."""
_MAX_RELS = 10_000
"""Occurrences of `rel` that are looked at from the page's end; where all of them name no licence, what stands before the last is parsed."""
_MAX_STATEMENTS = 1000
"""Different texts that are read for them; where there are more, the page's licence is unknown."""
_MARGIN = 1024
"""Bytes beyond the last telling tag, for tags whose quotes are not what they seem."""
_ASCII_WITHIN = ("utf-8", "utf8", "us-ascii", "ascii", "iso-8859", "latin", "windows-", "cp125", "koi8", "gb", "big5", "shift", "euc-")
"""Charsets in which an ASCII character is always its own byte."""


_LICENCES = frozenset({"license", "licence", "dc.rights", "dc.license", "dc.rights.license", "dcterms.license"})
_RIGHTS = _LICENCES | {"rights", "dcterms.rights"}


@dataclass(frozen=True)
class LinkLimits:
    """Limits of the links of one page.

    Attributes:
        links: different addresses.
        characters: of all of them together, in their normal form: a short link behind a long base has thousands.
    """

    links: int = 5000
    characters: int = 1 << 20


@dataclass
class Page:
    """Links in document order without repetitions, and facts; `cut`: what was left out of the links, by reason."""

    links: list[str] = field(default_factory=list)
    language: str = ""
    facts: PageFacts = field(default_factory=PageFacts)
    cut: dict[str, int] = field(default_factory=dict)


def read_page(url: str, body: bytes, charset: str = "", agent: str = "", limits: LinkLimits = LinkLimits()) -> Page:
    """Read an HTML page; a page that cannot be parsed has no links."""
    data = body[:LOOKED_AT]
    return _with_article_licence(_read(url, data, charset, agent, _Links(limits)), data)


def read_facts(url: str, body: bytes, charset: str = "") -> Page:
    """Language and facts of an HTML page, without its links; parses no more of it than can hold them."""
    data = body[:LOOKED_AT]
    return _with_article_licence(_read(url, data[: facts_end(data, charset)], charset, "", None), data)


def _with_article_licence(page: Page, data: bytes) -> Page:
    """The page with what its schema.org data (JSON-LD) says of its article; `all rights reserved` only where no licence is named."""
    if b'"license"' in data and b"ld+json" in data:
        from headrace_governance.text.formats.news.convert import page_facts

        said = page_facts(data.decode("utf-8", "replace")).get("licence", "")
        if said:
            page.facts.licence_links.append(("json-ld", said[:MAX_URL]))
    said_of_it = page.facts.licence_links = list(dict.fromkeys(page.facts.licence_links))
    if len(said_of_it) > _MAX_LICENCES:  # which of so many holds, nobody can say: the record is under an unknown licence
        page.facts.licence_links = [*said_of_it[:_MAX_LICENCES], ("page", f"more than {_MAX_LICENCES} licences named")]
    page.facts.robots_tags = list(dict.fromkeys(page.facts.robots_tags))[:_MAX_LICENCES]
    weak = [x for x in page.facts.licence_links if x[1] in rules().weak]
    if len(weak) < len(page.facts.licence_links):
        page.facts.licence_links = [x for x in page.facts.licence_links if x not in weak]
    return page


def facts_end(data: bytes, charset: str = "") -> int:
    """Bytes of a page from its start after which no tag can say anything about its language, licence or robots.

    Such tags are `html`, `meta`, `base` and those whose `rel` may be `license`; their names are ASCII in every encoding but those that
    are refused here (then all of the page counts). A match that is not a tag, in a script for instance, only makes the part longer.
    """
    if b"\0" in data or not (not charset or charset.lower().startswith(_ASCII_WITHIN)):
        return len(data)
    folded = data.lower()
    if not all(named[1].decode().startswith(_ASCII_WITHIN) for pattern in _DECLARED for named in pattern.finditer(folded)):
        return len(data)
    last = max(0, *(folded.rfind(name) for name in (b"<html", b"<meta", b"<base")))
    at = folded.rfind(b"rel")
    looked = 1
    while at > last and looked < _MAX_RELS and not _names_licence(folded, at + 3):
        at = folded.rfind(b"rel", 0, at)
        looked += 1
    last = max(last, at)
    end = _TAG_END.match(data, last)
    return len(data) if end is None else min(len(data), end.end() + _MARGIN)


def _names_licence(folded: bytes, at: int) -> bool:
    """Whether an attribute's value follows that may hold the word `license`, written out or in character references."""
    value = _VALUE.match(folded, at)
    if value is None:
        return False
    return b"license" in value[0] or b"&" in value[0] or (len(value[0]) > _LONGEST_BARE and value[0][-1:] not in b"\"'")


def _read(url: str, data: bytes, charset: str, agent: str, links: _Links | None) -> Page:
    page = Page()
    if not data.strip():
        return page
    named = encoding_of(charset) or declared_in_page(data)
    written = "utf-8"
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if named is None and not marked and _fits_utf8(data):  # which libxml2 would take for Latin-1
        named = "utf-8"
    # libxml2 would read a page of ASCII that calls itself UTF-16 as UTF-16, and find no licence in it. Only links are worth a guess.
    if marked or named not in (None, "utf-8") or (named is None and links is not None):
        decoded = decode(data, charset, html=True)
        data, named, written = decoded.text.encode("utf-8", "replace"), "utf-8", decoded.charset
    try:
        parser = etree.HTMLParser(encoding=named, huge_tree=False, collect_ids=False)
        tree = etree.fromstring(data, parser=parser)
    except (ValueError, etree.ParserError, etree.XMLSyntaxError):
        return page
    if tree is None:  # nothing but a comment, for instance
        return page
    base_tag = tree.find(".//base[@href]")
    base = (normal_url(base_tag.get("href"), url) if base_tag is not None else "") or url
    page.language = str(tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang") or "")[:35]
    said = _Statements()
    for element in tree.iter("a", "area", "link", "meta", "frame", "iframe"):
        if element.tag == "meta":
            _meta(page, element, agent, said)
            if links is not None and (element.get("http-equiv") or "").strip().lower() == "refresh":
                links.add(query_in(refresh(element.get("content") or ""), written), base)
            continue
        if element.tag in ("frame", "iframe"):
            if links is not None:
                links.add(query_in(element.get("src") or "", written), base, origin_of(url) if element.tag == "iframe" else "")
            continue
        named = element.get("rel")
        if named is None and links is None:
            continue
        href = (element.get("href") or "").strip()
        rel = (named or "").lower().split()
        if not href or len(href) > MAX_URL:
            continue
        if "license" in rel and said.is_new(href):
            page.facts.licence_links.append(("rel-license", joined(base, href) or href))
        follows = element.tag != "link" or bool({"next", "prev"} & set(rel))
        if links is not None and follows and "nofollow" not in rel:
            links.add(query_in(href, written), base)
    if said.too_many:
        page.facts.licence_links.append(("page", f"more than {_MAX_STATEMENTS} statements about its licence"))
    if links is not None:
        page.links, page.cut = list(links.found), links.cut
    return page


def _fits_utf8(data: bytes) -> bool:
    """Whether a page, or its beginning, which may end within a character, is UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


class _Statements:
    """Texts and addresses that state a page's licence, each read once and no more than `_MAX_STATEMENTS`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.too_many = False

    def is_new(self, text: str) -> bool:
        """Whether to read it."""
        if text in self._seen:
            return False
        self.too_many = self.too_many or len(self._seen) >= _MAX_STATEMENTS
        if not self.too_many:
            self._seen.add(text)
        return not self.too_many


class _Links:
    """The links of a page up to the limits."""

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._characters = 0
        self.found: dict[str, None] = {}
        self.cut: dict[str, int] = {}

    def add(self, href: str, base: str, origin: str = "") -> None:
        """Add a link in normal form, if it is one, and of this origin, if one is given."""
        if not href.strip():
            return
        if len(self.found) >= self._limits.links:
            return self._left("links_of_page")
        target = normal_url(href, base)
        if not target or target in self.found or (origin and origin_of(target) != origin):
            return None
        if self._characters + len(target) > self._limits.characters:
            return self._left("link_characters_of_page")
        self._characters += len(target)
        self.found[target] = None
        return None

    def _left(self, reason: str) -> None:
        self.cut[reason] = self.cut.get(reason, 0) + 1


def _meta(page: Page, element: etree._Element, agent: str, statements: _Statements) -> None:
    name = (element.get("name") or element.get("property") or "").lower()
    content = (element.get("content") or "").strip()
    if name in ("robots", agent.lower() or "robots"):
        tags = [t for t in _TAGS.split(content.lower()) if t]
        page.facts.robots_tags += tags
        page.facts.nofollow = page.facts.nofollow or bool({"nofollow", "none"} & set(tags))
    elif name == "tdm-reservation" and content == "1":
        page.facts.tdm_reserved = "meta"
    elif name in _RIGHTS and content and statements.is_new(f"{name in _LICENCES} {content}"):
        # Prose counts for what it names; in an element that is a licence's, an address or a single word (an SPDX id) counts also if
        # nobody knows it.
        named = name in _LICENCES and not any(c.isspace() for c in content)
        said = (content[:MAX_URL],) if named else read_statement(content)
        page.facts.licence_links += [("meta", x) for x in said]
