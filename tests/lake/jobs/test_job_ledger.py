"""The ledger of remote jobs: a stop and a commit have one order, whoever wrote them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from servers import postgres_catalog

from headrace_lake.jobs.ledger import JOB_ENV, JobLedger, JobStopped
from headrace_lake.jobs.owner import Owner
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

JOB = "headrace-0123456789abcdef-1"
TASK = Owner("ingest", "monday", "clean", generation=2, user="alice")
OTHER = Owner("ingest", "tuesday", "clean", generation=2, user="bob")


@pytest.fixture
def ledger(settings: Settings) -> JobLedger:
    return JobLedger.of(settings)


@pytest.fixture
def as_job(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Lake:
    """A lake opened by a process of the job."""
    monkeypatch.setenv(JOB_ENV, JOB)
    return Lake.open(settings)


def test_a_job_commits_while_it_is_confirmed_and_nothing_after_it_was_stopped(ledger: JobLedger, as_job: Lake, with_documents: Any) -> None:
    ledger.ask(JOB, TASK)
    ledger.confirm(JOB)
    with_documents(Slice("a", "first"))
    as_job.record_artifact(_artifact("one"))
    ledger.stop(JOB, "marked failed")
    before = {name: as_job.table(name).metadata_location for name in ("documents", "receipts", "artifacts")}
    with pytest.raises(JobStopped, match=rf"{JOB} is stopped \(marked failed\)"):
        with_documents(Slice("a", "second"))
    with pytest.raises(JobStopped):
        as_job.record_artifact(_artifact("two"))
    with pytest.raises(JobStopped):
        as_job.tag("mine")
    assert {name: as_job.table(name).metadata_location for name in before} == before
    assert as_job.slices("documents") == [Slice("a", "first")]
    entry = ledger.entry(JOB)
    assert entry is not None and (entry.commits, ledger.committed(JOB)[0]) == (2, ("a/first", "extract"))


@pytest.mark.parametrize("state", ["asked", "ended", "expired"])
def test_a_job_that_nobody_confirmed_or_that_has_ended_commits_nothing(
    ledger: JobLedger, as_job: Lake, with_documents: Any, state: str
) -> None:
    ledger.ask(JOB, TASK)
    if state == "ended":
        ledger.ended(JOB)
    elif state == "expired":
        ledger.await_confirmation(JOB, 0)
    with pytest.raises(JobStopped, match=state):
        with_documents(Slice("a", "first"))


def test_commands_run_by_hand_and_jobs_of_another_lake_are_not_guarded(lake: Lake, with_documents: Any, as_job: Lake) -> None:
    with_documents(Slice("a", "by-hand"))  # no job, no ledger
    as_job.record_artifact(_artifact("the ledger of this lake knows no such job"))
    assert not JobLedger.of(lake.settings).entries()


def test_reading_the_ledger_of_a_lake_that_is_not_there_creates_nothing(ledger: JobLedger, tmp_path: Path) -> None:
    assert (ledger.entries(), ledger.owners(JOB), ledger.committed(JOB), ledger.entry(JOB)) == ([], [], [], None)
    assert not list(tmp_path.iterdir())


def test_a_job_is_stopped_when_the_last_of_its_tasks_lets_go(ledger: JobLedger) -> None:
    assert ledger.ask(JOB, TASK) == "asked"
    assert (ledger.confirm(JOB), ledger.join(JOB, OTHER)) == ("confirmed", "confirmed")
    assert not ledger.release(JOB, TASK, "monday was marked failed")
    assert _state(ledger) == "confirmed" and ledger.owners(JOB) == [OTHER]
    assert ledger.release(JOB, OTHER, "tuesday was marked failed")
    assert _state(ledger) == "stopped" and ledger.confirm(JOB) == "stopped" and ledger.join(JOB, TASK) == "stopped"
    assert ledger.ask(JOB, TASK) == "stopped", "an id is not used again"


def test_a_try_that_is_killed_late_does_not_stop_what_the_next_try_follows(ledger: JobLedger) -> None:
    ledger.ask(JOB, TASK)
    again = Owner(**{**vars(TASK), "attempt": 2})
    ledger.join(JOB, again)
    assert not ledger.release(JOB, TASK, "its worker was told to end") and ledger.owners(JOB) == [again]
    assert ledger.release(JOB, again, "marked failed"), "the newest try lets go for those before"


def test_a_cleared_task_lets_go_of_its_former_job_and_others_keep_it(ledger: JobLedger) -> None:
    cleared = Owner(**{**vars(TASK), "generation": 5})
    ledger.ask(JOB, TASK)
    ledger.confirm(JOB)
    ledger.join(JOB, OTHER)
    assert not ledger.release_older(JOB, cleared, "cleared")
    assert ledger.owners(JOB) == [OTHER]
    ledger.release(JOB, OTHER, "")
    assert ledger.release_older(JOB, cleared, "cleared")


def test_a_command_starts_when_it_is_confirmed_and_not_when_it_was_stopped_or_forgotten(ledger: JobLedger, tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text("lake: {root: lake}\n")
    states = {"confirmed-1": 0, "stopped-1": 75, "unknown-1": 2}
    for job in ("confirmed-1", "stopped-1"):
        ledger.ask(job, TASK)
    ledger.stop("stopped-1", "marked failed by alice")
    started = {job: _start(tmp_path, job) for job in states}
    time.sleep(1.5)
    assert started["confirmed-1"].poll() is None and not (tmp_path / "confirmed-1").exists(), "it waits"
    ledger.confirm("confirmed-1")
    told = {job: process.communicate(timeout=PATIENCE_S)[1] for job, process in started.items()}
    assert {job: process.returncode for job, process in started.items()} == states
    assert [job for job in states if (tmp_path / job).exists()] == ["confirmed-1"]
    assert "stopped before it began: marked failed by alice. Nothing was done" in told["stopped-1"]
    assert "is not in the catalog" in told["unknown-1"] and "HEADRACE_SETTINGS" in told["unknown-1"]


def test_a_job_that_nobody_confirms_expires_and_a_late_confirmation_does_not_revive_it(ledger: JobLedger) -> None:
    ledger.ask(JOB, TASK)
    entry = ledger.await_confirmation(JOB, 0.3)
    assert entry is not None and entry.state == "expired"
    assert ledger.confirm(JOB) == "expired" and ledger.join(JOB, OTHER) == "expired" and ledger.owners(JOB) == [TASK]


COMMIT_UNTIL_REFUSED = """
import os, sys
from headrace_lake.jobs.ledger import JobStopped
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import Settings

lake = Lake.open(Settings.model_validate_json(sys.argv[1]))
try:
    for number in range(500):
        lake.record_artifact(Artifact(kind="trial", name=os.environ["HEADRACE_JOB"], fingerprint=str(number)))
except JobStopped:
    sys.exit(9)
"""


def test_stops_and_commits_of_several_processes_have_one_order(settings: Settings, ledger: JobLedger) -> None:
    """Each job commits as fast as it can and is stopped at a seeded moment: it has made the commits counted before, no more."""
    lake = Lake.open(settings)
    lake.record_artifact(_artifact("the tables are there"))
    jobs = ["job-1", "job-2"]
    for job in jobs:
        ledger.ask(job, TASK)
        ledger.confirm(job)
    words = [sys.executable, "-c", COMMIT_UNTIL_REFUSED, settings.model_dump_json()]
    workers = [subprocess.Popen(words, env={**os.environ, JOB_ENV: job}) for job in jobs]
    at_stop, rng = {}, random.Random(7)
    for job in jobs:
        _wait_until(lambda job=job: ledger.entry(job).commits > 0)
        time.sleep(rng.uniform(0, 0.5))
        ledger.stop(job, "enough")
        at_stop[job] = ledger.entry(job).commits
    assert [worker.wait(PATIENCE_S) for worker in workers] == [9, 9], "each was refused"
    recorded = [a.name for a in lake.artifacts("trial")]
    assert {job: sum(name == job for name in recorded) for job in jobs} == at_stop


def _artifact(name: str, number: int = 0) -> Artifact:
    return Artifact(kind="trial", name=name, fingerprint=f"{name}-{number}")


def _start(folder: Path, job: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "headrace_lake.jobs.start", "--", "touch", str(folder / job)]
    env = {**os.environ, JOB_ENV: job, "HEADRACE_SETTINGS": str(folder / "headrace.yaml")}
    return subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)


def _state(ledger: JobLedger) -> str:
    entry = ledger.entry(JOB)
    assert entry is not None
    return entry.state


def _wait_until(true: Any, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_ledger_of_a_catalog_on_postgres_keeps_what_it_is_told() -> None:
    with postgres_catalog() as address:
        ledger = JobLedger(address)
        assert ledger.entry(JOB) is None  # no table yet, and none is made by looking
        ledger.ask(JOB, TASK)
        ledger.ask(JOB, TASK)
        ledger.confirm(JOB)
        ledger.stop(JOB, "marked failed")
        entry = JobLedger(address).entry(JOB)
        assert entry is not None and (entry.state, entry.reason) == ("stopped", "marked failed")
