"""`headrace what-if`: what an edited threshold would drop or keep, in seconds, without running or committing anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table


def what_if(
    pipeline: Annotated[str, typer.Argument(help="Pipeline name or file.", autocompletion=completion.pipelines)],
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE[/INTERVAL]...]", help="All slices by default.", autocompletion=completion.slices_and_sources),
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="STAGE.key=value, such as gopher_quality.languages.en.min_doc_words=80.")
    ] = None,
    files: Annotated[list[str] | None, typer.Option("--file", help="STAGE=FILE.yaml: an edited copy of the stage's parameters.")] = None,
    samples: Annotated[int, typer.Option("--samples", min=0, max=100, help="Documents to show of each line.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Lines to show.")] = 40,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What an edited threshold would newly drop or keep, by source, language and rule; nothing is committed."""
    from headrace_governance.audit.removals.removals import slices_named
    from headrace_governance.audit.what_if import edited_stages
    from headrace_governance.audit.what_if import what_if as answer_of
    from headrace_lake.engine import load_pipeline

    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline)
    stages, notes = edited_stages(chosen, sets or [], files or [])
    slices = slices_named(lake, sources) if sources else lake.slices("documents")
    answer = answer_of(lake, chosen, stages, slices, samples=samples)
    for note in [*notes, *answer.notes]:
        echo(f"note: {note}")
    rows = [
        [c.stage, c.source, c.language, c.rule, c.newly, c.documents, c.bytes, c.admitted, c.admitted_bytes, c.tokens]
        for c in answer.changes[:limit]
    ]
    columns = ["stage", "source", "language", "rule", "newly", "documents", "bytes", "in the end", "bytes", "tokens"]
    show_table(f"what would change in {answer.documents:,} documents of {len(slices)} slices", columns, rows)
    if len(answer.changes) > limit:
        echo(f"and {len(answer.changes) - limit} more lines: --limit shows them")
    for c in answer.changes[:limit]:
        for place, text in c.samples:
            echo(f"{c.newly} by {c.stage} {c.rule}: {place}\n    {text}")
    t = answer.totals
    show_table(
        "admitted in the end (tokens of what would come in are estimated)",
        ["", "documents", "bytes", "tokens"],
        [["now", *t.now], ["would leave", *t.leave], ["would come in", *t.enter]],
    )
    emit_result({"changes": [asdict(c) for c in answer.changes], "totals": asdict(t), "notes": [*notes, *answer.notes]})
