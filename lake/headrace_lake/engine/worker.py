"""Stages that a worker process has set up: made once, used for every part that it gets, let go at its end.

Only stages that override `Stage.setup` are kept; any other is made anew for each part, which costs nothing. A process keeps at most
`MOST`, and lets the one that was not used for longest go first.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from typing import Any

from headrace_lake.engine.pipeline import make_stage
from headrace_lake.fingerprint import digest_of
from headrace_lake.stage import Stage

MOST = 16
"""Stages that a process keeps: more than any pipeline has that hold a model."""


class Worker:
    """The stages of this process, by class and parameters."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[tuple[type, str], Stage] = {}
        self._process = os.getpid()

    def stage(self, use: str, params: dict[str, Any], *, where: str) -> Stage:
        """A stage that is set up.

        Raises:
            ConfigError: there is no such stage, or a parameter is wrong.
        """
        made = make_stage(use, params, where=where)
        if not holds(made):
            return made
        if self._process != os.getpid():  # a fork has what its parent set up, but must not take it down
            self._kept, self._process = {}, os.getpid()
        key = (type(made), digest_of(made.params.model_dump(mode="json")))
        kept = self._kept.pop(key, None)
        if kept is None:
            while len(self._kept) >= self._most:
                self._kept.pop(next(iter(self._kept))).teardown()
            made.setup()
            kept = made
        self._kept[key] = kept
        return kept

    def close(self) -> None:
        """Take every stage down."""
        if self._process == os.getpid():
            for stage in self._kept.values():
                stage.teardown()
        self._kept = {}


def holds(stage: Stage) -> bool:
    """Whether a stage sets something up that is worth keeping from part to part."""
    return type(stage).setup is not Stage.setup


def any_holds(stages: Iterable[Stage]) -> bool:
    """Whether one of some stages does."""
    return any(map(holds, stages))


_here = Worker()
atexit.register(_here.close)


def here() -> Worker:
    """The stages of this process."""
    return _here
