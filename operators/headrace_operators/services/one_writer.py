"""ASGI middleware: with SQLite, the API server takes one changing request at a time.

Airflow 3.3 writes its audit log on the API server's event loop (`action_logging`, an async dependency that commits). While that commit
waits for SQLite's lock, the loop stands still; a request that holds the lock needs the loop to commit, so both wait until the
connection's timeout (30 s), and the caller gets 503 for a backfill or 500 for a trigger. One changing request at a time makes nothing
slower, since SQLite has one writer anyway. Reads are not held up, and other databases do not need it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
READS = frozenset({"GET", "HEAD", "OPTIONS"})


class OneWriter:
    """Passes changing HTTP requests on one after the other, in the order in which they came."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Wait for one's turn, unless the request only reads."""
        if scope["type"] != "http" or scope["method"] in READS:
            await self.app(scope, receive, send)
            return
        async with self._turn:
            await self.app(scope, receive, send)


def middlewares(database: str) -> list[dict[str, Any]]:
    """What the plugin registers for a metadata database (its SQLAlchemy URL)."""
    if not database.startswith("sqlite"):
        return []
    return [{"name": "one writer", "middleware": OneWriter, "args": [], "kwargs": {}}]
