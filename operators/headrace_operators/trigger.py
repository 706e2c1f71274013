"""The triggerer's side of a remote job: streams its log into the task log and fires when it has ended.

The triggerer is one asyncio process for all waiting tasks, so nothing here blocks. A restarted triggerer starts a
trigger again: the remote log is then printed from its beginning, once more, and nothing else changes.

A trigger runs only while Airflow has its task as deferred, so it is the place where a job is confirmed: until then the job waits, and does
nothing for a task that was ended while it submitted (`headrace_lake.jobs.start`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from headrace_lake.errors import HeadraceError
from headrace_lake.foreign_text import log_line
from headrace_lake.jobs.owner import Owner
from headrace_operators.launchers import Ensured, Job, Launcher, error_line, launcher_of, result_of
from headrace_operators.operator_env import current_settings

_TAIL_CHARS = 2000
"""How much of the end of a log travels with the event: enough for the error's line, small enough for the database."""


class JobTrigger(BaseTrigger):
    """Follow one remote job.

    Args:
        place: where its launcher finds it (`Launcher.place`; it travels through the database and holds no secret).
        lost: how often a launcher had forgotten the task's job before this one was submitted.
        owned: whether killing the task may stop a job that no ledger knows; attached jobs of another run are left alone.
        owner: the task, as `Owner`'s fields: what it lets go of when it is killed.
    """

    def __init__(
        self,
        place: dict[str, str],
        submission_id: str,
        owned: bool = True,
        poll_s: float = 1.0,
        lost: int = 0,
        owner: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.owner = owner
        self.place = place
        self.submission_id = submission_id
        self.owned = owned
        self.poll_s = poll_s
        self.lost = lost

    @classmethod
    def of(cls, launcher: Launcher, ensured: Ensured, poll_s: float = 1.0, lost: int = 0) -> JobTrigger:
        """The trigger of a job that was asked for."""
        return cls(launcher.place(), ensured.job.submission_id, ensured.owned, poll_s, lost, asdict(ensured.owner))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        arguments = {
            "place": self.place,
            "submission_id": self.submission_id,
            "owned": self.owned,
            "poll_s": self.poll_s,
            "lost": self.lost,
            "owner": self.owner,
        }
        return "headrace_operators.trigger.JobTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Confirm the job, print each remote line into the task log; one event when the job has ended."""
        lines: list[str] = []
        try:
            launcher = await asyncio.to_thread(self._launcher)
            assert launcher.ledger is not None
            await asyncio.to_thread(launcher.ledger.confirm, self.submission_id)
            async for item in launcher.follow(self.submission_id, poll_s=self.poll_s):
                if isinstance(item, Job):
                    yield _event(await asyncio.to_thread(self._told, launcher, item, "\n".join(lines)))
                    return
                self.log.info("%s", log_line(item))
                lines = [*lines[-200:], item]
        except HeadraceError as exc:
            yield _event(self._lost(str(exc)))

    def _launcher(self) -> Launcher:
        return launcher_of(current_settings()[0], place=self.place)

    def _told(self, launcher: Launcher, job: Job, log: str) -> dict[str, Any]:
        """What the task is to know of its job's end."""
        assert launcher.ledger is not None
        launcher.ledger.ended(job.submission_id)
        entry = launcher.ledger.entry(job.submission_id)
        if entry is not None and entry.state == "expired":
            return self._lost(f"{job.submission_id} was not confirmed in time and did nothing")
        stopped = entry is not None and entry.state == "stopped"
        return {
            "submission_id": job.submission_id,
            "called": launcher.called,
            "status": "STOPPED" if stopped else job.status,
            "exit_code": job.exit_code,
            "message": job.message[:_TAIL_CHARS],
            "result": result_of(log),
            "error": "" if job.ended_well and not stopped else entry.reason if stopped and entry is not None else error_line(log),
            "by_hand": entry is not None and entry.by_hand,
        }

    def _lost(self, why: str) -> dict[str, Any]:
        return {"submission_id": self.submission_id, "status": "LOST", "lost": self.lost, "message": why, "result": {}, "error": why}

    async def on_kill(self) -> None:
        """The task was cleared, marked failed or marked succeeded by a human: let go of the job, which stops it unless others follow it."""
        launcher = await asyncio.to_thread(self._launcher)
        if not await asyncio.to_thread(self._let_go, launcher):
            self.log.info("%s belongs to another task: it keeps running", self.submission_id)
            return
        self.log.info("stopping %s", self.submission_id)
        await asyncio.to_thread(launcher.cancel, self.submission_id)

    def _let_go(self, launcher: Launcher) -> bool:
        assert launcher.ledger is not None
        if self.owner is None or launcher.ledger.entry(self.submission_id) is None:
            return self.owned
        owner = Owner(**self.owner)
        return launcher.ledger.release(self.submission_id, owner, f"{owner} was ended or cleared in Airflow")


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
