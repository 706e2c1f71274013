"""`headrace lineage`: where something came from, and what it went into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

if TYPE_CHECKING:
    from headrace_lake.nodes import Node

app = typer.Typer(help="Where did this come from; what did this go into.", no_args_is_help=True)

WhatArgument = Annotated[
    str,
    typer.Argument(
        help="A document's uid (8 digits or more) or address, SOURCE/INTERVAL, an artifact's name, a fingerprint or code digest."
    ),
]


@app.command()
def up(
    what: WhatArgument,
    documents: Annotated[
        Path | None,
        typer.Option("--documents", help="Of a checkpoint or release: write the documents it was trained on here (.jsonl or .parquet)."),
    ] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything this was made from: receipts, licences, artifacts; of a release the documents that it was trained on."""
    from headrace_jobs import lineage

    lake = open_lake(settings)
    _show(f"lineage up of {what}", lineage.up(lake, what))
    if documents is not None:
        found = lineage.trained_documents(lake, what)
        lineage.write_documents(found, documents)
        echo(f"{found.num_rows:,} documents: {documents}")


@app.command()
def down(what: WhatArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Everything that this went into. A document is followed by itself: to where it was dropped, or to the releases trained on it."""
    from headrace_jobs import lineage

    _show(f"lineage down of {what}", lineage.down(open_lake(settings), what))


def _show(title: str, nodes: list[Node]) -> None:
    rows = [[n.kind, n.name, n.fingerprint[:16], n.detail] for n in nodes]
    show_table(title, ["kind", "name", "fingerprint", "detail"], rows)
    emit_result({"nodes": [{"kind": n.kind, "name": n.name, "fingerprint": n.fingerprint, "detail": n.detail} for n in nodes]})
