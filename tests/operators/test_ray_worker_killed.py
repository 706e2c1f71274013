"""Ray workers killed at any moment of a slice: the job goes on, and the tables are those of one undisturbed process."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
from patience import PATIENCE_S
from ray_scripts import FOLDER, PATHS, submitted, working

from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.services.ray_head import RayHead

SCRIPT = "ray_trials.py"
SEED = 20261125
TRIALS = int(os.environ.get("HEADRACE_WORKER_KILLS") or 4)
"""`scripts/kill-workers [TIMES]` makes more."""
WINDOW_S = 1.5
"""A trial computes for about 4 x 3 x 0.15 s over two workers, plus what Ray needs to start them."""


def test_ray_workers_killed_at_any_moment_change_nothing(ray_head: RayHead, jobs: RayLauncher, tmp_path: Path) -> None:
    """Seeded; every trial kills one or two of the workers, each at a moment of its own after it began to compute."""
    rng = random.Random(SEED)
    undisturbed = [sys.executable, str(FOLDER / SCRIPT), str(tmp_path / "undisturbed"), "1", "local"]
    subprocess.run(undisturbed, env=os.environ | PATHS, check=True)
    expected = json.loads((tmp_path / "undisturbed" / "ended-0").read_text(encoding="utf-8"))
    assert all(expected.values())
    sid = submitted(jobs, SCRIPT, tmp_path, TRIALS, "ray")
    killed = []

    def ended(trial: int) -> bool:
        job = jobs.describe(sid)
        assert job is not None and (not job.terminal or job.ended_well), jobs.logs(sid)[-3000:]
        return (tmp_path / f"ended-{trial}").exists()

    deadline = time.monotonic() + PATIENCE_S + 60 * TRIALS
    for trial in range(TRIALS):
        moments = [rng.uniform(0, WINDOW_S) for _ in range(rng.randint(1, 2))]
        victims = 0
        while not (tmp_path / f"began-{trial}").exists():
            assert time.monotonic() < deadline and not ended(TRIALS - 1)
            time.sleep(0.02)
        for moment in sorted(moments):
            while not working(ray_head, "headrace-part") and not ended(trial):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(moment / len(moments))
            for process in working(ray_head, "headrace-part")[:1]:
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
