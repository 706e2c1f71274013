"""`headrace ledger`: declared, fetched, clean, deduplicated, admissible and tokenised, by source and language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result

app = typer.Typer(help="What each source and language declared, brought, lost and gave.", invoke_without_command=True)


@app.callback()
def show(
    source: Annotated[str, typer.Option("--source", help="Only this source.", autocompletion=completion.sources)] = "",
    language: Annotated[str, typer.Option("--language", help="Only this language; `*` for totals.")] = "",
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Also write the ledger to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the dashboard to this file: one page, no requests.")] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the ledger, read from the lake's tables. A figure with `~` is estimated from bytes."""
    import pyarrow.compute as pc

    from headrace_governance.audit.ledger import ledger
    from headrace_governance.sources.source import load_sources
    from headrace_lake.terminal.console import open_lake, show_table

    lake = open_lake(settings)
    chosen = lake.settings
    declared = {s.id: s.declared_tokens for s in load_sources(chosen.resolve(chosen.sources)).values()}
    table = ledger(lake, declared)
    if html is not None:
        from datetime import UTC, datetime

        from headrace_governance.audit.reports.ledger_dashboard import ledger_dashboard

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(ledger_dashboard(lake, table, now=datetime.now(UTC)), encoding="utf-8")
    if source:
        table = table.filter(pc.equal(table["source"], source))
    if language:
        table = table.filter(pc.equal(table["language"], language))
    if parquet is not None:
        import pyarrow.parquet as pq

        pq.write_table(table, parquet)
    rows = table.to_pylist()
    show_table("ledger (tokens; ~ estimated; MB = 10^6 bytes)", _HEADINGS, [_short(r) for r in rows])
    if html is not None:
        echo(f"dashboard: {html}")
    emit_result({"rows": rows})


_HEADINGS = (
    *("source", "language", "declared", "captures", "MB", "fetched", "clean", "unique", "admissible", "tokens", "bytes/token", "epochs"),
)


def _short(row: dict[str, Any]) -> list[Any]:
    """A ledger row for a terminal: unknown as empty, estimates marked."""
    tokens = row["tokens"]
    levels = [_estimate(row[f"{level}_tokens"], tokens) for level in ("fetched", "clean", "deduplicated", "admissible")]
    declared, captures, size = row["declared_tokens"], row["captures"], row["captured_bytes"]
    return [
        *(row["source"], row["language"], _known(declared), _known(captures), "" if size is None else f"{size / 1e6:,.2f}"),
        *levels,
        *(tokens, _known(row["bytes_per_token"], 2), _known(row["effective_epochs"], 2)),
    ]


def _estimate(value: int, counted: int) -> str:
    return f"{value:,}" if value == counted else f"~{value:,}"


def _known(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
