"""Commands of the lake and the stage engine: `slice`, `stage`, `table`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_lake.console import SettingsOption, emit_result, open_lake, show_table
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.slices import Slice

if TYPE_CHECKING:
    from headrace_lake.engine import Pipeline, StageReport
    from headrace_lake.lake import Lake

slice_app = typer.Typer(help="Run, preview and look at slices.", no_args_is_help=True)
stage_app = typer.Typer(help="List stages; run one.", no_args_is_help=True)
table_app = typer.Typer(help="Look at tables; tag and vacuum them.", no_args_is_help=True)

SlicesArgument = Annotated[list[str], typer.Argument(help="SOURCE/INTERVAL, one or more.")]
ExecutorOption = Annotated[str, typer.Option("--executor", help="local (this process) or ray.")]
StagesOption = Annotated[str, typer.Option("--stages", help="Only these stages, with commas.")]


@slice_app.command("run")
def slice_run(
    pipeline: Annotated[str, typer.Argument(help="Pipeline name or file.")],
    slices: Annotated[list[str] | None, typer.Argument(help="SOURCE/INTERVAL, one or more.")] = None,
    executor: ExecutorOption = "local",
    stages: StagesOption = "",
    stale: Annotated[bool, typer.Option("--stale", help="All slices that 'slice stale' lists.")] = False,
    slice_local: Annotated[
        bool, typer.Option("--slice-local", help="Only the stages that look at no other slice; the pipeline says which those are.")
    ] = False,
    settings: SettingsOption = None,
) -> None:
    """Bring every stage of the pipeline up to date, slices side by side; what has its fingerprint already is adopted.

    Stages that look at other slices (duplicates) run when every slice named here has passed the stages that do not. Then the
    pipeline's guards.
    """
    from headrace_lake.engine import first_causes, load_pipeline, run_counts, run_guards, run_slices, stale_stages

    if executor not in ("local", "ray"):
        raise ConfigError(f"no executor '{executor}'", "use local or ray")
    if stages and slice_local:
        raise ConfigError("--stages and --slice-local were both given", "name stages, or let the pipeline compute them")
    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline)
    wanted = [Slice.parse(text) for text in slices or []]
    if stale == bool(wanted):
        raise ConfigError("slices and --stale were both given" if stale else "no slice was named", "name SOURCE/INTERVAL, or give --stale")
    if stale:
        wanted = list(first_causes(stale_stages(lake, _slices_of(lake, chosen), chosen)))
        typer.echo(f"{len(wanted)} slices are out of date: {' '.join(map(str, wanted)) or 'nothing to do'}")
    if stages:
        chosen = chosen.only([s.strip() for s in stages.split(",")])
    elif slice_local:
        chosen = chosen.slice_local()
    reports = run_slices(lake, chosen, wanted, executor="ray" if executor == "ray" else "local", on_stage=_say_stage)
    for line in run_guards(lake, chosen, wanted):
        typer.echo(line)
    emit_result({"slices": [report.summary() for report in reports], **run_counts(lake, reports)})


def _say_stage(slice_: Slice, stage: StageReport) -> None:
    c = stage.receipt.counts
    typer.echo(f"{slice_} {stage.stage}: {stage.action}, read {c.read} = kept {c.kept} + dropped {c.dropped} + failed {c.failed}")
    for note in stage.receipt.notes:
        typer.echo(f"{slice_} {stage.stage}: {note}")


@slice_app.command("preview")
def slice_preview(
    pipeline: Annotated[str, typer.Argument(help="Pipeline name or file.")],
    slices: SlicesArgument,
    settings: SettingsOption = None,
) -> None:
    """Say what `run` would recompute, and what goes stale downstream, without doing it."""
    from headrace_lake.engine import load_pipeline, preview_pipeline

    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline)
    for text in slices:
        slice_ = Slice.parse(text)
        steps = preview_pipeline(lake, chosen, slice_)
        show_table(
            f"{slice_}, pipeline {chosen.name}", ["stage", "action", "why", "rows"], [[s.stage, s.action, s.why, s.rows] for s in steps]
        )
    emit_result({"slices": len(slices)})


@slice_app.command("stale")
def slice_stale(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PIPELINE] [SOURCE/INTERVAL]...", help="Pipeline name or file (text by default), and slices (all by default)."
        ),
    ] = None,
    settings: SettingsOption = None,
) -> None:
    """List what is out of date, stage by stage with the cause; reads receipts and file lists, no data.

    Exit code 0 if nothing is, 1 if something is, 2 for a mistake.
    """
    from headrace_lake.engine import first_causes, load_pipeline, stale_stages

    words = list(words or [])
    named = bool(words) and ("/" not in words[0] or words[0].endswith((".yaml", ".yml")))
    name = words.pop(0) if named else "text"
    lake = open_lake(settings)
    pipeline = load_pipeline(lake.settings, name)
    wanted = [Slice.parse(text) for text in words]
    for slice_ in wanted:
        if not lake.receipts(slice_):
            raise InputError(f"slice {slice_} has no receipt", "'headrace slice status' lists the slices that have")
    looked = wanted or _slices_of(lake, pipeline)
    stale = stale_stages(lake, looked, pipeline)
    slices = list(first_causes(stale))
    if stale:
        show_table("out of date", ["slice", "stage", "why"], [[str(s.slice_), s.stage, "; ".join(s.causes)] for s in stale])
        typer.echo(f"{len(slices)} of {len(looked)} slices are out of date; 'headrace slice run {name} --stale' brings them up to date")
    else:
        typer.echo(f"{len(looked)} slices are up to date with pipeline {pipeline.name}")
    rows = [{"slice": str(s.slice_), "stage": s.stage, "causes": list(s.causes)} for s in stale]
    emit_result({"slices": [str(s) for s in slices], "looked": len(looked), "stale": rows})
    if stale:
        raise typer.Exit(1)


def _slices_of(lake: Lake, pipeline: Pipeline) -> list[Slice]:
    """The slices that a pipeline has something to read of, or has run on."""
    tables = [pipeline.stages[0].inputs().primary, *(s.output for s in pipeline.stages if s.output)]
    return sorted({slice_ for table in dict.fromkeys(tables) for slice_ in lake.slices(table)})


@slice_app.command("check")
def slice_check(
    pipeline: Annotated[str, typer.Argument(help="Pipeline whose validator judges: a name or a file.")],
    slices: SlicesArgument,
    record: Annotated[bool, typer.Option("--record", help="Leave the results in new receipts, for the data docs.")] = False,
    settings: SettingsOption = None,
) -> None:
    """Judge committed tables by their suites again; nothing is computed. Exit code 1 if an expectation of severity `error` fails."""
    from headrace_lake.engine import check_slice, load_pipeline

    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline)
    if chosen.validator is None:
        raise ConfigError(f"pipeline {chosen.name} has no validator", "name one in its file: validator: {use: module:Class}")
    counts = {"passed": 0, "not_judged": 0, "warning": 0, "error": 0}
    for text in slices:
        results = [e for r in check_slice(lake, chosen.validator, Slice.parse(text), record=record) for e in r.expectations]
        for e in results:
            counts["passed" if e.success else "not_judged" if e.success is None else e.severity] += 1
        failed = [e for e in results if e.success is False]
        typer.echo(f"{text}: {len(results)} expectations, {len(failed)} failed, {sum(e.success is None for e in results)} not judged")
        for e in failed:
            typer.echo(f"{text}: {e.severity} {e.line}")
    emit_result({"slices": len(slices), **counts})
    if counts["error"]:
        raise typer.Exit(1)


@slice_app.command("status")
def slice_status(
    slices: Annotated[list[str] | None, typer.Argument(help="SOURCE/INTERVAL; all slices without.")] = None,
    settings: SettingsOption = None,
) -> None:
    """The receipts that are visible now."""
    lake = open_lake(settings)
    wanted = [Slice.parse(s) for s in slices] if slices else lake.slices("receipts")
    rows = []
    for slice_ in wanted:
        for r in lake.current_receipts(slice_).values():
            c = r.counts
            seconds = (r.finished_at - r.started_at).total_seconds()
            rows.append(
                [
                    str(slice_),
                    r.stage,
                    c.read,
                    c.kept,
                    c.dropped,
                    c.failed,
                    round(seconds, 1),
                    r.fingerprint[:12],
                    f"{r.finished_at:%Y-%m-%d %H:%M}",
                ]
            )
    show_table("receipts", ["slice", "stage", "read", "kept", "dropped", "failed", "seconds", "fingerprint", "finished (UTC)"], rows)


@stage_app.command("ls")
def stage_ls(settings: SettingsOption = None) -> None:
    """The stages of every pipeline, with inputs and outputs."""
    from headrace_lake.engine import load_pipeline
    from headrace_lake.settings import load_settings

    loaded = load_settings(settings)
    rows = []
    for file in sorted(loaded.resolve(loaded.pipelines).glob("*.yaml")):
        pipeline = load_pipeline(loaded, file)
        for stage in pipeline.stages:
            wanted = stage.inputs()
            outputs = [*([stage.output] if stage.output else []), *stage.also]
            rows.append([pipeline.name, stage.name, stage.version, ", ".join([wanted.primary, *wanted.sidecars]), ", ".join(outputs)])
    show_table("stages", ["pipeline", "stage", "version", "reads", "writes"], rows)


@stage_app.command("run")
def stage_run(
    pipeline: Annotated[str, typer.Argument(help="Pipeline name or file.")],
    stage: Annotated[str, typer.Argument(help="Stage name.")],
    slices: SlicesArgument,
    executor: ExecutorOption = "local",
    settings: SettingsOption = None,
) -> None:
    """Bring one stage of one or more slices up to date."""
    slice_run(pipeline, slices, executor=executor, stages=stage, settings=settings)


@table_app.command("ls")
def table_ls(settings: SettingsOption = None) -> None:
    """All tables with rows, files and slices."""
    from headrace_lake.schemas import TABLES

    lake = open_lake(settings)
    rows = []
    for name, spec in TABLES.items():
        summary = lake.table(name).current_snapshot()
        values = dict(summary.summary.additional_properties) if summary is not None and summary.summary is not None else {}
        rows.append(
            [
                name,
                int(values.get("total-records", 0)),
                int(values.get("total-data-files", 0)),
                int(values.get("total-files-size", 0)),
                spec.doc,
            ]
        )
    show_table("tables", ["table", "rows", "files", "bytes", "what"], rows)


@table_app.command("show")
def table_show(
    table: Annotated[str, typer.Argument(help="Table name.")],
    slice_text: Annotated[str, typer.Option("--slice", help="SOURCE/INTERVAL.")] = "",
    where: Annotated[str, typer.Option("--where", help="Row filter, such as \"language = 'zh'\".")] = "",
    tag: Annotated[str, typer.Option("--tag", help="As it was at this tag.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows to show.")] = 20,
    settings: SettingsOption = None,
) -> None:
    """Columns with types and units, and the first rows."""
    from headrace_lake.schemas import table_spec

    lake = open_lake(settings)
    spec = table_spec(table)
    meta = [(f, f.metadata or {}) for f in spec.schema]
    show_table(
        f"{table}: {spec.doc}",
        ["column", "type", "unit", "meaning"],
        [
            [f.name, f"{f.type}{'' if f.nullable else ' required'}", m.get(b"unit", b"").decode(), m.get(b"doc", b"").decode()]
            for f, m in meta
        ],
    )
    rows = lake.read(table, Slice.parse(slice_text) if slice_text else None, where=where or None, tag=tag or None)
    shown = rows.slice(0, limit).to_pylist()
    show_table(
        f"{len(shown)} of {rows.num_rows} rows",
        spec.schema.names,
        [[str(v)[:120] if isinstance(v, str) else v for v in r.values()] for r in shown],
    )


@table_app.command("history")
def table_history(table: Annotated[str, typer.Argument(help="Table name.")], settings: SettingsOption = None) -> None:
    """Snapshots, oldest first, with the stage run that made each."""
    rows = [
        [
            str(h["snapshot"]),
            f"{datetime.fromtimestamp(h['at'], UTC):%Y-%m-%d %H:%M:%S}",
            h["operation"],
            h["rows"],
            h.get("stage", ""),
            h.get("slice", ""),
            h.get("run", ""),
        ]
        for h in open_lake(settings).history(table)
    ]
    show_table(f"history of {table}", ["snapshot", "at (UTC)", "operation", "rows", "stage", "slice", "run"], rows)


@table_app.command("tag")
def table_tag(name: Annotated[str, typer.Argument(help="Tag name.")], settings: SettingsOption = None) -> None:
    """Name the present state of all tables, so that it can be read again and is never vacuumed."""
    tagged = open_lake(settings).tag(name)
    typer.echo(f"tag {name}: {len(tagged)} tables")


@table_app.command("vacuum")
def table_vacuum(
    older_than_hours: Annotated[float, typer.Option("--older-than-hours", min=0, help="Grace for files of running jobs.")] = 24.0,
    keep_snapshots: Annotated[int, typer.Option("--keep-snapshots", min=1, help="Newest snapshots of each table to keep.")] = 20,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    settings: SettingsOption = None,
) -> None:
    """Expire old snapshots (never tagged ones) and remove files that nothing refers to."""
    from headrace_lake.vacuum import vacuum

    report = vacuum(open_lake(settings), older_than_seconds=older_than_hours * 3600, keep_snapshots=keep_snapshots, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    typer.echo(f"{verb} {report.files} files ({report.bytes:,} bytes), expired {report.snapshots} snapshots")
    emit_result({"files": report.files, "bytes": report.bytes, "snapshots": report.snapshots})
