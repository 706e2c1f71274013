"""WARC and ARC files: responses and resources are items, what else there is in them is counted by type.

A fault costs the record that has it: one that is cut or damaged, whose length is wrong, whose date or address cannot be read, is
quarantined (`cut`, `damaged`, `bad_length`, `bad_date`, `bad_record`, `encoding`) and the rest is kept. A file that has records, but no
page (WET, WAT, CDX exports), is named as `no_pages`. Addresses are brought into the crawler's normal form, where they have one. Pages that
the archive's crawler cut off itself (`WARC-Truncated`) are kept and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from headrace_governance.acquire.crawl.decode import BadEncoding, BodyTooLarge, Decoder
from headrace_governance.acquire.crawl.fields import http_date
from headrace_governance.acquire.crawl.media import media_type, sniffed
from headrace_governance.acquire.crawl.urls import normal_url
from headrace_governance.acquire.importers.warc_records import Record, Records
from headrace_governance.containers.item import Item, Reading, alone
from headrace_governance.sources.source import WarcFetch
from headrace_lake.errors import InputError

_RATIO = 200.0
_OVERHEAD = 1 << 20
"""Bytes that a block may have beyond a body of the largest size: HTTP headers, chunk sizes, what deflate adds to the incompressible."""
_FED = 256 << 10
_PAGES = ("response", "resource")
_KINDS = (*_PAGES, "warcinfo", "request", "metadata", "revisit", "conversion", "continuation", "filedesc")
_STATUS = re.compile(rb"[A-Za-z]{1,10}(?:/\d[\d.]{0,5})?[ \t]{1,9}(\d{3})(?:[ \t\r\n]|$)")
_DATE = re.compile(
    r"(?P<year>\d{4})(?:-?(?P<month>\d{2})(?:-?(?P<day>\d{2})(?:[Tt ]?(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})"
    r"(?:[.,](?P<fraction>\d{1,30}))?)?)?\s?(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?)?)?)?"
)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK = re.compile(rb"[ \t]{0,9}([0-9A-Fa-f]{1,8})[ \t]{0,9}(?:;[^\r\n]{0,4000})?\r?\n")


def read_warc(fetch: WarcFetch, files: list[Path], reading: Reading) -> Iterator[Item]:
    """Responses and resources of WARC and ARC files.

    Raises:
        InputError: a file holds no record at all, or cannot be read.
    """
    for file in files:
        records = Records(file, fetch.max_bytes + fetch.max_bytes // 4 + _OVERHEAD)
        pages = whole = 0
        others: dict[str, int] = {}
        foreign: Record | None = None
        for record in records:
            written = record.fields.get("warc-target-uri", "").strip("<> ")
            url = normal_url(written) or written or f"file:{file.name}#{record.number}"
            if record.problem is not None:
                if record.number == 0 and record.problem[0] == "damaged" and not record.fields:
                    foreign = record  # perhaps a file of another format
                else:
                    yield _broken(file, record, url, reading)
                continue
            whole += 1
            kind = _kind(record)
            if kind in _PAGES:
                pages += 1
                if "warc-truncated" in record.fields:
                    reading.skipped[f"truncated by the crawler ({record.fields['warc-truncated'][:40]}), kept"] += 1
                yield from alone(partial(_one, fetch, file, record, url), url, f"{file.name} record {record.number}")
            else:
                others[kind] = others.get(kind, 0) + 1
                reading.skipped[f"{kind} records"] += 1
        for what in records.incomplete:
            reading.lacks(what)
        if not whole and (foreign is not None or not records.seen):
            why = f" ({foreign.problem[1]})" if foreign is not None and foreign.problem else ""
            raise InputError(f"{file}: no WARC record in it{why}", "remove it from 'paths' or copy it again")
        if foreign is not None:
            yield _broken(file, foreign, f"file:{file.name}#0", reading)
        if not pages and whole:
            held = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
            wet = (
                " (WET files hold texts, WAT files metadata of pages: import the WARC files)"
                if {"conversion", "metadata"} & set(others)
                else ""
            )
            yield Item(url=f"file:{file.name}", problem=("no_pages", f"{file.name}: no response in it, but {held}{wet}"), failed=True)


def _broken(file: Path, record: Record, url: str, reading: Reading) -> Item:
    reason, detail = record.problem or ("", "")
    reading.lacks(f"{file.name}: record {record.number} is {reason} ({detail})")
    return Item(url=url, problem=(reason, f"{file.name} record {record.number}: {detail}"), failed=True)


def _kind(record: Record) -> str:
    """`response` or `resource` for what may be a page, else what it is counted as."""
    kind = record.kind
    scheme = record.fields.get("warc-target-uri", "").strip("<> ").partition(":")[0].lower()
    if kind in _PAGES and scheme in ("dns", "whois", "filedesc", "screenshot", "metadata", "urn"):
        return scheme
    return kind if kind in _KINDS else "other"


def _one(fetch: WarcFetch, file: Path, record: Record, url: str) -> list[Item]:
    return [_item(fetch, file, record, url)]


def _item(fetch: WarcFetch, file: Path, record: Record, url: str) -> Item:
    fields = record.fields
    at = warc_date(fields.get("warc-date", ""))
    where = f"{file.name} record {record.number}"
    if at is None:
        return Item(url=url, problem=("bad_date", f"{where}: WARC-Date '{fields.get('warc-date', '')[:60]}' is not a date"), failed=True)
    if not fields.get("warc-target-uri"):
        return Item(url=url, problem=("bad_record", f"{where}: no WARC-Target-URI"), failed=True)
    declared = fields.get("content-type", "")
    status, start = 0, 0
    headers: tuple[tuple[str, str], ...] = ()
    if record.kind == "response":
        found = _STATUS.match(record.block)
        is_http = declared.lower().startswith("application/http") or "arc" in fields or url.lower().startswith(("http:", "https:"))
        if found is not None and is_http:
            status = int(found[1])
            headers, start = _http_headers(record.block)
            declared = ", ".join(v for k, v in headers if k == "content-type")
        elif is_http and "arc" not in fields:
            return Item(url=url, problem=("bad_record", f"{where}: no HTTP status line"), failed=True)
    kind, charset = media_type(declared)
    known: dict[str, Any] = {"url": url, "content_type": kind, "charset": charset, "status": status, "fetched_at": at, "headers": headers}
    if status and status != 200:
        return Item(**known, problem=("http_status", str(status)))
    if kind and kind not in fetch.media_types:
        return Item(**known, problem=("media_type", kind))
    if record.length > len(record.block):
        return Item(**known, problem=("too_large", f"{record.length} bytes"))
    try:
        body = _body(record.block[start:], headers, fetch.max_bytes)
    except BodyTooLarge as exc:
        return Item(**known, problem=(exc.reason, exc.detail))
    except BadEncoding as exc:
        return Item(**known, problem=("encoding", str(exc)), failed=True)
    if not kind:
        known["content_type"] = kind = sniffed(body)
        if kind not in fetch.media_types:
            return Item(**known, problem=("media_type", f"none declared, looks like {kind or 'no text'}"))
    return Item(**known, body=body)


def _http_headers(block: bytes) -> tuple[tuple[tuple[str, str], ...], int]:
    """(name in lower case, value) of an HTTP response's header lines, and where its body begins."""
    headers: list[tuple[str, str]] = []
    at = block.find(b"\n") + 1 or len(block)
    while at < len(block):
        end = block.find(b"\n", at) + 1 or len(block)
        line = _CONTROL.sub(b" ", block[at:end].rstrip(b"\r\n")).decode("latin-1")
        at = end
        if not line:
            break
        name, colon, value = line.partition(":")
        if line[0] in " \t" and headers:
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip()}")
        elif colon and name.strip():
            headers.append((name.strip().lower(), value.strip()))
    return tuple(headers), at


def _body(data: bytes, headers: tuple[tuple[str, str], ...], max_bytes: int) -> bytes:
    """The decoded body. Archives store it as it was sent, or without its chunks, or decoded, whatever the headers say.

    Raises:
        BodyTooLarge: more bytes than a body may have.
        BadEncoding: the body is damaged or ends in the middle of its coding.
    """
    transfer = [c.strip().lower() for k, v in headers if k == "transfer-encoding" for c in v.split(",")]
    data = _dechunked(data, declared="chunked" in transfer)
    codings = [v for k, v in headers if k == "content-encoding"] + [c for c in transfer if c != "chunked"]
    decoder = Decoder(", ".join(codings), max_bytes, _RATIO)
    for at in range(0, len(data), _FED):
        decoder.feed(data[at : at + _FED])
    return decoder.finish()


def _dechunked(data: bytes, *, declared: bool) -> bytes:
    """The body without its chunk sizes (RFC 9112, 7.1); as it stands if it has none.

    Where they are not declared, they must fit to the last byte.

    Raises:
        BadEncoding: it is chunked as declared, but ends before its last chunk.
    """
    out, at = bytearray(), 0
    while (size := _CHUNK.match(data, at)) is not None:
        length, start = int(size[1], 16), size.end()
        if length == 0:
            last = not data[start:].strip() or (declared and at > 0)  # trailer fields may follow
            return bytes(out) if last and (declared or at) else data
        end = start + length
        if end > len(data) or data[end : end + 1] not in (b"\r", b"\n"):
            if declared and at:
                raise BadEncoding("chunked: stream ends early" if end >= len(data) else "chunked: damaged")
            if declared and end >= len(data) and data[size.start() : start].endswith(b"\r\n") and length > 15:
                raise BadEncoding("chunked: stream ends early")
            return data
        out += data[start:end]
        at = end + (2 if data[end : end + 2] == b"\r\n" else 1)
    if declared and at:
        raise BadEncoding("chunked: stream ends early")
    return data


def warc_date(text: str) -> datetime | None:
    """A WARC-Date at any granularity (ISO 28500: W3C's profile of ISO 8601), an ARC file's 14 digits, or an HTTP date; in UTC.

    What is not said is the first: `2016` is the beginning of 2016. None if it is not a date.
    """
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return http_date(text.strip(), datetime(2000, 1, 1, tzinfo=UTC))
    parts = [
        int(found[name] or first) for name, first in (("year", 1), ("month", 1), ("day", 1), ("hour", 0), ("minute", 0), ("second", 0))
    ]
    zone = found["zone"] or "Z"
    offset = timedelta()
    if zone not in "Zz":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    try:
        day = timedelta(days=1) if parts[3] == 24 and not parts[4] and not parts[5] else timedelta()
        parts[3], parts[5] = parts[3] % 24 if day else parts[3], min(parts[5], 59) if parts[5] <= 60 else parts[5]
        micro = int((found["fraction"] or "0")[:6].ljust(6, "0"))
        return (datetime(*parts, micro, tzinfo=timezone(offset)) + day).astimezone(UTC)  # type: ignore[misc, arg-type]
    except (ValueError, OverflowError):
        return None
