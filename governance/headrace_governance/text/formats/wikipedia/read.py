"""Wikipedia dumps: each page of a MediaWiki export becomes a capture that is an export of this one page.

That is what `Special:Export/TITLE` answers: the `page` element byte for byte, under a `siteinfo` that keeps what a conversion needs
(database name, base address, the names of the namespaces 6 *file* and 14 *category*). Wikitext becomes Markdown in `extract`.

Dropped: `namespace` (number), `redirect` (target), `content_model` (a page that is not wikitext), `no_text` (revision hidden or
empty), `too_large`. A page that is not XML is quarantined as `bad_page`. Speed: 11 to 24 MB of XML/s a core, most of it bzip2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin
from xml.sax.saxutils import escape, quoteattr

from headrace_governance.containers.item import EPOCH, Item, alone
from headrace_governance.containers.opening import Records, blocks
from headrace_governance.sources.import_options import WikipediaFetch
from headrace_governance.text.xml_tree import local_name, parse_xml
from headrace_lake.errors import InputError

MEDIA_TYPE = "application/x-mediawiki-export+xml"
_KEPT_NAMESPACES = ("6", "14")


@dataclass
class _Site:
    """What the head of a dump says."""

    opening: bytes
    base: str
    language: str


def read_wikipedia(fetch: WikipediaFetch, files: list[Path]) -> Iterator[Item]:
    """Pages of the dumps, in the files' order.

    Raises:
        InputError: a file is damaged, ends too early, or is not an export.
    """
    for file in files:
        records = Records(blocks(file, fetch.max_ratio), "page", fetch.max_bytes)
        site: _Site | None = None
        for cut in records:
            site = site or _site(file, records.head, fetch)
            url = f"file:{file.name}#{cut.number}"
            if cut.too_long:
                yield Item(url=url, problem=("too_large", f"{cut.too_long} bytes"))
                continue
            try:
                page = parse_xml(cut.data)
            except ValueError as exc:
                yield Item(url=url, problem=("bad_page", f"{file.name} page {cut.number}: {exc}"), failed=True)
                continue
            yield from alone(partial(_one, fetch, file, site, cut.number, cut.data, page), url, f"{file.name} page {cut.number}")
        if site is None:
            raise InputError(f"{file}: no page in it", "it is not a MediaWiki export; check 'paths' of the source")
        if records.open or (b"<mediawiki" in records.head and b"</mediawiki>" not in records.tail):
            raise InputError(f"{file}: ends too early", "fetch or copy the file again")


def _site(file: Path, head: bytes, fetch: WikipediaFetch) -> _Site:
    start = head.find(b"<mediawiki")
    database, base, language, names = "", fetch.base_url, fetch.language_hint, {}
    if start >= 0:
        try:
            root = parse_xml(head[start:] + b"</mediawiki>")
        except ValueError as exc:
            raise InputError(f"{file}: its siteinfo cannot be read ({exc})", "fetch or copy the file again") from exc
        language = root.get("{http://www.w3.org/XML/1998/namespace}lang") or language
        for e in root.iter():
            if local_name(e) == "dbname":
                database = (e.text or "").strip()
            elif local_name(e) == "base":
                base = fetch.base_url or (e.text or "").strip()
            elif local_name(e) == "namespace" and e.get("key") in _KEPT_NAMESPACES:
                names[e.get("key")] = (e.text or "").strip()
    listed = "".join(f'<namespace key="{key}">{escape(names[key])}</namespace>' for key in sorted(names))
    info = f"<siteinfo><dbname>{escape(database)}</dbname><base>{escape(base)}</base><namespaces>{listed}</namespaces></siteinfo>"
    return _Site(f"<mediawiki xml:lang={quoteattr(language)}>{info}\n".encode(), base, language)


def _one(*given: Any) -> list[Item]:
    return [_item(*given)]


def _item(fetch: WikipediaFetch, file: Path, site: _Site, number: int, data: bytes, page: Any) -> Item:
    title, namespace, redirect = "", "0", None
    revision = None
    for child in page:
        match local_name(child):
            case "title":
                title = (child.text or "").strip()
            case "ns":
                namespace = (child.text or "").strip()
            case "redirect":
                redirect = child.get("title") or ""
            case "revision":
                revision = child  # the last one counts: a dump with history has the newest at the end
    parts = {local_name(e): e for e in revision} if revision is not None else {}
    url = _address(site.base, title) if site.base and title else f"file:{file.name}#{number}"
    known: dict[str, Any] = {"url": url, "fetched_at": _time(parts.get("timestamp")), "language": site.language}
    model = parts["model"].text if "model" in parts else "wikitext"
    text = parts.get("text")
    if not namespace.isdecimal() or int(namespace) not in fetch.namespaces:
        return Item(**known, problem=("namespace", namespace))
    if redirect is not None:
        return Item(**known, problem=("redirect", redirect))
    if model != "wikitext":
        return Item(**known, problem=("content_model", str(model)))
    if text is None or not (text.text or "").strip():
        return Item(**known, problem=("no_text", "hidden" if text is not None and text.get("deleted") else "empty"))
    return Item(**known, body=site.opening + data + b"\n</mediawiki>\n", content_type=MEDIA_TYPE, charset="utf-8")


def _address(base: str, title: str) -> str:
    """The page's address beside the site's main page, as MediaWiki writes it."""
    folder = base if base.endswith("/") else urljoin(base, ".")
    return folder + quote(title.replace(" ", "_"), safe="/:@!$'()*,;~")


def _time(stamp: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(stamp.text).strip().replace("Z", "+00:00")).astimezone(UTC)
    except (AttributeError, ValueError, OverflowError):
        return EPOCH
