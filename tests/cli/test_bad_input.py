"""Bad input, as a user meets it: a real process, one line that names what is wrong and the way out, exit code 2, no traceback."""

from __future__ import annotations

import http.server
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from patience import PATIENCE_S

from headrace_jobs.evaluation.bits_per_byte import DEFINITION
from headrace_jobs.gates.judge import evaluate_gate
from headrace_jobs.gates.policy import load_policy
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import load_settings
from headrace_operators.services.local import LocalServices

LICENCE = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "the test says so"}}
PROSE = "The river carries water to the wheel, and the wheel turns the stones that grind the grain of the whole valley. "


class Desk:
    """A folder with settings, sources and a lake of its own, and the command run in it."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder
        self.sources = folder / "sources"
        self.sources.mkdir()
        configuration = {name: str(checkout / "governance" / name) for name in ("pipelines", "policies")}
        self.write("headrace.yaml", {"lake": {"root": "lake"}, "sources": "sources", "runs": "runs", **configuration})

    def write(self, name: str, content: Any) -> Path:
        file = self.folder / name
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return file

    def source(self, fetch: dict[str, Any], *, id: str = "mine", **fields: Any) -> Path:
        base = {"id": id, "title": "a test's own", "modality": "text", "languages": ["en"], "licence": LICENCE, "fetch": fetch}
        return self.write(f"sources/{id}.yaml", {**base, "declared_tokens": 1000, **fields})

    def run(self, *words: str, under: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*under, sys.executable, "-m", "headrace_cli", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            env={**os.environ, **environment},
        )

    def refusal(self, *words: str, **options: Any) -> str:
        """The one line of a command that must refuse."""
        done = self.run(*words, **options)
        assert done.returncode == 2, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("headrace: ") and "Traceback" not in done.stdout, done.stderr
        what, _, way_out = lines[0].partition(". ")
        assert what and way_out, f"no way out in: {lines[0]}"
        return lines[0]


@pytest.fixture
def desk(tmp_path: Path, checkout: Path) -> Desk:
    return Desk(tmp_path, checkout)


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A loopback port on which somebody else listens."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        yield server.server_port


def test_an_unknown_key_names_file_and_nearest_key(desk: Desk) -> None:
    file = desk.source({"kind": "folder", "path": "pages", "language_hnt": "en"})
    assert re.search(rf"{file.name}: unknown key 'fetch\S*language_hnt'. did you mean 'language_hint'", desk.refusal("source", "check"))


def test_a_file_that_is_no_yaml_names_its_line(desk: Desk) -> None:
    (desk.folder / "headrace.yaml").write_text("lake:\n  root: [a\n", encoding="utf-8")
    assert "headrace.yaml:3: not valid YAML" in desk.refusal("doctor")


@pytest.mark.parametrize("command", [("source", "check"), ("crawl", "mine/2026-11-01")])
def test_a_source_without_a_licence_basis_is_refused_before_anything_is_fetched(desk: Desk, command: tuple[str, ...]) -> None:
    desk.source({"kind": "folder", "path": "pages"}, licence={k: v for k, v in LICENCE.items() if k != "basis"})
    line = desk.refusal(*command)
    assert "mine.yaml: licence CC0-1.0 has no basis" in line and "add licence.basis" in line
    assert not (desk.folder / "lake" / "objects").exists()


def test_a_licence_class_that_may_not_be_kept_is_refused(desk: Desk) -> None:
    _pages(desk, licence={**LICENCE, "id": "CC-BY-NC-4.0", "class": "restricted"})
    assert "restricted" in desk.refusal("crawl", "mine/2026-11-01")


@pytest.mark.parametrize(
    "fetch",
    [
        {"kind": "folder", "path": "nowhere"},
        {"kind": "parquet", "paths": ["nowhere.parquet"], "text": "text"},
    ],
    ids=lambda fetch: str(fetch["kind"]),
)
def test_a_missing_file_is_named(desk: Desk, fetch: dict[str, Any]) -> None:
    desk.source(fetch)
    assert re.search(r"nowhere\S*: no such (file|folder)", desk.refusal("crawl", "mine/2026-11-01"))


def test_missing_settings_and_pipelines_are_named(desk: Desk) -> None:
    assert "nowhere.yaml: no such file" in desk.refusal("table", "ls", "--settings", "nowhere.yaml")
    _pages(desk)
    assert desk.run("crawl", "mine/2026-11-01").returncode == 0
    assert "nosuch" in desk.refusal("slice", "run", "nosuch", "mine/2026-11-01")


def test_a_half_written_parquet_file_is_refused(desk: Desk) -> None:
    table = pa.table({"text": [PROSE * 20] * 50})
    pq.write_table(table, desk.folder / "whole.parquet")
    (desk.folder / "half.parquet").write_bytes((desk.folder / "whole.parquet").read_bytes()[:-40])
    desk.source({"kind": "parquet", "paths": [str(desk.folder / "half.parquet")], "text": "text"})
    assert "half.parquet: not a complete Parquet file" in desk.refusal("crawl", "mine/2026-11-01")


def test_an_empty_slice_is_said_and_a_damaged_shard_is_refused(desk: Desk) -> None:
    _pages(desk)
    assert desk.run("crawl", "mine/2026-11-01").returncode == 0
    assert "slice mine/2026-11-09: table captures has no rows" in desk.refusal("slice", "run", "text", "mine/2026-11-09")
    shard = next((desk.folder / "lake").rglob("captures/**/*.parquet"))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    line = desk.refusal("slice", "run", "text", "mine/2026-11-01")
    assert shard.name in line and "Parquet" in line


def test_a_fetch_that_keeps_nothing_is_said(desk: Desk) -> None:
    (desk.folder / "empty").mkdir()
    desk.source({"kind": "folder", "path": str(desk.folder / "empty")}, id="empty")
    assert "slice empty/2026-11-01" in desk.refusal("crawl", "empty/2026-11-01")


@pytest.mark.parametrize(("text", "said"), [("mine", "'mine' names no slice"), ("../x/1", "source id '..' is not valid")])
def test_a_slice_that_is_no_slice_is_said(desk: Desk, text: str, said: str) -> None:
    assert said in desk.refusal("crawl", text)


def test_a_port_in_use_is_said_by_every_command_that_listens(desk: Desk, busy_port: int) -> None:
    site = desk.folder / "var" / "samples"
    (site / "www").mkdir(parents=True)
    words = f"port {busy_port} "
    assert words in desk.refusal("samples", "serve", "--dir", str(site), "--port", str(busy_port))
    services = desk.folder / "services"
    services.mkdir()
    address = f"http://127.0.0.1:{busy_port}"
    settings = {"base": "..", "ray": {"address": address, "token_file": "services/token"}, "airflow": {"address": address}}
    desk.write("services/headrace.yaml", settings)
    (services / "ports.json").write_text(f'{{"site": {busy_port}}}', encoding="utf-8")
    for name in ("ray", "airflow", "site"):
        assert words in desk.refusal("services", "up", name, "--folder", "services")
    database = LocalServices(services, desk.folder).postgres
    assert not database.healthy(), "started for an Airflow that never began"
    database.remove()  # as root it lies outside pytest's folder


def test_an_unknown_service_is_said(desk: Desk) -> None:
    assert "service 'nosuch' is not known" in desk.refusal("services", "up", "nosuch")


def test_a_full_disk_is_said_and_leaves_nothing_visible(desk: Desk) -> None:
    """The lake lies on a real file system of two megabytes that lives as long as the command."""
    rng = os.urandom(3 << 20).hex()
    (desk.folder / "big").mkdir()
    (desk.folder / "big" / "page.txt").write_text(PROSE + rng, encoding="utf-8")
    desk.source({"kind": "folder", "path": str(desk.folder / "big")}, id="big")
    (desk.folder / "lake").mkdir()
    small = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=2m none lake && exec "$@"', "sh")
    assert "no space left" in desk.refusal("crawl", "big/2026-11-01", under=small)


def test_a_file_that_cannot_be_written_to_its_end_is_said(desk: Desk) -> None:
    (desk.folder / "site" / "www").mkdir(parents=True)
    (desk.folder / "url.part").symlink_to("/dev/full")
    assert "no space left" in desk.refusal("samples", "serve", "--dir", "site", "--port", "0", "--url-file", "url")


def test_a_secret_that_is_not_there_is_named_and_one_that_is_there_is_not_shown(desk: Desk) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        lake = {
            "root": "s3://bucket/lake",
            "catalog": f"postgresql+psycopg2://headrace@127.0.0.1:{closed.getsockname()[1]}/headrace",
            "catalog_password": {"env": "PLANTED_PASSWORD"},
            "s3": {"endpoint": endpoint, "access_key": {"env": "PLANTED_KEY"}, "secret_key": {"env": "PLANTED_SECRET"}},
        }
        desk.write("s3.yaml", {"lake": lake})
        assert "environment variable PLANTED_" in desk.refusal("table", "ls", "--settings", "s3.yaml")
        planted = {f"PLANTED_{name}": f"planted-{name}-4711" for name in ("PASSWORD", "KEY", "SECRET")}
        line = desk.refusal("table", "ls", "--settings", "s3.yaml", **planted)
        assert "planted-" not in line and "4711" not in line


def test_who_triggered_a_run_cannot_sign_its_gate_by_hand_either_but_may_stop_it(desk: Desk) -> None:
    lake = Lake.open(load_settings(desk.folder / "headrace.yaml"))
    interval = {"value": 0.7, "low": 0.6, "high": 0.8}
    row = {"language": "en", "advantage": interval, "documents": 96, "training_bytes": 2_400_000}
    parents: tuple[str, ...] = ()
    for kind in ("mix", "run", "checkpoint", "evaluation"):
        payload = {"definition": DEFINITION, "languages": [row], "overall": row} if kind == "evaluation" else {}
        lake.record_artifact(Artifact(kind=kind, name="tiny", fingerprint=digest_of(kind), parents=parents, payload=payload))
        parents = (*parents, digest_of(kind))
    evidence, _ = evaluate_gate(lake, load_policy(lake.settings, "release"), "tiny")
    assert evidence.passed
    words = ("gate", "sign", evidence.fingerprint, "--signer", "ann", "--triggered-by", "ann", "--decision")
    assert "gate release: ann triggered the run and cannot sign its gate" in desk.refusal(*words, "go")
    assert lake.find_artifact("gate") is None
    assert desk.run(*words, "no-go").returncode == 0
    stopped = lake.find_artifact("gate")
    assert stopped is not None and stopped.payload["decision"] == "No-Go"


def _pages(desk: Desk, **fields: Any) -> None:
    folder = desk.folder / "pages"
    folder.mkdir()
    for i in range(3):
        body = "".join(f"<p>{PROSE} Page {i}, paragraph {p}.</p>" for p in range(6))
        (folder / f"{i}.html").write_text(f"<html lang=en><body><main><h1>{i}</h1>{body}</main></body></html>", encoding="utf-8")
    desk.source({"kind": "folder", "path": str(folder)}, **fields)
