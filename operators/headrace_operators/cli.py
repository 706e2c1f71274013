"""`headrace services`: Ray, Airflow and the sample site on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_lake.settings import SERVICES_FOLDER, SETTINGS_FILE

app = typer.Typer(help="Ray, Airflow and the sample site on this machine, loopback only.", no_args_is_help=True)

FolderOption = Annotated[Path, typer.Option("--folder", help="Where the services keep their state.")]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="ray, airflow, site; all by default.")]
DEFAULT_FOLDER = SERVICES_FOLDER


@app.command("up")
def services_up(names: NamesArgument = None, folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Start what is not running; prints addresses."""
    from headrace_operators.services.local import NAMES, LocalServices

    local = LocalServices(folder, Path.cwd())
    local.up(tuple(names or NAMES), say=typer.echo)
    typer.echo(f"settings: {local.settings_file}")
    typer.echo(f"Airflow:  {local.airflow.address}  (users and passwords: {local.airflow.passwords_file})")


def _never_started(folder: Path) -> bool:
    """Whether a folder has no services; says so. Looking must not make their settings, which would choose ports and name a lake."""
    if (folder / SETTINGS_FILE).exists():
        return False
    typer.echo(f"nothing was ever started in {folder}; 'headrace services up' or 'make poc' does")
    return True


@app.command("down")
def services_down(names: NamesArgument = None, folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Stop them; the lake and all settings stay."""
    from headrace_operators.services.local import NAMES, LocalServices

    if _never_started(folder):
        return
    LocalServices(folder, Path.cwd()).down(tuple(names or NAMES), say=typer.echo)


@app.command("status")
def services_status(folder: FolderOption = DEFAULT_FOLDER) -> None:
    """What runs, and where."""
    from rich.console import Console
    from rich.table import Table

    from headrace_operators.services.local import LocalServices

    if _never_started(folder):
        return
    table = Table("service", "healthy", "address", "log")
    for state in LocalServices(folder, Path.cwd()).status():
        table.add_row(state.name, "yes" if state.healthy else "no", state.address, state.log)
    Console().print(table)
