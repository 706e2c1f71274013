"""`headrace doc` and `headrace drops`: why a document was dropped, and what a rule drops."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from headrace_lake.slices import Slice
from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

SliceOption = Annotated[
    str, typer.Option("--slice", help="Only in SOURCE/INTERVAL; everywhere by default.", autocompletion=completion.slices)
]


def doc(
    uid: Annotated[str, typer.Argument(help="Document id, or its first 8 digits or more.")],
    slice_: SliceOption = "",
    characters: Annotated[int, typer.Option("--text", min=0, help="Characters of the text to show.")] = 400,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What became of one document, verdict by verdict, and why."""
    from headrace_governance.audit.document_trace import measured_line, story

    told = story(open_lake(settings), uid, Slice.parse(slice_) if slice_ else None)
    echo(f"document {told.uid} of {told.slice_}: {told.outcome}")
    if told.document is not None:
        d = told.document
        echo(f"{d['url']}  {d['licence']} ({d['licence_class']})  {d['characters']:,} characters")
        if characters:
            echo("\n" + d["text"][:characters] + ("…" if d["characters"] > characters else "") + "\n")
    verdicts = [[v, keep, reason or "", measured_line(m)] for v, keep, reason, m in told.verdicts]
    show_table("verdicts", ["verdict", "kept", "reason", "measured"], verdicts)
    if told.exclusions:
        show_table("dropped by", ["stage", "reason", "detail"], [[s, r, measured_line(m)] for s, r, m in told.exclusions])
    for stage, error in told.quarantine:
        echo(f"failed in {stage}: {error}")
    emit_result(
        {
            "uid": told.uid,
            "slice": str(told.slice_),
            "outcome": told.outcome,
            "document": told.document,
            "verdicts": [{"verdict": v, "kept": k, "reason": r, "measured": m} for v, k, r, m in told.verdicts],
            "dropped_by": [{"stage": s, "reason": r, "detail": m} for s, r, m in told.exclusions],
            "failed_in": [{"stage": s, "error": e} for s, e in told.quarantine],
        }
    )


def drops(
    slice_: SliceOption = "",
    stage: Annotated[str, typer.Option("--stage", help="Only this stage.", autocompletion=completion.stages)] = "",
    reason: Annotated[str, typer.Option("--reason", help="Only this rule.")] = "",
    samples: Annotated[int, typer.Option("--samples", min=0, max=1000, help="Documents to show of each rule.")] = 0,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What every rule dropped, with its share of what the stage read, and some of it to look at."""
    from headrace_governance.audit.document_trace import drops as dropped
    from headrace_governance.audit.document_trace import measured_line

    found = dropped(open_lake(settings), Slice.parse(slice_) if slice_ else None, stage=stage, reason=reason, samples=samples)
    show_table("dropped", ["stage", "reason", "rows", "share"], [[d.stage, d.reason, d.rows, f"{d.share:.1%}"] for d in found])
    if stage and not found:
        echo(f"stage '{stage}' has run and dropped nothing")
    for d in found:
        for home, uid, measured, text in d.samples:
            echo(f"{d.stage} {d.reason}  {uid} of {home}  {measured_line(measured)}\n    {text}")
    emit_result({"drops": [asdict(d) for d in found]})
