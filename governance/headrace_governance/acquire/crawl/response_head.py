"""Header lines of HTTP responses as far as they can be read: what no parser takes is left out before the strict one (h11) sees it.

Servers send lines without a colon, blanks before it, names with umlauts, `Content-Length: unknown`, `Transfer-Encoding: identity`. Browsers
pass over such a line; h11 refuses the whole response, and a robots.txt that is refused forbids its host. What decides where a body ends
stays strict: two different lengths are still an error (RFC 9112, 6.3).
"""

from __future__ import annotations

import re
from typing import Any

import httpcore

_END = re.compile(rb"\r?\n\r?\n")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_HEAD = 128 << 10
_CODINGS = (b"gzip", b"x-gzip", b"deflate")


def readable_head(head: bytes) -> bytes:
    """A response's status line and header lines, with the blank line at their end, without those that cannot be read."""
    first, *lines = _END.sub(b"", head, count=1).split(b"\n") if head else [b""]
    kept: list[bytes] = []
    transfer: list[bytes] = []
    taken = False
    for line in (_CONTROL.sub(b" ", x.rstrip(b"\r")) for x in lines):
        if line[:1] in (b" ", b"\t"):
            if taken and kept:
                kept[-1] += b" " + line.strip()
            continue
        name, colon, value = line.partition(b":")
        name, value = name.strip(), value.strip()
        taken = bool(colon) and _NAME.fullmatch(name) is not None
        if not taken:
            continue
        match name.lower():
            case b"transfer-encoding":
                transfer += [c.strip().lower() for c in value.split(b",")]
                taken = False
            case b"content-length" if not re.fullmatch(rb"\d{1,18}(?:\s*,\s*\d{1,18}){0,9}", value):
                taken = False
            case _:
                kept.append(name + b": " + value)
    if b"chunked" in transfer:
        kept = [k for k in kept if not k.lower().startswith(b"content-length:")]  # RFC 9112, 6.3: the chunks count
        kept.append(b"Transfer-Encoding: chunked")
    kept += [b"Content-Encoding: " + c for c in transfer if c in _CODINGS]
    return b"\r\n".join([first.rstrip(b"\r"), *kept]) + b"\r\n\r\n"


class ReadableHeads(httpcore.AsyncNetworkStream):
    """A connection whose responses' heads have passed `readable_head`; a response follows what was written (no pipelining)."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._expected = False
        self._held = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes; a head comes whole."""
        if not self._expected:
            return await self._inner.read(max_bytes, timeout)
        data, self._held = self._held, b""
        while (end := _END.search(data)) is None:
            more = await self._inner.read(max_bytes, timeout)
            data += more
            if not more or len(data) > _MAX_HEAD or not b"HTTP/".startswith(data[:5]):
                self._expected = False
                return data
        head, rest = readable_head(data[: end.end()]), data[end.end() :]
        if data[8:10] == b" 1":  # an interim response: another one follows
            self._held = rest
            return head
        self._expected = False
        return head + rest

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send a request, or a part of it."""
        self._expected = True
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    async def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> ReadableHeads:
        """The same within TLS."""
        return ReadableHeads(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the connection says of itself."""
        return self._inner.get_extra_info(info)
