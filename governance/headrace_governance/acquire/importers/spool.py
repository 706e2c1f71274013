"""Items of an import until they are packed: settled in the order of the files, read back in the order of their addresses.

An index in SQLite and a file of bodies, in a folder that is thrown away with the import: a killed import starts anew, so that neither
is synced. Memory does not grow with the bodies.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace_governance.acquire.crawl.frontier import MAX_DETAIL, StoredPage

_SCHEMA = """
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
CREATE TABLE items(
  url TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
  page TEXT NOT NULL, body_offset INTEGER NOT NULL, body_length INTEGER NOT NULL);
BEGIN;
"""


class Spool:
    """The items of one import.

    Args:
        folder: empty, and removed by the caller once the spool is closed.
    """

    def __init__(self, folder: Path) -> None:
        self._index = sqlite3.connect(folder / "items.db", isolation_level=None)
        self._index.executescript(_SCHEMA)
        self._bodies = (folder / "bodies").open("w+b")
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._index.close()
        self._bodies.close()

    def keep(self, page: StoredPage, body: bytes) -> None:
        """Keep a page, whose address no other item of the spool may have.

        Raises:
            sqlite3.IntegrityError: one has it.
        """
        self._index.execute("INSERT INTO items VALUES (?, 'kept', '', '', ?, ?, ?)", (page.url, page.to_json(), self._end, len(body)))
        self._bodies.write(body)
        self._end += len(body)

    def drop(self, url: str, reason: str, detail: str) -> None:
        """An item that is not kept, by a rule."""
        self._unkept(url, "dropped", reason, detail)

    def fail(self, url: str, reason: str, detail: str) -> None:
        """An item that could not be read."""
        self._unkept(url, "failed", reason, detail)

    def _unkept(self, url: str, state: str, reason: str, detail: str) -> None:
        self._index.execute("INSERT INTO items VALUES (?, ?, ?, ?, '', 0, 0)", (url, state, reason, detail[:MAX_DETAIL]))

    def outcomes(self, state: str) -> Iterator[tuple[str, str, str]]:
        """(url, reason, detail) of the items that were "dropped" or "failed", in the order of addresses."""
        yield from self._index.execute("SELECT url, reason, detail FROM items WHERE state=? ORDER BY url", (state,))

    def pages(self) -> Iterator[tuple[StoredPage, bytes]]:
        """Kept pages with their bodies, in the order of addresses."""
        self._bodies.flush()
        for described, offset, length in self._index.execute(
            "SELECT page, body_offset, body_length FROM items WHERE state='kept' ORDER BY url"
        ):
            yield StoredPage.from_json(described), os.pread(self._bodies.fileno(), length, offset)
