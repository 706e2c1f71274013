"""The body of one WARC record.

Records as the importers and crawlers write them (one gzip member, no transfer or content coding) are read here: a fifth of the time
that warcio takes, whose headers become objects. Whatever is not exactly such a record is left to warcio.
"""

from __future__ import annotations

import re
import zlib
from io import BytesIO
from typing import IO

from headrace_lake.errors import InputError

_HEADERS = rb"(?:[!-9;-~]+:[ -~]*\r\n)+\r\n"
_WARC = re.compile(rb"WARC/1\.[01]\r\n" + _HEADERS)
_HTTP = re.compile(rb"HTTP/1\.[01] [ -~]*\r\n" + _HEADERS)
_LENGTH = re.compile(rb"\r\nContent-Length: ?([0-9]{1,12})\r\n")
_RESPONSE = re.compile(rb"\r\nWARC-Type: ?response\r\n")
_RESOURCE = re.compile(rb"\r\nWARC-Type: ?resource\r\n")
_WEB = re.compile(rb"\r\nWARC-Target-URI: ?https?://")
_ONCE = (b"\r\nwarc-type", b"\r\ncontent-length", b"\r\nwarc-target-uri")
_CODED = re.compile(rb"\r\n(?:content|transfer)-encoding[ \t]*:", re.IGNORECASE)
_HEAD_BYTES = 1 << 16
"""Most that the headers of a plain record have."""


def read_body(path: str, offset: int, length: int, limit: int) -> bytes:
    """The decoded body of one WARC record, at most `limit` + 1 bytes.

    Raises:
        InputError: there is no whole record at this place.
    """
    with open(path, "rb") as f:
        return body_at(f, path, offset, length, limit)


def body_at(file: IO[bytes], path: str, offset: int, length: int, limit: int) -> bytes:
    """The same from an open file; `path` is what an error names."""
    file.seek(offset)
    data = file.read(length)
    plain = _plain_body(data, limit) if len(data) == length else None
    return plain if plain is not None else _any_body(data, path, offset, length, limit)


def _plain_body(data: bytes, limit: int) -> bytes | None:
    """The body, at most `limit` + 1 bytes, or None if this is not a plain record."""
    reader = zlib.decompressobj(wbits=31)
    try:
        record = reader.decompress(data, _HEAD_BYTES + limit + 1)
    except zlib.error:
        return None
    head = _WARC.match(record, 0, _HEAD_BYTES)
    if head is None:
        return None
    names = head[0].lower()
    size = _LENGTH.search(head[0])
    if size is None or any(names.count(name) != 1 for name in _ONCE):
        return None
    start, end = head.end(), head.end() + int(size[1])
    if _RESPONSE.search(head[0]) and _WEB.search(head[0]):
        http = _HTTP.match(record, start, min(end, _HEAD_BYTES))
        if http is None or _CODED.search(http[0]):
            return None
        start = http.end()
    elif not _RESOURCE.search(head[0]):
        return None
    body = record[start : min(end, start + limit + 1)]
    return body if start + len(body) == end or len(body) == limit + 1 else None


def _any_body(data: bytes, path: str, offset: int, length: int, limit: int) -> bytes:
    from warcio.archiveiterator import ArchiveIterator

    record = next(iter(ArchiveIterator(BytesIO(data))), None) if len(data) == length else None
    if record is None:
        raise InputError(f"{path}: no WARC record at byte {offset}", "the file is truncated: fetch the slice again")
    body: bytes = record.content_stream().read(limit + 1)
    return body
