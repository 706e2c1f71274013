"""Training uses every core that its process may run on, whatever a launcher reserved or set for its own tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from headrace_jobs.trainer.threads import free_cores

CORES = len(os.sched_getaffinity(0))
SHOW = """
import torch
from headrace_jobs.model.layout import ParallelConfig
from headrace_jobs.trainer.parallel import process_groups
with process_groups(ParallelConfig(), seed=1):
    info = torch.__config__.parallel_info()
    print(torch.get_num_threads(), *(line.split(":")[1].strip() for line in info.splitlines() if "get_max_threads" in line))
"""


def test_a_launcher_that_reserved_one_cpu_and_said_so_limits_nothing() -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # Ray's and torchrun's habit
    done = subprocess.run([sys.executable, "-c", SHOW], env=env, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert {int(x) for x in done.stdout.split()} == {CORES}, done.stdout


def test_cores_that_the_process_is_bound_to_are_the_limit() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from headrace_jobs.trainer.threads import free_cores; "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(free_cores())"], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize("processes", [1, 2, 64])
def test_processes_of_a_host_share_its_cores_and_each_has_at_least_one(tmp_path: Path, processes: int) -> None:
    assert free_cores(processes, cgroup=tmp_path, own=tmp_path / "none") == max(1, CORES // processes)


def _group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


@pytest.mark.parametrize(
    ("own", "groups", "cores"),
    [
        ("0::/\n", {"": {"cpu__max": "100000 100000\n"}}, 1),  # a container sees its own group as the root
        ("0::/pods/a\n", {"pods": {"cpu__max": "max 100000"}, "pods/a": {"cpu__max": "150000 100000"}}, 1),
        ("0::/pods/a\n", {"pods": {"cpu__max": "50000 100000"}, "pods/a": {"cpu__max": "max 100000"}}, 1),  # the parent's quota counts
        ("0::/pods/a\n", {"pods/a": {"cpu__max": "max 100000"}}, CORES),
        ("0::/pods/a\n", {"pods/a": {"cpu__max": "99999900000 100000"}}, CORES),
        ("4:cpu,cpuacct:/job\n", {"cpu,cpuacct/job": {"cpu__cfs_quota_us": "100000", "cpu__cfs_period_us": "100000"}}, 1),
        ("4:cpu,cpuacct:/job\n", {"cpu/job": {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}}, CORES),
        ("3:memory:/job\n", {"job": {"cpu__max": "100000 100000"}}, CORES),  # not the group that limits time
        ("nonsense\n0::/../x\n", {"x": {"cpu__max": "what is this"}}, CORES),
    ],
)
def test_the_quota_of_the_control_group_is_the_limit(tmp_path: Path, own: str, groups: dict[str, dict[str, str]], cores: int) -> None:
    (tmp_path / "own").write_text(own, encoding="ascii")
    for path, files in groups.items():
        _group(tmp_path / "cgroup", path, **files)
    assert free_cores(cgroup=tmp_path / "cgroup", own=tmp_path / "own") == min(CORES, cores)
