"""Jobs as processes of this machine, real ones: started once, known to every process, ended with all that they started."""

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S

from headrace_lake.errors import ConfigError
from headrace_operators.launchers import Job, JobSpec, Owner
from headrace_operators.launchers.keeper import CANCELLED, ENDED, KEEPER, KILL_AFTER_S, LOG, PROCESS, REQUEST
from headrace_operators.launchers.local import KEPT_FOR_S, START_WITHIN_S, LocalLauncher
from headrace_operators.process_identity import MARK_ENV, boot, born, living_members

OWNER = Owner("d", "r", "t", user="alice")
SLEEP = "import time; print('working', flush=True); time.sleep(900)"
DEAF_FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
print("working", child.pid, flush=True)
time.sleep(900)
"""
"""It and its child, which inherits the disposition, do not hear SIGTERM."""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalLauncher]:
    launcher = LocalLauncher(tmp_path / "jobs", tmp_path)
    yield launcher
    for job in launcher.jobs():
        launcher.cancel_and_wait(job.submission_id)


def _spec(code: str, *args: str) -> JobSpec:
    return JobSpec([sys.executable, "-c", code, *args], {"test": uuid.uuid4().hex})


def _submit(local: LocalLauncher, code: str, *args: str) -> str:
    return local.ensure(_spec(code, *args), OWNER).job.submission_id


def _wait(true: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def _end(local: LocalLauncher, sid: str) -> Job:
    return _wait(lambda: (job := local.describe(sid)) and job.terminal and job)


def _noted(local: LocalLauncher, sid: str, name: str) -> dict[str, Any]:
    return dict(json.loads((local.folder / sid / name).read_text(encoding="utf-8")))


def test_a_command_runs_in_a_session_of_its_own_and_its_end_is_described_by_any_process(local: LocalLauncher, tmp_path: Path) -> None:
    code = "import os, sys; print(os.getsid(0) == os.getpid(), os.getcwd(), *sys.argv[1:]); sys.exit(3)"
    sid = _submit(local, code, "$(touch pwned)", "a b", "中文")
    job = _end(LocalLauncher(local.folder, tmp_path), sid)
    assert local.logs(sid) == f"True {tmp_path} $(touch pwned) a b 中文\n"
    assert (job.status, job.exit_code) == ("FAILED", 3) and job.message.startswith("the command ended with exit code 3; last words: True")
    assert job.started is not None and job.ended is not None and job.started <= job.ended and job.metadata == OWNER.metadata()
    elsewhere = "import sys; from pathlib import Path; from headrace_operators.launchers.local import LocalLauncher; "
    elsewhere += "print(LocalLauncher(Path(sys.argv[1]), Path('/')).describe(sys.argv[2]))"
    said = subprocess.run([sys.executable, "-c", elsewhere, str(local.folder), sid], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(job)


def test_the_job_goes_on_when_its_submitter_is_killed(local: LocalLauncher, tmp_path: Path) -> None:
    submitter = "import os, sys; from pathlib import Path; from headrace_operators.launchers import JobSpec, Owner\n"
    submitter += "from headrace_operators.launchers.local import LocalLauncher\n"
    submitter += "spec = JobSpec([sys.executable, '-c', 'import time; time.sleep(1); print(5)'], {'test': 'orphan'})\n"
    submitter += "print(LocalLauncher(Path(sys.argv[1]), Path('/')).ensure(spec, Owner('d', 'r', 't')).job.submission_id, flush=True)\n"
    submitter += "os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", submitter, str(local.folder)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    sid = done.stdout.strip()
    assert _end(local, sid).ended_well and local.logs(sid) == "5\n"


def test_submitting_twice_adopts_the_same_job(local: LocalLauncher, tmp_path: Path) -> None:
    code = "import sys, time; open(sys.argv[1], 'a').write('x'); time.sleep(2)"
    spec = _spec(code, str(tmp_path / "started"))
    with ThreadPoolExecutor(6) as pool:
        owners = [Owner("d", f"run {i}", "t") for i in range(6)]
        ensured = list(pool.map(lambda owner: LocalLauncher(local.folder, tmp_path).ensure(spec, owner), owners))
    assert sorted(e.decision for e in ensured) == ["attached"] * 5 + ["submitted"]
    [sid] = {e.job.submission_id for e in ensured}
    adopted = local.adopt(sid, OWNER)
    assert adopted is not None and (adopted.decision, adopted.owned) == ("attached", False)
    assert _end(local, sid).ended_well and (tmp_path / "started").read_text() == "x"
    mine = next(e for e in ensured if e.decision == "submitted").owner
    done = local.adopt(sid, mine)
    assert done is not None and done.decision == "done"
    assert local.adopt(sid, OWNER) is None, "another run asks the lake again"
    again = local.ensure(spec, OWNER)
    assert (again.decision, again.job.submission_id) == ("submitted", sid.removesuffix("-1") + "-2")
    assert local.adopt("headrace-unknown-1", OWNER) is None and not local.send(local.plan(spec, OWNER, sid))


def test_a_killed_command_is_described_as_failed_with_its_last_words(local: LocalLauncher) -> None:
    sid = _submit(local, "import os; print('reading part 7', flush=True); os.kill(os.getpid(), 9)")
    job = _end(local, sid)
    assert (job.status, job.exit_code) == ("FAILED", -9)
    assert job.message == "the command was killed by SIGKILL; last words: reading part 7"


def test_what_a_killed_command_leaves_in_its_group_is_ended_with_it(local: LocalLauncher) -> None:
    sid = _submit(local, DEAF_FAMILY)
    child = int(_wait(lambda: local.logs(sid).endswith("\n") and local.logs(sid)).split()[1])
    os.kill(_noted(local, sid, PROCESS)["pid"], signal.SIGKILL)
    assert _end(local, sid).status == "FAILED" and not born(child)


@pytest.mark.parametrize("keeper_lives", [True, False])
def test_cancel_ends_a_process_group_that_ignores_sigterm(local: LocalLauncher, tmp_path: Path, keeper_lives: bool) -> None:
    sid = _submit(local, DEAF_FAMILY)
    _wait(lambda: "working" in local.logs(sid))
    group = _noted(local, sid, PROCESS)["pid"]
    assert len(list(living_members(group))) == 2
    if not keeper_lives:
        os.kill(_noted(local, sid, KEEPER)["pid"], signal.SIGKILL)
        time.sleep(0.2)
        assert local.describe(sid).status == "RUNNING", "the command goes on without its keeper"
    began = time.monotonic()
    LocalLauncher(local.folder, tmp_path).cancel(sid)
    assert not keeper_lives or time.monotonic() - began < KILL_AFTER_S, "asking does not wait"
    assert _end(local, sid).status == "STOPPED" and list(living_members(group)) == []
    local.cancel(sid)  # once more changes nothing
    assert local.describe(sid).status == "STOPPED"


def test_a_command_that_hears_sigterm_ends_at_once_when_it_is_cancelled(local: LocalLauncher) -> None:
    sid = _submit(local, "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(print('tidied up')))\n" + SLEEP)
    _wait(lambda: "working" in local.logs(sid))
    began = time.monotonic()
    local.cancel_and_wait(sid)
    assert time.monotonic() - began < KILL_AFTER_S and local.describe(sid).status == "STOPPED" and local.logs(sid) == "working\ntidied up\n"


def test_a_job_whose_record_is_there_and_whose_process_is_gone_has_failed(local: LocalLauncher) -> None:
    sid = _submit(local, SLEEP)
    _wait(lambda: "working" in local.logs(sid))
    os.kill(_noted(local, sid, KEEPER)["pid"], signal.SIGKILL)
    os.kill(_noted(local, sid, PROCESS)["pid"], signal.SIGKILL)
    job = _end(local, sid)
    assert (job.status, job.exit_code) == ("FAILED", None) and "nobody has seen how it ended" in job.message
    assert job.message.endswith("last words: working")


@pytest.mark.parametrize("changed", [{"born": "1"}, {"boot": "another"}])
def test_a_number_that_is_another_process_by_now_is_neither_taken_for_the_job_nor_signalled(
    local: LocalLauncher, changed: dict[str, str]
) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"], start_new_session=True)
    try:
        sid = _submit(local, "pass")
        _end(local, sid)
        folder = local.folder / sid
        (folder / ENDED).unlink()
        reused = {"pid": stranger.pid, "born": born(stranger.pid), "boot": boot(), "at": 0.0, **changed}
        for name in (KEEPER, PROCESS):
            (folder / name).write_text(json.dumps(reused), encoding="utf-8")
        fresh = LocalLauncher(local.folder, local.cwd)
        fresh.cancel(sid)
        assert fresh.describe(sid).status == "FAILED" and not (folder / CANCELLED).exists()
        assert stranger.poll() is None and born(stranger.pid)
        for name in (KEEPER, PROCESS):  # and the very process would have been
            (folder / name).write_text(json.dumps({**reused, "born": born(stranger.pid), "boot": boot()}), encoding="utf-8")
        fresh = LocalLauncher(local.folder, local.cwd)
        assert fresh.describe(sid).status == "RUNNING"
        fresh.cancel(sid)
        assert stranger.wait(PATIENCE_S) == -signal.SIGTERM
    finally:
        stranger.kill()
        stranger.wait()


def test_a_job_whose_submitter_was_killed_before_it_was_started_has_failed_after_a_while(local: LocalLauncher) -> None:
    spec = _spec("print('never')")
    request = local.plan(spec, OWNER)
    folder = Path(request["folder"])
    folder.mkdir(parents=True)
    (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
    (folder / LOG).touch()
    assert local.describe(request["submission_id"]).status == "PENDING"
    before = time.time() - START_WITHIN_S - 1
    os.utime(folder / REQUEST, (before, before))
    assert "never started" in local.describe(request["submission_id"]).message
    again = local.ensure(spec, OWNER)
    assert again.decision == "submitted" and _end(local, again.job.submission_id).ended_well


def test_a_program_that_does_not_exist_is_a_failure_that_names_it(local: LocalLauncher) -> None:
    sid = local.ensure(JobSpec(["no-such-program", "x"]), OWNER).job.submission_id
    job = _end(local, sid)
    assert job.exit_code == 127 and "no-such-program: No such file or directory" in job.message


def test_two_followers_read_each_line_once_as_it_comes_whole_characters_always(local: LocalLauncher, tmp_path: Path) -> None:
    code = "import sys, time\nfor i in range(6):\n for half in (f'line {i} é'.encode()[:-1], b'\\xa9\\n'):\n"
    code += "  sys.stdout.buffer.write(half); sys.stdout.flush(); time.sleep(0.2)\nsys.stdout.write('end')"
    sid = _submit(local, code)

    async def follow(launcher: LocalLauncher) -> list[tuple[float, str | Job]]:
        return [(time.monotonic(), item) async for item in launcher.follow(sid, poll_s=0.07)]

    async def both() -> list[list[tuple[float, str | Job]]]:
        return list(await asyncio.gather(follow(local), follow(LocalLauncher(local.folder, tmp_path))))

    for seen in asyncio.run(both()):
        assert [item for _, item in seen[:-1]] == [*(f"line {i} é" for i in range(6)), "end"]
        assert isinstance(seen[-1][1], Job) and seen[-1][1].ended_well
        assert seen[5][0] - seen[0][0] > 1.0, "the lines came all at once, after the end"
    part = local.log_from(sid, 0)
    middle = part.text.encode().index(b"line 3")
    assert local.log_from(sid, middle).text == part.text[part.text.index("line 3") :] and local.log_from(sid, part.end).text == ""


def test_the_request_that_is_planned_is_what_is_started(local: LocalLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://secret")
    monkeypatch.setenv(MARK_ENV, "a service's")
    monkeypatch.setenv("HEADRACE_S3_KEY", "for the store")
    spec = JobSpec([sys.executable, "-c", SLEEP, "a b"], {"test": uuid.uuid4().hex}, {"MINE": "1"}, cpus=4)
    plan = local.plan(spec, OWNER)
    assert not local.folder.exists(), "planning makes nothing"
    sid = local.ensure(spec, OWNER).job.submission_id
    assert json.loads(json.dumps(plan)) == _noted(local, sid, REQUEST) and plan["submission_id"] == sid == spec.submission_id(1)
    _wait(lambda: "working" in local.logs(sid))
    pid = _noted(local, sid, PROCESS)["pid"]
    assert Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1] == plan["argv"] == list(spec.argv)
    environment = dict(pair.split("=", 1) for pair in Path(f"/proc/{pid}/environ").read_text().split("\0") if pair)
    assert plan["env"].items() <= environment.items() and plan["env"]["MINE"] == "1"
    assert environment["HEADRACE_S3_KEY"] == "for the store"
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment and MARK_ENV not in environment
    assert Path(f"/proc/{pid}/cwd").resolve() == Path(plan["cwd"])
    with pytest.raises(ConfigError, match="2 nodes"):
        local.plan(JobSpec(["x"], nodes=2), OWNER)


def test_records_are_closed_to_others_and_forgotten_after_a_month(local: LocalLauncher) -> None:
    ended, running = _submit(local, "pass"), _submit(local, SLEEP)
    _end(local, ended)
    assert local.folder.stat().st_mode & 0o077 == 0
    before = time.time() - KEPT_FOR_S - 60
    for sid in (ended, running):
        os.utime(local.folder / sid, (before, before))
    another = _submit(local, "pass")
    assert {job.submission_id for job in LocalLauncher(local.folder, local.cwd).jobs()} == {running, another}
