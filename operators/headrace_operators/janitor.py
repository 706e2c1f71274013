"""Janitor of remote jobs: stops those whose tasks Airflow no longer has at work, beside every API server.

A task that is ended by hand normally stops its job itself: the worker while it submits, the triggerer afterwards. Neither happens when
that process is dead, was killed meanwhile, or never learns of it (a deleted run). So each API server, through which people act, compares
the ledger of jobs with Airflow's task instances every few seconds. Several janitors do no harm. It answers no requests: it is a FastAPI
application of the plugin because Airflow starts those with the server.

A job belongs to a task instance as long as this is neither ended nor cleared: a task that waits for its retry keeps its job, which the
retry then adopts. While Airflow is down nothing is stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from headrace_lake.errors import HeadraceError
from headrace_lake.jobs.owner import Owner
from headrace_operators.launchers import Launcher, Patience, launcher_of
from headrace_operators.operator_env import current_settings

EVERY_S = 3.0
_TELL_EVERY_S = 60.0
_log = logging.getLogger(__name__)

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed", "restarting"})
"""States of a task instance that nobody works for; `restarting` is what clearing makes of a running one."""

Key = tuple[str, str, str, int]
"""dag_id, run_id, task_id, map_index."""


@dataclass(frozen=True)
class TaskState:
    """A task instance as Airflow's database has it."""

    state: str | None
    max_tries: int


def still_at_work(owner: Owner, task: TaskState | None) -> bool:
    """Is the task there, neither ended nor cleared since it asked for its job?"""
    return task is not None and task.max_tries == owner.generation and str(task.state) not in ENDED


class Janitor:
    """Stops orphaned jobs.

    Args:
        look_up: task instances of some runs, by key; those that are not there are left out.
    """

    def __init__(self, launcher: Launcher, look_up: Callable[[Collection[str]], Mapping[Key, TaskState]]) -> None:
        assert launcher.ledger is not None
        self.launcher = launcher
        self.ledger = launcher.ledger
        self._look_up = look_up
        self._restless = True  # something may have been recorded as stopped that still runs

    def sweep(self) -> list[str]:
        """Stop every job that no task at work follows; returns the ids that were stopped where they run."""
        waiting = self.ledger.open_jobs()
        if not waiting and not self._restless:
            return []
        owners = {sid: self.ledger.owners(sid) for sid in waiting}
        tasks = self._look_up({owner.run_id for each in owners.values() for owner in each}) if waiting else {}
        for sid, each in owners.items():
            for owner in each:
                task = tasks.get((owner.dag_id, owner.run_id, owner.task_id, owner.map_index))
                if not still_at_work(owner, task):
                    self.ledger.release(sid, owner, f"{owner} was {task.state or 'cleared' if task else 'deleted'} in Airflow")
        stopped = self._stop()
        self._restless = bool(waiting or stopped)
        return stopped

    def _stop(self) -> list[str]:
        """Stop what the ledger has as stopped and still runs: also what somebody before us recorded and did not live to stop."""
        stopped = []
        for job in self.launcher.jobs():
            entry = None if job.terminal else self.ledger.entry(job.submission_id)
            if entry is not None and entry.state in ("stopped", "expired"):
                _log.warning("stopping %s %s: %s", self.launcher.called, job.submission_id, entry.reason)
                self.launcher.cancel(job.submission_id)
                stopped.append(job.submission_id)
        return stopped


def airflow_tasks(run_ids: Collection[str]) -> dict[Key, TaskState]:
    """Task instances of these runs, from Airflow's own database: for Airflow's servers only."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    columns = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    wanted = select(*columns, TaskInstance.state, TaskInstance.max_tries).where(TaskInstance.run_id.in_(list(run_ids)))
    with create_session() as session:
        return {(r[0], r[1], r[2], r[3]): TaskState(r[4], r[5]) for r in session.execute(wanted)}


def keep_sweeping(until: threading.Event, every_s: float = EVERY_S) -> None:
    """Sweep until told to end; what fails is told once a minute and tried again."""
    janitor, told = None, -_TELL_EVERY_S
    while not until.wait(every_s):
        try:
            if janitor is None:
                janitor = Janitor(launcher_of(current_settings()[0], patience=Patience(answer_s=10.0)), airflow_tasks)
            janitor.sweep()
        except Exception as exc:  # whatever it is, the server must live on and the janitor with it
            if time.monotonic() - told >= _TELL_EVERY_S:
                told = time.monotonic()
                _log.warning("looking for orphaned jobs: %s", exc, exc_info=not isinstance(exc, HeadraceError))


@asynccontextmanager
async def _beside_the_server(_: FastAPI) -> AsyncIterator[None]:
    until = threading.Event()
    threading.Thread(target=keep_sweeping, args=(until,), name="headrace-janitor", daemon=True).start()
    yield
    until.set()


janitor_app = FastAPI(title="Headrace janitor", lifespan=_beside_the_server, docs_url=None, redoc_url=None, openapi_url=None)
