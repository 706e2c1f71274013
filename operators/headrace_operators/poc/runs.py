"""Runs of the DAG `poc`: which one is active, and how one is stopped for good."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from headrace_lake.errors import HeadraceError, ServiceError
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.launchers import Launcher
from headrace_operators.operator_env import JOB_XCOM
from headrace_operators.poc.states import ENDED

DAG_ID = "poc"
ACTIVE = ("running", "queued")
STOP_WITHIN_S = 90.0
KILL_WITHIN_S = 15.0
"""How long Airflow's own way of stopping a remote job may take (measured: 3 s) before the job is stopped by its id."""
Say = Callable[[str], None]


def active_runs(api: AirflowApi) -> list[dict[str, Any]]:
    """Runs that are running or queued, the one that runs first, then by age."""
    try:
        found = api.runs(DAG_ID, state=list(ACTIVE))
    except ServiceError as exc:
        if "answered 404" in str(exc):  # a new database: the DAG has never been parsed
            return []
        raise
    return sorted(found, key=lambda run: (ACTIVE.index(run["state"]), str(run.get("run_after") or run.get("queued_at") or "")))


def stop_run(api: AirflowApi, launcher: Launcher, run_id: str, say: Say) -> None:
    """Mark a run failed, and wait until none of its tasks and remote jobs runs any more.

    Raises:
        ServiceError: a task or a job did not end in time.
    """
    say(f"stopping run {run_id}")
    api.mark_run(DAG_ID, run_id, "failed")
    began = time.monotonic()
    while True:
        passed = time.monotonic() - began
        mine = _jobs_of(launcher, run_id)
        busy = [*(t["task_id"] for t in api.tasks(DAG_ID, run_id) if str(t["state"]) not in ENDED | {"None", "scheduled"}), *mine]
        if not busy:
            break
        if passed > STOP_WITHIN_S:
            raise ServiceError(f"run {run_id} did not stop: {', '.join(busy)}", "look at it in the Airflow UI")
        for sid in mine if passed > KILL_WITHIN_S else []:
            say(f"stopping {launcher.called} {sid}")
            launcher.cancel_and_wait(sid)
        time.sleep(0.5)
    say(f"run {run_id} is stopped; what it had finished is in the lake and will be adopted")


def _jobs_of(launcher: Launcher, run_id: str) -> list[str]:
    if not launcher.alive():
        return []
    return [
        j.submission_id
        for j in launcher.jobs()
        if not j.terminal and j.metadata.get("dag_id") == DAG_ID and j.metadata.get("run_id") == run_id
    ]


@contextmanager
def one_at_a_time(folder: Path, say: Say) -> Iterator[None]:
    """Held while services are started and a run is chosen or triggered, so that two commands never trigger two runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "poc.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another command starts or stops the services of {folder}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remote_job(api: AirflowApi, run_id: str, task_id: str) -> str:
    """The remote job of a task's current attempt, or ''."""
    with suppress(HeadraceError, TypeError, KeyError, json.JSONDecodeError):
        return str(api.xcom(DAG_ID, run_id, task_id, JOB_XCOM)["submission_id"])
    return ""
