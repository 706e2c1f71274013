"""Launcher: the interface by which jobs are started, adopted, followed and stopped, whatever runs them.

A launcher is one file: it says what request a job is (`plan`), sends it (`send`), and describes, lists, reads and cancels jobs by their
submission id. All the rest is here and the same for all of them:

- *Nothing runs twice.* `send` refuses an id that is there already. `ensure` decides between *attach* (the job runs already), *done* (this
  very task's job finished while nobody watched) and *submit* (nothing there, or earlier attempts ended badly, or an earlier run's success
  must be asked again: the command itself adopts finished work by fingerprint in the lake, so asking again is cheap).
- *Stopped means stopped.* With a ledger (`headrace_lake.jobs.ledger`, in the lake's catalog) a submitted job waits until its trigger
  confirms it, is stopped when the last task that follows it lets go, and commits nothing after it was stopped, however late its submission
  arrives.
- *Logs are read by offset*, so a follower prints each line once.

No Airflow here, no torch, no Ray: a launcher speaks HTTP or starts programs.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from headrace_lake.errors import ServiceError
from headrace_lake.jobs.owner import Owner
from headrace_lake.lines import data_lines
from headrace_operators.launchers.job import Ensured, Job, LogPart, Patience
from headrace_operators.launchers.spec import JobSpec

if TYPE_CHECKING:
    from headrace_lake.jobs.ledger import JobLedger
    from headrace_lake.settings import Settings

STOP_WITHIN_S = 30.0
"""How long a cancelled job may take to end: SIGTERM, and SIGKILL after 3 s, with Ray and local processes."""
Look = Callable[[int], Awaitable[tuple[Job | None, LogPart]]]
"""Describes a job, then reads its log from an offset: in this order, so that the log of an ended job is whole."""


class Launcher(ABC):
    """Starts jobs in one place.

    Attributes:
        name: as the setting `jobs.launcher` names it.
        on: where its jobs run, for people: `Jobs on Ray`.
        called: what one of its jobs is called, for people.
        way_back: what to do about a job that it has forgotten.
        address: of the server, or of the folder, through which its jobs are reached.
        ledger: of the lake that the jobs write to. Without one a job starts at once, and nothing but `cancel` ends it.
    """

    name: ClassVar[str]
    on: ClassVar[str]
    called: ClassVar[str]
    way_back: ClassVar[str] = "retry the task"

    def __init__(self, address: str, ledger: JobLedger | None = None) -> None:
        self.address = address
        self.ledger = ledger

    # -- what each launcher says for itself ----------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def at(cls, settings: Settings, place: Mapping[str, str], ledger: JobLedger | None, patience: Patience) -> Launcher:
        """The launcher of these settings.

        Args:
            place: what `place` returned, of a launcher that has jobs; empty for that of the settings.
        """

    @abstractmethod
    def place(self) -> dict[str, str]:
        """How another process finds the same jobs, also when the settings have changed: words for a database, never a secret."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Name and address, for people."""

    @abstractmethod
    def alive(self) -> bool:
        """Does it answer now? Asked once, without patience."""

    @abstractmethod
    def plan(self, spec: JobSpec, owner: Owner, submission_id: str = "") -> dict[str, Any]:
        """The exact request of a job, as JSON; sends nothing and needs no server.

        Args:
            submission_id: that of the first attempt by default.

        Raises:
            ConfigError: this launcher cannot give what the job needs.
        """

    @abstractmethod
    def send(self, request: Mapping[str, Any]) -> bool:
        """Send what `plan` returned; False if a job of this id is there already."""

    @abstractmethod
    def describe(self, submission_id: str) -> Job | None:
        """The job of this id; None if it was never submitted, or is forgotten."""

    @abstractmethod
    def jobs(self) -> list[Job]:
        """Every job that was submitted and is not forgotten."""

    @abstractmethod
    def log_from(self, submission_id: str, offset: int) -> LogPart:
        """What the command has printed since an offset: 0, or the `end` of an earlier part."""

    @abstractmethod
    def cancel(self, submission_id: str) -> None:
        """Ask for the job's end and return at once; one that has ended, or is not known, is left as it is."""

    # -- the same for all ----------------------------------------------------------------------------------------------

    def logs(self, submission_id: str) -> str:
        """Everything the command has printed so far."""
        return self.log_from(submission_id, 0).text

    def submit(self, spec: JobSpec, owner: Owner, submission_id: str) -> bool:
        """Send the request of a job; False if one of this id is there already. With a ledger, ask that first (`ensure` does)."""
        return self.send(self.plan(spec, owner, submission_id))

    def cancel_and_wait(self, submission_id: str, within_s: float = STOP_WITHIN_S) -> None:
        """Cancel the job and wait until it has ended.

        Raises:
            ServiceError: it still runs after `within_s`.
        """
        self.cancel(submission_id)
        deadline = time.monotonic() + within_s
        while True:
            job = self.describe(submission_id)
            if job is None or job.terminal:
                return
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.called} {submission_id} did not stop within {within_s:.0f} s", f"look at {self.where}")
            time.sleep(0.3)

    def ensure(
        self,
        spec: JobSpec,
        owner: Owner,
        *,
        say: Callable[[str], None] = lambda _: None,
        claim: Callable[[str], None] = lambda _: None,
    ) -> Ensured:
        """Make sure that the work of `spec` is running or done, once. With a ledger, a job that is submitted waits for `confirm`.

        Args:
            claim: told each id before it is submitted or followed, so that whoever is killed meanwhile knows what to stop.

        Returns: the job to follow. `attached` jobs of other tasks are not owned: their own task stops them.
        """
        attempt = 1
        while True:
            sid = spec.submission_id(attempt)
            job = self.describe(sid)
            claim(sid)
            if job is None and self._may_submit(sid, owner):
                if self.submit(spec, owner, sid):
                    return Ensured(Job(sid, "PENDING", "", owner.metadata()), "submitted", True, owner)
                continue  # somebody else submitted this id between our look and our request: look again
            # Without a job here, somebody else has submitted it since our look, or the id is spent.
            adopted = self._adopt(sid, job or self.describe(sid), owner, say)
            if adopted is not None:
                return adopted
            attempt += 1

    def adopt(self, submission_id: str, owner: Owner, *, say: Callable[[str], None] = lambda _: None) -> Ensured | None:
        """Attach to the job that already does this work: take part in one that runs, or take the end of this task's own.

        None where the work must be asked for anew: the id is spent then, and the next attempt's is to be used. A job that is being stopped,
        or is this task's from before it was cleared, is waited for until it has ended.
        """
        return self._adopt(submission_id, self.describe(submission_id), owner, say)

    def _adopt(self, sid: str, job: Job | None, owner: Owner, say: Callable[[str], None]) -> Ensured | None:
        if job is not None and not job.terminal:
            return Ensured(job, "attached", owner.same_task(job.metadata), owner) if self._may_follow(job, owner, say) else None
        if self.ledger is not None:
            self.ledger.ended(sid)  # it has ended, or is forgotten: a process of it that lives on commits nothing more
        if job is not None and job.ended_well and owner.same_generation(job.metadata):
            return Ensured(job, "done", True, owner)
        return None

    def _may_submit(self, sid: str, owner: Owner) -> bool:
        return self.ledger is None or self.ledger.ask(sid, owner) == "asked"

    def _may_follow(self, job: Job, owner: Owner, say: Callable[[str], None]) -> bool:
        """Take part in a job that runs; one that is being stopped, or is this task's from before it was cleared, is waited for instead."""
        sid, cleared = job.submission_id, owner.same_task(job.metadata) and not owner.same_generation(job.metadata)
        if self.ledger is None or self.ledger.entry(sid) is None:
            stopped = cleared
        else:
            stopped = self.ledger.release_older(sid, owner, f"{owner} was cleared") if cleared else False
            stopped = stopped or self.ledger.join(sid, owner) not in ("asked", "confirmed")
        if stopped:
            why = "belongs to this task before it was cleared: stopping it" if cleared else "is being stopped: waiting for its end"
            say(f"{sid} {why}")
            self.cancel_and_wait(sid)
        return not stopped

    # -- following (the triggerer's side) ------------------------------------------------------------------------------

    async def follow(self, submission_id: str, *, poll_s: float = 1.0) -> AsyncIterator[str | Job]:
        """Yield each new complete log line while the job runs, and at last the ended job itself.

        Raises:
            ServiceError: the job is forgotten, or its launcher stays unreachable.
        """
        offset, rest = 0, ""
        async with self._watching(submission_id) as look:
            while True:
                job, part = await look(offset)
                if job is None:
                    raise ServiceError(f"{self.called} {submission_id} is gone", self.way_back)
                offset, rest = part.end, rest + part.text
                whole = len(rest) if job.terminal else rest.rfind("\n") + 1
                for line in data_lines(rest[:whole]):
                    yield line
                rest = rest[whole:]
                if job.terminal:
                    yield job
                    return
                await asyncio.sleep(poll_s)

    def _watching(self, submission_id: str) -> AbstractAsyncContextManager[Look]:
        """What a follower looks with; a launcher that has an asynchronous client holds one connection here."""
        return _in_threads(self, submission_id)


@asynccontextmanager
async def _in_threads(launcher: Launcher, submission_id: str) -> AsyncIterator[Look]:
    def both(offset: int) -> tuple[Job | None, LogPart]:
        job = launcher.describe(submission_id)
        return job, launcher.log_from(submission_id, offset) if job is not None else LogPart("", offset)

    async def look(offset: int) -> tuple[Job | None, LogPart]:
        return await asyncio.to_thread(both, offset)

    yield look
