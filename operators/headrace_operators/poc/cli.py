"""`headrace poc`: the whole line on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def poc(
    folder: Annotated[Path, typer.Option("--folder", help="Where services, lake and results lie.")] = Path("var/poc"),
    down: Annotated[bool, typer.Option("--down", help="Stop the services at the end; they stay up by default, so you can look.")] = False,
) -> None:
    """The whole line on this machine: samples, crawl, clean, tokens, training, evaluation, gate, release."""
    from headrace_operators.poc.driver import run_poc

    raise typer.Exit(run_poc(folder, Path.cwd(), down=down))
