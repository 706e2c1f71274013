"""The embedded PostgreSQL: closed to every other user, recovered after `kill -9`, and an old SQLite set-up told how to move."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from patience import PATIENCE_S
from sqlalchemy import create_engine, text
from strangers import as_stranger

from headrace_lake.errors import ConfigError, ServiceError
from headrace_lake.settings import Settings
from headrace_lake.strict import parse
from headrace_operators.services import LocalServices
from headrace_operators.services.embedded_postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def roots_place() -> Iterator[Path]:
    """A folder that the server's own user can reach, which pytest's are not for root."""
    with tempfile.TemporaryDirectory(prefix="headrace-roots-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, roots_place: Path) -> Iterator[EmbeddedPostgres]:
    """A server with the databases `airflow` and `lake`."""
    made = EmbeddedPostgres(tmp_path_factory.mktemp("embedded") / "postgres", roots_place)
    made.start(["airflow", "lake"])
    yield made
    made.remove()


def _query(server: EmbeddedPostgres, sql: str, database: str = "airflow") -> Any:
    with create_engine(server.address(database)).begin() as connection:
        result = connection.execute(text(sql))
        return result.scalar() if result.returns_rows else None


def test_it_has_databases_and_no_port_and_no_password_in_sight(server: EmbeddedPostgres) -> None:
    assert [_query(server, "select current_database()", name) for name in ("airflow", "lake")] == ["airflow", "lake"]
    password = server.password_file.read_text().strip().rpartition(":")[2]
    main = psutil.Process(server.daemon.pid())
    family = [main, *main.children(recursive=True)]
    assert len(password) == 48 and len(family) >= 4
    shown, users = [], set()
    for process in family:
        with suppress(psutil.NoSuchProcess):  # the server ends workers of its own at any moment
            assert process.net_connections("inet") == []
            shown.append(" ".join(process.cmdline()) + " ".join(process.environ().values()))
            users.add(process.username())
    assert len(shown) >= 4
    assert not [words for words in [*shown, server.address("airflow"), server.daemon.log_file.read_text()] if password in words]
    assert users == {server.run_as.name if server.run_as else psutil.Process().username()} != {"root"}


def test_every_folder_of_it_is_closed_to_others_and_every_user_needs_the_password(server: EmbeddedPostgres) -> None:
    for folder in (server.folder, server.place, server.data, server.socket_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    assert stat.S_IMODE(server.password_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.socket_folder / ".s.PGSQL.5432").stat().st_mode) == 0o700
    rules = [line.split() for line in (server.data / "pg_hba.conf").read_text().splitlines() if line and not line.startswith("#")]
    assert {rule[-1] for rule in rules} == {"scram-sha-256"}
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(host=str(server.socket_folder), user="headrace", password="guessed", dbname="airflow")
    for tried in (
        as_stranger(lambda: socket.socket(socket.AF_UNIX).connect(str(server.socket_folder / ".s.PGSQL.5432"))),
        as_stranger(server.password_file.read_text),
        as_stranger(lambda: os.listdir(server.place)),
    ):
        assert tried == "not root" or tried.startswith("PermissionError"), tried


def test_one_that_runs_is_found_by_another_command_and_kept(server: EmbeddedPostgres) -> None:
    pid = server.daemon.pid()
    again = EmbeddedPostgres(server.folder, server.roots_place)
    again.start(["airflow", "more"])
    assert again.healthy() and again.daemon.pid() == pid
    assert _query(again, "select current_database()", "more") == "more"


def test_after_kill_9_it_comes_back_though_another_process_bears_its_number(server: EmbeddedPostgres) -> None:
    _query(server, "create table kept as select 42 as n")
    client = psycopg2.connect(host=str(server.socket_folder), user="headrace", dbname="airflow", passfile=str(server.password_file))
    pid = server.daemon.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # What the number of the dead server is when it has been given to somebody else: a process of the very user that the server runs as.
    who: dict[str, Any] = {"user": server.run_as.uid} if server.run_as else {}
    with subprocess.Popen(["sleep", "300"], cwd="/", **who) as other:
        for lock in (server.data / "postmaster.pid", server.socket_folder / ".s.PGSQL.5432.lock"):
            lines = lock.read_text().split("\n")
            lock.write_text("\n".join([str(other.pid), *lines[1:]]))
        try:
            server.start()
            assert other.poll() is None, "it is none of ours"
            assert server.daemon.pid() not in (pid, None) and _query(server, "select n from kept") == 42
        finally:
            other.kill()
    client.close()


def test_a_server_whose_pid_file_was_lost_is_replaced_and_never_doubled(server: EmbeddedPostgres) -> None:
    pid = server.daemon.pid()
    assert pid is not None
    server.daemon.pid_file.unlink()
    server.start()
    assert server.daemon.pid() not in (None, pid)
    mains = [p for p in server._processes() if (parent := p.parent()) is None or parent.name() != "postgres"]
    assert [p.pid for p in mains] == [server.daemon.pid()]


def test_a_lost_password_file_is_replaced_and_the_data_kept(server: EmbeddedPostgres) -> None:
    _query(server, "create table still as select 7 as n")
    before = server.password_file.read_text()
    server.stop()
    assert list(server._processes()) == [] and not server.healthy() and not server.stop()
    server.password_file.unlink()
    server.start()
    assert server.password_file.read_text() != before and _query(server, "select n from still") == 7


def test_two_commands_that_start_it_at_once_start_one(server: EmbeddedPostgres) -> None:
    server.stop()
    code = "import sys; from pathlib import Path; from headrace_operators.services.embedded_postgres import *\n"
    code += "s = EmbeddedPostgres(Path(sys.argv[1]), Path(sys.argv[2])); s.start(['airflow']); print(s.daemon.pid())"
    words = [sys.executable, "-c", code, str(server.folder), str(server.roots_place)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    pids = {process.communicate(timeout=PATIENCE_S)[0].strip() for process in both}
    assert pids == {str(server.daemon.pid())} and [process.returncode for process in both] == [0, 0]


def test_a_long_path_gets_a_short_private_folder_for_its_socket(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("long" * 30), tmp_path / ("long" * 30))
    folder = server.socket_folder
    assert len(str(folder / ".s.PGSQL.5432")) <= 107 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert EmbeddedPostgres(server.folder, server.roots_place).socket_folder == folder, "later commands find it"
    folder.chmod(0o755)  # as if somebody else had made it
    other = EmbeddedPostgres(server.folder, server.roots_place).socket_folder
    assert other != folder and stat.S_IMODE(other.stat().st_mode) == 0o700
    for made in (folder, other):
        made.rmdir()


def test_a_set_up_on_sqlite_is_told_how_to_move(tmp_path: Path, checkout: Path) -> None:
    services = LocalServices(tmp_path / "poc", checkout, usual_ports=False)
    old = services.airflow.folder / "airflow.db"
    old.parent.mkdir()
    old.touch()
    with pytest.raises(ServiceError, match=r"airflow\.db is the database of an Airflow on SQLite.*mv .*airflow\.db .*airflow\.db\.old"):
        services.up(("airflow",))
    assert not services.postgres.made and not services.postgres.folder.exists()


@pytest.mark.parametrize(
    ("airflow", "said"),
    [
        ({"database": "sqlite:///airflow.db"}, "is 'embedded' or a PostgreSQL"),
        ({"database": "postgresql+psycopg2://me:hush@host/airflow"}, "keep the password out of 'database'"),
        ({"database": "postgresql+psycopg2://me@host/airflow?password=hush"}, "keep the password out of 'database'"),
        ({"database_password": {"env": "SECRET"}}, "belongs to an address"),
    ],
)
def test_a_database_that_cannot_be_is_refused_by_the_settings(airflow: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        parse({"airflow": airflow}, Settings, where="headrace.yaml")
    assert "hush" not in str(refused.value)


def test_a_new_folder_may_keep_the_lakes_catalog_in_it(tmp_path: Path, checkout: Path, roots_place: Path) -> None:
    services = LocalServices(tmp_path / "poc", checkout, usual_ports=False, shared_catalog=True)
    services.postgres.roots_place = roots_place
    assert services.databases == ["airflow", "lake"]
    alone = LocalServices(tmp_path / "other", checkout, usual_ports=False)
    assert alone.databases == ["airflow"] and alone.settings.lake.catalog == ""


def test_the_services_folder_is_closed_to_others(tmp_path: Path, checkout: Path) -> None:
    (tmp_path / "poc").mkdir(mode=0o755)
    services = LocalServices(tmp_path / "poc", checkout, usual_ports=False)
    services.up(())
    assert stat.S_IMODE(services.folder.stat().st_mode) == 0o700
    began = time.monotonic()
    assert services.down() is None and time.monotonic() - began < 30
