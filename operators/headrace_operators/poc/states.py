"""States of a run's tasks in words that never go backwards.

Airflow's state of a deferred task goes queued, running, deferred, queued, running, success: the second `running` is a process that takes
over the result of the remote job, for a second or two. Shown as they are, a task seemed to start again when it was about to end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

STYLE = {
    "success": "green",
    "failed": "bold red",
    "upstream_failed": "red",
    "running": "cyan",
    "deferred": "cyan",
    "awaiting_input": "yellow",
    "up_for_retry": "yellow",
}
ENDED = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})
_AWAY = frozenset({"deferred", "awaiting_input"})
_WORD = {
    "awaiting_input": "waiting for a human",
    "upstream_failed": "not reached",
    "up_for_retry": "failed, will be tried again",
    "restarting": "cleared, stopping before it runs again",
}


class TaskWords:
    """What each task of a run is doing, from the states as they are polled.

    Args:
        came_back: whether a task that is `running` when it is first seen has a remote job that ended: then it is not starting.
        on: where remote jobs run.
    """

    def __init__(self, came_back: Callable[[str], bool] = lambda _: False, *, on: str = "Ray") -> None:
        self._came_back = came_back
        self._words = {**_WORD, "deferred": f"running on {on}"}
        self._away: set[tuple[str, int]] = set()
        self._seen: set[tuple[str, int]] = set()

    def word(self, task: Mapping[str, Any]) -> str:
        """One word or two for people; empty for a task that has not been reached."""
        name, state, attempt = str(task["task_id"]), str(task.get("state")), int(task.get("try_number") or 0)
        this = (name, attempt)
        if state in _AWAY or (state == "running" and this not in self._seen and self._came_back(name)):
            self._away.add(this)
        if state not in ("None", "scheduled", "queued"):
            self._seen.add(this)
        again = f" (attempt {attempt})" if attempt > 1 and state not in ENDED else ""
        if state in ("None", "scheduled", "queued"):
            return "finishing" if this in self._away else "" if state == "None" else "queued" + again
        if state == "running":
            return ("finishing" if this in self._away else "starting") + again
        return self._words.get(state, state) + again


def active(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks that have begun and not ended."""
    return [t for t in tasks if str(t.get("state")) not in ENDED | {"None", "scheduled"} and t.get("start_date")]


def took(task: Mapping[str, Any]) -> str:
    """How long an ended task took, in brackets; empty while it runs."""
    seconds = seconds_of(task)
    return "" if seconds is None else f" ({seconds:.1f} s)"


def seconds_of(task: Mapping[str, Any]) -> float | None:
    """Seconds that an ended task took, the time of its remote job included; None while it runs."""
    started, ended = _time(task.get("start_date")), _time(task.get("end_date"))
    if started is None or ended is None or str(task.get("state")) not in ENDED:
        return None
    return (ended - started).total_seconds()


def since(task: Mapping[str, Any], now: datetime | None = None) -> str:
    """When a task began, and how long ago that is: `for 95 s, since 10:01:03 UTC`."""
    started = _time(task.get("start_date"))
    if started is None:
        return ""
    passed = ((now or datetime.now(UTC)) - started).total_seconds()
    return f"for {duration(passed)}, since {started.astimezone(UTC):%H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """`95 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _time(value: Any) -> datetime | None:
    if not value:
        return None
    text = str(value)
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
