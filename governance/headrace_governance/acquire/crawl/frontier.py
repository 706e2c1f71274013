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
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_governance.acquire.crawl.urls import origin_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls(
  url TEXT PRIMARY KEY, depth INTEGER NOT NULL, admitted INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT 'queued', reason TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS by_state ON urls(state, depth, url);
CREATE TABLE IF NOT EXISTS decisions(url TEXT PRIMARY KEY, decided_at TEXT NOT NULL, decision TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pages(url TEXT PRIMARY KEY, meta TEXT NOT NULL, body BLOB);
CREATE TABLE IF NOT EXISTS cut(reason TEXT PRIMARY KEY, count INTEGER NOT NULL);
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
    answered_by: str = ""

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


@dataclass(frozen=True)
class FrontierLimits:
    """Limits of the addresses that a crawl knows, fetched or not.

    Attributes:
        of_host: addresses of one origin.
        in_all: of all of them.
        characters: of all addresses together.
    """

    of_host: int = 100_000
    in_all: int = 200_000
    characters: int = 64 << 20


class Frontier:
    """State of one crawl in one file; `limits` are kept at the end of each level, and roughly meanwhile."""

    limits = FrontierLimits()

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, timeout=30)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(_SCHEMA)
        self._added = self._added_characters = 0  # since the limits were looked at

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    # -- addresses -----------------------------------------------------------------------------------------------

    def add(self, urls: Iterable[str], depth: int) -> None:
        """Queue addresses that are not known yet."""
        self._add(urls, depth)

    def _add(self, urls: Iterable[str], depth: int) -> None:
        rows = [(u, depth) for u in urls]
        self.db.executemany("INSERT OR IGNORE INTO urls(url, depth) VALUES (?, ?)", rows)
        self._added += len(rows)
        self._added_characters += sum(len(u) for u, _ in rows)
        if self._added > self.limits.in_all // 4 or self._added_characters > self.limits.characters // 4:
            self._trim(depth)

    def trim(self, depth: int) -> None:
        """Forget what a level has beyond the limits, and count it by reason.

        The first addresses in their order stay, so that which ones they are does not depend on which page came first. An address that is
        found again is counted again.
        """
        with self._transaction():
            self._trim(depth)

    def _trim(self, depth: int) -> None:
        self._added = self._added_characters = 0
        limits = self.limits
        count, characters = self.db.execute("SELECT count(*), coalesce(sum(length(url)), 0) FROM urls").fetchone()
        if count <= min(limits.of_host, limits.in_all) and characters <= limits.characters:
            return
        waiting = "state='queued' AND admitted=0 AND depth=?"
        known: Counter[str] = Counter()
        characters = 0
        for (url,) in self.db.execute(f"SELECT url FROM urls WHERE NOT ({waiting})", (depth,)):  # noqa: S608 - our own words
            known[origin_of(url)] += 1
            characters += len(url)
        in_all, beyond = known.total(), []
        for (url,) in self.db.execute(f"SELECT url FROM urls WHERE {waiting} ORDER BY url", (depth,)):  # noqa: S608
            origin = origin_of(url)
            if known[origin] >= limits.of_host:
                beyond.append((url, "addresses_of_host"))
            elif in_all >= limits.in_all:
                beyond.append((url, "addresses"))
            elif characters + len(url) > limits.characters:
                beyond.append((url, "address_characters"))
            else:
                known[origin] += 1
                in_all, characters = in_all + 1, characters + len(url)
        self.db.executemany("DELETE FROM urls WHERE url=?", [(url,) for url, _ in beyond])
        for reason, times in Counter(reason for _, reason in beyond).items():
            self.cut(reason, times)

    def cut(self, reason: str, count: int) -> None:
        """Count addresses that were left out by a limit."""
        self.db.execute("INSERT INTO cut VALUES (?, ?) ON CONFLICT(reason) DO UPDATE SET count = count + ?", (reason, count, count))

    def cuts(self) -> dict[str, int]:
        """Limit → addresses that it left out, in the order of names."""
        return dict(self.db.execute("SELECT reason, count FROM cut ORDER BY reason"))

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
