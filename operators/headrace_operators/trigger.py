"""The triggerer's side of a remote job: streams its log into the task log and fires when it has ended.

The triggerer is one asyncio process for all waiting tasks, so nothing here blocks. A restarted triggerer starts a
trigger again: the remote log is then printed from its beginning, once more, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from headrace_lake.errors import HeadraceError
from headrace_operators.ray_jobs import Job, RayJobs, error_line, result_of

_TAIL_CHARS = 2000
"""How much of the end of a log travels with the event: enough for the error's line, small enough for the database."""


class RayJobTrigger(BaseTrigger):
    """Follow one Ray job.

    Args:
        address: job API of the Ray head.
        token_file: path of the token (the path travels through the database, the token never does).
        lost: how often a Ray head had forgotten the task's job before this one was submitted.
        owned: whether killing the task may stop the job; attached jobs of another run are left alone.
    """

    def __init__(self, address: str, token_file: str, submission_id: str, owned: bool = True, poll_s: float = 1.0, lost: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.address = address
        self.token_file = token_file
        self.submission_id = submission_id
        self.owned = owned
        self.poll_s = poll_s
        self.lost = lost

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        arguments = {
            "address": self.address,
            "token_file": self.token_file,
            "submission_id": self.submission_id,
            "owned": self.owned,
            "poll_s": self.poll_s,
            "lost": self.lost,
        }
        return "headrace_operators.trigger.RayJobTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Print each remote line into the task log; one event when the job has ended."""
        client = RayJobs(self.address, self.token_file)
        lines: list[str] = []
        try:
            async for item in client.follow(self.submission_id, poll_s=self.poll_s):
                if isinstance(item, Job):
                    text = "\n".join(lines)
                    yield _event(
                        {
                            "submission_id": item.submission_id,
                            "status": item.status,
                            "message": item.message[:_TAIL_CHARS],
                            "result": result_of(text),
                            "error": "" if item.ended_well else error_line(text),
                        }
                    )
                    return
                self.log.info("%s", item)
                lines = [*lines[-200:], item]
        except HeadraceError as exc:
            told = {"message": str(exc), "result": {}, "error": str(exc)}
            yield _event({"submission_id": self.submission_id, "status": "LOST", "lost": self.lost, **told})

    async def on_kill(self) -> None:
        """The task was cleared, marked failed or marked succeeded by a human: stop the remote job."""
        if not self.owned:
            self.log.info("%s belongs to another task: it keeps running", self.submission_id)
            return
        self.log.info("stopping %s", self.submission_id)
        await RayJobs(self.address, self.token_file).astop(self.submission_id)


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
