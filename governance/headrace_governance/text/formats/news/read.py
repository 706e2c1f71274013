"""News in files: RSS and Atom feeds (an entry is a capture), NITF and NewsML-G2 (a story is one), told by their root element.

An entry's capture is a feed of this one entry: the feed's own start tags, the entry byte for byte. Its address is its link. A licence that
the entry or the feed names joins the decision: `license` elements (RSS, RDF, Media RSS), `link rel="license"` (RFC 4946), and what
`rights`, `copyright` and `usageTerms` name in words; rights of an entry stand for the feed's (RFC 4287, 4.2.10). Dropped: `teaser`
(less text than `min_characters`), `too_large`; an entry that is not XML is quarantined as `bad_entry`, a file of no known format as
`bad_document`, what a feed that ends too early lacks as `cut`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from headrace_governance.containers.item import Item, alone
from headrace_governance.containers.opening import Records, blocks
from headrace_governance.sources.import_options import NewsFetch
from headrace_governance.sources.licences.elements import statements
from headrace_governance.sources.licences.rules import rules
from headrace_governance.text.formats.news.convert import convert_news, entry_body
from headrace_governance.text.xml_tree import local_name, parse_xml

FEED, NITF, NEWSML = "application/feed+xml", "application/nitf+xml", "application/vnd.iptc.g2.newsitem+xml"
_ROOT = re.compile(rb"<(?:[A-Za-z0-9_]{1,30}:)?(rss|feed|RDF|nitf|newsItem|newsMessage)\b[^<>]{0,8000}>")
_CHANNEL = re.compile(rb"<channel\b[^<>]{0,2000}>")
_LANGUAGE = re.compile(rb"<(?:dc:)?language>\s{0,20}([A-Za-z-]{2,20})\s{0,20}</|<feed\b[^<>]{0,2000}?xml:lang=[\"']([A-Za-z-]{2,20})[\"']")
_HEAD_ELEMENT = re.compile(
    rb"<(?:[A-Za-z]{1,30}:)?(licen[sc]e|link|rights|copyright)\b([^<>]{0,1000})>(?:\s{0,20}<!\[CDATA\[)?([^<>]{0,5000})"
)
_ATTRIBUTE = re.compile(rb"(?:^|[\s:])(rel|href|resource|url)\s{0,5}=\s{0,5}[\"']([^\"'<>]{1,1000})[\"']")
_DECLARATION = re.compile(rb"^\s{0,20}<\?xml[^<>]{0,200}\?>")
_ENTRY = {b"rss": "item", b"RDF": "item", b"feed": "entry", b"newsMessage": "newsItem"}


def read_news(fetch: NewsFetch, files: list[Path]) -> Iterator[Item]:
    """Stories of the files, in order.

    Raises:
        InputError: a file is damaged.
    """
    for file in files:
        source = blocks(file, fetch.max_ratio)
        first = next(source, b"")
        root = _ROOT.search(first)
        if root is None:
            yield Item(url=f"file:{file.name}", problem=("bad_document", f"{file.name}: no feed, NITF or NewsML-G2"), failed=True)
            continue
        tag = _ENTRY.get(root[1])
        if tag is not None:
            yield from _entries(fetch, file, _again(first, source), root, tag)
            continue
        data = bytearray(first)
        size = len(first)
        for block in source:
            size += len(block)
            data += block if size <= fetch.max_bytes else b""
        if size > fetch.max_bytes:
            yield Item(url=f"file:{file.name}", problem=("too_large", f"{size} bytes"))
        else:
            story = partial(_one, fetch, f"file:{file.name}", bytes(data), NITF if root[1] == b"nitf" else NEWSML, "", ())
            yield from alone(story, f"file:{file.name}", file.name)


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _entries(fetch: NewsFetch, file: Path, source: Iterator[bytes], root: re.Match[bytes], tag: str) -> Iterator[Item]:
    records = Records(source, tag, fetch.max_bytes)
    number = 0
    head: bytes | None = None
    language, of_feed = "", tuple[str, ...]()
    closing = b"</" + root[0][1:].split()[0].rstrip(b">") + b">"
    for cut in records:
        url, number = f"file:{file.name}#{cut.number}", cut.number + 1
        if cut.too_long:
            yield Item(url=url, problem=("too_large", f"{cut.too_long} bytes"))
            continue
        if head is None:  # once a file: it may have a megabyte
            head = records.head
            found = _LANGUAGE.search(head)
            language = (found[1] or found[2]).decode("ascii") if found else ""
            of_feed = _said_in_head(head)
        declaration = _DECLARATION.match(head)
        opening = (declaration[0].strip() + b"\n" if declaration else b"") + root[0]
        # In RDF (RSS 1.0) the items stand beside the channel, else inside.
        inside = root[1] == b"rss" and _CHANNEL.search(head) is not None
        body = opening + (b"<channel>" if inside else b"") + cut.data + (b"</channel>" if inside else b"") + closing + b"\n"
        story = partial(_one, fetch, url, body, NEWSML if tag == "newsItem" else FEED, language, of_feed)
        yield from alone(story, url, f"{file.name} entry {number}")
    if records.open or re.search(re.escape(closing[:-1]) + rb"\s{0,20}>", records.tail) is None:
        where = f"inside entry {number + 1}" if records.open else f"behind entry {number}"
        yield Item(url=f"file:{file.name}#{number}", problem=("cut", f"{file.name} ends {where}, before its end tag"), failed=True)


def _one(fetch: NewsFetch, url: str, body: bytes, media: str, language: str, of_feed: tuple[str, ...]) -> list[Item]:
    return [_story(fetch, url, body, media, language, of_feed)]


def _story(fetch: NewsFetch, url: str, body: bytes, media: str, language: str, of_feed: tuple[str, ...]) -> Item:
    """An entry or story.

    Args:
        of_feed: what the feed says of the licence before its first entry.
    """
    try:
        root = parse_xml(body)
        entry = next((e for e in root.iter() if local_name(e) in ("item", "entry", "newsItem", "nitf")), None)
        if entry is None:
            raise ValueError("no entry in it")
        story = convert_news(body)
    except ValueError as exc:
        return Item(url=url, problem=("bad_entry", f"{url}: {exc}"), failed=True)
    address = _link(entry)
    url = address or url
    text = entry_body(entry) if media == FEED else story.text
    size = len(re.sub(r"<[^<>]{0,2000}>", "", text).strip())
    if size < fetch.min_characters:
        return Item(url=url, problem=("teaser", f"{size} characters"))
    own = _said(entry)
    named = tuple(x for x in of_feed if x not in rules().weak)
    language = story.fields.get("language", "") or language or fetch.language_hint
    links = tuple(("article", x) for x in dict.fromkeys((*own, *named) if own else of_feed))
    return Item(url=url, body=body, content_type=media, language=language, licence_links=links)


def _said(entry: Any) -> tuple[str, ...]:
    """What an entry's or story's own elements say."""
    addresses: list[str] = []
    terms: list[str] = []
    notices: list[str] = []
    for e in _children(entry):
        match local_name(e):
            case "license" | "licence":
                addresses += [str(v) for k, v in e.attrib.items() if k.rpartition("}")[2] in ("resource", "href", "url")]
                terms.append(" ".join(e.itertext()))
            case "link" if "license" in str(e.get("rel") or "").split():
                addresses.append(str(e.get("href") or ""))
            case "usageTerms":
                terms.append(" ".join(e.itertext()))
            case "rights" | "copyright" | "copyrightNotice" | "rights.agent" | "doc.copyright":
                notices.append(" ".join([*e.itertext(), *(str(v) for v in e.attrib.values())]))
    return statements(addresses, terms, notices)


def _children(entry: Any) -> Iterator[Any]:
    """The elements of a feed's entry (of `media:group`, Atom's `source`), or all of a NITF or NewsML story, where rights stand deeper."""
    if local_name(entry) in ("nitf", "newsItem"):
        yield from (e for e in entry.iter() if local_name(e) != local_name(entry))
        return
    for e in entry:
        yield e
        if local_name(e) in ("group", "source"):  # an Atom entry's `source` keeps the rights of the feed that it is from (RFC 4287, 4.2.11)
            yield from e


def _said_in_head(head: bytes) -> tuple[str, ...]:
    """What a feed says before its first entry."""
    addresses: list[str] = []
    terms: list[str] = []
    notices: list[str] = []
    for found in _HEAD_ELEMENT.finditer(head):
        attributes = {k: html.unescape(v.decode("utf-8", "replace")) for k, v in _ATTRIBUTE.findall(found[2])}
        text = html.unescape(found[3].partition(b"]]")[0].decode("utf-8", "replace"))
        if found[1] == b"link":
            if "license" in attributes.get(b"rel", "").split():
                addresses.append(attributes.get(b"href", ""))
        elif found[1] in (b"rights", b"copyright"):
            notices.append(text)
        else:
            addresses += [attributes[k] for k in (b"resource", b"href", b"url") if k in attributes]
            terms.append(text)
    return statements(addresses, terms, notices)


def _link(entry: Any) -> str:
    candidates: list[str] = []
    for e in entry:
        name = local_name(e)
        if name == "link":
            candidates.append(str(e.get("href") or e.text or "") if e.get("rel") in (None, "alternate") else "")
        elif name in ("guid", "id") and e.get("isPermaLink") != "false":
            candidates.append(e.text or "")
    found = [c.strip() for c in candidates if c.strip().startswith(("http://", "https://"))]
    if found:
        return found[0][:2000]
    guid = str(entry.get("guid") or "")
    return guid if guid.startswith(("http://", "https://", "urn:", "tag:")) else ""
