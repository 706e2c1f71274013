"""What a run needs to go on while it is followed: services that live, and no task that Airflow has lost.

After a reboot, a `kill -9` or a `headrace services down`, Airflow's database still says "running". Its components, started again, take
up most of it by themselves: a queued task after `ORPHANS_EVERY_S`, a task whose runner died after `RUNNER_SILENT_S`, a deferred one
after `TRIGGERER_SILENT_S`. What then still hangs is cleared: its remote job is stopped and it runs again, adopting what it had finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from headrace_lake.errors import HeadraceError, ServiceError
from headrace_operators.airflow_api import AirflowApi
from headrace_operators.poc.runs import DAG_ID, Say
from headrace_operators.poc.states import duration
from headrace_operators.services.airflow import ORPHANS_EVERY_S, RUNNER_SILENT_S, TRIGGERER_SILENT_S
from headrace_operators.services.local import LocalServices

LOOK_EVERY_S = 10.0
STUCK_S = 3.0 * max(ORPHANS_EVERY_S, RUNNER_SILENT_S, TRIGGERER_SILENT_S)
"""A task that needs a process of its own (`queued`, `running`: seconds each) and keeps it so long is lost. Deferred ones may last."""
STOPPED_S = 15.0
"""Services may be away so long, for another command stops and starts them; then they were stopped for good."""
SILENT_S = 180.0
"""How long Airflow may give no answer while its processes live."""
_OWN_PROCESS = ("queued", "running", "restarting")


class Upkeep:
    """Looks after the services and tasks of one run."""

    def __init__(self, services: LocalServices, api: AirflowApi, run_id: str, say: Say, now: Callable[[], float] = time.monotonic) -> None:
        self.services, self.api, self.run_id, self.say, self._now = services, api, run_id, say, now
        self._looked = self._answered = self._stopped_at = now()
        self._since: dict[str, tuple[tuple[str, int], float]] = {}
        self._cleared: set[str] = set()

    def look(self, tasks: list[dict[str, Any]]) -> None:
        """Called with every answer of Airflow: starts again what has died, clears what is stuck.

        Raises:
            ServiceError: another command has stopped the services.
        """
        now = self._now()
        self._answered = now
        self._keep_services(now)
        for task in tasks:
            name, state = str(task["task_id"]), (str(task["state"]), int(task.get("try_number") or 0))
            if self._since.get(name, (None, 0.0))[0] != state:
                self._since[name] = (state, now)
            stuck_s = now - self._since[name][1]
            if state[0] in _OWN_PROCESS and stuck_s > STUCK_S and name not in self._cleared:
                self._cleared.add(name)
                self.say(f"{name} has been {state[0]} for {duration(stuck_s)}, which takes seconds: cleared, it runs again")
                self.api.clear(DAG_ID, self.run_id, [name], downstream=False)

    def no_answer(self, problem: ServiceError) -> None:
        """Called when Airflow did not answer.

        Raises:
            ServiceError: the same, if its processes live and it has been silent for `SILENT_S`; or they were stopped on purpose.
        """
        now = self._now()
        if self._keep_services(now, at_once=True):
            self._answered = self._now()
        elif now - self._answered > SILENT_S:
            raise problem

    def _keep_services(self, now: float, *, at_once: bool = False) -> bool:
        """Start again what has died; returns whether something had. What was stopped on purpose stays so."""
        if not at_once and now - self._looked < LOOK_EVERY_S:
            return False
        self._looked = now
        stopped = self.services.stopped()
        if not stopped:
            self._stopped_at = now
        elif now - self._stopped_at > STOPPED_S:
            raise ServiceError(
                f"{', '.join(stopped)}: stopped by another command", "`headrace poc` starts what is missing and goes on with the run"
            )
        died = self.services.died()
        if not died:
            return False
        self.say(f"{', '.join(died)}: ended while the run goes on; started again")
        try:
            self.services.up(tuple(died), say=self.say)
        except HeadraceError as exc:  # once more at the next look; Airflow's silence ends it
            self.say(str(exc))
        return True
