"""Airflow's LocalExecutor, which knows the end of a deferred task's process from the end of the task.

A task that defers and is resumed keeps its key, so that its two processes look alike. Airflow 3.3 can take a report of the first one's
end, read after the second one has begun, for a crash of the second, and fails the task (apache/airflow issues 71580 and 72716, open in
September 2026). Here a report counts only if no later process of the same key was started.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState

_ENDED = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED)


class ResumingLocalExecutor(LocalExecutor):
    """For `core.executor`: `headrace_operators.services.executor.ResumingLocalExecutor`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._processes: Counter[Any] = Counter()  # started and not reported as ended, by key

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]
        self._processes.update(workload.key for workload in workload_list)

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Hand a state on to the scheduler, unless it is the end of a process that another one has taken over from."""
        if state in _ENDED:
            self._processes[key] -= 1
            if self._processes[key] > 0:
                self.log.info("a process of %s ended that was deferred; the one that resumed it goes on", key)
                return
            del self._processes[key]
        super().change_state(key, state, info, remove_running)
