"""The deferrable operator, step by step, against a real Ray head and without an Airflow database."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from gate_world import World
from patience import PATIENCE_S

from headrace_lake.jobs.ledger import JobLedger
from headrace_lake.settings import load_settings
from headrace_operators.launchers import launcher_of
from headrace_operators.launchers.ray import RayLauncher, job_of
from headrace_operators.operator import LOST_AT_MOST, HeadraceOperator, words
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.trigger import JobTrigger

Context = Callable[..., dict[str, Any]]


def _operator(code: str, *argv: str, **kwargs: Any) -> HeadraceOperator:
    return HeadraceOperator(task_id="t", program=["python", "-c", code], argv=[*argv, uuid.uuid4().hex], poll_s=0.3, **kwargs)


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


def test_a_command_is_submitted_followed_and_its_result_returned(ray_settings: Path, new_context: Context) -> None:
    operator = _operator("import os; print('HEADRACE_RESULT {\"rows\": 3}'); print(os.environ['HEADRACE_SETTINGS'])")
    context = new_context()
    deferred = _defer(operator, context)
    assert deferred.method_name == "resume"
    path, arguments = deferred.trigger.serialize()
    assert path == "headrace_operators.trigger.JobTrigger"
    event = _fire(JobTrigger(**arguments))  # as the triggerer makes it: from its serialised form
    assert operator.resume(context, event) == {"rows": 3}
    sid = context["xcoms"]["job"]["submission_id"]
    assert str(ray_settings) in launcher_of(load_settings(ray_settings), place=arguments["place"]).logs(sid)


def test_no_secret_travels_in_xcom_trigger_or_log(ray_settings: Path, new_context: Context, ray_head: Any, caplog: Any) -> None:
    token = ray_head.token_file.read_text()
    context = new_context()
    operator = _operator("print('HEADRACE_RESULT {}')")
    deferred = _defer(operator, context)
    event = _fire(deferred.trigger)
    operator.resume(context, event)
    seen = f"{context['xcoms']} {deferred.trigger.serialize()} {event} {caplog.text}"
    assert token not in seen and "Bearer" not in seen


def test_a_second_worker_adopts_the_job_of_the_first(ray_settings: Path, new_context: Context, tmp_path: Path) -> None:
    operator = _operator("import sys,time; open(sys.argv[1],'a').write('x'); time.sleep(2)", str(tmp_path / "runs"))
    context = new_context()
    first = _defer(operator, context).trigger.submission_id
    again = _defer(operator, context)  # the worker died before it could defer; this is the retry
    assert (again.trigger.submission_id, again.trigger.owned) == (first, True)
    assert context["xcoms"]["job"]["decision"] == "attached"
    assert _fire(again.trigger)["status"] == "SUCCEEDED"
    assert (tmp_path / "runs").read_text() == "x"


def test_an_error_the_user_must_mend_is_not_retried(ray_settings: Path, new_context: Context) -> None:
    operator = _operator("import sys; print('Error: sources/x.yaml: no licence. Add one'); sys.exit(2)")
    context = new_context()
    event = _fire(_defer(operator, context).trigger)
    with pytest.raises(AirflowFailException, match=r"sources/x.yaml: no licence"):
        operator.resume(context, event)


def test_a_crash_is_retried(ray_settings: Path, new_context: Context) -> None:
    operator = _operator("raise RuntimeError('boom')")
    context = new_context()
    event = _fire(_defer(operator, context).trigger)
    with pytest.raises(AirflowException, match="RuntimeError: boom") as failed:
        operator.resume(context, event)
    assert not isinstance(failed.value, AirflowFailException)


@pytest.mark.parametrize(("code", "final"), [(2, True), (25, False), (137, False), (-9, False)])
def test_only_exit_code_2_is_final(new_context: Context, code: int, final: bool) -> None:
    row = {"submission_id": "x", "status": "FAILED", "message": f"Job entrypoint command failed with exit code {code}, last logs: ..."}
    job = job_of(row)
    event = {"status": job.status, "submission_id": "x", "exit_code": job.exit_code, "message": job.message}
    with pytest.raises(AirflowException) as failed:
        _operator("pass").resume(new_context(), event)
    assert isinstance(failed.value, AirflowFailException) is final


def test_killing_the_deferred_task_stops_the_remote_job(ray_settings: Path, new_context: Context, jobs: RayLauncher) -> None:
    trigger = _defer(_operator("import time; time.sleep(900)"), new_context()).trigger
    asyncio.run(trigger.on_kill())
    assert _ended_stopped(jobs, trigger.submission_id)


def test_killing_the_worker_before_it_defers_stops_the_remote_job(ray_settings: Path, new_context: Context, jobs: RayLauncher) -> None:
    operator = _operator("import time; time.sleep(900)")
    trigger = _defer(operator, new_context()).trigger
    operator.on_kill()
    assert _ended_stopped(jobs, trigger.submission_id)


def test_a_submission_that_arrives_after_the_task_was_killed_does_nothing(
    ray_settings: Path, new_context: Context, jobs: RayLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = _operator("import sys; open(sys.argv[1], 'w')", str(tmp_path / "started"))
    send = RayLauncher.send

    def killed_meanwhile(self: RayLauncher, *arguments: Any) -> Any:
        operator.on_kill()  # as Airflow's signal handler does, in the very call that submits
        return send(self, *arguments)

    monkeypatch.setattr(RayLauncher, "send", killed_meanwhile)
    sid = _defer(operator, new_context()).trigger.submission_id
    assert _ended_stopped(jobs, sid) and not (tmp_path / "started").exists()
    assert "stopped before it began" in jobs.logs(sid)


def test_a_job_begins_when_the_triggerer_has_its_task_and_one_that_never_is_gets_asked_for_again(
    ray_settings: Path, new_context: Context, jobs: RayLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_operators.operator.CONFIRM_WITHIN_S", 1.0)
    operator, context = _operator("import sys; open(sys.argv[1], 'a').write('x')", str(tmp_path / "runs")), new_context()
    first = _defer(operator, context).trigger
    assert _status(jobs, first.submission_id) == "FAILED" and not (tmp_path / "runs").exists(), "no triggerer came"
    event = _fire(first)
    assert event["status"] == "LOST" and "was not confirmed in time and did nothing" in event["error"]
    monkeypatch.setattr("headrace_operators.operator.CONFIRM_WITHIN_S", 30.0)
    with pytest.raises(TaskDeferred) as deferred:
        operator.resume(context, event)
    again = deferred.value.trigger
    assert again.submission_id != first.submission_id
    assert operator.resume(context, _fire(again)) == {} and (tmp_path / "runs").read_text() == "x"


def test_a_job_is_stopped_when_the_last_run_that_follows_it_is_killed(ray_settings: Path, new_context: Context, jobs: RayLauncher) -> None:
    operator = _operator("import time; time.sleep(900)")
    first, second = (_defer(operator, new_context()).trigger for _ in range(2))
    assert first.submission_id == second.submission_id
    asyncio.run(first.on_kill())
    time.sleep(1)
    job = jobs.describe(first.submission_id)
    assert job is not None and not job.terminal, "the second run still follows it"
    asyncio.run(second.on_kill())
    assert _ended_stopped(jobs, first.submission_id)


def test_what_a_person_has_stopped_is_not_retried(ray_settings: Path, new_context: Context) -> None:
    operator, context = _operator("import time; time.sleep(900)"), new_context()
    trigger = _defer(operator, context).trigger
    ledger = JobLedger.of(load_settings(ray_settings))
    ledger.stop(trigger.submission_id, "stopped by alice with `headrace jobs stop`", by_hand=True)
    event = _fire(trigger)
    with pytest.raises(AirflowFailException, match="stopped by alice"):
        operator.resume(context, event)


def test_a_job_of_another_run_is_not_stopped_by_this_one(ray_settings: Path, new_context: Context, jobs: RayLauncher) -> None:
    operator = _operator("import time; time.sleep(900)")
    mine = _defer(operator, new_context()).trigger
    theirs = _defer(operator, new_context()).trigger
    assert (theirs.submission_id, theirs.owned) == (mine.submission_id, False)
    asyncio.run(theirs.on_kill())
    time.sleep(1)
    job = jobs.describe(mine.submission_id)
    assert job is not None and not job.terminal
    jobs.cancel_and_wait(mine.submission_id)


def test_a_job_that_a_restarted_ray_has_forgotten_is_asked_for_again_and_not_for_ever(
    ray_settings: Path, new_context: Context, ray_head: Any
) -> None:
    event = _fire(JobTrigger(ray_head.jobs.place(), "headrace-unknown-1"))
    assert event["status"] == "LOST"
    operator, context = _operator("print('HEADRACE_RESULT {\"n\": 1}')"), new_context()
    with pytest.raises(TaskDeferred) as deferred:
        operator.resume(context, event)
    again = deferred.value.trigger
    assert again.lost == 1 and again.submission_id != "headrace-unknown-1"
    assert operator.resume(context, _fire(again)) == {"n": 1}
    with pytest.raises(AirflowException, match="is gone"):
        operator.resume(context, {**event, "lost": LOST_AT_MOST})


def test_results_are_summaries(new_context: Context) -> None:
    event = {"status": "SUCCEEDED", "submission_id": "x", "result": {"rows": 3, "everything": ["y" * 100] * 1000}}
    assert _operator("pass").resume(new_context(), event) == {"rows": 3, "left_out": ["everything"]}


def test_words_spread_lists_and_drop_nothing_but_empties() -> None:
    assert words(["slice", "run", {"each": '["a/1", "b/1"]'}, "", "--executor", "ray"]) == [
        "slice",
        "run",
        "a/1",
        "b/1",
        "--executor",
        "ray",
    ]
    assert words(["a b", "None", "0"]) == ["a b", "None", "0"]
    with pytest.raises(AirflowFailException, match="not a JSON list"):
        words([{"each": "a/1"}])


def _ended_stopped(jobs: RayLauncher, sid: str) -> bool:
    """Stopped by Ray, or by itself before it began."""
    return _status(jobs, sid) in ("STOPPED", "FAILED")


def _status(jobs: RayLauncher, sid: str) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        job = jobs.describe(sid)
        if job is not None and job.terminal:
            return job.status
        time.sleep(0.2)
    return "still running"


def test_a_log_that_names_a_result_which_the_lake_does_not_hold_fails_the_task(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch, new_context: Context
) -> None:
    """As of a log that another program wrote: of no artifact, of another kind, of another recipe, and of none at all."""
    world = World(tmp_path, checkout)
    monkeypatch.setenv(SETTINGS_ENV, str(world.file))
    evaluation, evidence = world.evaluated(), world.judged()
    ended = {"submission_id": "headrace-1-1", "status": "SUCCEEDED", "message": ""}

    def taken(kind: str, recipe: str, result: dict[str, Any]) -> Any:
        operator = HeadraceOperator(task_id="t", argv=["x"], makes=kind, recipe=recipe)
        return operator.resume(new_context(), {**ended, "result": result})

    for kind, fingerprint in (("evaluation", evaluation.fingerprint), ("gate-evidence", evidence.fingerprint)):
        result = {"fingerprint": fingerprint, "rows": 3}
        assert taken(kind, "tiny", result) == taken(kind, "", result) == result
        for forged in (
            {"fingerprint": "f" * 32},
            {"fingerprint": world.made["mix"].fingerprint},
            {"passed": True},
            {},
            {"fingerprint": ""},
        ):
            with pytest.raises(AirflowFailException, match=f"the lake holds no {kind} of recipe 'tiny'"):
                taken(kind, "tiny", forged)
        with pytest.raises(AirflowFailException, match="of recipe 'other'"):
            taken(kind, "other", result)
