"""Ctrl-C, SIGTERM and SIGHUP as one exception, so that a command can say what stays and how to go on before it ends.

The exit code is the shell's: 128 and the signal's number (130, 143, 129). `make` and a terminal may send one interruption twice, to
the process group and to the child: signals within a second of the first are part of it. A later one ends the process at once.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_S = 1.0


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end. No `Exception`: nothing but the command itself may take it for an error and go on.

    A `KeyboardInterrupt`, which asyncio and other libraries let through as what it is.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell reports the end by this signal."""
        return 128 + self.number


class Received:
    """The signal that arrived within a block of `interruptible`, if any.

    Attributes:
        number: of the signal; 0 while none has arrived.
        told: whether the user has read what stays (`says_what_stays`).
    """

    def __init__(self) -> None:
        self.number = 0
        self.told = False


_received: list[Received] = []


@contextmanager
def interruptible() -> Iterator[Received]:
    """Within, the first signal raises `Interrupted` in the main thread. Without effect in other threads."""
    received = Received()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    first: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if first:
            if time.monotonic() - first[0] > SAME_S:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        first.append(time.monotonic())
        received.number = number
        raise Interrupted(number)

    # An ignored SIGHUP (nohup) stays ignored: the user has asked to outlive the terminal.
    before: dict[int, Any] = {n: signal.getsignal(n) for n in SIGNALS}
    for each in SIGNALS:
        if not (each == signal.SIGHUP and before[each] == signal.SIG_IGN):
            signal.signal(each, stop)
    _received.append(received)
    try:
        yield received
    finally:
        _received.remove(received)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put this process's handlers back after a library that installs its own (Ray does when a driver connects)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.getsignal(n) for n in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def says_what_stays(kept: Callable[[], str]) -> Iterator[None]:
    """If a signal ends the block, one line on standard error: what stays, and the command that goes on.

    Args:
        kept: asked at that moment; a clause such as "3 of 8 slices are committed".
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as exc:
        number = exc.number if isinstance(exc, Interrupted) else signal.SIGINT
        if isinstance(exc, SystemExit):  # of a block that makes it of a signal, as a training of several processes does
            number = exc.code - 128 if isinstance(exc.code, int) else 0
            if number not in SIGNALS:
                raise
        if not any(r.told for r in _received):
            name = signal.Signals(number).name
            print(f"headrace: {name}: {kept()}. Go on with: {this_command()}", file=sys.stderr, flush=True)
        for received in _received:
            received.told = True
        raise


def this_command() -> str:
    """The command of this process as it can be pasted."""
    return shlex.join(["headrace", *sys.argv[1:]])
