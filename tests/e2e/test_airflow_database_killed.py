"""`kill -9` of Airflow's PostgreSQL at seeded moments while runs go on: it is started again, and every run succeeds.

Each run has a task whose command works on Ray for some seconds, so a moment may fall into a trigger's request, a scheduler's transaction,
a deferral or a task's report. A task whose report the API server could not take fails that attempt; it is retried, as the checkout's are.
`scripts/kill-postgres [TIMES]` does the same more often.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

from patience import PATIENCE_S

from headrace_lake.errors import ServiceError

SEED = 20261130
TIMES = int(os.environ.get("HEADRACE_DATABASE_KILLS") or 2)
RUNS = 3
AWAY_UP_TO_S = 3.0
"""How long the database is away each time."""


def test_runs_go_on_when_the_database_is_killed_and_started_again(stack: Any) -> None:
    rng = random.Random(SEED)
    services, began = stack.services, time.monotonic()
    runs: list[str] = []
    for number in range(TIMES):
        if number % 2 == 0:  # so that there is always something at work
            runs += [stack.admin.trigger("probe_retried", {"tag": f"killed-{number}-{n}"}) for n in range(RUNS)]
        after_s, away_s = rng.uniform(0.5, 8.0), rng.uniform(0.0, AWAY_UP_TO_S)
        time.sleep(after_s)
        states = _states(stack, runs)
        pid = services.postgres.daemon.pid()
        os.kill(pid, signal.SIGKILL)
        time.sleep(away_s)
        restarted = time.monotonic()
        services.up(("postgres",))
        print(f"{number + 1:3} after {after_s:4.1f} s, away {away_s + time.monotonic() - restarted:4.1f} s, runs were {states}", flush=True)
        assert services.postgres.daemon.pid() not in (None, pid)
        _answers(stack)
    deadline = time.monotonic() + PATIENCE_S + 20 * TIMES
    while not set(states := _states(stack, runs)) <= {"success", "failed"}:
        assert time.monotonic() < deadline, states
        time.sleep(1)
    assert states == {"success": len(runs)}
    assert services.died() == [], "what the database's absence ended is running again"
    print(f"{TIMES} kills, {len(runs)} runs, all succeeded, {time.monotonic() - began:.0f} s")


def _states(stack: Any, runs: list[str]) -> dict[str, int]:
    found = [stack.admin.run("probe_retried", run)["state"] for run in runs]
    return {state: found.count(state) for state in sorted(set(found))}


def _answers(stack: Any, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            stack.admin.call("GET", "/dags/probe_retried")
            return
        except ServiceError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
