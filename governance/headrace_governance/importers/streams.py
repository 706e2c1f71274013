"""A file's bounded content as a stream that others (tar) read from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from headrace_governance.importers.containers import blocks


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
