"""Content decoding in small steps, with caps on what comes *out*: a 10 KB body can hold gigabytes.

Cost: at most one step's output beyond the cap is ever held (64 KiB for gzip, deflate and Brotli, a few MiB for zstd).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import brotli  # type: ignore[import-untyped]
import zstandard

STEP = 64 << 10
_ZSTD_INPUT = 64
"""zstd blocks of 4 bytes may yield 128 KiB each, so its input is fed in pieces of this many bytes: 2 MiB a step."""
ACCEPT_ENCODING = "gzip, deflate, br, zstd"


class BodyTooLarge(Exception):
    """The decoded body passed its cap. `reason` is `too_large` or `compression_ratio`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


class BadEncoding(Exception):
    """The body is not what Content-Encoding says, or ends in the middle of it."""


class Decoder:
    """Decodes one body.

    Args:
        encoding: the Content-Encoding header; several codings are undone from the last to the first.
        max_bytes: cap on decoded bytes.
        max_ratio: cap on decoded / received bytes, looked at beyond 1 MiB.
    """

    def __init__(self, encoding: str, max_bytes: int, max_ratio: float) -> None:
        names = [n for n in (e.strip().lower() for e in encoding.split(",")) if n not in ("", "identity")]
        if len(names) > 2:
            raise BadEncoding(f"{len(names)} codings in Content-Encoding")
        self._steps: list[_Gzip | _Brotli | _Zstd] = [_step(n) for n in reversed(names)]
        self.encoding = ", ".join(names)
        self.max_bytes, self.max_ratio = max_bytes, max_ratio
        self.received = 0
        self.body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take received bytes.

        Raises:
            BodyTooLarge: a cap was passed.
            BadEncoding: the bytes are damaged.
        """
        self.received += len(data)
        for piece in self._through(0, data):
            self.body += piece
            if len(self.body) > self.max_bytes:
                raise BodyTooLarge("too_large", f"more than {self.max_bytes} bytes decoded")
            if self._steps and len(self.body) > max(1 << 20, self.max_ratio * self.received):
                raise BodyTooLarge("compression_ratio", f"{len(self.body)} bytes out of {self.received}")

    def _through(self, level: int, data: bytes) -> Iterator[bytes]:
        if level == len(self._steps):
            yield data
            return
        try:
            for piece in self._steps[level].feed(data):
                yield from self._through(level + 1, piece)
        except (zlib.error, brotli.error, zstandard.ZstdError) as exc:
            raise BadEncoding(f"{self.encoding}: {exc}") from exc

    def finish(self) -> bytes:
        """The whole body.

        Raises:
            BadEncoding: a compressed stream ended early.
        """
        if self.received and not all(s.complete for s in self._steps):
            raise BadEncoding(f"{self.encoding}: stream ends early")
        return bytes(self.body)


def _step(name: str) -> _Gzip | _Brotli | _Zstd:
    if name in ("gzip", "x-gzip", "deflate"):
        return _Gzip(deflate=name == "deflate")
    if name == "br":
        return _Brotli()
    if name == "zstd":
        return _Zstd()
    raise BadEncoding(f"unknown Content-Encoding '{name[:40]}'")


class _Gzip:
    """gzip (several members), zlib, or the bare deflate that some servers send as `deflate`."""

    def __init__(self, *, deflate: bool) -> None:
        self._deflate = deflate
        self._first = b""
        self._inner: Any = None if deflate else zlib.decompressobj(31)
        self.complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            self._first += data
            if len(self._first) < 2:
                return
            data = self._first
            head = int.from_bytes(data[:2], "big")
            self._inner = zlib.decompressobj(15 if data[0] & 15 == 8 and head % 31 == 0 else -15)
        while data:
            if self._inner.eof:
                if self._deflate or not data.startswith(b"\x1f\x8b"):
                    return  # padding after the last member, as browsers ignore it
                self._inner = zlib.decompressobj(31)
            out = self._inner.decompress(data, STEP)
            if out:
                yield out
            data = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
        self.complete = bool(self._inner.eof)

    def __repr__(self) -> str:
        return "gzip"


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()
        self.complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        out = self._inner.process(data, output_buffer_limit=STEP)
        while out or not self._inner.can_accept_more_data():
            yield out
            if self._inner.is_finished():
                break
            out = self._inner.process(b"", output_buffer_limit=STEP)
        self.complete = bool(self._inner.is_finished())


class _Zstd:
    def __init__(self) -> None:
        # The window cap is RFC 9659's: a decoder of Content-Encoding need not hold more than 8 MiB.
        self._inner = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj()
        self.complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _ZSTD_INPUT):
            if self._inner.eof:
                break
            out = self._inner.decompress(data[at : at + _ZSTD_INPUT])
            if out:
                yield out
        self.complete = bool(self._inner.eof)
