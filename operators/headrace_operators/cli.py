"""Commands of the operators' floor: `services` and `poc`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Local services and the proof of concept.", no_args_is_help=True)
services = typer.Typer(help="Ray, Airflow and the sample site on this machine, loopback only.", no_args_is_help=True)
app.add_typer(services, name="services")

FolderOption = Annotated[Path, typer.Option("--folder", help="Where the services keep their state.")]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="ray, airflow, site; all by default.")]
DEFAULT_FOLDER = Path("var/poc")


@services.command("up")
def services_up(names: NamesArgument = None, folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Start what is not running; prints addresses."""
    from headrace_operators.services.local import NAMES, LocalServices

    local = LocalServices(folder, Path.cwd())
    local.up(tuple(names or NAMES), say=typer.echo)
    typer.echo(f"settings: {local.settings_file}")
    typer.echo(f"Airflow:  {local.airflow.address}  (users and passwords: {local.airflow.passwords_file})")


@services.command("down")
def services_down(names: NamesArgument = None, folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Stop them; the lake and all settings stay."""
    from headrace_operators.services.local import NAMES, LocalServices

    LocalServices(folder, Path.cwd()).down(tuple(names or NAMES), say=typer.echo)


@services.command("status")
def services_status(folder: FolderOption = DEFAULT_FOLDER) -> None:
    """What runs, and where."""
    from rich.console import Console
    from rich.table import Table

    from headrace_operators.services.local import LocalServices

    table = Table("service", "healthy", "address", "log")
    for state in LocalServices(folder, Path.cwd()).status():
        table.add_row(state.name, "yes" if state.healthy else "no", state.address, state.log)
    Console().print(table)


@app.command("poc")
def poc(
    folder: FolderOption = DEFAULT_FOLDER,
    down: Annotated[bool, typer.Option("--down", help="Stop the services at the end (they stay up by default, so you can look).")] = False,
) -> None:
    """The whole line on this machine: samples, crawl, clean, tokens, training, evaluation, gate, release."""
    from headrace_operators.poc.driver import run_poc

    raise typer.Exit(run_poc(folder, Path.cwd(), down=down))
