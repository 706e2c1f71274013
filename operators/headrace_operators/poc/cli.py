"""`headrace poc`: the whole line on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_lake.errors import ConfigError
from headrace_lake.terminal.console import echo
from headrace_operators.poc.note import NoteFile


def poc(
    folder: Annotated[Path, typer.Option("--folder", help="Where services, lake and results lie.")] = Path("var/poc"),
    down: Annotated[bool, typer.Option("--down", help="Stop the services at the end; they stay up by default, so you can look.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Stop a run that is active and start a new one, which adopts what is done.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Only stop: the active run with its jobs, then the services.")] = False,
) -> None:
    """The whole line on this machine: samples, crawl, clean, tokens, training, evaluation, gate, release.

    The run lives in Airflow. Interrupted and started again, this command attaches to the run that is active.
    """
    echo(f"headrace poc: {'stopping what runs' if stop else 'looking at what runs'} in {folder}")
    if (known := NoteFile(folder).read()) is not None:
        echo(f"headrace poc: {known.line}")
    if stop and (fresh or down):
        raise ConfigError("--stop was given with --fresh or --down", "--stop alone stops run and services")
    from headrace_operators.poc.driver import run_poc, stop_poc

    raise typer.Exit(stop_poc(folder, Path.cwd()) if stop else run_poc(folder, Path.cwd(), down=down, fresh=fresh))
