"""The job client against a real Ray head: nothing runs twice, everything can be followed and stopped."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from patience import PATIENCE_S

from headrace_lake.errors import ServiceError
from headrace_operators.launchers import Job, JobSpec, Owner, error_line, result_of
from headrace_operators.launchers.ray import RayLauncher

APPEND_AND_SLEEP = "import os,sys,time\nopen(sys.argv[1],'a').write(str(os.getpid())+'\\n')\ntime.sleep(float(sys.argv[2]))"


def _request(code: str, *args: str) -> JobSpec:
    return JobSpec(["python", "-c", code, *args], {"test": uuid.uuid4().hex})


def _owner(run: str = "r", generation: int = 0) -> Owner:
    return Owner("d", run, "t", generation=generation, user="alice")


def _end(jobs: RayLauncher, sid: str, within_s: float = PATIENCE_S) -> Job:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        job = jobs.describe(sid)
        if job is not None and job.terminal:
            return job
        time.sleep(0.2)
    raise AssertionError(f"{sid} still runs")


def _wait_for(file: Path, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.1)


def test_the_same_work_has_the_same_id_and_other_settings_another() -> None:
    argv = ["headrace", "slice", "run", "text", "a/2026-11-01"]
    assert JobSpec(argv, {"settings": "1"}).stem == JobSpec(argv, {"settings": "1"}).stem
    assert JobSpec(argv, {"settings": "1"}).stem != JobSpec(argv, {"settings": "2"}).stem


def test_words_reach_the_command_as_they_were_written(jobs: RayLauncher) -> None:
    nasty = ["$(touch pwned)", "; rm -rf x", "a b", "'quoted\"", "中文", "*"]
    request = _request("import sys,json; print('HEADRACE_RESULT '+json.dumps({'argv': sys.argv[1:]}))", *nasty)
    sid = jobs.ensure(request, _owner()).job.submission_id
    assert _end(jobs, sid).ended_well
    assert result_of(jobs.logs(sid)) == {"argv": nasty}


def test_a_follower_sees_each_line_once_while_the_job_runs(jobs: RayLauncher) -> None:
    request = _request("import time\nfor i in range(6):\n print('line', i)\n time.sleep(0.5)")
    sid = jobs.ensure(request, _owner()).job.submission_id

    async def follow() -> list[tuple[float, str | Job]]:
        return [(time.monotonic(), item) async for item in jobs.follow(sid, poll_s=0.3)]

    seen = asyncio.run(follow())
    lines = [(at, item) for at, item in seen if isinstance(item, str) and item.startswith("line")]
    assert [text for _, text in lines] == [f"line {i}" for i in range(6)]
    assert lines[-1][0] - lines[0][0] > 1.0, "the lines came all at once, after the end"
    assert isinstance(seen[-1][1], Job) and seen[-1][1].ended_well


def test_many_callers_of_the_same_work_start_it_once(jobs: RayLauncher, tmp_path: Path) -> None:
    request = _request(APPEND_AND_SLEEP, str(tmp_path / "started"), "3")
    with ThreadPoolExecutor(6) as pool:
        ensured = list(pool.map(lambda i: jobs.ensure(request, _owner(f"run-{i}")), range(6)))
    assert sorted(e.decision for e in ensured) == ["attached"] * 5 + ["submitted"]
    assert len({e.job.submission_id for e in ensured}) == 1
    assert [e.owned for e in ensured] == [e.decision == "submitted" for e in ensured]
    _end(jobs, ensured[0].job.submission_id)
    assert len((tmp_path / "started").read_text().split()) == 1


def test_a_retry_adopts_what_ended_while_nobody_watched_and_a_cleared_task_runs_again(jobs: RayLauncher, tmp_path: Path) -> None:
    request = _request(APPEND_AND_SLEEP, str(tmp_path / "started"), "0")
    first = jobs.ensure(request, _owner()).job.submission_id
    assert _end(jobs, first).ended_well
    assert (jobs.ensure(request, _owner()).decision, jobs.ensure(request, _owner()).job.submission_id) == ("done", first)
    again = jobs.ensure(request, _owner(generation=1))
    assert (again.decision, again.job.submission_id) == ("submitted", first.removesuffix("-1") + "-2")
    _end(jobs, again.job.submission_id)
    other_run = jobs.ensure(request, _owner("another run"))
    assert other_run.job.submission_id.endswith("-3"), "the lake adopts finished work, not Ray"
    _end(jobs, other_run.job.submission_id)


def test_a_failed_attempt_is_followed_by_the_next(jobs: RayLauncher) -> None:
    request = _request("import sys; print('Error: no such source'); sys.exit(2)")
    first = jobs.ensure(request, _owner()).job.submission_id
    ended = _end(jobs, first)
    assert ended.status == "FAILED" and "exit code 2" in ended.message
    assert error_line(jobs.logs(first)) == "Error: no such source"
    second = jobs.ensure(request, _owner()).job.submission_id
    assert second == first.removesuffix("-1") + "-2"
    _end(jobs, second)


def test_clearing_a_running_task_stops_its_job_before_the_next_starts(jobs: RayLauncher, tmp_path: Path) -> None:
    request = _request(APPEND_AND_SLEEP, str(tmp_path / "started"), "120")
    first = jobs.ensure(request, _owner()).job.submission_id
    _wait_for(tmp_path / "started")
    second = jobs.ensure(request, _owner(generation=1))
    assert second.decision == "submitted"
    stopped = jobs.describe(first)
    assert stopped is not None and stopped.status == "STOPPED"
    jobs.cancel_and_wait(second.job.submission_id)


def test_stop_ends_the_process_itself(jobs: RayLauncher, tmp_path: Path) -> None:
    request = _request(APPEND_AND_SLEEP, str(tmp_path / "started"), "120")
    sid = jobs.ensure(request, _owner()).job.submission_id
    _wait_for(tmp_path / "started")
    time.sleep(0.2)
    pid = int((tmp_path / "started").read_text())
    os.kill(pid, 0)
    jobs.cancel_and_wait(sid)
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_metadata_says_who_asked(jobs: RayLauncher) -> None:
    sid = jobs.ensure(_request("pass"), _owner("manual__1")).job.submission_id
    job = _end(jobs, sid)
    assert (job.metadata["dag_id"], job.metadata["run_id"], job.metadata["user"]) == ("d", "manual__1", "alice")


def test_a_wrong_or_missing_token_is_said_in_one_line(jobs: RayLauncher, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    with pytest.raises(ServiceError, match="refused the token"):
        RayLauncher(jobs.address, wrong).jobs()
    with pytest.raises(ServiceError, match="token file is missing"):
        RayLauncher(jobs.address, tmp_path / "none").jobs()


def test_the_last_result_line_counts_and_broken_ones_are_nothing() -> None:
    assert result_of('HEADRACE_RESULT {"a": 1}\nmore\nHEADRACE_RESULT {"a": 2}\n') == {"a": 2}
    assert result_of("HEADRACE_RESULT {broken") == {}
    assert result_of("HEADRACE_RESULT [1]") == {}
    assert result_of("nothing") == {}
