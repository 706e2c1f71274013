"""Start the processes of a parallel layout on this host and wait for them; when one fails, the others are stopped.

They meet through a file in the run's folder and talk over loopback only, so no port is open to others. On a cluster
torchrun starts the same module: `torchrun ... -m headrace_jobs.trainer.worker RECIPE --run FINGERPRINT`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from headrace_jobs.trainer.parallel import RENDEZVOUS
from headrace_lake.errors import ServiceError

if TYPE_CHECKING:
    from headrace_jobs.trainer.plan import RunPlan

PARENT = "HEADRACE_PARENT"
_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 1.0


def launch(plan: RunPlan, recipe: str, *, processes: int, settings: Path | None) -> None:
    """Train with several processes.

    Raises:
        ServiceError: one of them failed; its own message is above.
    """
    words = [sys.executable, "-m", "headrace_jobs.trainer.worker", recipe, "--run", plan.fingerprint]
    if settings is not None:
        words += ["--settings", str(settings)]
    run_processes(words, processes=processes)


def run_processes(words: list[str], *, processes: int) -> None:
    """Run a command as a world of `processes`; its output is ours. They end with us: at SIGTERM here, by themselves
    (`end_with_parent`) if we are killed.

    Raises:
        ServiceError: one of them failed.
        SystemExit: 143, after SIGTERM.
    """
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="headrace-rendezvous-") as folder, _terminated_as_exit():
        common = {**os.environ, RENDEZVOUS: str(Path(folder) / "store"), "GLOO_SOCKET_IFNAME": "lo", PARENT: str(os.getpid())}
        world = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        try:
            for rank in range(processes):
                running.append(subprocess.Popen(words, env={**common, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)}))
            codes = _wait(running)
        finally:
            _stop(running)
    failed = [rank for rank, code in enumerate(codes) if code]
    if failed:
        raise ServiceError(f"training process {failed[0]} of {processes} ended with code {codes[failed[0]]}", "its own message is above")


def end_with_parent() -> None:
    """In a process started by `run_processes`: end when the parent has gone, or it would train on for nobody."""
    parent = int(os.environ.get(PARENT, "0"))
    if parent:
        # Ctrl-C reaches the whole group; the parent answers for all of us and stops us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    # A rank may hang in a collective whose other side has died, so no ordinary exit will do.
    os._exit(143)


@contextmanager
def _terminated_as_exit() -> Iterator[None]:
    """SIGTERM unwinds the stack, so that `finally` runs; only a main thread may ask for that."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait(running: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """Exit codes, once all have ended or one has failed."""
    while True:
        codes = [process.poll() for process in running]
        if all(code is not None for code in codes) or any(codes):
            return codes
        time.sleep(0.1)


def _stop(running: list[subprocess.Popen[bytes]]) -> None:
    for process in running:
        if process.poll() is None:
            process.terminate()
    for process in running:
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
