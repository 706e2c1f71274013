"""What another user of this machine can do: a function executed under a user id that owns nothing here."""

from __future__ import annotations

import os
from collections.abc import Callable

STRANGER = 54321
"""An id that no account has."""


def as_stranger(function: Callable[[], object]) -> str:
    """Execute a function as another user, in a child process; returns what it returned, or its exception, as text.

    The child keeps no group of ours. Only root can become somebody else: other callers get the words "not root".
    """
    if os.geteuid() != 0:
        return "not root"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
            said = str(function())
        except BaseException as exc:
            said = f"{type(exc).__name__}: {exc}"
        os.write(writing, said.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return said
