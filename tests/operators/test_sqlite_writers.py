"""SQLite under Airflow: writers wait for each other, and nobody waits for who cannot go on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from headrace_operators.services.airflow import LocalAirflow
from headrace_operators.services.one_writer import OneWriter, middlewares
from headrace_operators.services.sqlite_writers import CONNECT_ARGS


def _engine(file: Path, arguments: dict[str, Any], *, timeout_s: int = 20) -> Any:
    engine = create_engine(f"sqlite:///{file}?timeout={timeout_s}", connect_args=arguments | {"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _as_airflow_does(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")

    return engine


def _runs_made_by_two(file: Path, arguments: dict[str, Any]) -> list[str]:
    """One makes a run inside a savepoint, as a backfill does: it looks for it first. Meanwhile another one makes a run too."""
    engine = _engine(file, arguments)
    with Session(engine) as session:
        session.execute(text("CREATE TABLE run (id TEXT PRIMARY KEY)"))
        session.commit()
    looked, written = threading.Event(), threading.Event()

    def other() -> None:
        looked.wait(10)
        with Session(_engine(file, arguments)) as session:
            session.execute(text("INSERT INTO run VALUES ('trigger')"))
            session.commit()
        written.set()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        with Session(engine) as session:
            with session.begin_nested():
                assert session.execute(text("SELECT count(*) FROM run")).scalar_one() == 0
                looked.set()
                written.wait(0.5)
                session.execute(text("INSERT INTO run VALUES ('backfill')"))
            session.commit()
    finally:
        looked.set()
        thread.join(30)
    with Session(engine) as session:
        return sorted(session.execute(text("SELECT id FROM run")).scalars())


def test_a_savepoint_that_reads_before_it_writes_waits_for_other_writers(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(OperationalError, match="database is locked"):
        _runs_made_by_two(tmp_path / "plain.db", {})
    assert time.monotonic() - began < 15, "refused at once, though the connection would wait for 20 s"
    assert _runs_made_by_two(tmp_path / "ours.db", CONNECT_ARGS) == ["backfill", "trigger"]


def test_what_a_savepoint_began_is_committed_or_rolled_back_with_its_transaction(tmp_path: Path) -> None:
    engine = _engine(tmp_path / "a.db", CONNECT_ARGS)
    with Session(engine) as session:
        session.execute(text("CREATE TABLE run (id TEXT PRIMARY KEY)"))
        session.commit()
        with session.begin_nested():
            session.execute(text("INSERT INTO run VALUES ('kept')"))
        session.commit()
        with session.begin_nested():
            session.execute(text("INSERT INTO run VALUES ('lost')"))
        session.rollback()
        with pytest.raises(OperationalError), session.begin_nested():
            session.execute(text("INSERT INTO nosuch VALUES (1)"))
        session.execute(text("INSERT INTO run VALUES ('after')"))
        session.commit()
        assert sorted(session.execute(text("SELECT id FROM run")).scalars()) == ["after", "kept"]


def test_the_local_airflow_uses_it_on_sqlite_only(tmp_path: Path) -> None:
    key, database = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    ours = LocalAirflow(tmp_path, "http://127.0.0.1:8080", tmp_path)
    module, _, name = ours.environment()[key].rpartition(".")
    assert getattr(__import__(module, fromlist=[name]), name) is CONNECT_ARGS
    postgres = LocalAirflow(tmp_path, "http://127.0.0.1:8080", tmp_path, {database: "postgresql+psycopg2://somewhere/airflow"})
    assert key not in postgres.environment()


def _server(file: Path) -> FastAPI:
    """A server that writes as Airflow's does: an audit log on the event loop, then the route's own rows in a thread."""
    engine = _engine(file, CONNECT_ARGS, timeout_s=3)
    app = FastAPI()

    def session() -> Iterator[Session]:
        with Session(engine) as opened:
            yield opened
            opened.commit()

    async def audit(session: Session = Depends(session)) -> None:
        session.execute(text("INSERT INTO log DEFAULT VALUES"))
        session.commit()

    @app.post("/runs", dependencies=[Depends(audit)])
    def make(session: Session = Depends(session, scope="function")) -> str:
        session.execute(text("INSERT INTO run DEFAULT VALUES"))
        time.sleep(0.2)
        return "made"

    @app.get("/runs")
    def count() -> int:
        with Session(engine) as opened:
            return int(opened.execute(text("SELECT count(*) FROM run")).scalar_one())

    with Session(engine) as opened:
        for table in ("run", "log"):
            opened.execute(text(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)"))
        opened.commit()
    return app


def _answers(app: Any) -> list[int]:
    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow", timeout=60) as client:
            return [answer.status_code for answer in await asyncio.gather(*(client.post("/runs") for _ in range(6)))]

    return asyncio.run(ask())


def test_requests_that_change_something_at_the_same_time_are_all_answered(tmp_path: Path) -> None:
    assert 500 in _answers(_server(tmp_path / "plain.db")), "the audit log on the event loop waits for a request that waits for the loop"
    app = _server(tmp_path / "ours.db")
    assert _answers(OneWriter(app)) == [200] * 6

    async def read_while_another_writes() -> int:
        taken, done = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            if scope["method"] == "POST":
                taken.set()
                await done.wait()
            await app(scope, receive, send)

        transport = httpx.ASGITransport(OneWriter(slow))
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            writing = asyncio.create_task(client.post("/runs"))
            await taken.wait()
            read = int((await client.get("/runs")).text)
            done.set()
            assert (await writing).status_code == 200
            return read

    assert asyncio.run(read_while_another_writes()) == 6


def test_only_sqlite_takes_one_changing_request_at_a_time() -> None:
    assert [each["middleware"] for each in middlewares("sqlite:////tmp/airflow.db?timeout=30")] == [OneWriter]
    assert middlewares("postgresql+psycopg2://somewhere/airflow") == []
