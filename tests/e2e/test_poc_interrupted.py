"""`headrace poc` ended in the middle and started again: it attaches to its run, says so first of all, and there is never a second run.

The command is the real one in a process of its own, the services are real; only the DAG is short: three tasks of some seconds on Ray.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S

from headrace_operators.poc.note import NoteFile

STARTED: list[subprocess.Popen[str]] = []


class Command:
    """One `headrace poc`; its lines with the seconds since its start."""

    def __init__(self, stack: Any, checkout: Path, *options: str) -> None:
        services = stack.services
        words = [sys.executable, str(Path(__file__).with_name("poc_trial.py")), services.folder, checkout, services.site.samples, *options]
        self.began = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self.process = subprocess.Popen(
            [str(word) for word in words],
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TRIAL_AIRFLOW": json.dumps(services.airflow.configuration)},
        )
        STARTED.append(self.process)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic() - self.began, line.rstrip("\n")))

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return "\n".join(line for _, line in list(self.lines))

    def wait_for(self, pattern: str, within_s: float = PATIENCE_S) -> float:
        """Wait for a line; returns when it came."""
        deadline = time.monotonic() + within_s
        while True:
            for seconds, line in list(self.lines):
                if re.search(pattern, line):
                    return seconds
            assert time.monotonic() < deadline and self.process.poll() is None, f"no line like {pattern!r} in:\n{self.text}"
            time.sleep(0.05)

    def end_by(self, number: int) -> int:
        """Send a signal to the whole process group, as a terminal does; returns the exit code."""
        os.killpg(self.process.pid, number)
        return self.ended()

    def ended(self, within_s: float = PATIENCE_S) -> int:
        """Wait for the end; returns the exit code."""
        code = self.process.wait(within_s)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def poc(stack: Any) -> Iterator[Any]:
    """The stack with the short DAG `poc`, which nobody else runs; no command outlives the test."""
    stack.admin.wait_for_dag("poc")
    NoteFile(stack.services.folder).forget()
    STARTED.clear()
    yield stack
    for process in STARTED:
        if process.poll() is None:
            process.kill()
        process.wait()
    for run in stack.admin.runs("poc", state=["queued", "running"]):
        stack.admin.mark_run("poc", run["dag_run_id"], "failed")


def test_poc_killed_or_interrupted_in_any_task_attaches_to_its_run_and_ends_well(poc: Any, checkout: Path) -> None:
    command = Command(poc, checkout)
    command.wait_for(r"run manual__\S+: http")
    run_id = re.search(r"run (manual__\S+): http", command.text)[1]  # type: ignore[index]
    for task, number, code in (("crawl", signal.SIGINT, 130), ("clean", signal.SIGTERM, 143), ("train", signal.SIGKILL, -9)):
        command.wait_for(rf"(\s|for ){task}(:| \().*running on Ray")
        assert command.end_by(number) == code, command.text
        if number != signal.SIGKILL:
            assert "the run goes on in Airflow at http" in command.text and "--stop" in command.text
        command = Command(poc, checkout)
        command.wait_for(re.escape(f"attached to run {run_id}"))
        # Before anything that takes time; in how many seconds, scripts/interrupt-poc measures.
        assert re.search(rf"{re.escape(run_id)}.*{task}", command.lines[0][1]), command.text
    command.wait_for("every task of the run succeeded +│ yes")
    command.ended()
    assert [run["dag_run_id"] for run in poc.admin.runs("poc")] == [run_id], "one run, however often the command was started"
    assert poc.admin.run("poc", run_id)["state"] == "success"
    jobs = [job for job in poc.jobs.jobs() if job.metadata.get("run_id") == run_id]
    assert sorted(job.metadata["task_id"] for job in jobs) == ["clean", "crawl", "train"], "no task ran twice"


def test_fresh_stops_the_active_run_with_its_job_and_starts_another(poc: Any, checkout: Path) -> None:
    command = Command(poc, checkout)
    command.wait_for(r"run manual__\S+: http")
    first = re.search(r"run (manual__\S+): http", command.text)[1]  # type: ignore[index]
    command.wait_for("crawl: running on Ray")
    assert command.end_by(signal.SIGTERM) == 143
    job = next(job for job in poc.jobs.jobs() if job.metadata.get("run_id") == first)
    again = Command(poc, checkout, "--fresh")
    again.wait_for(r"run manual__\S+: http")
    second = re.findall(r"run (manual__\S+): http", again.text)[-1]
    assert second != first and poc.admin.run("poc", first)["state"] == "failed"
    assert poc.jobs.describe(job.submission_id).status == "STOPPED", "the remote job of the run before does not go on"
    assert again.end_by(signal.SIGINT) == 130


def test_a_run_whose_services_were_all_killed_is_taken_up_again(poc: Any, checkout: Path) -> None:
    command = Command(poc, checkout)
    command.wait_for(r"run manual__\S+: http")
    run_id = re.search(r"run (manual__\S+): http", command.text)[1]  # type: ignore[index]
    command.wait_for("clean: running on Ray")
    assert command.end_by(signal.SIGKILL) == -9
    for daemon in (*poc.services.airflow.daemons.values(), poc.services.ray.daemon, poc.services.site.daemon):
        pid = daemon.pid()
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)  # as when the machine goes down: Airflow's database still says "running"
    again = Command(poc, checkout)
    again.wait_for(rf"run {re.escape(run_id)} had not ended when last looked at.*clean")
    again.wait_for(re.escape(f"attached to run {run_id}"))
    again.wait_for("every task of the run succeeded +│ yes")
    again.ended()
    assert poc.admin.run("poc", run_id)["state"] == "success"
    assert poc.services.died() == [] == poc.services.stopped()
