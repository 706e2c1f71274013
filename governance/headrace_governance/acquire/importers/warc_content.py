"""The content of a WARC or ARC file in blocks, whatever it is packed in, up to where it is damaged or ends too early, and behind that.

gzip (a member a record, as the standard asks, or one for all), Zstandard (with a dictionary in its first frame, as `.warc.zst` files have),
bzip2, xz, or plain: told by the first bytes, not by the name. Behind a damaged gzip member or zstd frame, the next one that begins with
a WARC record is looked for, so that damage costs what it hits.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from headrace_lake.errors import InputError

_BLOCK = 1 << 20
_PIECE = 64 << 10
_STEP = 64
_ZSTD_PIECE = 512
"""zstd blocks of 4 bytes may yield 128 KiB each: at most 16 MiB a step."""
_GZIP = re.compile(rb"\x1f\x8b\x08")
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd")
_DICTIONARY = b"\x5d\x2a\x4d\x18"
"""The skippable frame that holds a `.warc.zst` file's dictionary (IIPC, "Zstandard Compression for WARC")."""
_PROBED = 4096


@dataclass(frozen=True)
class Break:
    """Where the content ends too early, or is damaged.

    Attributes:
        reason: `cut` or `damaged`.
        detail: what is wrong, for people.
        lost: whether a record of its own is missing, of which nothing was handed on.
    """

    reason: str
    detail: str
    lost: bool = True


def content_of(file: Path) -> Iterator[bytes | Break]:
    """Blocks of the decompressed content; a `Break` stands where something is missing.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with file.open("rb") as raw:
            first = raw.read(6)
            raw.seek(0)
            if _GZIP.match(first):
                yield from _Members(raw, _GZIP, _PIECE, lambda: zlib.decompressobj(31)).content()
            elif _ZSTD.match(first) or first.startswith(_DICTIONARY):
                dictionary = _dictionary(raw) if first.startswith(_DICTIONARY) else None
                yield from _Members(raw, _ZSTD, _ZSTD_PIECE, lambda: _Zstd(dictionary)).content()
            elif first.startswith(b"BZh"):
                yield from _streamed(bz2.BZ2File(raw))
            elif first.startswith(b"\xfd7zXZ"):
                yield from _streamed(lzma.LZMAFile(raw))  # noqa: SIM115 - closes nothing of its own
            else:
                while block := raw.read(_BLOCK):
                    yield block
    except OSError as exc:
        raise InputError(f"{file}: cannot be read ({exc})", "check the file and its rights") from exc


def _streamed(stream: IO[bytes]) -> Iterator[bytes | Break]:
    while True:
        try:
            block = stream.read(_PIECE)
        except EOFError as exc:
            yield Break("cut", str(exc))
            return
        except (OSError, lzma.LZMAError) as exc:
            yield Break("damaged", str(exc))
            return
        if not block:
            return
        yield block


def _dictionary(raw: IO[bytes]) -> Any:
    """The dictionary in the file's first frame, which is skipped."""
    size = int.from_bytes(raw.read(8)[4:], "little")
    data = raw.read(min(size, 64 << 20))
    if _ZSTD.match(data):
        try:
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=64 << 20)
        except zstandard.ZstdError:
            return None
    return zstandard.ZstdCompressionDict(data)


def _up_to_damage(inner: Any, piece: bytes) -> Iterator[bytes]:
    """What a decompressor gives of a piece in which it fails, in small steps."""
    try:
        for at in range(0, len(piece) if inner is not None else 0, _STEP):
            yield inner.decompress(piece[at : at + _STEP])
    except zlib.error:
        return


class _Zstd:
    """One frame, with the face of zlib's decompressor."""

    def __init__(self, dictionary: Any) -> None:
        frames = zstandard.ZstdDecompressor(dict_data=dictionary) if dictionary is not None else zstandard.ZstdDecompressor()
        self._inner = frames.decompressobj()
        self.unconsumed_tail = b""

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, _most: int = 0) -> bytes:
        return bytes(self._inner.decompress(data))


class _Members:
    """The members (frames) of a file, one after the other.

    Args:
        mark: what a member begins with.
        piece: bytes that are fed at once.
        new: makes a decompressor of one member.
    """

    def __init__(self, raw: IO[bytes], mark: re.Pattern[bytes], piece: int, new: Callable[[], Any]) -> None:
        self._raw, self._mark, self._piece, self._new = raw, mark, piece, new
        self._buffer, self._at = b"", 0
        self._base = raw.tell()  # where in the file the buffer begins
        self._ended = False

    @property
    def _place(self) -> int:
        return self._base + self._at

    def _fill(self, wanted: int) -> bool:
        """Have so many bytes from here on, unless the file ends before."""
        while len(self._buffer) - self._at < wanted and not self._ended:
            block = self._raw.read(_BLOCK)
            self._ended = not block
            self._base += self._at
            self._buffer, self._at = self._buffer[self._at :] + block, 0
        return len(self._buffer) - self._at >= wanted

    def content(self) -> Iterator[bytes | Break]:
        while self._fill(1):
            if self._buffer[self._at] == 0:  # padding
                self._at += 1
                continue
            self._fill(4)
            if self._mark.match(self._buffer, self._at):
                yield from self._member()
                continue
            rest = self._buffer[self._at :]
            cut = len(rest) < 4 and any(m.startswith(rest) for m in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"))
            yield Break("cut" if cut else "damaged", f"no member begins at byte {self._place}")
            self._find()

    def _member(self) -> Iterator[bytes | Break]:
        inner, start, made = self._new(), self._place, 0
        while not inner.eof:
            if not self._fill(1):
                yield Break("cut", f"the file ends inside the member that begins at byte {start}", lost=made == 0)
                return
            piece = self._buffer[self._at : self._at + self._piece]
            before = inner.copy() if hasattr(inner, "copy") else None
            try:
                out = inner.decompress(piece, _BLOCK)
            except (zlib.error, zstandard.ZstdError) as exc:
                for out in _up_to_damage(before, piece):
                    made += len(out)
                    yield out
                yield Break("damaged", f"the member that begins at byte {start} is damaged ({exc})", lost=made == 0)
                self._at += self._place == start
                self._find()
                return
            self._at += len(piece) - len(inner.unused_data if inner.eof else inner.unconsumed_tail)
            made += len(out)
            if out:
                yield out

    def _find(self) -> None:
        """Go to the next member that begins with a record, or to the file's end."""
        while self._fill(4):
            found = self._mark.search(self._buffer, self._at)
            if found is None:
                self._at = len(self._buffer) - 3
                continue
            self._at = found.start()
            self._fill(_PROBED)
            try:
                if self._new().decompress(self._buffer[self._at : self._at + _PROBED], 16).startswith(b"WARC/"):
                    return
            except (zlib.error, zstandard.ZstdError):
                pass
            self._at += 1
        self._at = len(self._buffer)
