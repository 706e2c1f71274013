"""SQLite under Airflow: a savepoint that reads and then writes waits for other writers instead of being refused at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from headrace_operators.services.airflow import LocalAirflow
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
