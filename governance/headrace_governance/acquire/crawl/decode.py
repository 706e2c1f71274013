"""Content decoding in small steps, with caps on what comes *out*: a 10 KB body can hold gigabytes.

What a header field says of a body is often wrong, and then the body is what counts, as for browsers, curl and gzip(1):

- A name that is not a coding (`utf-8`, `none`, `identity`, empty) codes nothing.
- A body that does not begin as its coding does is not coded: archives store what was decoded and leave the field (all of CC-NEWS before
  16 May 2019), proxies add it twice. Brotli and deflate have no mark of their own, but are full of control bytes, which text has not.
- A stream ends where its coder says so. Several gzip members, zstd frames and zero padding between them are read; what follows the last
  one and does not begin as another is ignored (RFC 1952; gzip(1)).

Cost: at most one step's output beyond the cap is ever held (64 KiB for gzip, deflate and Brotli, a few MiB for zstd).
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

STEP = 64 << 10
_ZSTD_INPUT = 64
"""zstd blocks of 4 bytes may yield 128 KiB each, so its input is fed in pieces of this many bytes: 2 MiB a step."""
ACCEPT_ENCODING = "gzip, deflate, br, zstd"
_PARTED = re.compile(r"[,;\s]+")
"""Between codings: some servers write a parameter behind one, or leave the comma out."""
_GZIP = b"\x1f\x8b\x08"
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
"""A frame's magic number, or a skippable frame's (RFC 8878, 3.1)."""
_UNREAD = frozenset("compress x-compress aes128gcm exi pack200-gzip dcb dcz sdch bzip2 x-bzip2 xz x-xz lzma lz4 lzip".split())
"""Codings of IANA's registry, and others in use, that are not undone here."""
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""Bytes that no text in an ASCII-compatible charset holds (WHATWG MIME Sniffing, "binary data byte", and the form feed that texts have)."""
_LOOKED_AT = 1024
"""Bytes of a body that tell text from a coding without a mark: 24 of 256 byte values are binary, so a coded one lacks them in one case of
10⁴³."""
MAX_CODINGS = 3
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class BodyTooLarge(Exception):
    """The decoded body passed its cap. `reason` is `too_large` or `compression_ratio`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


class BadEncoding(Exception):
    """The body is not what Content-Encoding says, or ends in the middle of it."""


class _Step(Protocol):
    """Undoes one coding. `complete`: whether what was fed may be all."""

    complete: bool

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def end(self) -> Iterator[bytes]:
        """What was held back until the last byte was there."""
        ...


class Decoder:
    """Decodes one body.

    Args:
        encoding: the Content-Encoding header; several codings are undone from the last to the first.
        max_bytes: cap on decoded bytes.
        max_ratio: cap on decoded / received bytes, looked at beyond 1 MiB.
    """

    def __init__(self, encoding: str, max_bytes: int, max_ratio: float) -> None:
        names = [n for n in (e.strip("\"'").lower() for e in _PARTED.split(encoding)) if n in _STEPS or n in _UNREAD]
        if len(names) > MAX_CODINGS:
            raise BadEncoding(f"{len(names)} codings in Content-Encoding")
        self._steps: list[_Step] = [_STEPS[n]() if n in _STEPS else _Unread(n) for n in reversed(names)]
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
        self._take(self._through(0, data))

    def _take(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
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

    def _last(self, level: int) -> Iterator[bytes]:
        try:
            for piece in self._steps[level].end():
                yield from self._through(level + 1, piece)
        except (zlib.error, brotli.error, zstandard.ZstdError) as exc:
            raise BadEncoding(f"{self.encoding}: {exc}") from exc

    def finish(self) -> bytes:
        """The whole body.

        Raises:
            BodyTooLarge: a cap was passed.
            BadEncoding: a compressed stream ended early.
        """
        for level in range(len(self._steps)):
            self._take(self._last(level))
        if self.received and not all(s.complete for s in self._steps):
            raise BadEncoding(f"{self.encoding}: stream ends early")
        return bytes(self.body)


class _Marked(ABC):
    """A coding whose streams begin with a mark: gzip and zstd. Bytes that do not are passed on as they are."""

    _least: int
    """Bytes that tell the mark."""

    def __init__(self) -> None:
        self._held = b""
        self._inner: Any = None
        self._plain = self._over = False
        self.complete = False

    @abstractmethod
    def _begins(self, data: bytes) -> bool:
        """Whether these bytes, `_least` at least, begin with the mark."""

    @abstractmethod
    def _new(self) -> Any:
        """A decompressor of one stream."""

    @abstractmethod
    def _decoded(self, data: bytes) -> Iterator[bytes]:
        """Feed the stream that is open; sets `_held` to what it did not take."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._held += data
        while self._held and not self._over:
            if self._plain:
                held, self._held = self._held, b""
                yield held
                return
            if self._inner is None:
                if self.complete:
                    self._held = self._held.lstrip(b"\0")  # padding between two streams, or after the last
                if len(self._held) < self._least:
                    return
                if self._begins(self._held):
                    self._inner, self.complete = self._new(), False
                else:
                    self._over, self._plain = self.complete, not self.complete
                    self.complete = True
                    continue
            yield from self._decoded(self._held)
            if self._inner.eof:
                self._inner, self.complete = None, True

    def end(self) -> Iterator[bytes]:
        if self._inner is None and not self.complete:  # too short for the mark
            self.complete = True
            yield self._held


class _Gzip(_Marked):
    """gzip, several members."""

    _least = len(_GZIP)

    def _begins(self, data: bytes) -> bool:
        return data.startswith(_GZIP)

    def _new(self) -> Any:
        return zlib.decompressobj(31)

    def _decoded(self, data: bytes) -> Iterator[bytes]:
        while data and not self._inner.eof:
            out = self._inner.decompress(data, STEP)
            if out:
                yield out
            data = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
        self._held = data


class _Zstd(_Marked):
    """Zstandard, several frames."""

    _least = 4

    def _begins(self, data: bytes) -> bool:
        return _ZSTD.match(data) is not None

    def _new(self) -> Any:
        # The window cap is RFC 9659's: a decoder of Content-Encoding need not hold more than 8 MiB.
        return zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj()

    def _decoded(self, data: bytes) -> Iterator[bytes]:
        self._held = b""
        for at in range(0, len(data), _ZSTD_INPUT):
            piece = data[at : at + _ZSTD_INPUT]
            out = self._inner.decompress(piece)
            if out:
                yield out
            if self._inner.eof:
                self._held = self._inner.unused_data + data[at + len(piece) :]
                return


class _Unmarked(ABC):
    """A coding without a mark: deflate, Brotli. Bytes that look like text are passed on, unless they are a whole stream."""

    def __init__(self) -> None:
        self._first: bytes | None = b""
        self._inner: Any = None
        self.complete = False

    @abstractmethod
    def _new(self, first: bytes) -> Any:
        """A decompressor of a stream that begins so."""

    @abstractmethod
    def _decoded(self, data: bytes) -> Iterator[bytes]:
        """Feed the stream; sets `complete` at its end."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._first is not None:
            self._first += data
            if _GZIP.startswith(self._first) and len(self._first) < len(_GZIP):
                return
            if _BINARY.search(self._first) is None or self._first.startswith(_UTF16):
                if len(self._first) >= _LOOKED_AT:
                    data, self._first, self.complete = self._first, None, True
                    yield data
                return
            data, self._first = self._first, None
            self._inner = self._new(data)
        if self._inner is None:
            yield data
        elif not self.complete:
            yield from self._decoded(data)

    def end(self) -> Iterator[bytes]:
        if not self._first:
            return
        first, self._first = self._first, None
        try:
            self._inner = self._new(first)
            pieces = list(self._decoded(first))  # at most 1 KiB of input
        except (zlib.error, brotli.error):
            pieces = []
        if not self.complete:
            self.complete, pieces = True, [first]
        yield from pieces


class _Deflate(_Unmarked):
    """zlib, or what some servers send as `deflate`: bare deflate, gzip."""

    def _new(self, first: bytes) -> Any:
        zlib_header = first[0] & 15 == 8 and int.from_bytes(first[:2], "big") % 31 == 0
        return zlib.decompressobj(31 if first.startswith(_GZIP) else 15 if zlib_header else -15)

    def _decoded(self, data: bytes) -> Iterator[bytes]:
        while data and not self._inner.eof:
            out = self._inner.decompress(data, STEP)
            if out:
                yield out
            data = self._inner.unconsumed_tail
        self.complete = bool(self._inner.eof)


class _Brotli(_Unmarked):
    """Brotli, one stream.

    The decoder refuses bytes behind the stream's end together with all that it was given with them. So what it took is held, and when it
    refuses, that is decoded anew and the last piece byte by byte, which finds the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taken = bytearray()
        self._yielded = 0

    def _new(self, first: bytes) -> Any:
        return brotli.Decompressor()

    def _decoded(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), STEP):
            piece = data[at : at + STEP]
            try:
                yield from self._counted(self._process(piece))
            except brotli.error:
                yield from self._again(piece)
            self._taken += piece
            if self._inner.is_finished():
                self.complete = True
                return

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._yielded += len(piece)
            yield piece

    def _process(self, data: bytes) -> Iterator[bytes]:
        out = self._inner.process(data, output_buffer_limit=STEP)
        while out or not self._inner.can_accept_more_data():
            yield out
            if self._inner.is_finished():
                return
            out = self._inner.process(b"", output_buffer_limit=STEP)

    def _again(self, last: bytes) -> Iterator[bytes]:
        self._inner = brotli.Decompressor()
        known, seen = self._yielded, 0
        taken = bytes(self._taken)
        for data in (taken[at : at + STEP] for at in range(0, len(taken), STEP)):
            seen += sum(len(out) for out in self._process(data))
        for at in range(len(last)):
            for out in self._process(last[at : at + 1]):
                yield from self._counted(iter([out[max(0, known - seen) :]]))
                seen += len(out)
            if self._inner.is_finished():
                return


class _Unread:
    """A coding that is not undone here: text is passed on, as it was stored decoded; anything else is refused."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen = 0
        self.complete = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._seen < _LOOKED_AT and _BINARY.search(data, 0, _LOOKED_AT) is not None:
            raise BadEncoding(f"Content-Encoding '{self._name}' is not undone here")
        self._seen += len(data)
        yield data

    def end(self) -> Iterator[bytes]:
        yield from ()


_STEPS: dict[str, type[_Gzip] | type[_Deflate] | type[_Brotli] | type[_Zstd]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "x-deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
    "x-zstd": _Zstd,
}
