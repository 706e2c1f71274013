"""Scripts of tests/lake as jobs of a Ray head, and the worker processes that compute their parts."""

from __future__ import annotations

import os
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

from headrace_operators.launchers import JobSpec, Owner
from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.services.ray_head import RayHead

FOLDER = Path(__file__).parents[1] / "lake"
PATHS = {"PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path])}


def submitted(jobs: RayLauncher, script: str, *words: object) -> str:
    """A job that runs a script; its id."""
    argv = [sys.executable, str(FOLDER / script), *map(str, words)]
    return jobs.ensure(JobSpec(argv, {"test": uuid.uuid4().hex}, PATHS), Owner("d", "r", "t", generation=0, user="a")).job.submission_id


def finished(jobs: RayLauncher, sid: str, within: float = 240) -> None:
    """Wait until a job has ended well."""
    deadline = time.monotonic() + within
    while True:
        job = jobs.describe(sid)
        assert job is not None and time.monotonic() < deadline
        if job.terminal:
            assert job.ended_well, jobs.logs(sid)[-3000:]
            return
        time.sleep(0.2)


def working(head: RayHead, name: str) -> list[psutil.Process]:
    """Processes of a head that work now under a name; Ray names a process after its task or its actor's class."""
    parent = head.daemon.pid()
    assert parent is not None
    found = []
    for process in psutil.Process(parent).children(recursive=True):
        with suppress(psutil.Error):
            if name in " ".join(process.cmdline()):
                found.append(process)
    return found
