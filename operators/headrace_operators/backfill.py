"""`headrace backfill`: the runs of a range of days for one source, previewed, started and followed in Airflow.

Airflow's own dialog and REST call do the same. This command closes three traps of theirs: without `dag_run_conf` a backfill takes the
form's default instead of your source; the runs of a paused DAG are queued and never start; and there is one backfill of a DAG at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_lake.errors import ConfigError, ServiceError
from headrace_lake.settings import SERVICES_FOLDER, SETTINGS_FILE
from headrace_lake.terminal.console import JsonOption, echo, emit_result, show_table

DAG = "ingest_text"
POLL_S = 2.0
STILL_EVERY_S = 30.0
"""A line is printed when a run changes, and at least so often."""


def backfill(
    dag: Annotated[str, typer.Argument(help="The DAG; only one with daily intervals can be backfilled.")] = DAG,
    source: Annotated[str, typer.Option("--source", help="One source, 'scheduled' or 'all'.")] = "",
    first: Annotated[str, typer.Option("--from", help="First day, such as 2026-11-01.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last day; the first by default.")] = "",
    executor: Annotated[str, typer.Option("--executor", help="ray or local: where stages run; as the DAG's form says by default.")] = "",
    active_runs: Annotated[int, typer.Option("--active-runs", min=1, help="Days that run side by side.")] = 1,
    unpause: Annotated[bool, typer.Option("--unpause", help="Unpause the DAG if it is paused.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which runs there would be.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the runs until all have ended.")] = True,
    folder: Annotated[Path, typer.Option("--folder", help="Where `headrace services` keep their state.")] = SERVICES_FOLDER,
    user: Annotated[str, typer.Option("--user", help="A user of the local Airflow.")] = "admin",
    as_json: JsonOption = False,
) -> None:
    """Backfill days of a source in the local Airflow: one run, one slice a day."""
    from headrace_operators.airflow_api import AirflowApi
    from headrace_operators.services.local import LocalServices

    begin, end = _days(first, last)
    if not source:
        raise ConfigError("no --source: a backfill would take the form's default", "name a source, 'scheduled' or 'all'")
    if not (folder / SETTINGS_FILE).exists():  # looking makes no settings
        raise ConfigError(f"nothing was ever started in {folder}", "'headrace services up' or 'make poc' starts Airflow")
    airflow = LocalServices(folder, Path.cwd()).airflow
    api = AirflowApi.of_passwords(airflow.address, airflow.passwords_file, user)
    try:
        conf = {"source": source, **({"executor": executor} if executor else {})}
        days = [day.date() for day in api.backfill_days(dag, begin, end, conf)]
        show_table(f"backfill of {dag}, source {source}", ("run of", "slices"), [(str(day), f"{source}/{day}") for day in days])
        if not days:
            raise ConfigError(f"no interval of {dag} between {begin.date()} and {end.date()} has ended", "choose days that are over")
        if dry_run:
            emit_result({"days": [str(day) for day in days], "started": False})
            return
        number = start(api, dag, begin, end, conf, active_runs=active_runs, unpause=unpause)
        echo(f"backfill {number} of {len(days)} runs: {api.address}/dags/{dag}/backfills")
        if not wait:
            emit_result({"days": [str(day) for day in days], "started": True, "backfill": number})
            return
        states = follow(api, dag, days, say=echo)
        emit_result({"days": [str(day) for day in days], "started": True, "backfill": number, "runs": states})
        failed = sorted(run for run, state in states.items() if state != "success")
        if failed:
            raise ServiceError(f"{len(failed)} of {len(states)} runs failed: {', '.join(failed)}", "read their logs in the Airflow UI")
    except KeyboardInterrupt:
        echo(f"\nThe backfill goes on in Airflow: {api.address}/dags/{dag}/backfills ends or pauses it.", err=True)
        raise typer.Exit(130) from None
    finally:
        api.close()


def start(api: Any, dag: str, first: datetime, last: datetime, conf: dict[str, Any], *, active_runs: int = 1, unpause: bool = False) -> int:
    """Start a backfill; returns its number.

    Raises:
        ServiceError: the DAG is paused, or another backfill of it has not ended; says which.
    """
    other = api.active_backfill(dag)
    if other is not None:
        days = f"{other['from_date'][:10]} to {other['to_date'][:10]}"
        raise ServiceError(
            f"backfill {other['id']} of {dag} ({days}) has not ended", "wait for it, or cancel it on the DAG's page, Backfills"
        )
    if unpause:
        api.unpause(dag)
    return int(api.backfill(dag, first, last, conf, active_runs=active_runs))


def follow(api: Any, dag: str, days: list[date], *, say: Callable[[str], None], poll_s: float = POLL_S) -> dict[str, str]:
    """Wait until all runs of these days have ended; returns run id → state. Says what changes, with the share that is done."""
    said: dict[str, str] = {}
    began = told = time.monotonic()
    while True:
        logical = {"logical_date_gte": _midnight(days[0]).isoformat(), "logical_date_lte": _midnight(days[-1]).isoformat()}
        states = {str(run["dag_run_id"]): str(run["state"]) for run in api.runs(dag, run_type="backfill", **logical)}
        done = sum(state in ("success", "failed") for state in states.values())
        for run, state in sorted(states.items()):
            if said.get(run) != state:
                say(f"{_clock(began)}  {run}: {state}  ({done} of {len(days)} ended)")
                told = time.monotonic()
        if time.monotonic() - told > STILL_EVERY_S:
            say(f"{_clock(began)}  {done} of {len(days)} ended, {sum(s == 'running' for s in states.values())} running")
            told = time.monotonic()
        said = states
        if states and done == len(states) and api.active_backfill(dag) is None:
            return states
        time.sleep(poll_s)


def _days(first: str, last: str) -> tuple[datetime, datetime]:
    try:
        begin = date.fromisoformat(first)
        end = date.fromisoformat(last or first)
    except ValueError as exc:
        raise ConfigError(f"--from '{first}', --to '{last}': {exc}", "write days as 2026-11-01") from exc
    if end < begin:
        raise ConfigError(f"--to {end} is before --from {begin}", "write the earlier day first")
    return _midnight(begin), _midnight(end)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _clock(began: float) -> str:
    return str(timedelta(seconds=int(time.monotonic() - began)))
