"""A Postgres server of a test's own on loopback, without a password, gone when the block ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

NOBODY = 65534
"""Postgres refuses to run as root; tests that run as root start it as this user."""


def _program(name: str) -> str:
    """Debian keeps them off the PATH."""
    found = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True))]
    assert any(found), f"no {name} here: run `scripts/setup --tests`"
    return str(Path(next(f for f in found if f)).resolve())


@contextmanager
def postgres_catalog() -> Iterator[str]:
    """The address of an empty database, as `lake.catalog` takes it. The server listens on a socket in its own folder only."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-slots-"))  # not below pytest's folder: that one is closed to other users
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 else {}
    if who:
        os.chown(folder, NOBODY, NOBODY)
    data = folder / "data"
    words = [_program("initdb"), "-D", str(data), "-U", "headrace", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, cwd="/", **who)
    options = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off"}
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [_program("postgres"), "-D", str(data), *(f"-c{name}={value}" for name, value in options.items())],
        stdout=log,
        stderr=log,
        cwd="/",
        **who,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg2.connect(host=str(folder), user="headrace", dbname="postgres").close()
                break
            except psycopg2.OperationalError:
                assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text(encoding="utf-8")
                time.sleep(0.1)
        yield f"postgresql+psycopg2://headrace@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: pooled connections of this process may still be open
        server.wait(20)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
