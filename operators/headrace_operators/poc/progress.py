"""Follow a DAG run on the terminal: a live table where there is one, plain lines where there is none."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from headrace_operators.airflow_api import AirflowApi

_STYLE = {
    "success": "green",
    "failed": "bold red",
    "upstream_failed": "red",
    "running": "cyan",
    "deferred": "cyan",
    "awaiting_input": "yellow",
}
_WORD = {"deferred": "running on Ray", "running": "starting", "awaiting_input": "waiting for a human", "upstream_failed": "not reached"}


def follow_run(api: AirflowApi, dag_id: str, run_id: str, order: list[str], console: Console, *, within_s: float) -> str:
    """Show the tasks of a run until it ends; returns the run's state.

    Args:
        order: task ids in the order to show.
    """
    began = time.monotonic()
    states = ["queued"]
    seen: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=console, refresh_per_second=2)) if console.is_terminal else None
        for state, tasks in api.follow(dag_id, run_id, within_s=within_s):
            states.append(state)
            if live is not None:
                live.update(_table(tasks, order, state, time.monotonic() - began))
            else:
                _lines(console, tasks, seen, time.monotonic() - began)
    return states[-1]


def _lines(console: Console, tasks: list[dict[str, Any]], seen: dict[str, str], seconds: float) -> None:
    for task in tasks:
        name, now = task["task_id"], str(task["state"])
        if now not in ("None", "scheduled", "queued", seen.get(name)):
            seen[name] = now
            console.print(f"{seconds:6.1f} s  {name}: {_word(now)}{_took(task)}", highlight=False)


def _table(tasks: list[dict[str, Any]], order: list[str], state: str, seconds: float) -> Table:
    table = Table(title=f"run {state}, {seconds:.0f} s", title_justify="left")
    for name in ("task", "state", "seconds"):
        table.add_column(name)
    known = {task["task_id"]: task for task in tasks}
    for name in order:
        task = known.get(name, {"state": None})
        now = str(task["state"])
        table.add_row(name, f"[{_STYLE.get(now, 'dim')}]{_word(now)}[/]", _took(task).strip(" ()"))
    return table


def _word(state: str) -> str:
    return "" if state == "None" else _WORD.get(state, state)


def _took(task: dict[str, Any]) -> str:
    started, ended = task.get("start_date"), task.get("end_date")
    if not started or not ended:
        return ""
    seconds = (datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(started))).total_seconds()
    return f" ({seconds:.1f} s)"
