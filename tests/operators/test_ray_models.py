"""Stages that hold a model on a real Ray head: loaded once in each worker, whatever the parts, their sizes and the workers that die."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S
from ray_scripts import FOLDER, PATHS, finished, submitted, working

from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.services.process import free_port
from headrace_operators.services.ray_head import RayHead

SCRIPT = "ray_models.py"
SEED = 20261130
TRIALS = int(os.environ.get("HEADRACE_WORKER_KILLS") or 4)
"""`scripts/kill-workers [TIMES]` makes more."""


def marks_of(folder: Path, trial: int = 0) -> dict[str, list[str]]:
    """Process → what it noted, in order."""
    return {f.name: [x.partition("@")[0] for x in f.read_text(encoding="ascii").split()] for f in (folder / f"marks-{trial}").iterdir()}


def moments_of(folder: Path) -> list[list[tuple[str, float]]]:
    """What each process noted, and when."""
    lines = [f.read_text(encoding="ascii").split() for f in (folder / "marks-0").iterdir()]
    return [[(mark, float(at)) for mark, _, at in (x.partition("@") for x in some)] for some in lines]


def undisturbed(folder: Path, *words: object) -> dict[str, object]:
    """What one local process makes of the same."""
    argv = [sys.executable, str(FOLDER / SCRIPT), str(folder), "1", "local", *map(str, words)]
    subprocess.run(argv, env=os.environ | PATHS, check=True)
    found: dict[str, object] = json.loads((folder / "ended-0").read_text(encoding="utf-8"))
    assert all(found.values())
    return found


def test_a_model_of_200_megabytes_is_loaded_once_in_each_of_two_workers_and_a_long_part_holds_nobody(
    jobs: RayLauncher, tmp_path: Path
) -> None:
    """40 parts, of which one takes twenty times as long as any other."""
    words = ["Model", 40, 8, 0.1, 200, 20]
    expected = undisturbed(tmp_path / "local", *words)
    [alone] = marks_of(tmp_path / "local").values()
    assert alone.count("loaded") == alone.count("left") == 1 and len(alone) == 42
    finished(jobs, submitted(jobs, SCRIPT, tmp_path / "ray", 1, "ray", *words))
    assert json.loads((tmp_path / "ray" / "ended-0").read_text(encoding="utf-8")) == expected, "the same bytes"
    marks = marks_of(tmp_path / "ray")
    assert sum(m.count("loaded") for m in marks.values()) == 2 and len(marks) == 2
    assert sorted(x for m in marks.values() for x in m if x.startswith("part")) == sorted(f"part-{n}" for n in range(40))
    [(began, next_began)] = [
        (at, times[i + 1][1]) for times in moments_of(tmp_path / "ray") for i, (mark, at) in enumerate(times) if mark == "part-20"
    ]
    meanwhile = [
        mark for times in moments_of(tmp_path / "ray") for mark, at in times if began < at < next_began and mark.startswith("part")
    ]
    assert next_began - began >= 2 and len(meanwhile) >= 5, "parts went to whoever was free"


def test_a_stage_on_a_gpu_is_loaded_at_most_once_for_each_gpu(tmp_path: Path) -> None:
    folder = tmp_path / "head"
    head = RayHead(folder, f"http://127.0.0.1:{free_port()}", folder / "token", cpus=2, gpus=1)
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    head.start({**os.environ, "PATH": beside}, tmp_path)
    try:
        finished(head.jobs, submitted(head.jobs, SCRIPT, tmp_path / "ray", 1, "ray", "GpuModel", 100, 4, 0.0, 1, -1))
    finally:
        head.stop()
    [only] = marks_of(tmp_path / "ray").values()
    assert only.count("loaded") == 1 and sum(x.startswith("part") for x in only) == 100


def test_workers_with_a_model_killed_at_any_moment_change_nothing(ray_head: RayHead, jobs: RayLauncher, tmp_path: Path) -> None:
    words = ["Model", 6, 16, 0.1, 4, -1]
    expected = undisturbed(tmp_path / "local", *words)
    rng = random.Random(SEED)
    sid = submitted(jobs, SCRIPT, tmp_path / "ray", TRIALS, "ray", *words)
    deadline = time.monotonic() + PATIENCE_S + 60 * TRIALS
    killed = 0
    for trial in range(TRIALS):

        def ended(trial: int = trial) -> bool:
            job = jobs.describe(sid)
            assert job is not None and (not job.terminal or job.ended_well), jobs.logs(sid)[-3000:]
            return (tmp_path / "ray" / f"ended-{trial}").exists()

        while not (tmp_path / "ray" / f"began-{trial}").exists() or (not working(ray_head, "RemoteWorker") and not ended()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.5))
        for process in working(ray_head, "RemoteWorker")[:1]:
            with suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
        while not ended():
            assert time.monotonic() < deadline, f"trial {trial} never ended"
            time.sleep(0.05)
        assert json.loads((tmp_path / "ray" / f"ended-{trial}").read_text(encoding="utf-8")) == expected, f"trial {trial}"
    assert killed >= TRIALS * 3 // 4, killed


@pytest.mark.parametrize(
    ("cpus", "gpus", "most"), [(1.0, 0.0, 8), (0.5, 0.0, 16), (4.0, 0.0, 2), (0.0, 1.0, 4), (1.0, 0.5, 8), (0.0, 0.0, 1)]
)
def test_a_pool_is_as_large_as_the_cluster_has_room_for(cpus: float, gpus: float, most: int) -> None:
    from headrace_lake.engine.executors import room_for
    from headrace_lake.stage import Resources

    assert room_for(Resources(cpus=cpus, gpus=gpus), {"CPU": 8, "GPU": 4}) == most
