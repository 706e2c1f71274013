"""`headrace docs`: the data docs, pages about every table's expectations and results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake

app = typer.Typer(help="Data docs: what tables were expected to be, and were.", no_args_is_help=True)


@app.callback()
def _docs() -> None:
    """Keeps `build` a command of its own."""


@app.command("build")
def build(
    out: Annotated[Path, typer.Option("--out", help="Folder; an earlier result of this command is replaced.")] = Path("var/docs"),
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the pages from the receipts and suites; open index.html in a browser, no network is needed."""
    from headrace_governance.audit.reports.data_docs import build_data_docs
    from headrace_governance.expectations.suite import load_suites

    lake = open_lake(settings)
    suites = load_suites(lake.settings.resolve(lake.settings.policies) / "expectations")
    pages = build_data_docs(lake, suites, out)
    echo(f"{pages} pages: {out / 'index.html'}")
    emit_result({"pages": pages, "index": str(out / "index.html")})
