"""A task of Airflow whose job is a process of this machine: the same life as on Ray, without a Ray.

That what was stopped commits nothing, the janitor and `headrace jobs`: test_stopping_jobs.py, for each launcher.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from patience import PATIENCE_S

from headrace_lake.settings import load_settings
from headrace_operators.launchers import Launcher, launcher_of
from headrace_operators.operator import HeadraceOperator
from headrace_operators.trigger import JobTrigger

Context = Callable[..., dict[str, Any]]


@pytest.fixture
def launcher(local_settings: Path) -> Iterator[Launcher]:
    launcher = launcher_of(load_settings(local_settings))
    yield launcher
    for job in launcher.jobs():
        launcher.cancel_and_wait(job.submission_id)


def _operator(code: str, *argv: str, **kwargs: Any) -> HeadraceOperator:
    return HeadraceOperator(task_id="t", program=["python", "-c", code], argv=[*argv, uuid.uuid4().hex], poll_s=0.1, **kwargs)


def _defer(operator: HeadraceOperator, context: dict[str, Any]) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    return deferred.value


def _fire(trigger: JobTrigger) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("no event")

    return asyncio.run(first())


def _again(trigger: JobTrigger) -> JobTrigger:
    """As the triggerer makes it: from its serialised form."""
    path, arguments = trigger.serialize()
    assert path == "headrace_operators.trigger.JobTrigger"
    return JobTrigger(**json.loads(json.dumps(arguments)))


def _status(launcher: Launcher, sid: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while not (job := launcher.describe(sid)).terminal:  # type: ignore[union-attr]
        assert time.monotonic() < deadline, f"{sid} still runs"
        time.sleep(0.1)
    return job.status  # type: ignore[union-attr]


def test_a_command_is_started_when_it_is_confirmed_followed_and_its_result_returned(
    launcher: Launcher, new_context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    operator = _operator("import os; print(os.environ['HEADRACE_SETTINGS']); print('HEADRACE_RESULT {\"rows\": 3}')")
    context = new_context()
    trigger = _defer(operator, context).trigger
    told = context["xcoms"]["job"]
    assert told == {"launcher": "local", "submission_id": trigger.submission_id, "decision": "submitted", "dashboard": launcher.address}
    time.sleep(2)
    assert launcher.describe(trigger.submission_id).status == "RUNNING" and launcher.logs(trigger.submission_id) == "", "it waits"
    event = _fire(_again(trigger))
    assert operator.resume(context, event) == {"rows": 3} and event["called"] == "local job"
    assert launcher.logs(trigger.submission_id).splitlines()[0] == os.environ["HEADRACE_SETTINGS"]
    assert launcher.ledger.entry(trigger.submission_id).state == "ended"


def test_a_real_headrace_command_runs_as_a_task(launcher: Launcher, new_context: Context) -> None:
    operator = HeadraceOperator(task_id="t", argv=["tokenizer", "show", "--help"], poll_s=0.1)
    context = new_context()
    assert operator.resume(context, _fire(_defer(operator, context).trigger)) == {}
    [job] = launcher.jobs()
    assert job.entrypoint == "python -m headrace_cli --json-result tokenizer show --help" and "Usage:" in launcher.logs(job.submission_id)


def test_a_retry_adopts_the_job_and_a_mistake_of_the_user_is_not_retried(launcher: Launcher, new_context: Context, tmp_path: Path) -> None:
    code = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(1); print('Error: no licence'); sys.exit(2)"
    operator, context = _operator(code, str(tmp_path / "runs")), new_context()
    first, again = (_defer(operator, context).trigger for _ in range(2))
    assert (again.submission_id, again.owned) == (first.submission_id, True)
    with pytest.raises(AirflowFailException, match=r"local job headrace-\S+ ended FAILED: Error: no licence"):
        operator.resume(context, _fire(again))
    assert (tmp_path / "runs").read_text() == "x"


def test_a_killed_command_is_retried(launcher: Launcher, new_context: Context) -> None:
    operator, context = _operator("import os; print('part 7', flush=True); os.kill(os.getpid(), 9)"), new_context()
    with pytest.raises(AirflowException, match="ended FAILED: part 7") as failed:
        operator.resume(context, _fire(_defer(operator, context).trigger))
    assert not isinstance(failed.value, AirflowFailException)


def test_killing_the_deferred_task_ends_the_process(launcher: Launcher, new_context: Context, tmp_path: Path) -> None:
    operator = _operator("import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(900)", str(tmp_path / "pid"))
    trigger = _defer(operator, new_context()).trigger
    launcher.ledger.confirm(trigger.submission_id)
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    asyncio.run(_again(trigger).on_kill())
    assert _status(launcher, trigger.submission_id) == "STOPPED"
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()
    assert launcher.ledger.entry(trigger.submission_id).state == "stopped"


def test_a_worker_that_is_killed_before_it_defers_leaves_no_process(launcher: Launcher, new_context: Context, tmp_path: Path) -> None:
    operator = _operator("import sys; open(sys.argv[1], 'w')", str(tmp_path / "started"))
    trigger = _defer(operator, new_context()).trigger
    operator.on_kill()
    assert _status(launcher, trigger.submission_id) in ("STOPPED", "FAILED") and not (tmp_path / "started").exists()


def test_the_planned_request_of_a_task_is_what_the_operator_sends(launcher: Launcher, new_context: Context) -> None:
    operator = HeadraceOperator(task_id="t", argv=["no-such-command", "--executor", "local"], slice_text="a/1", cpus=2)
    words = [sys.executable, "-m", "headrace_cli", "jobs", "plan", "--slice", "a/1", "--cpus", "2", "--json"]
    words += ["--dag", "d", "--run", "r", "--task", "t", "--", "no-such-command", "--executor", "local"]
    planned = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout)
    assert not Path(launcher.address).exists(), "planning starts nothing"
    sid = _defer(operator, new_context(run_id="r")).trigger.submission_id
    sent = json.loads((Path(launcher.address) / sid / "request.json").read_text(encoding="utf-8"))
    assert planned["submission_id"] == sid and planned["launcher"] == "local"
    planned["request"]["metadata"]["user"] = "alice"  # who asks is another
    planned["request"]["env"]["PATH"] = sent["env"]["PATH"]
    assert planned["request"] == sent
    os.kill(json.loads((Path(launcher.address) / sid / "keeper.json").read_text())["pid"], signal.SIGTERM)
