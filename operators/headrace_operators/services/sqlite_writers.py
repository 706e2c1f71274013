"""SQLite connections whose transactions ask for the write lock when they begin.

Airflow makes runs inside savepoints that first read, then write. Python's `sqlite3` begins no transaction before a SAVEPOINT, so SQLite
begins one that only reads; when another process has written meanwhile, the first write fails at once with "database is locked",
however long a connection is willing to wait. The API server answers 503 to a backfill then, and 500 to a trigger. Asking for the write
lock before the savepoint makes the second writer wait for the first, up to the connection's timeout.

Airflow takes the arguments of its connections from `[database] sql_alchemy_connect_args`, which names `CONNECT_ARGS` here.
"""

from __future__ import annotations

import sqlite3
from typing import Any


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> _Cursor:
        if not self.connection.in_transaction and sql.lstrip()[:9].upper() == "SAVEPOINT":
            super().execute("BEGIN IMMEDIATE")
        super().execute(sql, parameters)
        return self


class WriterFirst(sqlite3.Connection):
    """A connection that waits for the write lock before a savepoint and before the first change."""

    def cursor(self, factory: Any = None) -> Any:
        """A cursor that does so."""
        return super().cursor(factory or _Cursor)


CONNECT_ARGS: dict[str, Any] = {"factory": WriterFirst, "isolation_level": "IMMEDIATE"}
