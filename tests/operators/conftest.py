"""A real Ray head for the operators' tests, and an Airflow home of their own."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

# At the end: `conftest` must stay the one of tests/lake for the tests there.
sys.path.append(str(Path(__file__).parent))
# Airflow writes its configuration on import; this must not be the user's.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="headrace-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.services.process import free_port
from headrace_operators.services.ray_head import RayHead


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """One Ray head with token authentication for all tests here."""
    folder = tmp_path_factory.mktemp("ray")
    head = RayHead(folder, f"http://127.0.0.1:{free_port()}", folder / "token", cpus=2)
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # jobs start as "python"
    head.start({**os.environ, "PATH": beside}, folder)
    yield head
    head.stop()


@pytest.fixture
def jobs(ray_head: RayHead) -> RayLauncher:
    """The job client of that head."""
    return ray_head.jobs


@pytest.fixture
def ray_settings(ray_head: RayHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that names the head, made current for operators."""
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"ray": {"address": ray_head.address, "token_file": str(ray_head.token_file)}}))
    monkeypatch.setenv(SETTINGS_ENV, str(file))
    return file


@pytest.fixture
def local_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that chooses the launcher `local`, made current for operators. No Ray runs for it."""
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"jobs": {"launcher": "local", "folder": "jobs"}}))
    monkeypatch.setenv(SETTINGS_ENV, str(file))
    return file


@pytest.fixture
def new_context() -> Callable[..., dict[str, Any]]:
    """Makes the context of one task of a run of its own; XComs are kept in `context["xcoms"]`."""

    def make(
        *, run_id: str | None = None, max_tries: int = 0, try_number: int = 1, user: str = "alice", xcom: Any = None
    ) -> dict[str, Any]:
        pushed: dict[str, Any] = {}
        ti = SimpleNamespace(
            dag_id="d",
            run_id=run_id or uuid.uuid4().hex,
            task_id="t",
            map_index=-1,
            max_tries=max_tries,
            try_number=try_number,
            xcom_push=lambda key, value: pushed.update({key: value}),
            xcom_pull=lambda task_ids: xcom,
        )
        return {"ti": ti, "task_instance": ti, "dag_run": SimpleNamespace(triggering_user_name=user), "xcoms": pushed}

    return make
