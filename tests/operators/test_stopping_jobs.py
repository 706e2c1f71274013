"""The janitor and `headrace jobs` on a real Ray head, real local processes, a real lake: what nobody wants ends and commits nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from patience import PATIENCE_S

from headrace_lake.jobs.ledger import JobLedger
from headrace_lake.lake import Lake
from headrace_lake.settings import load_settings
from headrace_operators.janitor import Janitor, TaskState
from headrace_operators.launchers import Job, JobSpec, Launcher, Owner, launcher_of

SLEEP = "import time; print('working', flush=True); time.sleep(900)"
DEAF = """
import os, signal, sys, time
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import load_settings
lake = Lake.open(load_settings())
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in range(10000):
    lake.record_artifact(Artifact(kind="deaf", name=sys.argv[1], fingerprint=str(number)))
    print("committed", number, flush=True)
"""
"""Commits as fast as it can and does not hear SIGTERM."""


@pytest.fixture(params=["ray", "local"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    """Each launcher with the ledger of a lake of its own; nothing of it is left running."""
    named = launcher_of(load_settings(request.getfixturevalue(f"{request.param}_settings")))
    assert named.name == request.param
    yield named
    for job in named.jobs():
        if not job.terminal:
            named.cancel(job.submission_id)


def _start(cluster: Launcher, code: str, owner: Owner, *, confirm: bool = True) -> str:
    env = {"HEADRACE_SETTINGS": os.environ["HEADRACE_SETTINGS"]}
    sid = cluster.ensure(JobSpec(["python", "-c", code, uuid.uuid4().hex], {}, env), owner).job.submission_id
    assert cluster.ledger is not None
    if confirm:
        cluster.ledger.confirm(sid)
    return sid


def _owner(run: str = "", generation: int = 0) -> Owner:
    return Owner("ingest_text", run or f"manual__{uuid.uuid4().hex[:8]}", "clean", generation=generation, user="alice")


def _wait(true: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


def _ended(cluster: Launcher, sid: str) -> Job:
    return _wait(lambda: (job := cluster.describe(sid)) and job.terminal and job)


def _key(owner: Owner) -> tuple[str, str, str, int]:
    return (owner.dag_id, owner.run_id, owner.task_id, owner.map_index)


def test_the_janitor_takes_jobs_from_ended_cleared_and_deleted_tasks_and_from_no_others(cluster: Launcher) -> None:
    states = {
        "failed": TaskState("failed", 0),
        "success": TaskState("success", 0),
        "cleared while it ran": TaskState("restarting", 0),
        "cleared while it waited": TaskState(None, 1),
        "deleted": None,
        "waiting for its retry": TaskState("up_for_retry", 0),
        "deferred": TaskState("deferred", 0),
        "queued for its retry": TaskState("queued", 0),
    }
    owners = {name: _owner(f"run {name}") for name in states}
    for name, owner in owners.items():
        cluster.ledger.ask(f"job of {name}", owner)
        cluster.ledger.confirm(f"job of {name}")
    tasks = {_key(owners[name]): state for name, state in states.items() if state is not None}
    asked: list[set[str]] = []

    def look_up(runs: Any) -> Any:
        asked.append(set(runs))
        return tasks

    Janitor(cluster, look_up).sweep()
    assert asked == [{owner.run_id for owner in owners.values()}]
    gone = [name for name in states if cluster.ledger.entry(f"job of {name}").state == "stopped"]
    assert gone == ["failed", "success", "cleared while it ran", "cleared while it waited", "deleted"]
    assert cluster.ledger.entry("job of deleted").reason == f"{owners['deleted']} was deleted in Airflow"


def test_the_janitor_ends_the_job_of_a_task_that_was_killed_unheard(cluster: Launcher) -> None:
    owner = _owner()
    sid = _start(cluster, SLEEP, owner)
    _wait(lambda: "working" in cluster.logs(sid))
    assert Janitor(cluster, lambda _: {_key(owner): TaskState("failed", 0)}).sweep() == [sid]
    _ended(cluster, sid)


def test_the_janitor_leaves_a_job_that_another_run_follows_and_ends_what_was_recorded_and_not_stopped(cluster: Launcher) -> None:
    first, second = _owner(), _owner()
    sid = _start(cluster, SLEEP, first)
    cluster.ledger.join(sid, second)
    tasks = {_key(second): TaskState("deferred", 0)}
    Janitor(cluster, lambda _: tasks).sweep()
    assert cluster.ledger.owners(sid) == [second] and not cluster.describe(sid).terminal
    cluster.ledger.stop(sid, "recorded by one who did not live to stop it")
    assert sid in Janitor(cluster, lambda _: tasks).sweep()
    _ended(cluster, sid)


def test_stop_by_hand_waits_for_the_end_says_what_was_kept_and_a_deaf_process_commits_nothing_more(cluster: Launcher) -> None:
    sid = _start(cluster, DEAF, _owner("manual__deaf"))
    _wait(lambda: cluster.ledger.entry(sid).commits >= 2)
    done = _headrace("jobs", "stop", sid.removeprefix("headrace-")[:8])
    assert done.returncode == 0, done.stderr
    job, entry = cluster.describe(sid), cluster.ledger.entry(sid)
    assert job.terminal and entry.state == "stopped" and entry.by_hand
    settings = load_settings(os.environ["HEADRACE_SETTINGS"])
    assert len(Lake.open(settings).artifacts("deaf")) == entry.commits
    assert f"{sid} has ended" in done.stdout and done.stdout.count("kept: the lake: artifact") == entry.commits
    assert "clear task clean of run manual__deaf in Airflow (ingest_text), or run: python -c" in done.stdout
    assert "has ended already" in _headrace("jobs", "stop", sid).stdout


def test_jobs_are_listed_stopped_by_run_and_read_and_wrong_names_are_answered_by_near_ones(cluster: Launcher) -> None:
    run = f"manual__{uuid.uuid4().hex[:8]}"
    sids = {_start(cluster, SLEEP, _owner(run)), _start(cluster, SLEEP, Owner("ingest_text", run, "tokens", user="bob"))}
    other = _start(cluster, SLEEP, _owner())
    for sid in (*sids, other):
        _wait(lambda sid=sid: "working" in cluster.logs(sid))
    listed = json.loads(_headrace("jobs", "ls", "--running", "--run", run, "--json").stdout)["jobs"]
    assert {(r["id"], r["status"], r["task_id"], r["user"]) for r in listed} == {
        (sid, "RUNNING", *{"clean": ("clean", "alice"), "tokens": ("tokens", "bob")}[cluster.describe(sid).metadata["task_id"]])
        for sid in sids
    }
    assert {r["launcher"] for r in listed} == {cluster.name}
    assert all(r["command"].startswith("python -c") and r["tasks"] == [f"ingest_text / {run} / {r['task_id']}"] for r in listed)
    assert "working" in _headrace("jobs", "logs", other).stdout
    wrong = _headrace("jobs", "stop", "--run", run[:-1] + "x")
    assert wrong.returncode == 2 and f"did you mean {run}" in wrong.stderr.replace("\n", " ")
    assert "is the beginning of" in _headrace("jobs", "logs", "headrace-").stderr
    assert "say what to stop" in _headrace("jobs", "stop").stderr
    near = other[:-3] + "x-1"
    assert other in _headrace("jobs", "logs", near).stderr
    assert _headrace("jobs", "stop", "--run", run).returncode == 0
    assert all(cluster.describe(sid).terminal for sid in sids) and not cluster.describe(other).terminal


def test_a_follower_of_a_log_ends_with_the_job_and_says_how(cluster: Launcher) -> None:
    sid = _start(cluster, "import sys, time; print('one', flush=True); time.sleep(1); sys.exit(3)", _owner())
    followed = _headrace("jobs", "logs", sid, "--follow")
    assert followed.returncode == 1 and "one" in followed.stdout.splitlines() and f"{sid}: FAILED" in followed.stderr


def _headrace(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "headrace_cli", *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_waiting_job_is_listed_as_waiting(cluster: Launcher) -> None:
    run = f"manual__{uuid.uuid4().hex[:8]}"
    sid = _start(cluster, SLEEP, _owner(run), confirm=False)
    (row,) = json.loads(_headrace("jobs", "ls", "--run", run, "--json").stdout)["jobs"]
    assert (row["id"], row["status"]) == (sid, "WAITING")
    assert isinstance(cluster.ledger, JobLedger) and cluster.ledger.stop(sid, "") == "stopped"
