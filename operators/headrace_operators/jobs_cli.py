"""`headrace jobs`: what runs for which task, wherever the launcher starts it; read its log, stop it for good; the request of a job."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_lake.errors import ConfigError, InputError
from headrace_lake.nearest import nearest
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, show_table

if TYPE_CHECKING:
    from headrace_operators.launchers import Job, Launcher

app = typer.Typer(help="Remote jobs: list them, read their logs, stop them, show what would be sent.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="A job's id, or enough of its beginning or of what follows `headrace-`.")]
DagOption = Annotated[str, typer.Option("--dag", help="Jobs of this DAG.")]
RunOption = Annotated[str, typer.Option("--run", help="Jobs of this run (its id or a part of it).")]
LauncherOption = Annotated[str, typer.Option("--launcher", help="ray or local, instead of the settings' `jobs.launcher`.")]
SHOWN = 20
_NEAR = 5


@app.command("ls")
def jobs_ls(
    running: Annotated[bool, typer.Option("--running", help="Only those that have not ended.")] = False,
    dag: DagOption = "",
    run: RunOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = SHOWN,
    launcher: LauncherOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Jobs of the launcher, newest last; in JSON, times are Unix seconds."""
    chosen = _launcher(settings, launcher)
    found = [job for job in _of(chosen.jobs(), dag, run) if not (running and job.terminal)]
    rows = [_described(chosen, job) for job in sorted(found, key=lambda job: job.started or 0)[-limit:]]
    shown = [[_cell(row, head) for head in _HEADS] for row in rows]
    show_table("jobs", _HEADS, shown)
    if len(found) > limit:
        echo(f"the newest {limit} of {len(found)}; --limit shows more")
    emit_result({"jobs": rows})


@app.command("logs")
def jobs_logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    launcher: LauncherOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a job has printed. With `-f` the exit code is 1 if the job did not end well; Ctrl-C ends the reading, not the job."""
    chosen = _launcher(settings, launcher)
    found = _the_job(chosen, job)
    if not follow:
        text = chosen.logs(found.submission_id)
        echo(text, nl=False)
        emit_result({"job": found.submission_id, "status": found.status, "log": text})
        return
    import asyncio

    try:
        ended = asyncio.run(_follow(chosen, found.submission_id))
    except KeyboardInterrupt:
        echo(f"{found.submission_id} goes on; stop it with: headrace jobs stop {found.submission_id}", err=True)
        raise typer.Exit(130) from None
    echo(f"{ended.submission_id}: {ended.status}", err=True)
    emit_result({"job": ended.submission_id, "status": ended.status, "log": chosen.logs(ended.submission_id)})
    if not ended.ended_well:
        raise typer.Exit(1)


async def _follow(launcher: Launcher, sid: str) -> Job:
    from headrace_operators.launchers import Job

    async for item in launcher.follow(sid):
        if isinstance(item, Job):
            return item
        echo(item)
    raise AssertionError("a follower ends with the job")


@app.command("stop")
def jobs_stop(
    job: Annotated[str | None, typer.Argument(help="A job's id, or enough of it to be one.")] = None,
    dag: DagOption = "",
    run: RunOption = "",
    launcher: LauncherOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop jobs and wait until they have ended. From then on they commit nothing; their tasks fail without a retry."""
    its = _launcher(settings, launcher)
    if (job is None) == (not dag and not run):
        raise ConfigError("say what to stop", "give a job's id, or --run RUN_ID, or --dag DAG_ID; `headrace jobs ls --running` lists them")
    chosen = [_the_job(its, job)] if job is not None else [j for j in _of(its.jobs(), dag, run, exact=True) if not j.terminal]
    for found in chosen:
        _stop(its, found)
    if not chosen:
        echo(f"no job of {' '.join(filter(None, [dag, run]))} is running")
    emit_result({"stopped": [found.submission_id for found in chosen if not found.terminal]})


@app.command("plan")
def jobs_plan(
    argv: Annotated[list[str], typer.Argument(metavar="-- ARGV...", help="The command's words after `headrace`.")],
    slice_text: Annotated[str, typer.Option("--slice", help="The operator's `slice_text`: part of the job's identity.")] = "",
    fingerprint: Annotated[str, typer.Option("--fingerprint", help="The operator's `fingerprint`: part of the job's identity.")] = "",
    cpus: Annotated[float, typer.Option("--cpus", min=0, help="CPUs reserved for the command.")] = 0.0,
    dag: DagOption = "",
    run: Annotated[str, typer.Option("--run", help="The run that asks.")] = "",
    task: Annotated[str, typer.Option("--task", help="The task that asks.")] = "",
    launcher: LauncherOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the exact request that a task with this command would send for its first attempt; nothing is sent, no cluster is needed."""
    from headrace_lake.settings import load_settings
    from headrace_lake.settings_file import settings_file_of
    from headrace_operators.launchers import Owner, headrace_spec

    chosen, file = _launcher(settings, launcher), settings or settings_file_of(Path.cwd())
    spec = headrace_spec(
        load_settings(settings),
        str(file.resolve()) if file is not None else "",
        argv,
        slice_text=slice_text,
        fingerprint=fingerprint,
        cpus=cpus,
    )
    request = chosen.plan(spec, Owner(dag, run, task, user=getpass.getuser()))
    echo(json.dumps(request, indent=2, ensure_ascii=False))
    emit_result({"launcher": chosen.name, "submission_id": spec.submission_id(1), "request": request})


def _stop(launcher: Launcher, job: Job) -> None:
    """Record the stop first: whatever the process does until it ends, it commits nothing more."""
    assert launcher.ledger is not None
    sid = job.submission_id
    if job.terminal:
        echo(f"{sid} has ended already: {job.status}")
        return
    began = time.monotonic()
    launcher.ledger.stop(sid, f"stopped by {getpass.getuser()} with `headrace jobs stop`", by_hand=True)
    launcher.cancel_and_wait(sid)
    echo(f"{sid} has ended, {time.monotonic() - began:.1f} s after it was asked to")
    kept = launcher.ledger.committed(sid)
    for slices, stages in kept:
        echo(f"  kept: {slices or 'the lake'}: {stages.replace(',', ', ')}")
    if not kept:
        echo("  it had committed nothing")
    echo(f"  to go on from there: {_how_to_go_on(job)}")


def _how_to_go_on(job: Job) -> str:
    task = job.metadata
    command = _command(job)
    if task.get("task_id"):
        return f"clear task {task['task_id']} of run {task['run_id']} in Airflow ({task['dag_id']}), or run: {command}"
    return f"run: {command}"


def _command(job: Job) -> str:
    """The command as one would type it."""
    text = job.entrypoint
    for start in ("env -u OMP_NUM_THREADS ", "python -m headrace_cli --json-result "):
        if text.startswith(start):
            text = text.removeprefix(start)
            text = f"headrace {text}" if "headrace_cli" in start else text
    return text


def _launcher(settings: Path | None, name: str = "") -> Launcher:
    from headrace_lake.settings import load_settings
    from headrace_operators.launchers import Patience, launcher_of

    # A person waits for this: one who asks a cluster that is down is told so at once.
    return launcher_of(load_settings(settings), name=name, patience=Patience(answer_s=10.0, retry_s=3.0))


def _of(jobs: Sequence[Job], dag: str, run: str, *, exact: bool = False) -> list[Job]:
    """Jobs of a DAG and run. To stop, names must be whole; a wrong one names those that are near.

    Raises:
        InputError: no job is of such a DAG or run.
    """
    found = list(jobs)
    for key, wanted in (("dag_id", dag), ("run_id", run)):
        if not wanted:
            continue
        there = {job.metadata.get(key, "") for job in found} - {""}
        found = [j for j in found if (j.metadata.get(key) == wanted if exact or key == "dag_id" else wanted in j.metadata.get(key, ""))]
        if not found:
            raise InputError(f"no job of {key.removesuffix('_id')} '{wanted}'", _near(wanted, there))
    return found


def _the_job(launcher: Launcher, text: str) -> Job:
    """The one job that a text means.

    Raises:
        InputError: it means none or several.
    """
    every = launcher.jobs()
    found = [job for job in every if job.submission_id == text] or [
        job for job in every if job.submission_id.startswith(text) or job.submission_id.removeprefix("headrace-").startswith(text)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{text}' is the beginning of {len(found)} jobs", ", ".join(j.submission_id for j in found[:_NEAR]))
    raise InputError(f"no job '{text}' on {launcher.where}", _near(text, {job.submission_id for job in every}))


def _near(text: str, names: set[str]) -> str:
    near = nearest(text, names) or sorted(names)[-_NEAR:]
    return f"did you mean {', '.join(near)}? `headrace jobs ls` lists them" if near else "there are none; `headrace jobs ls` lists them"


_HEADS = ["id", "launcher", "status", "DAG / run / task", "user", "age, took", "commits", "command"]


def _cell(row: dict[str, Any], head: str) -> Any:
    if head == "DAG / run / task":
        return "\n".join(row["tasks"]) or row["task"]
    return _age(row["started"], row["ended"]) if head == "age, took" else row[head]


def _described(launcher: Launcher, job: Job) -> dict[str, Any]:
    assert launcher.ledger is not None
    entry, task = launcher.ledger.entry(job.submission_id), job.metadata
    status: str = job.status
    if not job.terminal and entry is not None and entry.state != "confirmed":
        status = {"asked": "WAITING", "stopped": "STOPPING"}.get(entry.state, status)
    parts = [task.get(key, "") for key in ("dag_id", "run_id", "task_id")]
    return {
        "id": job.submission_id,
        "launcher": launcher.name,
        "status": status,
        "task": " / ".join(parts) if any(parts) else "",
        "tasks": list(dict.fromkeys(str(owner).replace("/", " / ") for owner in launcher.ledger.owners(job.submission_id))),
        **{key: task.get(key, "") for key in ("dag_id", "run_id", "task_id", "user")},
        "started": job.started,
        "ended": job.ended,
        "commits": entry.commits if entry is not None else 0,
        "why": entry.reason if entry is not None else "",
        "command": _command(job),
    }


def _age(started: object, ended: object) -> str:
    if not isinstance(started, int | float):
        return ""
    until = ended if isinstance(ended, int | float) else None
    took = f", {_span(until - started)}" if until is not None else ""
    return f"{_span(time.time() - started)}{took}"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
