"""Broken settings, each held against the real service: `headrace doctor` names the key and the way out, and leaves nothing behind."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import s3fs
import yaml
from patience import PATIENCE_S
from servers import Postgres, Store, free_port, object_store, postgres

from headrace_cli import probe_catalog, probe_services, probe_settings, probe_store
from headrace_cli.finding import ANSWER_SECONDS, Check, Probe, gather
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with object_store(tmp_path_factory.mktemp("weed"), "lake") as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres("lake") as found:
        found.rows("lake", "create role reader login password 'planted-reader'")
        yield found


def _on_s3(store: Store, **changes: Any) -> Settings:
    s3 = {"endpoint": store.endpoint, "access_key": {"file": str(store.key)}, "secret_key": {"file": str(store.secret)}}
    lake = {"root": "s3://lake/here", "catalog": "sqlite:///x.db", "s3": {**s3, **changes.pop("s3", {})}, **changes}
    return Settings.model_validate({"lake": lake})


def _one(checks: Iterator[Check]) -> Check:
    found = list(checks)
    assert len(found) == 1, found
    return found[0]


def _secret(folder: Path, text: str, name: str = "secret") -> dict[str, str]:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return {"file": str(file)}


# -- the object store ----------------------------------------------------------------------------------------------------


def test_a_store_that_honours_conditional_writes_is_ok_and_keeps_nothing_of_the_probe(store: Store) -> None:
    check = _one(probe_store.object_store(_on_s3(store)))
    assert check.state == "ok" and "refuses a second writer" in check.found
    files = s3fs.S3FileSystem(
        key=store.key.read_text(), secret=store.secret.read_text(), endpoint_url=store.endpoint, skip_instance_cache=True
    )
    assert files.find("lake") == []


@pytest.mark.parametrize(
    ("broken", "setting", "said"),
    [
        ("secret", "lake.s3.secret_key", "the secret does not belong to the access key"),
        ("key", "lake.s3.access_key", "does not know this access key"),
        ("bucket", "lake.root", "bucket 'nowhere' does not exist"),
        ("port", "lake.s3.endpoint", "does not answer"),
        ("tls", "lake.s3.endpoint", "no TLS connection"),
    ],
)
def test_what_the_store_refuses_is_named_by_its_key(store: Store, tmp_path: Path, broken: str, setting: str, said: str) -> None:
    changes: dict[str, Any] = {
        "secret": {"s3": {"secret_key": _secret(tmp_path, "planted-wrong-secret")}},
        "key": {"s3": {"access_key": _secret(tmp_path, "planted-wrong-key")}},
        "bucket": {"root": "s3://nowhere/here"},
        "port": {"s3": {"endpoint": f"http://127.0.0.1:{free_port()}"}},
        "tls": {"s3": {"endpoint": store.endpoint.replace("http:", "https:")}},
    }[broken]
    check = _one(probe_store.object_store(_on_s3(store, **changes)))
    assert (check.state, check.setting) == ("missing", setting) and said in check.found and check.way_out, check
    assert "planted-" not in check.found


class _Careless(http.server.BaseHTTPRequestHandler):
    """An S3 store as far as the probe needs one, which pays no heed to conditions."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes] = {}

    def _answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = body.partition(b"\r\n")[2][: int(self.headers["X-Amz-Decoded-Content-Length"])]
        self.objects[self.path] = body
        self._answer(200)

    def do_GET(self) -> None:
        if "list-type" in self.path:
            self._answer(200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")
        else:
            self._answer(200, self.objects[self.path])

    def do_DELETE(self) -> None:
        self.objects.pop(self.path)
        self._answer(204)

    def log_message(self, *_: Any) -> None:
        pass


class _Elsewhere(_Careless):
    """What AWS answers to a signature for another region."""

    def do_GET(self) -> None:
        error = b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong region</Message><Region>eu-central-1</Region></Error>"
        self._answer(400, error)


class _NoStore(_Careless):
    def do_GET(self) -> None:
        self._answer(200, b"<html>an ordinary page</html")


@contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        threading.Thread(target=http_server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()


def test_a_store_that_ignores_conditions_is_not_taken_for_one_that_honours_them(store: Store) -> None:
    with _serving(_Careless) as endpoint:
        check = _one(probe_store.object_store(_on_s3(store, s3={"endpoint": endpoint})))
    assert (check.state, check.setting) == ("missing", "lake.s3.endpoint") and "ignores 'If-None-Match: *'" in check.found
    assert _Careless.objects == {}


def test_a_wrong_region_is_named_with_the_right_one(store: Store) -> None:
    with _serving(_Elsewhere) as endpoint:
        check = _one(probe_store.object_store(_on_s3(store, s3={"endpoint": endpoint})))
    assert check.setting == "lake.s3.region" and "it names 'eu-central-1'" in check.found


def test_a_server_that_is_not_a_store_is_said_to_be_none(store: Store) -> None:
    with _serving(_NoStore) as endpoint:
        check = _one(probe_store.object_store(_on_s3(store, s3={"endpoint": endpoint})))
    assert (check.state, check.setting) == ("missing", "lake.s3.endpoint") and "does not answer as an S3 store" in check.found


# -- the catalog ---------------------------------------------------------------------------------------------------------


def _on_postgres(address: str, secret: dict[str, str]) -> Settings:
    return Settings.model_validate({"lake": {"catalog": address, "catalog_password": secret}})


def test_a_postgres_that_serves_is_ok_and_keeps_no_table_of_the_probe(server: Postgres, tmp_path: Path) -> None:
    check = _one(probe_catalog.catalog(_on_postgres(server.address("lake"), _secret(tmp_path, server.password))))
    assert check.state == "ok" and "creates and writes" in check.found
    assert server.rows("lake", "select count(*) from pg_tables where tablename like 'headrace_doctor%'") == [(0,)]


@pytest.mark.parametrize(
    ("broken", "setting", "said"),
    [
        ("password", "lake.catalog_password", "password authentication failed"),
        ("database", "lake.catalog", 'database "nowhere" does not exist'),
        ("dead", "lake.catalog", "Connection refused"),
        ("rights", "lake.catalog", "permission denied for schema public"),
        ("table rights", "lake.catalog", "no right to insert, update, delete in iceberg_tables"),
        ("read-only", "lake.catalog", "transactions are read-only"),
    ],
)
def test_what_postgres_refuses_is_named_by_its_key(server: Postgres, tmp_path: Path, broken: str, setting: str, said: str) -> None:
    address, secret = server.address("lake"), server.password
    if broken == "password":
        secret = "planted-wrong"
    elif broken == "database":
        address = server.address("nowhere")
    elif broken == "dead":
        address = f"postgresql+psycopg2://headrace@127.0.0.1:{free_port()}/lake"
    elif broken == "rights":
        address, secret = server.address("lake", "reader"), "planted-reader"
    elif broken == "table rights":
        server.rows("postgres", "create database shared")
        server.rows("shared", "grant create on schema public to reader; create table iceberg_tables (x int)")
        server.rows("shared", "grant select on iceberg_tables to reader")
        address, secret = server.address("shared", "reader"), "planted-reader"
    else:
        server.rows("postgres", "create database frozen")
        server.rows("postgres", "alter database frozen set default_transaction_read_only = on")
        address = server.address("frozen")
    check = _one(probe_catalog.catalog(_on_postgres(address, _secret(tmp_path, secret))))
    assert (check.state, check.setting) == ("missing", setting) and said in check.found and check.way_out, check
    assert "planted-" not in check.found


def _real_catalog(settings: Settings) -> Path:
    assert Lake.open(settings).catalog.made()
    return settings.resolve(settings.lake.root) / "catalog.db"


@pytest.mark.parametrize(
    ("broken", "said"),
    [("other", "file is not a database"), ("torn", "damaged|malformed"), ("folder", "is a folder"), ("locked", "is locked")],
)
def test_a_catalog_file_that_cannot_be_used_is_named(settings: Settings, broken: str, said: str) -> None:
    file = _real_catalog(settings)
    assert _one(probe_catalog.catalog(settings)).state == "ok"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        if broken == "locked":
            other.execute("begin exclusive")
        elif broken == "other":
            file.write_bytes(b"this was written by an editor\n" * 200)
        elif broken == "torn":
            content = file.read_bytes()
            file.write_bytes(content[:100] + os.urandom(len(content) - 100))
        else:
            file.unlink()
            file.mkdir()
        check = _one(probe_catalog.catalog(settings))
    assert (check.state, check.setting) == ("missing", "lake.catalog") and check.way_out
    assert any(word in check.found for word in said.split("|")), check


# -- secrets, folders and files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"env": "HEADRACE_PLANTED"}, "HEADRACE_PLANTED is not set"),
        ({"env": "HEADRACE_EMPTY"}, "HEADRACE_EMPTY is empty"),
        ({"file": "nowhere"}, "No such file"),
        ({"file": "empty"}, "is empty"),
        ({"file": "open"}, "can be read by others"),
        ({"file": "lines"}, "several lines"),
        ({"file": "."}, "Is a directory"),
    ],
)
def test_every_secret_is_resolved_and_never_shown(
    reference: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADRACE_PLANTED", raising=False)
    monkeypatch.setenv("HEADRACE_EMPTY", "")
    for name, text in (("empty", "\n"), ("open", "planted-4711"), ("lines", "planted-4711\nplanted-4712\n")):
        _secret(tmp_path, text, name)
    (tmp_path / "open").chmod(0o640)
    if "file" in reference:
        reference = {"file": str(tmp_path / reference["file"])}
    settings = Settings.model_validate({"airflow": {"password": reference}, "lake": {"catalog_password": reference}})
    for key, secret in probe_settings.secrets_of(settings).items():
        check = probe_settings.secret(key, secret)
        assert (check.state, check.setting) == ("missing", key) and said in check.found and check.way_out
        assert "4711" not in check.found
    assert set(probe_settings.secrets_of(settings)) == {"airflow.password", "lake.catalog_password"}


def test_folders_without_files_and_files_with_mistakes_are_named(settings: Settings, tmp_path: Path, checkout: Path) -> None:
    (tmp_path / "none").mkdir()
    shutil.copytree(checkout / "governance" / "policies", tmp_path / "policies")
    with (tmp_path / "policies" / "fetch.yaml").open("a", encoding="utf-8") as file:
        file.write("user_agnt: x\n")
    (tmp_path / "sources").mkdir()
    for name in ("one", "two"):
        (tmp_path / "sources" / f"{name}.yaml").write_text("licence: {id: CC0-1.0}\n", encoding="utf-8")
    broken = settings.model_copy(
        update={"sources": tmp_path / "sources", "pipelines": tmp_path / "none", "policies": tmp_path / "policies"}
    )
    wrong = [*probe_settings.sources(broken), *probe_settings.pipelines(broken), *probe_settings.policies(broken)]
    assert [(c.state, c.setting) for c in wrong] == [("missing", key) for key in ("sources", "sources", "pipelines", "policies")]
    for check, said in zip(wrong, ("one.yaml", "two.yaml", "holds no YAML file", "fetch.yaml: unknown key 'user_agnt'"), strict=True):
        assert said in check.found and check.way_out
    gone = settings.model_copy(update={"sources": tmp_path / "gone"})
    assert "no such folder" in _one(probe_settings.sources(gone)).found
    assert [c.state for c in probe_settings.sources(settings)] == ["ok"]


def test_a_lake_folder_is_written_to_where_it_exists_and_not_made_where_it_does_not(settings: Settings, tmp_path: Path) -> None:
    assert "not there yet" in probe_store.lake_folder(settings).found and list(tmp_path.iterdir()) == []
    (tmp_path / "lake").mkdir()
    assert probe_store.lake_folder(settings).state == "ok" and list((tmp_path / "lake").iterdir()) == []
    (tmp_path / "lake").rmdir()
    (tmp_path / "lake").write_text("a file", encoding="utf-8")
    check = probe_store.lake_folder(settings)
    assert (check.state, check.setting) == ("missing", "lake.root")


def test_a_file_system_that_is_full_or_read_only_is_named(tmp_path: Path, checkout: Path) -> None:
    """The lake lies on a real file system that lives as long as the command."""
    (tmp_path / "lake").mkdir()
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump({"lake": {"root": "lake"}}), encoding="utf-8")
    code = (
        "from headrace_cli.probe_store import lake_folder\nfrom headrace_lake.settings import load_settings\n"
        "print(lake_folder(load_settings('headrace.yaml')))"
    )
    script = 'mount -t tmpfs -o size=64k none lake && dd if=/dev/zero of=lake/full bs=4k 2>/dev/null; "$@"; mount -o remount,ro lake; "$@"'
    words = ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    full, read_only = done.stdout.splitlines()
    assert "No space left" in full and "setting='lake.root'" in full
    assert "Read-only file system" in read_only or "not writable" in read_only


# -- services ------------------------------------------------------------------------------------------------------------


class _Services(http.server.BaseHTTPRequestHandler):
    """Ray's and Airflow's endpoints as far as the probes ask them; the e2e tests ask the real ones."""

    def _say(self, code: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        if self.path == "/api/version":
            right = self.headers.get("Authorization") == "Bearer right"
            self._say(200 if right else 401, {"ray_version": "2.60.0"} if right else {"detail": "no"})
        else:
            self._say(200, {"version": "3.3.2"})

    def do_POST(self) -> None:
        login = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        right = login == {"username": "admin", "password": "right"}
        self._say(201 if right else 401, {"access_token": "t"} if right else {"detail": "Invalid credentials"})

    def log_message(self, *_: Any) -> None:
        pass


def test_a_wrong_token_and_a_wrong_password_are_named_by_their_keys(tmp_path: Path) -> None:
    with _serving(_Services) as address:
        for word, ray, airflow in (
            ("wrong", ("missing", "ray.token_file"), ("missing", "airflow.password")),
            ("right", ("ok", ""), ("ok", "")),
        ):
            secret = _secret(tmp_path, word)
            settings = Settings.model_validate(
                {"ray": {"address": address, "token_file": secret["file"]}, "airflow": {"address": address, "password": secret}}
            )
            for look, (state, setting) in ((probe_services.ray, ray), (probe_services.airflow, airflow)):
                check = _one(look(settings))
                assert check.state == state and (not setting or check.setting == setting), check


def test_a_probe_that_hangs_or_fails_is_a_finding_and_holds_nobody_up() -> None:
    def fails() -> Iterator[Check]:
        yield Check("first", "ok", "well")
        raise RuntimeError("as a library does")

    began = time.monotonic()
    found = gather([Probe("hangs", "a.key", lambda: time.sleep(30) or [], seconds=0.3), Probe("fails", "b.key", fails)])  # type: ignore[func-returns-value]
    assert time.monotonic() - began < 10
    assert [(c.name, c.state, c.setting) for c in found] == [
        ("hangs", "missing", "a.key"),
        ("first", "ok", ""),
        ("fails", "missing", "b.key"),
    ]
    assert "no answer within 0.3 s" in found[0].found and "as a library does" in found[2].found


def test_a_server_that_takes_connections_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings.model_validate({"ray": {"address": address}, "airflow": {"address": address}})
        began = time.monotonic()
        found = gather([Probe("Ray", "ray.address", lambda: probe_services.ray(settings), ("httpx",))])
        assert time.monotonic() - began < ANSWER_SECONDS + 3
    assert found[0].state == "missing" and found[0].setting == "ray.address"


def test_airflows_database_is_asked_to_let_us_in_or_is_the_embedded_one(server: Postgres, tmp_path: Path) -> None:
    [embedded] = probe_services.database(Settings(base=tmp_path))
    assert embedded.state in ("ok", "optional") and embedded.found.startswith("embedded, not running")
    assert not list(tmp_path.iterdir()), "looking makes nothing"
    secret = tmp_path / "secret"
    for password, state in ((server.password, "ok"), ("guessed", "missing")):
        secret.write_text(password)
        named = {"database": server.address("postgres"), "database_password": {"file": str(secret)}}
        [found] = probe_services.database(Settings.model_validate({"airflow": named}))
        assert found.state == state and server.password not in found.found
    assert "password authentication failed" in found.found and found.setting == "airflow.database"
