"""Another user of the same machine cannot read, swap or forge what is ours, and gets neither token nor password on our port."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from strangers import STRANGER, as_stranger

import headrace_lake.loopback as loopback
from headrace_cli import probe_services
from headrace_lake.errors import ConfigError, ServiceError, StorageError
from headrace_lake.fingerprint import digest_bytes
from headrace_lake.loopback import BearerToken, is_loopback, listeners, require_own_listener
from headrace_lake.settings import Settings
from headrace_lake.storage.object_cache import cached
from headrace_lake.storage.private_folder import private_folder
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.launchers import JobSpec, Owner
from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.services.ray_head import RayHead

TOKEN = "planted-" + "0123456789abcdef" * 4


@contextmanager
def _port(heard: list[bytes]) -> Iterator[int]:
    """A listener of this process on a free loopback port that keeps what it is sent, and answers as Ray and Airflow would."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(0.3)
                        with suppress(OSError):
                            heard.append(connection.recv(65536))
                            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n{"version": "1", "token": 1} ')

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


@contextmanager
def _held_by_a_stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, list[bytes]]]:
    """A port at which another user listens. A real one where we are root; else the socket table's owner is another for it."""
    heard: list[bytes] = []
    if os.geteuid() == 0:
        # The kernel notes who made the socket: the stranger makes it, and this process goes on serving it.
        os.seteuid(STRANGER)
        try:
            server = _port(heard)
            port = server.__enter__()
        finally:
            os.seteuid(0)
    else:
        server = _port(heard)
        port = server.__enter__()
        monkeypatch.setattr(loopback, "listeners", lambda asked: {"127.0.0.1": STRANGER} if asked == port else listeners(asked))
    try:
        yield port, heard
    finally:
        server.__exit__(None, None, None)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A token file with a token that must reach nobody."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    return file


def _follow(client: RayLauncher) -> None:
    async def once() -> None:
        async for _ in client.follow("headrace-x"):
            return

    asyncio.run(once())


ASKS: dict[str, Callable[[str, Path], object]] = {
    "a request": lambda address, token: RayLauncher(address, token, retry_for_s=0).jobs(),
    "submitting": lambda address, token: RayLauncher(address, token).ensure(JobSpec(["x"]), Owner("d", "r", "t", generation=0, user="u")),
    "following": lambda address, token: _follow(RayLauncher(address, token)),
    "by name": lambda address, token: RayLauncher(address.replace("127.0.0.1", "localhost"), token, retry_for_s=0).jobs(),
    "mapped": lambda address, token: RayLauncher(address.replace("127.0.0.1", "[::ffff:127.0.0.1]"), token, retry_for_s=0).jobs(),
    "Airflow's login": lambda address, token: AirflowApi(address, "admin", TOKEN).call("GET", "/dags"),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_stranger_on_our_port_is_sent_nothing(ask: Callable[[str, Path], object], token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _held_by_a_stranger(monkeypatch) as (port, heard):
        with pytest.raises(ServiceError, match=rf"port {port} at .* is held by user {STRANGER}.*nothing was sent"):
            ask(f"http://127.0.0.1:{port}", token)
        assert heard == [] and not RayLauncher(f"http://127.0.0.1:{port}", token).alive()


def test_one_who_takes_the_port_between_the_look_and_the_connection_is_sent_no_token(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class LooksTooEarly(BearerToken):
        def _before(self, request: httpx.Request) -> str:
            self.sign(request)
            return str(request.url)

    with _held_by_a_stranger(monkeypatch) as (port, heard):
        with httpx.Client(auth=LooksTooEarly(token)) as client, pytest.raises(ServiceError, match="held by user"):
            client.get(f"http://127.0.0.1:{port}/api/version")

        async def asynchronous() -> None:
            async with httpx.AsyncClient(auth=LooksTooEarly(token)) as client:
                await client.get(f"http://127.0.0.1:{port}/api/version")

        with pytest.raises(ServiceError, match="held by user"):
            asyncio.run(asynchronous())
    assert not [sent for sent in heard if sent], "connected, and sent nothing"


def test_doctor_says_whose_the_port_is_and_sends_nothing(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _held_by_a_stranger(monkeypatch) as (port, heard):
        address = f"http://127.0.0.1:{port}"
        settings = Settings.model_validate(
            {"ray": {"address": address, "token_file": str(token)}, "airflow": {"address": address, "password": {"file": str(token)}}}
        )
        found = [*probe_services.ray(settings), *probe_services.airflow(settings)]
    assert [check.state for check in found] == ["missing", "missing"] and heard == []
    assert all(f"held by user {STRANGER}" in check.found for check in found)


def test_our_own_listener_gets_the_token_and_a_trusted_users_too(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []
    with _port(heard) as port:
        assert listeners(port) == {"127.0.0.1": os.geteuid()}
        assert RayLauncher(f"http://127.0.0.1:{port}", token).alive()
    assert TOKEN.encode() in heard[0]
    monkeypatch.setattr(loopback, "listeners", lambda port: {"127.0.0.1": 1})
    with pytest.raises(ServiceError, match="held by user daemon"):
        require_own_listener("http://127.0.0.1:1")
    require_own_listener("http://127.0.0.1:1", ["daemon", "no-such-user"])
    require_own_listener("http://elsewhere.example:1")


def test_loopback_is_known_in_every_spelling() -> None:
    ours = ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "localhost", "a.localhost", "0.0.0.0", "::")
    assert [host for host in ours if not is_loopback(host)] == []
    assert [host for host in ("10.0.0.1", "localhost.example", "::ffff:10.0.0.1", "", "1270.0.0.1") if is_loopback(host)] == []


def test_ipv6_listeners_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert listeners(server.getsockname()[1]) == {"::1": os.geteuid()}


def test_a_jobs_log_and_ray_sockets_are_out_of_others_reach(ray_head: RayHead) -> None:
    parent = ray_head.session.parent
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700 and parent.stat().st_uid == os.geteuid()
    [log, *_] = sorted(ray_head.session.glob("session_latest/logs/*"))
    [store] = ray_head.session.glob("session_latest/sockets/plasma_store*")
    forged = ray_head.session / "session_latest" / "logs" / "job-driver-forged.log"
    for tried in (
        as_stranger(lambda: os.listdir(parent)),
        as_stranger(lambda: log.read_bytes()),
        as_stranger(lambda: forged.write_text('HEADRACE_RESULT {"fingerprint": "forged"}')),
        as_stranger(lambda: os.rename(log, forged)),
        as_stranger(lambda: os.symlink("/etc/passwd", forged)),
        as_stranger(lambda: socket.socket(socket.AF_UNIX).connect(str(store))),
        as_stranger(lambda: os.rename(parent, f"{parent}-moved")),
        as_stranger(ray_head.token_file.read_text),
    ):
        assert tried == "not root" or tried.startswith("PermissionError"), tried
    for path in (parent, *parent.rglob("*")):
        reached = [p for p in (path, *path.parents) if stat.S_IMODE(p.lstat().st_mode) & 0o077 == 0]
        assert reached, f"no folder above {path} is closed"


# -- caches --------------------------------------------------------------------------------------------------------


class Bucket:
    """Objects by address, and how often each was fetched."""

    def __init__(self, **objects: bytes) -> None:
        self.objects, self.fetched = objects, 0

    def __call__(self, target: str) -> None:
        self.fetched += 1
        Path(target).write_bytes(self.objects["object"])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own, as /tmp is."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_cached_object_that_was_altered_is_fetched_again(cache: Path) -> None:
    bucket = Bucket(object=b"the bytes")
    file = cached("s3://b/run/index.bin", bucket)
    assert cached("s3://b/run/index.bin", bucket) == file and file.read_bytes() == b"the bytes" and bucket.fetched == 1
    when = file.stat()
    file.write_bytes(b"forgeries")  # as long, and with the old times
    os.utime(file, ns=(when.st_atime_ns, when.st_mtime_ns + 1))
    assert cached("s3://b/run/index.bin", bucket).read_bytes() == b"the bytes" and bucket.fetched == 2
    file.unlink()
    file.symlink_to("/etc/passwd")
    assert cached("s3://b/run/index.bin", bucket).read_bytes() == b"the bytes" and not file.is_symlink()
    (file.parent / ".digest").unlink()
    loopback_of_other_process = dict[Any, Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headrace_lake.storage.object_cache._judged", loopback_of_other_process)
        assert cached("s3://b/run/index.bin", bucket).read_bytes() == b"the bytes" and bucket.fetched == 4


@pytest.mark.parametrize("name", ["data/documents/web/2026-11-01/00000-{}.parquet", "objects/mix/{:.2}/{}.bin"])
def test_a_store_that_gives_other_bytes_than_the_name_says_is_refused(name: str, cache: Path) -> None:
    digest = digest_bytes(b"the bytes")
    uri = "s3://bucket/lake/" + (name.format(digest) if "{:" not in name else f"objects/mix/{digest[:2]}/{digest}.bin")
    with pytest.raises(StorageError, match=r"which its name does not bear"):
        cached(uri, Bucket(object=b"forgeries"))
    assert not [path for path in cache.rglob("*") if path.is_file()], "nothing of it is kept"
    assert cached(uri, Bucket(object=b"the bytes")).read_bytes() == b"the bytes"


def test_a_folder_that_somebody_else_has_made_first_is_refused(cache: Path) -> None:
    name = cache / f"headrace-cache-{os.geteuid()}"
    name.symlink_to(cache)
    with pytest.raises(ConfigError, match="belongs to another user, or is a link"):
        cached("s3://b/x", Bucket(object=b"x"))
    name.unlink()
    name.mkdir(mode=0o777)
    if os.geteuid() == 0:
        os.chown(name, STRANGER, STRANGER)
        with pytest.raises(ConfigError, match="TMPDIR"):
            private_folder(name)
        os.chown(name, 0, 0)
    assert stat.S_IMODE(private_folder(name).stat().st_mode) == 0o700, "our own is closed"


def test_a_stranger_cannot_enter_the_cache_and_jieba_reads_only_what_lies_in_it(cache: Path) -> None:
    file = cached("s3://b/x", Bucket(object=b"x"))
    tried = as_stranger(file.read_bytes)
    assert tried == "not root" or tried.startswith("PermissionError")
    import jieba

    from headrace_governance.text.statistics.segmenter import Segmenter

    forged = cache / "jieba.cache"
    forged.write_bytes(b"not marshal: whoever reads this fails, or is fooled")
    jieba.dt.initialized = False
    Segmenter()
    assert Path(jieba.dt.tmp_dir) == file.parents[1] and forged.read_bytes().startswith(b"not marshal")
