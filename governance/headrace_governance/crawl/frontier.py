"""The frontier: which addresses are known, what became of each, and the fetched pages until they are packed.

One SQLite file per crawl. Every page's outcome, links and body enter in one transaction, so a crawl that is killed
at any point goes on where it was: a page in flight is simply fetched again.

Order is by depth, then address, and the admission of a whole level is one transaction: which pages fall under
`max_pages` depends on the site alone, not on timing.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls(
  url TEXT PRIMARY KEY, depth INTEGER NOT NULL, admitted INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'queued', reason TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS by_state ON urls(state, depth, url);
CREATE TABLE IF NOT EXISTS decisions(url TEXT PRIMARY KEY, decided_at TEXT NOT NULL, decision TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pages(url TEXT PRIMARY KEY, meta TEXT NOT NULL, body BLOB);
CREATE TABLE IF NOT EXISTS hosts(origin TEXT PRIMARY KEY, status INTEGER NOT NULL, robots BLOB, tdmrep BLOB);
"""

MAX_DETAIL = 1000
"""Characters that are kept of what explains an outcome."""


@dataclass(frozen=True)
class StoredPage:
    """A kept page as it waits for packing; the fields are those of the `captures` table that the fetch decides.

    `warc_path` is set where an earlier record stands for the page (a 304), which then has no body here.
    """

    url: str
    final_url: str
    status: int
    fetched_at: str
    headers: list[tuple[str, str]]
    content_type: str | None
    charset: str | None
    content_digest: str
    content_bytes: int
    etag: str | None
    last_modified: str | None
    robots_digest: str | None
    licence: str
    licence_class: str
    licence_basis: str
    licence_evidence: str
    language_hint: str | None
    evidence: str
    request_headers: list[tuple[str, str]]
    warc_path: str = ""
    warc_offset: int = 0
    warc_length: int = 0

    def to_json(self) -> str:
        """All fields, for `from_json`."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> StoredPage:
        """The page that `to_json` wrote."""
        fields = json.loads(text)
        for name in ("headers", "request_headers"):
            fields[name] = [(k, v) for k, v in fields[name]]
        return cls(**fields)


class Frontier:
    """State of one crawl in one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    # -- addresses -----------------------------------------------------------------------------------------------

    def add(self, urls: Iterable[str], depth: int) -> None:
        """Queue addresses that are not known yet."""
        self._add(urls, depth)

    def _add(self, urls: Iterable[str], depth: int) -> None:
        self.db.executemany("INSERT OR IGNORE INTO urls(url, depth) VALUES (?, ?)", [(u, depth) for u in urls])

    def next_depth(self) -> int | None:
        """The smallest depth that still has queued addresses."""
        row = self.db.execute("SELECT min(depth) FROM urls WHERE state = 'queued'").fetchone()
        return None if row[0] is None else int(row[0])

    def unjudged(self, depth: int) -> list[str]:
        """Queued addresses of a level that are not admitted yet, in order."""
        return [
            r[0] for r in self.db.execute("SELECT url FROM urls WHERE state='queued' AND admitted=0 AND depth=? ORDER BY url", (depth,))
        ]

    def admit(self, depth: int, refusals: dict[str, tuple[str, str]], max_pages: int) -> None:
        """Refuse some addresses of a level and admit the rest up to `max_pages` in all, in one transaction."""
        with self._transaction():
            for url, (reason, detail) in refusals.items():
                self._settle(url, "dropped", reason, detail)
            budget = max_pages - int(self.db.execute("SELECT count(*) FROM urls WHERE admitted=1").fetchone()[0])
            for n, url in enumerate(self.unjudged(depth)):
                if n < budget:
                    self.db.execute("UPDATE urls SET admitted=1 WHERE url=?", (url,))
                else:
                    self._settle(url, "dropped", "max_pages", str(max_pages))

    def admitted(self, depth: int) -> list[str]:
        """Addresses of a level to fetch, in order."""
        return [
            r[0] for r in self.db.execute("SELECT url FROM urls WHERE state='queued' AND admitted=1 AND depth=? ORDER BY url", (depth,))
        ]

    # -- outcomes ------------------------------------------------------------------------------------------------

    def decide(self, url: str, at: str, decision: dict[str, Any]) -> None:
        """Record a decision; called before the page's bytes are kept."""
        self.db.execute(
            "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?)", (url, at, json.dumps(decision, sort_keys=True, ensure_ascii=False))
        )

    def keep(self, page: StoredPage, body: bytes | None, links: Iterable[str], depth: int) -> None:
        """Store a page and its links.

        Raises:
            RuntimeError: no decision was recorded for the address.
        """
        if self.db.execute("SELECT 1 FROM decisions WHERE url=?", (page.url,)).fetchone() is None:
            raise RuntimeError(f"{page.url}: bytes would be kept without a recorded decision")
        with self._transaction():
            packed = None if body is None else zlib.compress(body, 1)
            self.db.execute("INSERT OR REPLACE INTO pages VALUES (?, ?, ?)", (page.url, page.to_json(), packed))
            self._settle(page.url, "kept", "", "")
            self._add(links, depth + 1)

    def drop(self, url: str, reason: str, detail: str, links: Iterable[str] = (), depth: int = 0) -> None:
        """An address whose page is not kept, by a rule."""
        with self._transaction():
            self._settle(url, "dropped", reason, detail)
            self._add(links, depth + 1)

    def fail(self, url: str, reason: str, detail: str) -> None:
        """An address whose fetch went wrong."""
        self._settle(url, "failed", reason, detail)

    def _settle(self, url: str, state: str, reason: str, detail: str) -> None:
        self.db.execute("UPDATE urls SET state=?, reason=?, detail=? WHERE url=?", (state, reason, detail[:MAX_DETAIL], url))

    def counts(self) -> dict[str, int]:
        """State → addresses."""
        return dict(self.db.execute("SELECT state, count(*) FROM urls GROUP BY state"))

    def outcomes(self, state: str) -> Iterator[tuple[str, str, str]]:
        """(url, reason, detail) of a state, in the order of addresses."""
        yield from self.db.execute("SELECT url, reason, detail FROM urls WHERE state=? ORDER BY url", (state,))

    def pages(self) -> Iterator[tuple[StoredPage, bytes | None]]:
        """Kept pages with their bodies, in the order of addresses."""
        for meta, body in self.db.execute("SELECT meta, body FROM pages ORDER BY url"):
            yield StoredPage.from_json(meta), None if body is None else zlib.decompress(body)

    # -- hosts ---------------------------------------------------------------------------------------------------

    def host(self, origin: str) -> tuple[int, bytes, bytes] | None:
        """(status of robots.txt, its bytes, tdmrep bytes) if this crawl has asked already."""
        row = self.db.execute("SELECT status, robots, tdmrep FROM hosts WHERE origin=?", (origin,)).fetchone()
        return None if row is None else (int(row[0]), bytes(row[1] or b""), bytes(row[2] or b""))

    def set_host(self, origin: str, status: int, robots: bytes, tdmrep: bytes) -> None:
        """Remember a host's answers for the rest of this crawl."""
        self.db.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?)", (origin, status, robots, tdmrep))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
