"""A job as every launcher describes it: state, end, a part of its log; and what became of asking for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from headrace_lake.jobs.owner import Owner

Status = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"]
TERMINAL: frozenset[Status] = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
Decision = Literal["submitted", "attached", "done"]


@dataclass(frozen=True)
class Job:
    """A job as its launcher reports it; times are Unix seconds.

    Attributes:
        message: why it is in this state; of a failed job also the last that it printed.
        metadata: the task that asked for it, as `Owner.metadata`.
        entrypoint: its command line, without what makes it wait for its confirmation.
        exit_code: of the command, -N where signal N killed it; None while it runs, and where nobody knows.
    """

    submission_id: str
    status: Status
    message: str
    metadata: Mapping[str, str]
    started: float | None = None
    ended: float | None = None
    entrypoint: str = ""
    exit_code: int | None = None

    @property
    def ended_well(self) -> bool:
        """Did the command exit with 0?"""
        return self.status == "SUCCEEDED"

    @property
    def terminal(self) -> bool:
        """Has it ended?"""
        return self.status in TERMINAL


@dataclass(frozen=True)
class LogPart:
    """What a log holds from some place on.

    Attributes:
        end: the place to go on from; its unit is the launcher's own.
    """

    text: str
    end: int


@dataclass(frozen=True)
class Ensured:
    """What `Launcher.ensure` did: the job to follow, whether this caller submitted it, and who the caller is."""

    job: Job
    decision: Decision
    owned: bool
    owner: Owner


@dataclass(frozen=True)
class Patience:
    """How long a caller waits for a launcher's server: a page less than a task.

    Attributes:
        answer_s: for one answer.
        retry_s: how long what fails for the moment is tried again.
    """

    answer_s: float = 30.0
    retry_s: float = 60.0
