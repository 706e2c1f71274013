"""A file's bounded content as a stream that others (tar) read from, and the files that lie in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from headrace_governance.containers.opening import blocks, members


def is_tar(file: Path) -> bool:
    """Whether a file is a tar archive, by its name."""
    return file.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"))


def bounded(file: Path, max_ratio: float) -> IO[bytes]:
    """The decompressed content as a stream; reading raises what `blocks` raises."""
    return cast(IO[bytes], io.BufferedReader(stream_of(blocks(file, max_ratio)), 1 << 20))


def stream_of(source: Iterator[bytes]) -> io.RawIOBase:
    """Blocks as an unbuffered stream."""
    return _Blocks(source)


class _Blocks(io.RawIOBase):
    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not len(self._rest):
            self._rest = memoryview(next(self._source, b""))
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def files_within(
    file: Path, suffixes: tuple[str, ...], *, max_ratio: float, max_bytes: int
) -> Iterator[tuple[str, bytes, tuple[str, str] | None]]:
    """A file itself, or the members of a tar package with one of these suffixes (lower case): name, bytes, why there are none.

    Args:
        max_ratio: bytes unpacked for one packed.
        max_bytes: of one file; a larger one is `too_large`.

    Raises:
        InputError: the file is damaged or unpacks to too much; it is named.
    """
    if is_tar(file):
        for member in members(str(file), bounded(file, max_ratio), max_members=10_000_000, max_bytes=max_bytes):
            if member.name.lower().endswith(suffixes):
                yield f"{file.name}/{member.name}", member.data, member.problem
        return
    data, size = bytearray(), 0
    for block in blocks(file, max_ratio):
        size += len(block)
        if size <= max_bytes:
            data += block
    if size > max_bytes:
        yield file.name, b"", ("too_large", f"{size} bytes")
    else:
        yield file.name, bytes(data), None
