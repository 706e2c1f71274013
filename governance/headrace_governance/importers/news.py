"""News in files: RSS and Atom feeds (an entry is a capture), NITF and NewsML-G2 (a story is one), told by their root element.

An entry's capture is a feed of this one entry: the feed's own start tags, the entry byte for byte. Its address is its link. A licence that
the entry or the feed names joins the decision. Dropped: `teaser` (less text than `min_characters`), `too_large`; an entry that is no XML is
quarantined as `bad_entry`, a file of no known format as `bad_document`, what a feed that ends too early lacks as `cut`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headrace_governance.importers.containers import Records, blocks, local_name, parse_xml
from headrace_governance.importers.formats import NewsFetch
from headrace_governance.importers.item import Item
from headrace_governance.text.formats.news import convert_news, entry_body

FEED, NITF, NEWSML = "application/feed+xml", "application/nitf+xml", "application/vnd.iptc.g2.newsitem+xml"
_ROOT = re.compile(rb"<(?:[A-Za-z0-9_]{1,30}:)?(rss|feed|RDF|nitf|newsItem|newsMessage)\b[^<>]{0,8000}>")
_CHANNEL = re.compile(rb"<channel\b[^<>]{0,2000}>")
_LANGUAGE = re.compile(rb"<(?:dc:)?language>\s{0,20}([A-Za-z-]{2,20})\s{0,20}</|<feed\b[^<>]{0,2000}?xml:lang=[\"']([A-Za-z-]{2,20})[\"']")
_LICENCE = re.compile(rb"<(?:[A-Za-z]{1,30}:)?license>\s{0,20}(https?://[^\s<>]{1,500})\s{0,20}</")
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
            yield _story(fetch, f"file:{file.name}", bytes(data), NITF if root[1] == b"nitf" else NEWSML, "")


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _entries(fetch: NewsFetch, file: Path, source: Iterator[bytes], root: re.Match[bytes], tag: str) -> Iterator[Item]:
    records = Records(source, tag, fetch.max_bytes)
    number = 0
    closing = b"</" + root[0][1:].split()[0].rstrip(b">") + b">"
    for cut in records:
        url, number = f"file:{file.name}#{cut.number}", cut.number + 1
        if cut.too_long:
            yield Item(url=url, problem=("too_large", f"{cut.too_long} bytes"))
            continue
        head = records.head
        declaration = _DECLARATION.match(head)
        opening = (declaration[0].strip() + b"\n" if declaration else b"") + root[0]
        # In RDF (RSS 1.0) the items stand beside the channel, else inside.
        inside = root[1] == b"rss" and _CHANNEL.search(head) is not None
        body = opening + (b"<channel>" if inside else b"") + cut.data + (b"</channel>" if inside else b"") + closing + b"\n"
        found = _LANGUAGE.search(head)
        language = (found[1] or found[2]).decode("ascii") if found else ""
        yield _story(fetch, url, body, NEWSML if tag == "newsItem" else FEED, language, head)
    if records.open or re.search(re.escape(closing[:-1]) + rb"\s{0,20}>", records.tail) is None:
        where = f"inside entry {number + 1}" if records.open else f"behind entry {number}"
        yield Item(url=f"file:{file.name}#{number}", problem=("cut", f"{file.name} ends {where}, before its end tag"), failed=True)


def _story(fetch: NewsFetch, url: str, body: bytes, media: str, language: str, head: bytes = b"") -> Item:
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
    licences = [m[1].decode("ascii", "ignore") for m in (_LICENCE.search(body), _LICENCE.search(head)) if m is not None]
    licences += [str(e.get("href")) for e in entry if local_name(e) == "link" and e.get("rel") == "license" and e.get("href")]
    language = story.fields.get("language", "") or language or fetch.language_hint
    links = tuple(("article", x) for x in dict.fromkeys(licences))
    return Item(url=url, body=body, content_type=media, language=language, licence_links=links)


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
