"""`RefusalTrigger`: writes the reason of a refused approval onto the gate's page, where the answer stood.

Only the triggerer may write the answer of a human-in-the-loop task (Airflow does so when one times out); a task may only take it away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from airflow.sdk.execution_time.hitl import update_hitl_detail_response
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async


class RefusalTrigger(BaseTrigger):
    """Answer a gate with its refusal.

    Args:
        ti_id: the gate's task instance.
        option: the answer to show.
        reason: why the approval does not count, for the form's field `reason`.
    """

    def __init__(self, ti_id: str, option: str, reason: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ti_id = ti_id
        self.option = option
        self.reason = reason

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        return "headrace_operators.refusal.RefusalTrigger", {"ti_id": self.ti_id, "option": self.option, "reason": self.reason}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Write it, then wake the task. A page that cannot be written must not keep a refused gate waiting."""
        try:
            await sync_to_async(update_hitl_detail_response)(UUID(self.ti_id), [self.option], {"reason": self.reason})
        except Exception:  # a second answer came first, or the API server is away: the log has the reason
            self.log.exception("the gate's page does not show why the approval was refused")
        yield TriggerEvent({"refused": self.reason})  # type: ignore[no-untyped-call]
