"""Run a command and start it again when it fails: `python -m headrace_operators.services.keep_running COMMAND ...`.

Airflow's scheduler, triggerer and DAG processor end with an error when their database goes away (seen with 3.3.2: PostgreSQL restarted).
Where systemd or Kubernetes runs them, they start them again; on one machine this does. A command that ends by itself with 0, or that was
asked to stop, is not started again, nor one that fails all the time. If this process is killed, the command is killed with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

MOST_FAILURES, WITHIN_S = 20, 900.0
"""More failures in so many seconds are not an accident: a database that is away for less than five minutes is waited for."""
PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
"""Before the first new start; doubled with each failure within `WITHIN_S`."""
_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def keep_running(words: Sequence[str], *, pause_s: float = PAUSE_S, most: int = MOST_FAILURES, within_s: float = WITHIN_S) -> int:
    """Run the command until it ends well, is asked to stop, or fails too often; returns its last exit code.

    SIGTERM and SIGINT are passed on to it.
    """
    asked = 0
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = number
        if child is not None and child.poll() is None:
            child.send_signal(number)

    prctl, mine = ctypes.CDLL(None).prctl, os.getpid()

    def die_with_me() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != mine:  # killed in between
            os.kill(os.getpid(), signal.SIGKILL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    failures: list[float] = []
    while True:
        child = subprocess.Popen(list(words), preexec_fn=die_with_me)
        if asked:  # between the last one's end and this one's start
            child.send_signal(asked)
        code = child.wait()
        if code == 0 or asked:
            return 0 if asked else code
        failures = [*(t for t in failures if t > time.monotonic() - within_s), time.monotonic()]
        if len(failures) > most:
            print(f"keep_running: {words[0]} failed {len(failures)} times in {within_s:.0f} s, given up", file=sys.stderr, flush=True)
            return code
        print(f"keep_running: {' '.join(words)} ended with code {code}, started again", file=sys.stderr, flush=True)
        time.sleep(min(pause_s * 2 ** (len(failures) - 1), LONGEST_PAUSE_S))


if __name__ == "__main__":
    sys.exit(keep_running(sys.argv[1:]))
