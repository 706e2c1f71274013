"""`headrace services`: PostgreSQL, Ray, Airflow and the sample site on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_lake.settings import SERVICES_FOLDER, SETTINGS_FILE
from headrace_lake.terminal.console import JsonOption, echo, emit_result, show_table

app = typer.Typer(help="PostgreSQL, Ray, Airflow and the sample site on this machine, loopback only.", no_args_is_help=True)

FolderOption = Annotated[Path, typer.Option("--folder", help="Where the services keep their state.")]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="postgres, ray, airflow, site; all by default.")]
CatalogOption = Annotated[
    bool, typer.Option("--shared-catalog", help="In a new folder: the lake's catalog in Airflow's PostgreSQL, not in SQLite.")
]
DEFAULT_FOLDER = SERVICES_FOLDER


@app.command("up")
def services_up(names: NamesArgument = None, folder: FolderOption = DEFAULT_FOLDER, shared_catalog: CatalogOption = False) -> None:
    """Start what is not running; prints addresses."""
    from headrace_lake.errors import ConfigError
    from headrace_operators.services.local import LAKE_DATABASE, NAMES, LocalServices

    local = LocalServices(folder, Path.cwd(), shared_catalog=shared_catalog)
    if shared_catalog and LAKE_DATABASE not in local.databases:
        raise ConfigError(
            f"{local.settings_file} names another catalog: --shared-catalog chooses one for a new folder, and moves none",
            "choose a new folder with --folder, or leave the option out",
        )
    local.up(tuple(names or NAMES), say=echo)
    echo(f"settings: {local.settings_file}")
    echo(f"Airflow:  {local.airflow.address}  (users and passwords: {local.airflow.passwords_file})")


def _never_started(folder: Path) -> bool:
    """Whether a folder has no services; says so. Looking must not make their settings, which would choose ports and name a lake."""
    if (folder / SETTINGS_FILE).exists():
        return False
    echo(f"nothing was ever started in {folder}; 'headrace services up' or 'make poc' does")
    return True


@app.command("down")
def services_down(names: NamesArgument = None, folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Stop them; the lake and all settings stay."""
    from headrace_operators.services.local import NAMES, LocalServices

    if _never_started(folder):
        return
    LocalServices(folder, Path.cwd()).down(tuple(names or NAMES), say=echo)


@app.command("status")
def services_status(folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """What runs, and where."""
    from headrace_operators.services.local import NAMES, LocalServices

    if not (folder / SETTINGS_FILE).exists():  # looking makes nothing
        rows = [{"service": name, "healthy": False, "address": "", "log": ""} for name in NAMES]
    else:
        states = LocalServices(folder, Path.cwd()).status()
        rows = [{"service": s.name, "healthy": s.healthy, "address": s.address, "log": s.log} for s in states]
    show_table("services", list(rows[0]), [["yes" if v is True else "no" if v is False else v for v in r.values()] for r in rows])
    emit_result({"folder": str(folder), "services": rows})
