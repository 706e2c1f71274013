"""Opening what others packed: decompressed bytes in blocks, XML records cut out of a long file, members of archives; all bounded.

A record is cut out by its start and end tag instead of parsed out of the whole: its bytes stay as they came, one that is damaged or
too long costs itself and not the file, and memory holds one record. That is exact for the dumps in question, where `<` never occurs
in text unescaped. Records are parsed by `text/xml_tree`.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from headrace_governance.containers.tar_headers import BoundedHeader
from headrace_governance.encoding.xml_encoding import blocks_in_utf8
from headrace_lake.errors import InputError

_BLOCK = 1 << 20
RATIO_FLOOR = 16 << 20
"""Decompressed bytes below which the ratio is not looked at."""
_ENCODING = re.compile(r"^(\ufeff?<\?xml[^<>]{0,100}?encoding=[\"'])utf-16(?:le|be)?([\"'])", re.IGNORECASE)
_HEAD_BYTES = 1 << 20
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error, ValueError)


class Bomb(InputError):
    """A file that expands beyond all that its kind does."""


class TooManyMembers(InputError):
    """An archive of more members than its kind has."""


def decompressed(name: str, raw: BinaryIO, suffix: str) -> IO[bytes]:
    """A stream over the content of an open file, by the file's suffix."""
    match suffix.lower():
        case ".gz" | ".tgz":
            return cast(IO[bytes], gzip.open(raw, "rb"))
        case ".bz2":
            return cast(IO[bytes], bz2.open(raw, "rb"))
        case ".xz":
            return cast(IO[bytes], lzma.open(raw, "rb"))
        case ".zst":
            import pyarrow as pa

            # Not zstandard's reader, to which a frame that is cut off ends like a whole one.
            return cast(IO[bytes], io.BufferedReader(pa.CompressedInputStream(raw, "zstd")))
        case ".7z" | ".zip":
            raise InputError(
                f"{name}: {suffix} archives are not read", f"unpack it first (7z x {Path(name).name}) and name the file inside"
            )
    return raw


def blocks(file: Path, max_ratio: float) -> Iterator[bytes]:
    """The content of a file in blocks of about 1 MiB; UTF-16 (by its mark) and XML that declares another encoding become UTF-8.

    Raises:
        InputError: the file is damaged, or (`Bomb`) expands beyond `max_ratio`.
    """
    with file.open("rb") as raw:
        yield from blocks_in_utf8(blocks_of(str(file), raw, file.suffix, max_ratio))


def blocks_of(name: str, raw: BinaryIO, suffix: str, max_ratio: float) -> Iterator[bytes]:
    """The same of an open file, in its own encoding unless it has UTF-16's mark; `name` is for messages."""
    total, decoder, declared = 0, None, False
    try:
        stream = decompressed(name, raw, suffix)
        while block := stream.read(_BLOCK):
            if not total and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                decoder = codecs.getincrementaldecoder("utf-16")()
            total += len(block)
            if total > RATIO_FLOOR and total > max_ratio * raw.tell():
                raise Bomb(f"{name}: expands more than {max_ratio:g} times", "it is not a dump, or raise 'max_ratio' of the source")
            if decoder is None:
                yield block
                continue
            text = decoder.decode(block)
            # An XML declaration would now name the wrong encoding.
            yield (text if declared else _ENCODING.sub(r"\1UTF-8\2", text, count=1)).encode("utf-8")
            declared = True
        if decoder is not None:
            decoder.decode(b"", final=True)
    except _DAMAGED as exc:
        raise InputError(f"{name}: damaged after {total} bytes ({exc})", "fetch or copy the file again") from exc


@dataclass
class Cut:
    """One record: its bytes, or how long it was if that was too long."""

    number: int
    data: bytes
    too_long: int = 0


class Records:
    """The records of one file, in order.

    Args:
        source: the file's blocks.
        tag: name of the record's element.
        cap: bytes of a record at most.
        empty: the element has no content and ends in `/>` (a row of attributes).

    Attributes:
        head: what stood before the first record (at most 1 MiB of it); complete once the first record is out.
        tail: what stood after the last one (at most the last 1 MiB).
        open: the file ended inside a record.
    """

    def __init__(self, source: Iterator[bytes], tag: str, cap: int, *, empty: bool = False) -> None:
        self._source, self._cap = source, cap
        self._start = re.compile(rb"<" + tag.encode() + rb"[\s>/]")
        self._end = b"/>" if empty else f"</{tag}>".encode()
        self._margin = len(tag) + 2
        self.head = b""
        self.tail = b""
        self.open = False

    def __iter__(self) -> Iterator[Cut]:
        buffer, number, inside, lost, searched = b"", 0, False, 0, 0
        for block in self._source:
            buffer, at = buffer + block, 0  # `at`: what lies before is done with
            while True:
                if not inside:
                    found = self._start.search(buffer, at)
                    if found is None:
                        keep = max(at, len(buffer) - self._margin)
                        self._outside(buffer[at:keep], number)
                        buffer = buffer[keep:]
                        break
                    self._outside(buffer[at : found.start()], number)
                    inside, lost, at = True, 0, found.start()
                    searched = at
                end = buffer.find(self._end, searched)
                if end < 0:
                    buffer = buffer[at:]
                    searched = max(0, len(buffer) - len(self._end))
                    if lost or len(buffer) > self._cap:  # too long already: only its length is kept
                        lost, buffer, searched = lost + searched, buffer[searched:], 0
                    break
                end += len(self._end)
                length = lost + end - at
                yield Cut(number, b"", length) if length > self._cap else Cut(number, buffer[at:end])
                number, inside, at = number + 1, False, end
                self.tail = b""
        self.open = inside
        if not inside:
            self._outside(buffer, number)

    def _outside(self, data: bytes, number: int) -> None:
        if number == 0:
            self.head = (self.head + data)[:_HEAD_BYTES]
        self.tail = (self.tail + data)[-_HEAD_BYTES:]


@dataclass
class Member:
    """A member of an archive: its name, and its bytes or why it was not read."""

    name: str
    data: bytes = b""
    problem: tuple[str, str] | None = None


def members(name: str, stream: IO[bytes], *, max_members: int, max_bytes: int) -> Iterator[Member]:
    """The files of a tar stream (compressed or not) in their order.

    Nothing is written to disk. Links, devices and sparse files are named with the problem `link`, names that lead out of the archive with
    `outside`, files above `max_bytes` or with a header beyond `tar_headers.MAX_HEADER` with `too_large`.

    Raises:
        InputError: not a complete tar file, or more than `max_members` members.
    """
    count = 0
    watched = _Watched(stream)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], watched), mode="r|", tarinfo=BoundedHeader) as archive:
            while (info := cast("BoundedHeader | None", archive.next())) is not None:
                archive.members = []  # type: ignore[attr-defined] # which would grow with the archive
                count += 1
                if count > max_members:
                    raise TooManyMembers(f"{name}: more than {max_members} members", "raise 'max_members' of the source if that is right")
                if info.isdir():
                    continue
                if info.unread is not None:
                    yield Member(info.name, problem=info.unread)
                elif info.name.startswith("/") or ".." in Path(info.name).parts:
                    yield Member(info.name, problem=("outside", "leads out of the archive"))
                elif not info.isfile():
                    yield Member(info.name, problem=("link", "a link or device"))
                elif info.size > max_bytes:
                    yield Member(info.name, problem=("too_large", f"{info.size} bytes"))
                else:
                    content = archive.extractfile(info)
                    yield Member(info.name, content.read() if content is not None else b"")
            # tarfile takes a header that is cut or damaged, and a missing end, for the end of the archive.
            mark = watched.block(archive.offset)
            if mark != b"\0" * tarfile.BLOCKSIZE:
                raise tarfile.ReadError("the archive does not end with its end mark" if len(mark) < tarfile.BLOCKSIZE else "bad header")
    except (tarfile.TarError, RecursionError, OverflowError, *_DAMAGED) as exc:  # RecursionError: header upon header
        raise InputError(f"{name}: damaged after member {count} ({exc})", "fetch or copy the file again") from exc


class _Watched:
    """A stream that remembers what was read last."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._last, self._end = stream, b"", 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._last = (self._last + data)[-4 * tarfile.RECORDSIZE :]
        self._end += len(data)
        return data

    def block(self, offset: int) -> bytes:
        """The block that begins at this byte, as far as the stream has it."""
        start = offset - (self._end - len(self._last))
        if start < 0:
            return b""
        missing = start + tarfile.BLOCKSIZE - len(self._last)
        more = self._stream.read(missing) if missing > 0 else b""
        return (self._last + more)[start : start + tarfile.BLOCKSIZE]
