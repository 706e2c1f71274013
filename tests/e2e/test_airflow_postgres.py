"""The same DAG files with Airflow's database and the lake's catalog on Postgres: only configuration differs, and no password shows."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg2
import pytest

from headrace_lake.lake import Lake
from headrace_lake.slices import Slice
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.services import LocalServices
from headrace_operators.services.process import free_port

SOURCE = "python-topics"
NOBODY = 65534
"""Postgres refuses to run as root; tests that run as root start it as this user."""


@dataclass(frozen=True)
class Postgres:
    """A server on loopback with password authentication."""

    port: int
    password: str
    log: Path

    def address(self, driver: str, database: str, password: str = "") -> str:
        """A SQLAlchemy address; without the password where a secret holds it."""
        return f"{driver}://headrace{':' + password if password else ''}@127.0.0.1:{self.port}/{database}"

    def rows(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Answer of one query."""
        login = {"host": "127.0.0.1", "port": self.port, "user": "headrace", "password": self.password, "dbname": database}
        with contextlib.closing(psycopg2.connect(**login)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []


def _program(name: str) -> str:
    """A Postgres program: Debian keeps them off the PATH."""
    found = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True))]
    assert any(found), f"no {name} here: run `scripts/setup --tests`"
    return str(Path(next(f for f in found if f)).resolve())


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A fresh server with the databases `airflow` and `lake`."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-pg-"))  # not below pytest's folder: that one is closed to other users
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 else {}
    password, port = f"planted-{token_hex(12)}", free_port()
    (folder / "password").write_text(password, encoding="ascii")
    if who:
        for path in (folder, folder / "password"):
            os.chown(path, NOBODY, NOBODY)
    data, log = folder / "data", folder / "log"
    made = [
        _program("initdb"),
        "-D",
        str(data),
        "-U",
        "headrace",
        "-A",
        "scram-sha-256",
        f"--pwfile={folder / 'password'}",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(made, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, cwd="/", **who)
    with log.open("wb") as out:
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        words = [_program("postgres"), "-D", str(data), *(f"-c{name}={value}" for name, value in options.items())]
        server = subprocess.Popen(words, stdout=out, stderr=out, cwd="/", **who)
    try:
        found = Postgres(port, password, log)
        deadline = time.monotonic() + 30
        while True:
            try:
                found.rows("postgres", "select 1")
                break
            except psycopg2.OperationalError:
                assert server.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.2)
        for database in ("airflow", "lake"):
            found.rows("postgres", f"create database {database}")
        yield found
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: pooled connections of this process may still be open
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def on_postgres(stack: Any, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServices]:
    """A second Airflow, on Postgres, with a lake of its own; Ray and the site are those of the other."""
    folder = tmp_path_factory.mktemp("postgres")
    secret = folder / "catalog-password"
    secret.write_text(postgres.password, encoding="ascii")
    secret.chmod(0o600)
    settings = stack.services.settings
    sources = folder / "sources"
    sources.mkdir()
    shutil.copy(settings.resolve(settings.sources) / f"{SOURCE}.yaml", sources)
    services = LocalServices(
        folder / "services",
        stack.services.root,
        usual_ports=False,
        overrides={
            "sources": str(sources),
            "lake": {
                "root": str(folder / "lake"),
                "catalog": postgres.address("postgresql+psycopg2", "lake"),
                "catalog_password": {"file": str(secret)},
            },
            "ray": settings.ray.model_dump(mode="json"),
        },
        airflow={
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.address("postgresql+psycopg2", "airflow", postgres.password),
            # One short-lived Airflow: a handful of connections instead of five a process.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "2",
        },
    )
    try:
        services.up(("airflow",))
        yield services
    finally:
        services.down(("airflow",))


def test_a_slice_is_ingested_with_everything_on_postgres_and_no_password_shows(on_postgres: LocalServices, postgres: Postgres) -> None:
    api = AirflowApi.of_passwords(on_postgres.airflow.address, on_postgres.airflow.passwords_file)
    api.wait_for_dag("ingest_text")
    api.unpause("ingest_text")  # its schedule then makes the slice of the day before
    deadline = time.monotonic() + 150
    while not (runs := api.runs("ingest_text")) or runs[0]["state"] not in ("success", "failed"):
        assert time.monotonic() < deadline, runs
        time.sleep(1)
    api.close()
    assert [(run["run_type"], run["state"]) for run in runs] == [("scheduled", "success")]
    lake = Lake.open(on_postgres.settings)
    receipts = lake.current_receipts(Slice(SOURCE, runs[0]["data_interval_start"][:10]))
    assert receipts["tokenise"].counts.kept > 0
    assert postgres.rows("airflow", "select count(*) from task_instance where state = 'success'")[0][0] >= 3
    assert not (on_postgres.airflow.folder / "airflow.db").exists(), "the run must not have used SQLite"

    passwords = json.loads(on_postgres.airflow.passwords_file.read_text(encoding="ascii")).values()
    secrets = [text.encode() for text in (postgres.password, *passwords)]
    keepers = {on_postgres.airflow.passwords_file.resolve()}
    files = [f for f in on_postgres.folder.rglob("*") if f.is_file() and f.resolve() not in keepers]
    assert [str(f) for f in files if any(secret in f.read_bytes() for secret in secrets)] == []
    tables = [
        name for (name,) in postgres.rows("airflow", "select table_name from information_schema.tables where table_schema = 'public'")
    ]
    shown = {name: json.dumps(postgres.rows("airflow", f'select * from "{name}"'), default=str) for name in tables}
    shown |= {name: json.dumps(lake.read(name).to_pylist(), default=str) for name in ("receipts", "artifacts")}
    assert {"xcom", "log", "rendered_task_instance_fields"} <= set(shown)
    assert [name for name, text in shown.items() if postgres.password in text] == []
