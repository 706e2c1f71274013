"""Follow a DAG run on the terminal: a live table where there is one, else plain lines. A long wait says what it waits for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from headrace_lake.errors import ServiceError
from headrace_operators.airflow_api import RUN_ENDED, AirflowApi
from headrace_operators.launchers import Launcher, last_words
from headrace_operators.poc.note import NoteFile
from headrace_operators.poc.runs import DAG_ID, remote_job
from headrace_operators.poc.states import STYLE, TaskWords, active, duration, since, took
from headrace_operators.poc.upkeep import Upkeep

SAY_EVERY_S = 30.0
"""A wait in which nothing changes is told again after so long."""
POLL_S, POLL_AT_MOST_S = 1.0, 3.0
"""The longer nothing changes, the less often Airflow is asked: its answers cost a busy machine a tenth of a second each."""


class Follower:
    """Shows one run until it ends.

    Args:
        order: task ids in the order to show.
        clock: seconds since the command began, for the lines.
        note: kept up to date, so that the next command can tell at once what this one saw.
    """

    def __init__(
        self,
        api: AirflowApi,
        launcher: Launcher,
        run_id: str,
        order: list[str],
        console: Console,
        clock: Callable[[], float],
        note: NoteFile,
    ) -> None:
        self.api, self.launcher, self.run_id, self.order = api, launcher, run_id, order
        self.console, self.clock, self.note = console, clock, note
        self.words = TaskWords(self._came_back, on=launcher.on)
        self._shown: dict[str, str] = {}
        self._doing: dict[str, str] = {}
        self._changed = self._told = time.monotonic()
        self._caption = ""

    def attach_line(self, state: str, tasks: list[dict[str, Any]]) -> str:
        """What a run that is under way has done and is waiting for."""
        done = [t for t in tasks if t["state"] == "success"]
        self._look(tasks)
        for task in tasks:  # they have been told, all in one line
            self._shown[str(task["task_id"])] = self.words.word(task)
        return f"{state}, {len(done)} of {len(tasks)} tasks done; {self.waiting_for(tasks)}"

    def waiting_for(self, tasks: list[dict[str, Any]]) -> str:
        """The tasks that run, and since when; or what comes next."""
        busy = [f"{t['task_id']} ({self.words.word(t)} {since(t)})" for t in active(tasks)]
        if busy:
            return f"waiting for {', '.join(busy)}"
        ahead = {str(t["task_id"]) for t in tasks if t["state"] is None or str(t["state"]) in ("scheduled", "queued", "None")}
        following = next((name for name in self.order if name in ahead), "")
        return f"waiting for Airflow to start {following}" if following else "waiting for Airflow to close the run"

    def follow(self, upkeep: Upkeep) -> str:
        """Show the run until it ends; returns its state.

        Raises:
            ServiceError: Airflow stays away although its processes live.
        """
        with contextlib.ExitStack() as stack:
            live = stack.enter_context(Live(console=self.console, refresh_per_second=2)) if self.console.is_terminal else None
            while True:
                try:
                    state = str(self.api.run(DAG_ID, self.run_id)["state"])
                    tasks = self.api.tasks(DAG_ID, self.run_id)
                except ServiceError as exc:
                    upkeep.no_answer(exc)
                    time.sleep(POLL_S)
                    continue
                upkeep.look(tasks)
                self._look(tasks)
                if live is not None:
                    live.update(self._table(state, tasks))
                else:
                    self._lines(state, tasks)
                if state in RUN_ENDED:
                    return state
                quiet = time.monotonic() - self._changed
                time.sleep(min(POLL_AT_MOST_S, POLL_S + quiet / 30))

    def _look(self, tasks: list[dict[str, Any]]) -> None:
        """Note what every task is doing, here and in the folder's note."""
        doing = {str(t["task_id"]): self.words.word(t) for t in tasks}
        if doing != self._doing:
            self._doing, self._changed = doing, time.monotonic()
            self.note.write(self.run_id, {t["task_id"]: f"{doing[t['task_id']]} {since(t)}" for t in active(tasks)})

    def _came_back(self, task_id: str) -> bool:
        sid = remote_job(self.api, self.run_id, task_id)
        if not sid:
            return False
        with contextlib.suppress(ServiceError):
            job = self.launcher.describe(sid)
            return job is None or job.terminal
        return False

    def _lines(self, state: str, tasks: list[dict[str, Any]]) -> None:
        told = False
        for task in tasks:
            name, word = str(task["task_id"]), self._doing[str(task["task_id"])]
            if word and not word.startswith("queued") and word != self._shown.get(name):
                self._shown[name] = word
                told = True
                self.console.print(f"{self.clock():6.1f} s  {name}: {word}{took(task)}", highlight=False, markup=False)
        if told or state in RUN_ENDED:
            self._told = time.monotonic()
        elif time.monotonic() - self._told > SAY_EVERY_S:
            self._told = time.monotonic()
            said = self._last_words(tasks)
            line = f"{self.clock():6.1f} s  {self.waiting_for(tasks)}{f': {said}' if said else ''}"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _table(self, state: str, tasks: list[dict[str, Any]]) -> Group:
        table = Table(title=f"run {state}, {duration(self.clock())}", title_justify="left")
        for name in ("task", "state", "seconds"):
            table.add_column(name)
        known = {str(task["task_id"]): task for task in tasks}
        for name in self.order:
            task = known.get(name, {"task_id": name, "state": None})
            now = str(task["state"])
            seconds = took(task).strip(" ()") or since(task).partition(",")[0]
            table.add_row(name, f"[{STYLE.get(now, 'dim')}]{escape(self._doing.get(name, ''))}[/]", seconds)
        if time.monotonic() - self._told > SAY_EVERY_S / 3:
            self._told = time.monotonic()
            self._caption = self._last_words(tasks)
        return Group(table, Text(self._caption, style="dim", no_wrap=True, overflow="ellipsis"))

    def _last_words(self, tasks: list[dict[str, Any]]) -> str:
        """The last line that a remote command printed, for whoever wonders whether it goes on."""
        for task in active(tasks):
            if task["state"] == "deferred" and (sid := remote_job(self.api, self.run_id, str(task["task_id"]))):
                with contextlib.suppress(ServiceError):
                    return last_words(self.launcher.logs(sid))
        return ""
