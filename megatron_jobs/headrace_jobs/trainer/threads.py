"""CPU threads of a training process: all cores that this process may use, whatever a launcher set for its own tasks.

What limits a process: the cores it is bound to (affinity: taskset, cpusets, Slurm) and the share of them that its control group may
use (`cpu.max` in cgroup 2, `cpu.cfs_quota_us` in cgroup 1: containers). OMP_NUM_THREADS does not count: Ray sets it to the number of CPUs
that a job *reserved*, usually none or one, and so does torchrun.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from headrace_lake.lines import data_lines

CGROUP = Path("/sys/fs/cgroup")
SELF = Path("/proc/self/cgroup")


def free_cores(processes: int = 1, *, cgroup: Path = CGROUP, own: Path = SELF) -> int:
    """Cores for each of `processes` on this host, at least 1.

    Args:
        cgroup: where control groups are mounted.
        own: the file that names the control groups of this process.
    """
    cores = float(len(os.sched_getaffinity(0)))
    return max(1, math.floor(min(cores, _quota(cgroup, own)) / processes))


def use_free_cores(processes: int = 1, *, threads: int = 0) -> int:
    """Have torch use them (or `threads`, if given); returns how many. torch's call reaches OpenMP, MKL and oneDNN alike."""
    import torch

    count = threads or free_cores(processes)
    torch.set_num_threads(count)
    return count


def _quota(cgroup: Path, own: Path) -> float:
    """Cores' worth of time that the control groups of this process allow; infinite where none says."""
    allowed = math.inf
    for line in data_lines(_read(own)):
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        # A container often sees its own group as the root of the mount, so the root counts too; and every group above limits as well.
        if number == "0" and not controllers:
            folder = cgroup
        elif "cpu" in controllers.split(","):
            folder = next((f for f in (cgroup / controllers, cgroup / "cpu") if f.is_dir()), cgroup)
        else:
            continue
        names = [n for n in path.split("/") if n not in ("", "..")]
        for depth in range(len(names) + 1):
            allowed = min(allowed, _limit(folder.joinpath(*names[:depth])))
    return allowed


def _limit(group: Path) -> float:
    words = _read(group / "cpu.max").split() or [_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")]
    try:
        quota, period = float(words[0]), float(words[1])
    except (ValueError, IndexError):  # "max", or no such file
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
