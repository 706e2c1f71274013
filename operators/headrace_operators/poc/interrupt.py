"""Ctrl-C, SIGTERM and SIGHUP as one exception, so that a command can say what goes on running before it ends.

The exit code is the shell's: 128 and the signal's number (130, 143, 129). `make` and a terminal may send one interruption twice, to
the process group and to the child: signals within a second of the first are part of it. A later one ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_S = 1.0


class Interrupted(BaseException):
    """A signal asked this process to end. No `Exception`: nothing but the command itself may take it for an error and go on."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell reports the end by this signal."""
        return 128 + self.number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, the first signal raises `Interrupted` in the main thread. Without effect in other threads."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if first:
            if time.monotonic() - first[0] > SAME_S:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        first.append(time.monotonic())
        raise Interrupted(number)

    # An ignored SIGHUP (nohup) stays ignored: the user has asked to outlive the terminal.
    before: dict[int, Any] = {n: signal.getsignal(n) for n in SIGNALS}
    for each in SIGNALS:
        if not (each == signal.SIGHUP and before[each] == signal.SIG_IGN):
            signal.signal(each, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
