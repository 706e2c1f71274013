"""Ray workers killed at any moment of a slice: the job goes on, and the tables are those of one undisturbed process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from headrace_operators.ray_jobs import JobRequest, Owner, RayJobs
from headrace_operators.services.ray_head import RayHead

SEED = 20261125
TRIALS = 8
WINDOW_S = 1.5
"""A trial computes for about 4 x 3 x 0.15 s over two workers, plus what Ray needs to start them."""


def working(head: RayHead) -> list[psutil.Process]:
    """The processes that compute a part now; Ray names a process after its task."""
    parent = head.daemon.pid()
    assert parent is not None
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):
            if "headrace-part" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_ray_workers_killed_at_any_moment_change_nothing(ray_head: RayHead, jobs: RayJobs, tmp_path: Path) -> None:
    """Seeded; every trial kills one or two of the workers, each at a moment of its own after it began to compute."""
    rng = random.Random(SEED)
    folder = Path(__file__).parents[1] / "lake"
    script = str(folder / "ray_trials.py")
    paths = {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    subprocess.run([sys.executable, script, str(tmp_path / "undisturbed"), "1", "local"], env=os.environ | paths, check=True)
    expected = json.loads((tmp_path / "undisturbed" / "ended-0").read_text(encoding="utf-8"))
    assert all(expected.values())
    request = JobRequest([sys.executable, script, str(tmp_path), str(TRIALS), "ray"], {"test": uuid.uuid4().hex}, paths)
    sid = jobs.ensure(request, Owner("d", "r", "t", generation=0, user="alice")).job.submission_id
    killed = []

    def ended(trial: int) -> bool:
        job = jobs.job(sid)
        assert job is not None and (not job.terminal or job.ended_well), jobs.logs(sid)[-3000:]
        return (tmp_path / f"ended-{trial}").exists()

    deadline = time.monotonic() + 480
    for trial in range(TRIALS):
        moments = [rng.uniform(0, WINDOW_S) for _ in range(rng.randint(1, 2))]
        victims = 0
        while not (tmp_path / f"began-{trial}").exists():
            assert time.monotonic() < deadline and not ended(TRIALS - 1)
            time.sleep(0.02)
        for moment in sorted(moments):
            while not working(ray_head) and not ended(trial):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(moment / len(moments))
            for process in working(ray_head)[:1]:
                with suppress(psutil.NoSuchProcess):
                    os.kill(process.pid, signal.SIGKILL)
                    victims += 1
        while not ended(trial):
            assert time.monotonic() < deadline, f"trial {trial} never ended"
            time.sleep(0.05)
        killed.append(victims)
        shown = json.loads((tmp_path / f"ended-{trial}").read_text(encoding="utf-8"))
        assert shown == expected, f"trial {trial}, workers killed after {moments} s"
        assert set(Counter(map(tuple, shown["receipts"])).values()) == {1}
    print(f"seed {SEED}: {sum(killed)} workers killed in {TRIALS} trials ({killed})")
    assert sum(map(bool, killed)) >= TRIALS * 3 // 4
