"""`headrace ledger`: declared, fetched, clean, deduplicated, admitted and tokenised, by source and language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_lake.console import SettingsOption, emit_result

app = typer.Typer(help="What each source and language declared, brought, lost and gave.", invoke_without_command=True)


@app.callback()
def show(
    source: Annotated[str, typer.Option("--source", help="Only this source.")] = "",
    language: Annotated[str, typer.Option("--language", help="Only this language; `*` for totals.")] = "",
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Also write the ledger to this file.")] = None,
    settings: SettingsOption = None,
) -> None:
    """Print the ledger, read from the lake's tables."""
    import pyarrow.compute as pc

    from headrace_governance.ledger import ledger
    from headrace_governance.sources import load_sources
    from headrace_lake.console import show_table
    from headrace_lake.lake import Lake
    from headrace_lake.settings import load_settings

    chosen = load_settings(settings)
    declared = {s.id: s.declared_tokens for s in load_sources(chosen.resolve(chosen.sources)).values()}
    table = ledger(Lake.open(chosen), declared)
    if source:
        table = table.filter(pc.equal(table["source"], source))
    if language:
        table = table.filter(pc.equal(table["language"], language))
    if parquet is not None:
        import pyarrow.parquet as pq

        pq.write_table(table, parquet)
    rows = table.to_pylist()
    show_table("ledger (MB = 10^6 bytes)", _HEADINGS, [_short(r) for r in rows])
    emit_result({"rows": rows})


_HEADINGS = ("source", "language", "declared", "captures", "MB", "clean", "MB", "unique", "admitted", "MB", "tokens")


def _short(row: dict[str, Any]) -> list[Any]:
    """A ledger row for a terminal: bytes as megabytes, unknown as empty."""
    return [_megabytes(value) if name.endswith("_bytes") else value if value is not None else "" for name, value in row.items()]


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:,.2f}"
