"""The request of a Ray job: what is planned is what a server receives, byte for byte, and no plan holds a secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headrace_lake.errors import ConfigError
from headrace_lake.jobs.ledger import JobLedger
from headrace_lake.settings import Settings
from headrace_operators.launchers import JobSpec, Owner
from headrace_operators.launchers.ray import RayLauncher, job_of

OWNER = Owner("ingest_text", "manual__1", "clean", generation=1, user="alice", attempt=2)
TOKEN = "0123456789abcdef" * 4


class _Server(ThreadingHTTPServer):
    """Keeps what it is asked, and knows no job."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, str, str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.command, self.path, self.headers["Authorization"], json.loads(body)))
        self._answer(200, {})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    return file


SPECS = {
    "plain": JobSpec(["python", "-c", "print(1)", "a b", "$(rm)"], {"slice": "a/1"}, {"HEADRACE_SETTINGS": "/etc/headrace.yaml"}),
    "reserving": JobSpec(["python", "-m", "headrace_cli", "train", "tiny"], cpus=1.5, gpus=8, memory_bytes=1 << 30, confirm_within_s=120),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("with_ledger", [True, False])
def test_the_request_that_is_planned_is_what_the_server_receives(
    spec: JobSpec, with_ledger: bool, server: _Server, token: Path, settings: Settings
) -> None:
    launcher = RayLauncher(server.address, token, ledger=JobLedger.of(settings) if with_ledger else None)
    plan = launcher.plan(spec, OWNER)
    assert server.received == [], "planning sends nothing"
    ensured = launcher.ensure(spec, OWNER)
    assert ensured.decision == "submitted"
    [(method, path, authorization, body)] = server.received
    assert plan == {"method": method, "url": f"{server.address}{path}", "json": body}
    assert authorization == f"Bearer {TOKEN}" and TOKEN not in json.dumps(plan)


def test_the_body_is_that_of_rays_job_api(token: Path, settings: Settings) -> None:
    """Word by word, as Ray 2.60 documents it; ids and bodies of earlier versions stay the same."""
    launcher = RayLauncher("http://127.0.0.1:1/", token, ledger=JobLedger.of(settings))
    identity = {"settings": "0123456789abcdef", "slice": "a/1", "fingerprint": ""}
    spec = JobSpec(["python", "-m", "headrace_cli", "--json-result", "ledger", "a b"], identity, {"MINE": "1"}, 1.0)
    sid = "headrace-c0ffee-3"
    assert launcher.plan(spec, OWNER, sid) == {
        "method": "POST",
        "url": "http://127.0.0.1:1/api/jobs/",
        "json": {
            "entrypoint": "python -m headrace_lake.jobs.start -- python -m headrace_cli --json-result ledger 'a b'",
            "submission_id": sid,
            "metadata": {
                "dag_id": "ingest_text",
                "run_id": "manual__1",
                "task_id": "clean",
                "map_index": "-1",
                "generation": "1",
                "user": "alice",
                "attempt": "2",
            },
            "runtime_env": {
                "env_vars": {
                    "PYTHONUNBUFFERED": "1",
                    "HEADRACE_ORIGIN": '{"dag_id":"ingest_text","run_id":"manual__1","task_id":"clean","map_index":"-1","job":"'
                    + sid
                    + '"}',
                    "MINE": "1",
                    "HEADRACE_JOB": sid,
                    "HEADRACE_CONFIRM_WITHIN_S": "20",
                }
            },
            "entrypoint_num_cpus": 1.0,
        },
    }
    assert spec.submission_id(1) == "headrace-403d4bbf0dacc279-1"


def test_what_is_reserved_is_said_in_rays_words_and_several_nodes_are_refused(token: Path) -> None:
    launcher = RayLauncher("http://127.0.0.1:1", token)
    body = launcher.plan(SPECS["reserving"], OWNER)["json"]
    reserved = {key: value for key, value in body.items() if key.startswith("entrypoint_")}
    assert reserved == {"entrypoint_num_cpus": 1.5, "entrypoint_num_gpus": 8, "entrypoint_memory": 1 << 30}
    assert not [key for key in launcher.plan(SPECS["plain"], OWNER)["json"] if key.startswith("entrypoint_")]
    with pytest.raises(ConfigError, match="asks for 4 nodes"):
        launcher.plan(JobSpec(["x"], nodes=4), OWNER)


def test_an_exit_code_is_the_commands_own_and_not_one_that_its_log_speaks_of() -> None:
    row = {"submission_id": "x", "status": "FAILED"}
    said = "Job entrypoint command failed with exit code 1, last available logs (truncated):\na child ended with exit code 2"
    assert job_of({**row, "message": said}).exit_code == 1
    assert job_of({**row, "message": said, "driver_exit_code": 7}).exit_code == 7
    assert job_of({**row, "message": "Job supervisor actor died: it spoke of exit code 2"}).exit_code is None
