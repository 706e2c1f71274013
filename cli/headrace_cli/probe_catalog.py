"""`headrace doctor`: the lake's catalog, by a connection of its own. In Postgres a table is created and rolled back."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from headrace_cli.finding import ANSWER_SECONDS, Check
from headrace_cli.probe_store import existing
from headrace_lake.errors import HeadraceError
from headrace_lake.settings import Settings

NAME = "catalog"
KEY = "lake.catalog"
LOCKED_SECONDS = 3.0
"""A commit holds the lock for some hundredths of a second."""

# Words of the server or its driver → (setting, way out).
_SAID = {
    "password authentication failed": (
        "lake.catalog_password",
        "correct what lake.catalog_password refers to, or the user in lake.catalog",
    ),
    "no password supplied": ("lake.catalog_password", "name a file or variable with the password in lake.catalog_password"),
    "does not exist": (KEY, "create the database or role, or correct lake.catalog"),
    "could not translate host name": (KEY, "correct the host in lake.catalog"),
    "Connection refused": (KEY, "start Postgres, or correct host and port in lake.catalog"),
    "timeout expired": (KEY, "check that Postgres can be reached from here, or correct lake.catalog"),
    "permission denied": (KEY, "grant the user create, select, insert and update in the database's schema"),
    "too many": (KEY, "raise max_connections, or stop what holds the connections"),
    "SSL": (KEY, "correct sslmode in lake.catalog"),
}


def catalog(settings: Settings) -> Iterator[Check]:
    """Whether the catalog can be reached, read and written."""
    uri = settings.lake.catalog
    if not uri:
        yield from sqlite(settings.resolve(settings.lake.root) / "catalog.db")
    elif uri.startswith("sqlite:///"):
        yield from sqlite(settings.resolve(uri.removeprefix("sqlite:///")))
    elif uri.startswith("postgresql"):
        yield from postgres(settings)
    else:
        way_out = "use sqlite:///file.db or postgresql+psycopg2://user@host/database"
        yield Check(NAME, "missing", f"'{uri.partition(':')[0]}' is not supported", way_out, KEY)


def sqlite(file: Path) -> Iterator[Check]:
    """A catalog in a file: is it a data base, whole, and can it be written now?"""
    if not file.exists():
        where = existing(file)
        if not where.is_dir():
            yield Check(NAME, "missing", f"{where} is a file, so {file.name} cannot lie below it", "correct lake.catalog", KEY)
        else:
            yield Check(NAME, "ok", f"{file} (not there yet: the first crawl makes it)")
        return
    if file.is_dir():
        yield Check(NAME, "missing", f"{file} is a folder", "correct lake.catalog: it names a file", KEY)
        return
    try:
        with closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCKED_SECONDS, isolation_level=None)
        ) as base:
            [(verdict,)] = base.execute("pragma quick_check(1)").fetchall()
            if verdict != "ok":
                yield Check(NAME, "missing", f"{file} is damaged: {verdict}", "restore it from a copy", KEY)
                return
            base.execute("begin immediate")
            base.execute("rollback")
    except sqlite3.Error as exc:
        way_out = {
            "file is not a database": "correct lake.catalog, or restore the file from a copy",
            "database disk image is malformed": "restore it from a copy",
            "database is locked": "look which process holds it (fuser), or use Postgres",
            "attempt to write a readonly database": "make the file and its folder writable for you",
        }.get(str(exc), "make the file and its folder readable and writable for you")
        yield Check(NAME, "missing", f"{file}: {exc}", way_out, KEY)
        return
    yield Check(NAME, "ok", f"{file}: whole, readable and writable")


def postgres(settings: Settings) -> Iterator[Check]:
    """A catalog in Postgres: logs in as the lake does, and asks for what a commit needs."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    url = make_url(settings.lake.catalog)
    if settings.lake.catalog_password is not None:
        try:
            url = url.set(password=settings.lake.catalog_password.reveal())
        except (HeadraceError, ValueError):
            return  # told with the secrets
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": int(ANSWER_SECONDS) - 1})
        with engine.connect() as connection:
            yield _may_commit(connection, url)
    except ImportError as exc:
        yield Check(NAME, "missing", f"driver not installed: {exc}", "make setup (or the extra `data`: pyproject.toml)", KEY)
    except SQLAlchemyError as exc:
        yield _refusal(exc, url)


def _may_commit(connection: Any, url: Any) -> Check:
    """Create a table as a first commit does, roll it back, and look what rights there are in the tables of the lake."""
    from sqlalchemy import text

    name = f"headrace_doctor_{secrets.token_hex(6)}"
    if connection.execute(text("show transaction_read_only")).scalar() == "on":
        way_out = "name the primary server, or give the user a default that may write"
        return Check(NAME, "missing", f"{_shown(url)}: transactions are read-only", way_out, KEY)
    connection.execute(text("set local lock_timeout = '3s'"))
    connection.execute(text(f"create table {name} (id integer primary key)"))
    there = connection.execute(text("select to_regclass('iceberg_tables') is not null")).scalar()
    lacking = []
    for right in ("select", "insert", "update", "delete") if there else ():
        asked = text("select has_table_privilege(current_user, 'iceberg_tables', :right)")
        if not connection.execute(asked, {"right": right}).scalar():
            lacking.append(right)
    connection.rollback()
    if lacking:
        way_out = "grant select, insert, update, delete on iceberg_tables, iceberg_namespace_properties"
        return Check(NAME, "missing", f"{_shown(url)}: no right to {', '.join(lacking)} in iceberg_tables", way_out, KEY)
    return Check(NAME, "ok", f"{_shown(url)}: logs in, creates and writes")


def _refusal(exc: Exception, url: Any) -> Check:
    said = " ".join(str(getattr(exc, "orig", None) or exc).split())
    if url.password:
        said = said.replace(str(url.password), "***")
    setting, way_out = next((found for words, found in _SAID.items() if words in said), (KEY, "correct lake.catalog"))
    return Check(NAME, "missing", f"{_shown(url)}: {said[:300]}", way_out, setting)


def _shown(url: Any) -> str:
    return str(url.set(password=None).render_as_string(hide_password=True))
