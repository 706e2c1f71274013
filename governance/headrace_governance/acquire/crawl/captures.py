"""From pages to WARC objects and `captures` rows, part by part, in the order of addresses.

The WARC files follow Common Crawl's habit: bodies are stored decoded, the original coding named in
`X-Crawl-Content-Encoding`. Record ids derive from address and time, so the same pages give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import string
import tempfile
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deflate
import pyarrow as pa
from warcio.recordloader import ArcWarcRecord
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from headrace_governance.acquire.crawl.frontier import StoredPage
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_bytes
from headrace_lake.identity import document_uid
from headrace_lake.storage.objects import object_path

if TYPE_CHECKING:
    # Only for types: the lake's own code must not enter the crawl's code digest.
    from headrace_lake.lake import Lake
    from headrace_lake.receipts import ShardFile
    from headrace_lake.slices import Slice

_NAMESPACE = uuid.UUID("6f0d2a4e-6c51-4b8e-9d2f-6d1f2f1d7a10")
_LEVEL = 6
"""Of libdeflate, which writes gzip: as small as zlib's 6, which warcio would take, in less than half of its time (pages of handbooks)."""
_HOP_HEADERS = {"transfer-encoding", "content-encoding", "content-length", "connection", "keep-alive", "set-cookie"}
_OURS = "x-crawl-"
"""How fields begin that the crawler writes; a server's own of such a name are left out."""


def write_captures(lake: Lake, slice_: Slice, pages: Iterable[tuple[StoredPage, bytes | None]]) -> list[ShardFile]:
    """Pack pages into one WARC object and one shard of rows per part, as large as the settings' `lake.parts` says.

    Args:
        pages: in the order of addresses; a page without a body refers to an earlier WARC record.
    """
    limits = lake.settings.lake.parts
    shards: list[ShardFile] = []
    rows: list[dict[str, Any]] = []
    size = 0
    part = _WarcPart()
    stored_evidence: set[str] = set()
    try:
        for page, body in pages:
            if rows and (len(rows) == limits.rows or size + page.content_bytes > limits.megabytes * 1e6):
                shards.append(_flush(lake, slice_, len(shards), part, rows))
                rows, size, part = [], 0, _WarcPart()
            size += page.content_bytes
            rows.append(_row(slice_.source, page, part.add(page, body) if body is not None else None))
            if page.licence_evidence not in stored_evidence:
                put_evidence(lake, page.evidence.encode(), ".json")
                stored_evidence.add(page.licence_evidence)
        if rows:
            shards.append(_flush(lake, slice_, len(shards), part, rows))
    finally:
        part.close()
    return shards


def put_evidence(lake: Lake, data: bytes, suffix: str) -> str:
    """Store evidence under its own digest, which a column of `captures` then holds (`headrace_lake.vacuum` knows which); returns it."""
    digest = digest_bytes(data)
    path = object_path("evidence", digest, suffix)
    lake.storage.put_bytes(path, data)  # also where it lies already: vacuum's time of grace counts from the last time it was stored
    return digest


def read_warc_body(lake: Lake, path: str, offset: int, length: int) -> bytes:
    """The body of one response record.

    Raises:
        InputError: the object is missing or damaged.
    """
    from warcio.archiveiterator import ArchiveIterator

    with lake.storage.open_input(path) as f:
        f.seek(offset)
        raw = bytes(f.read(length))
    for record in ArchiveIterator(io.BytesIO(raw)):
        return bytes(record.content_stream().read())
    raise InputError(f"{path}: no WARC record at byte {offset}", "crawl the slice again with --refresh")


def _flush(lake: Lake, slice_: Slice, number: int, part: _WarcPart, rows: list[dict[str, Any]]) -> ShardFile:
    if part.records:
        path = lake.put_object(part.finish(), kind="warc", suffix=".warc.gz")
        for row in rows:
            row["warc_path"] = row["warc_path"] or path
    part.close()
    return lake.write_shard("captures", slice_, number, pa.Table.from_pylist(rows))


def _row(source: str, page: StoredPage, place: tuple[int, int] | None) -> dict[str, Any]:
    offset, length = place if place is not None else (page.warc_offset, page.warc_length)
    return {
        "uid": document_uid(source, page.url, page.content_digest),
        "url": page.url,
        "final_url": page.final_url,
        "status": page.status,
        "fetched_at": datetime.fromisoformat(page.fetched_at),
        "content_type": page.content_type,
        "charset": page.charset,
        "content_digest": page.content_digest,
        "content_bytes": page.content_bytes,
        "warc_path": "" if place is not None else page.warc_path,
        "warc_offset": offset,
        "warc_length": length,
        "etag": page.etag,
        "last_modified": page.last_modified,
        "robots_digest": page.robots_digest,
        "licence": page.licence,
        "licence_class": page.licence_class,
        "licence_basis": page.licence_basis,
        "licence_evidence": page.licence_evidence,
        "language_hint": page.language_hint,
        "answered_by": page.answered_by or None,
    }


class _WarcPart:
    """One WARC file under construction in a temporary file."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="headrace-warc-")
        self._path = Path(self._folder.name) / "part.warc.gz"
        self._file = self._path.open("wb")
        self._record = io.BytesIO()
        self._writer = WARCWriter(self._record, gzip=False, warc_version="1.1")
        self.records = 0

    def add(self, page: StoredPage, body: bytes) -> tuple[int, int]:
        """Write request, response and metadata; returns offset and length of the response record, in bytes."""
        if not self.records:
            first = datetime.fromisoformat(page.fetched_at)
            self._write("warcinfo", "", first, b"software: headrace\r\nformat: WARC file version 1.1\r\n", "application/warc-fields")
        self.records += 1
        at = datetime.fromisoformat(page.fetched_at)
        if page.request_headers:
            target = page.final_url
            http = StatusAndHeaders(f"GET {_target(target)} HTTP/1.1", page.request_headers, is_http_request=True)
            self._write("request", target, at, b"", "application/http; msgtype=request", http)
        headers = [(_header(k), _header(v)) for k, v in page.headers if k not in _HOP_HEADERS and not k.startswith(_OURS)]
        headers += [("x-crawl-content-encoding", _header(v)) for k, v in page.headers if k == "content-encoding"]
        headers.append(("content-length", str(len(body))))
        start = self._file.tell()
        if page.status:
            self._write(
                "response",
                page.final_url,
                at,
                body,
                "application/http; msgtype=response",
                StatusAndHeaders(str(page.status), headers, "HTTP/1.1"),
            )
        else:
            self._write("resource", page.final_url, at, body, page.content_type or "application/octet-stream")
        length = self._file.tell() - start
        self._write("metadata", page.final_url, at, page.evidence.encode(), "application/json")
        return start, length

    def _write(self, kind: str, url: str, at: datetime, payload: bytes, content_type: str, http: StatusAndHeaders | None = None) -> None:
        record_id = uuid.uuid5(_NAMESPACE, f"{kind} {url} {at.isoformat()} {digest_bytes(payload)}")
        date = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        headers = {"WARC-Record-ID": f"<urn:uuid:{record_id}>", "WARC-Date": date}
        if kind != "warcinfo":  # which warcio would take of the payload twice more
            digest = f"sha1:{base64.b32encode(hashlib.sha1(payload, usedforsecurity=False).digest()).decode()}"
            headers |= {"WARC-Payload-Digest": digest} | ({"WARC-Block-Digest": digest} if http is None else {})
        record: ArcWarcRecord = self._writer.create_warc_record(
            _ascii(url),
            kind,
            payload=io.BytesIO(payload),
            length=len(payload),
            http_headers=http,
            warc_content_type=content_type,
            warc_headers_dict=headers,
        )
        self._writer.write_record(record)
        self._file.write(deflate.gzip_compress(self._record.getvalue(), _LEVEL))
        self._record.seek(0)
        self._record.truncate()

    def finish(self) -> Path:
        """The complete file."""
        self._file.flush()
        self._file.close()
        return self._path

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()
        self._folder.cleanup()


def _header(text: str) -> str:
    """A header's name or value in ASCII, other bytes percent-encoded: a WARC record's head has no other form for them."""
    if text.isascii():
        return text
    from urllib.parse import quote_from_bytes

    try:
        data = text.encode("latin-1")  # as HTTP libraries read bytes
    except UnicodeEncodeError:
        data = text.encode("utf-8")
    return quote_from_bytes(data, safe=string.printable)


def _ascii(url: str) -> str:
    from urllib.parse import quote

    return quote(url, safe="/?:@!$&'()*+,;=-._~%#[]")


def _target(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return _ascii(parts.path or "/") + (f"?{_ascii(parts.query)}" if parts.query else "")
