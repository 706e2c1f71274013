"""Stopped means stopped: tasks ended by hand or killed at seeded moments around their job's submission leave no job that lives or commits.

Each trial is one run of one task whose remote command commits five times a second. It is sentenced beforehand: what happens to it, and how
long after its task was first seen to run. Half a minute later no job of it may be alive, unless a cleared task has asked for it anew; and
from the moment when the ledger has a job as stopped, the lake has no further commit of it.

Run by `scripts/stop-jobs [TRIALS]` and not part of the suite, for its 28 trials take six minutes.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil

from headrace_lake.errors import ServiceError
from headrace_lake.jobs.ledger import JOB_ENV, OPEN, JobLedger
from headrace_lake.lake import Lake
from headrace_operators.airflow_api import AirflowApi

DAG = "probe_commits"
SEED = 20261129
KINDS = ("mark failed", "fail the run", "clear", "delete", "kill task", "kill runner", "mark success")
TRIALS = int(os.environ.get("HEADRACE_STOP_TRIALS") or len(KINDS))
AT_ONCE = 4
"""As many as this Airflow has workers."""
UP_TO_S = 6.0
"""A task takes 1-3 s until it has deferred, its job as much again until it works."""
WITHIN_S = 30.0
WATCH_S = 6.0
"""How long commits are watched for after that."""
RUNNER = re.compile(r"airflow worker -- LocalExecutor: ([0-9a-f-]{36})$")


@dataclass
class Trial:
    """One run and what happens to it.

    Attributes:
        found: state of the task, and of its job, when it happened.
        alive_until_s: when a job was last seen alive that should not be, counted from then.
        at_stop: job → commits when the ledger first had it as stopped.
    """

    number: int
    kind: str
    after_s: float
    run_id: str = ""
    found: str = ""
    alive_until_s: float = 0.0
    at_stop: dict[str, int] = field(default_factory=dict)
    at_end: dict[str, int] = field(default_factory=dict)
    later: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        commits = f"{sum(self.at_end.values())} commits, {sum(self.later.values()) - sum(self.at_end.values())} after {WITHIN_S:.0f} s"
        return f"{self.number:3} {self.kind:12} at {self.after_s:4.2f} s, {self.found:28} last alive {self.alive_until_s:4.1f} s, {commits}"


def _trials() -> list[Trial]:
    rng = random.Random(SEED)
    return [Trial(number, KINDS[number % len(KINDS)], rng.uniform(0, UP_TO_S)) for number in range(TRIALS)]


def test_no_job_lives_or_commits_after_its_task_was_ended_cleared_deleted_or_killed(stack: Any) -> None:
    stack.admin.wait_for_dag(DAG)
    stack.admin.unpause(DAG)
    ledger = JobLedger.of(stack.services.settings)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = list(pool.map(lambda trial: _execute(stack, ledger, trial), _trials()))
    print("\n".join(["", *map(str, trials)]))
    assert not [str(t) for t in trials if t.alive_until_s > WITHIN_S], "a job lived on"
    assert not [str(t) for t in trials if t.later != t.at_end], "a job committed later"
    assert not [f"{t} {t.at_stop}" for t in trials if any(t.later[sid] != commits for sid, commits in t.at_stop.items())]
    recorded = Counter(a.name for a in Lake.open(stack.services.settings).artifacts("stopped"))
    counted = {sid: commits for t in trials for sid, commits in t.later.items() if commits}
    assert {sid: recorded[sid] for sid in counted} == counted, "what the ledger counts is what the lake holds"
    assert len({t.found for t in trials}) >= 3, "all at one moment"


def _execute(stack: Any, ledger: JobLedger, trial: Trial) -> Trial:
    """Start the run, let happen to it what is to happen, then watch."""
    api = AirflowApi.of_passwords(stack.services.airflow.address, stack.services.airflow.passwords_file)
    trial.run_id = api.trigger(DAG)
    task = _until_it_runs(api, trial.run_id)
    time.sleep(trial.after_s)
    jobs = _jobs_of(stack, trial.run_id)
    trial.found = f"{_task(api, trial.run_id).get('state')}, {_described(ledger, jobs)}"
    _act(api, stack, trial, task)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < WITHIN_S + 1:
        _look(stack, ledger, trial, passed)
        time.sleep(0.5)
    trial.at_end = _commits(stack, ledger, trial)
    time.sleep(WATCH_S)
    trial.later = {sid: commits for sid, commits in _commits(stack, ledger, trial).items() if sid in trial.at_end}
    _tidy(api, trial)
    api.close()
    return trial


def _act(api: AirflowApi, stack: Any, trial: Trial, task: dict[str, Any]) -> None:
    """What happens to the run. A kill that comes when the task has handed its job over kills nothing: the run is marked failed then."""
    if trial.kind == "clear":
        api.clear(DAG, trial.run_id, ["work"])
    elif trial.kind == "delete":
        _delete(api, trial.run_id)
    elif trial.kind == "mark success":
        api.mark(DAG, trial.run_id, "work", "success")
    elif trial.kind == "fail the run" or (trial.kind.startswith("kill") and not _kill(stack, task["id"], trial.kind == "kill runner")):
        api.mark_run(DAG, trial.run_id, "failed")
        trial.kind += "" if trial.kind == "fail the run" else "*"
    elif trial.kind == "mark failed":
        api.mark(DAG, trial.run_id, "work", "failed")


def _look(stack: Any, ledger: JobLedger, trial: Trial, passed: float) -> None:
    for job in _jobs_of(stack, trial.run_id):
        entry = ledger.entry(job.submission_id)
        if entry is not None and entry.state == "stopped":
            trial.at_stop.setdefault(job.submission_id, entry.commits)
        if not job.terminal and not _wanted(ledger, job.submission_id, trial):
            trial.alive_until_s = passed
    if set(trial.at_stop) & _at_work(trial.run_id):
        trial.alive_until_s = passed


def _wanted(ledger: JobLedger, sid: str, trial: Trial) -> bool:
    """Is it the job that a cleared task has asked for anew, in its second try?"""
    return trial.kind == "clear" and any(owner.attempt > 1 for owner in ledger.owners(sid))


def _at_work(run_id: str) -> set[str]:
    """Jobs of the processes that run a command of this run."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if run_id in words and "-c" in words:
            with contextlib.suppress(psutil.Error):
                found.add(process.environ().get(JOB_ENV, ""))
    return found


def _jobs_of(stack: Any, run_id: str) -> list[Any]:
    return [job for job in stack.jobs.jobs() if job.metadata.get("run_id") == run_id and job.metadata.get("dag_id") == DAG]


def _described(ledger: JobLedger, jobs: list[Any]) -> str:
    if not jobs:
        return "no job yet"
    entry = ledger.entry(jobs[-1].submission_id)
    return f"job {jobs[-1].status.lower()} {entry.state if entry else ''}"


def _commits(stack: Any, ledger: JobLedger, trial: Trial) -> dict[str, int]:
    """Commits of the run's jobs that are over; one that a cleared task has asked for anew goes on."""
    entries = [ledger.entry(job.submission_id) for job in _jobs_of(stack, trial.run_id)]
    return {entry.submission_id: entry.commits for entry in entries if entry is not None and entry.state not in OPEN}


def _task(api: AirflowApi, run_id: str) -> dict[str, Any]:
    try:
        return next((t for t in api.tasks(DAG, run_id) if t["task_id"] == "work"), {})
    except ServiceError as exc:
        if "404" in str(exc):
            return {}  # the run was deleted
        raise


def _until_it_runs(api: AirflowApi, run_id: str, within_s: float = 300.0) -> dict[str, Any]:
    deadline = time.monotonic() + within_s
    while (task := _task(api, run_id)).get("state") not in ("running", "deferred", "success", "failed"):
        assert time.monotonic() < deadline, f"{run_id} is {task.get('state')}"
        time.sleep(0.25)
    return task


def _delete(api: AirflowApi, run_id: str) -> None:
    """Airflow deletes no run that is queued or running: it is failed first, at once after which the run is deleted."""
    api.mark_run(DAG, run_id, "failed")
    api.call("DELETE", f"/dags/{DAG}/dagRuns/{run_id}")


def _kill(stack: Any, task_id: str, whole: bool) -> bool:
    keeper = psutil.Process(stack.services.airflow.daemons["scheduler"].pid())
    for worker in [worker for scheduler in keeper.children() for worker in scheduler.children()]:
        with contextlib.suppress(psutil.Error):
            match = RUNNER.search(" ".join(worker.cmdline()).strip())
            if match and match[1] == task_id and (tasks := worker.children()):
                if whole:
                    worker.kill()
                tasks[0].kill()
                return True
    return False


def _tidy(api: AirflowApi, trial: Trial) -> None:
    """End what a cleared task has begun anew."""
    if trial.kind == "clear":
        with contextlib.suppress(ServiceError):
            api.mark_run(DAG, trial.run_id, "failed")
