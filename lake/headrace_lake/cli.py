"""Commands of the lake and the stage engine: `slice`, `table`."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_lake.errors import ConfigError, InputError
from headrace_lake.slices import Slice
from headrace_lake.terminal import completion
from headrace_lake.terminal.choosing import slices_of_lake
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_records, show_table

if TYPE_CHECKING:
    from headrace_lake.engine import Pipeline, StageReport
    from headrace_lake.lake import Lake

slice_app = typer.Typer(help="Run, preview and look at slices.", no_args_is_help=True)
table_app = typer.Typer(help="Look at tables; tag and vacuum them.", no_args_is_help=True)

SlicesArgument = Annotated[list[str], typer.Argument(help=completion.SLICES_HELP, autocompletion=completion.slices)]
PipelineArgument = Annotated[str, typer.Argument(help="Pipeline name or file.", autocompletion=completion.pipelines)]
TableArgument = Annotated[str, typer.Argument(help="Table name.", autocompletion=completion.tables)]
ExecutorOption = Annotated[str, typer.Option("--executor", help="local (this process) or ray.")]
StagesOption = Annotated[str, typer.Option("--stages", help="Only these stages, with commas.", autocompletion=completion.stages)]


@slice_app.command("run")
def slice_run(
    pipeline: PipelineArgument,
    slices: Annotated[list[str] | None, typer.Argument(help=completion.SLICES_HELP, autocompletion=completion.slices)] = None,
    executor: ExecutorOption = "local",
    stages: StagesOption = "",
    stale: Annotated[bool, typer.Option("--stale", help="All slices that 'slice stale' lists.")] = False,
    slice_local: Annotated[
        bool, typer.Option("--slice-local", help="Only the stages that look at no other slice; the pipeline says which those are.")
    ] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring every stage of the pipeline up to date, slices side by side; what has its fingerprint already is adopted.

    Stages that look at other slices (duplicates) run when every slice named here has passed the stages that do not. Then the
    pipeline's guards.
    """
    from headrace_lake.engine import first_causes, load_pipeline, run_counts, run_guards, run_slices, stale_stages
    from headrace_lake.terminal.interrupt import says_what_stays

    if executor not in ("local", "ray"):
        raise ConfigError(f"no executor '{executor}'", "use local or ray")
    if stages and slice_local:
        raise ConfigError("--stages and --slice-local were both given", "name stages, or let the pipeline compute them")
    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline)
    if stale == bool(slices):
        raise ConfigError("slices and --stale were both given" if stale else "no slice was named", "name SOURCE/INTERVAL, or give --stale")
    wanted = slices_of_lake(lake, slices or [])
    if stale:
        wanted = list(first_causes(stale_stages(lake, _slices_of(lake, chosen), chosen)))
        echo(f"{len(wanted)} slices are out of date: {' '.join(map(str, wanted)) or 'nothing to do'}")
    if stages:
        chosen = chosen.only([s.strip() for s in stages.split(",")])
    elif slice_local:
        chosen = chosen.slice_local()
    done: Counter[str] = Counter()

    def passed(slice_: Slice, stage: StageReport) -> None:
        done[str(slice_)] += 1
        _say_stage(slice_, stage)

    def kept() -> str:
        through = sum(n >= len(chosen.stages) for n in done.values())
        return (
            f"{sum(done.values())} of {len(wanted) * len(chosen.stages)} stage runs are committed, {through} of {len(wanted)} slices are "
            "through; finished parts of the others are recorded"
        )

    with says_what_stays(kept):
        reports = run_slices(lake, chosen, wanted, executor="ray" if executor == "ray" else "local", on_stage=passed)
    for line in run_guards(lake, chosen, wanted):
        echo(line)
    emit_result({"slices": [report.summary() for report in reports], **run_counts(lake, reports)})


def _say_stage(slice_: Slice, stage: StageReport) -> None:
    c = stage.receipt.counts
    echo(f"{slice_} {stage.stage}: {stage.action}, read {c.read} = kept {c.kept} + dropped {c.dropped} + failed {c.failed}")
    for note in stage.receipt.notes:
        echo(f"{slice_} {stage.stage}: {note}")


@slice_app.command("preview")
def slice_preview(
    pipeline: PipelineArgument,
    slices: SlicesArgument,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would recompute, and what goes stale downstream, without doing it."""
    from headrace_lake.engine import load_pipeline, preview_pipeline

    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline)
    found = []
    for slice_ in slices_of_lake(lake, slices):
        steps = preview_pipeline(lake, chosen, slice_)
        found += [{"slice": str(slice_), "stage": s.stage, "action": s.action, "why": s.why, "rows": s.rows} for s in steps]
        show_table(
            f"{slice_}, pipeline {chosen.name}", ["stage", "action", "why", "rows"], [[s.stage, s.action, s.why, s.rows] for s in steps]
        )
    emit_result({"stages": found})


@slice_app.command("stale")
def slice_stale(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PIPELINE] [SOURCE/INTERVAL]...",
            help="Pipeline name or file (text by default), and slices or patterns of them (all by default).",
            autocompletion=completion.slices,
        ),
    ] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
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
    wanted = slices_of_lake(lake, words)
    for slice_ in wanted:
        if not lake.receipts(slice_):
            raise InputError(f"slice {slice_} has no receipt", "'headrace slice status' lists the slices that have")
    looked = wanted or _slices_of(lake, pipeline)
    stale = stale_stages(lake, looked, pipeline)
    slices = list(first_causes(stale))
    if stale:
        show_table("out of date", ["slice", "stage", "why"], [[str(s.slice_), s.stage, "; ".join(s.causes)] for s in stale])
        echo(f"{len(slices)} of {len(looked)} slices are out of date; 'headrace slice run {name} --stale' brings them up to date")
    else:
        echo(f"{len(looked)} slices are up to date with pipeline {pipeline.name}")
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
    pipeline: Annotated[
        str, typer.Argument(help="Pipeline whose validator judges: a name or a file.", autocompletion=completion.pipelines)
    ],
    slices: SlicesArgument,
    record: Annotated[bool, typer.Option("--record", help="Leave the results in new receipts, for the data docs.")] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge committed tables by their suites again; nothing is computed. Exit code 1 if an expectation of severity `error` fails."""
    from headrace_lake.engine import check_slice, load_pipeline

    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline)
    if chosen.validator is None:
        raise ConfigError(f"pipeline {chosen.name} has no validator", "name one in its file: validator: {use: module:Class}")
    counts = {"passed": 0, "not_judged": 0, "warning": 0, "error": 0}
    wanted, wrong = slices_of_lake(lake, slices), []
    for text in wanted:
        results = [e for r in check_slice(lake, chosen.validator, text, record=record) for e in r.expectations]
        for e in results:
            counts["passed" if e.success else "not_judged" if e.success is None else e.severity] += 1
        failed = [e for e in results if e.success is False]
        echo(f"{text}: {len(results)} expectations, {len(failed)} failed, {sum(e.success is None for e in results)} not judged")
        for e in failed:
            echo(f"{text}: {e.severity} {e.line}")
        wrong += [{"slice": str(text), "severity": e.severity, "expectation": e.line} for e in failed]
    emit_result({"slices": len(wanted), **counts, "failed": wrong})
    if counts["error"]:
        raise typer.Exit(1)


@slice_app.command("status")
def slice_status(
    slices: Annotated[
        list[str] | None,
        typer.Argument(help="SOURCE/INTERVAL, or patterns in quotes; all slices without.", autocompletion=completion.slices),
    ] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """The receipts that are visible now."""
    lake = open_lake(settings)
    wanted = slices_of_lake(lake, slices) if slices else lake.slices("receipts")
    rows, found = [], []
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
            counts = {k: getattr(c, k) for k in ("read", "kept", "dropped", "failed")}
            told = {"seconds": round(seconds, 3), "fingerprint": r.fingerprint, "finished": r.finished_at}
            found.append({"slice": str(slice_), "stage": r.stage, **counts, **told})
    show_table("receipts", ["slice", "stage", "read", "kept", "dropped", "failed", "seconds", "fingerprint", "finished (UTC)"], rows)
    emit_result({"receipts": found})


@table_app.command("ls")
def table_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All tables with rows, files and slices."""
    from headrace_lake.tables import TABLES

    lake = open_lake(settings)
    _register_stage_tables(lake)
    rows = []
    for name, spec in TABLES.items():
        summary = lake.table(name).current_snapshot()
        values = dict(summary.summary.additional_properties) if summary is not None and summary.summary is not None else {}
        rows.append(
            {
                "table": name,
                "rows": int(values.get("total-records", 0)),
                "files": int(values.get("total-data-files", 0)),
                "bytes": int(values.get("total-files-size", 0)),
                "what": spec.doc,
            }
        )
    show_records("tables", rows)
    emit_result({"tables": rows})


def _register_stage_tables(lake: Lake) -> None:
    """Make the tables known that only a stage of a pipeline declares."""
    from headrace_lake.engine import register_stage_tables

    for line in register_stage_tables(lake.settings):
        echo(line)


@table_app.command("show")
def table_show(
    table: TableArgument,
    slice_text: Annotated[str, typer.Option("--slice", help="SOURCE/INTERVAL.", autocompletion=completion.slices)] = "",
    where: Annotated[str, typer.Option("--where", help="Row filter, such as \"language = 'zh'\".")] = "",
    tag: Annotated[str, typer.Option("--tag", help="As it was at this tag.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows to show.")] = 20,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Columns with types and units, and the first rows."""
    from headrace_lake.tables import TABLES, table_spec

    lake = open_lake(settings)
    if table not in TABLES:  # loading the pipelines imports every stage
        _register_stage_tables(lake)
    spec = table_spec(table)
    meta = [(f, f.metadata or {}) for f in spec.schema]
    described = [
        [f.name, f"{f.type}{'' if f.nullable else ' required'}", m.get(b"unit", b"").decode(), m.get(b"doc", b"").decode()] for f, m in meta
    ]
    show_table(f"{table}: {spec.doc}", ["column", "type", "unit", "meaning"], described)
    rows = lake.read(table, Slice.parse(slice_text) if slice_text else None, where=where or None, tag=tag or None)
    shown = rows.slice(0, limit).to_pylist()
    show_table(
        f"{len(shown)} of {rows.num_rows} rows",
        spec.schema.names,
        [[v[:120] if isinstance(v, str) and sys.stdout.isatty() else v for v in r.values()] for r in shown],
    )
    columns = [{"name": c[0], "type": c[1], "unit": c[2], "meaning": c[3]} for c in described]
    emit_result({"table": table, "columns": columns, "total_rows": rows.num_rows, "rows": shown})


@table_app.command("history")
def table_history(table: TableArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
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
    keys = ("snapshot", "at", "operation", "rows", "stage", "slice", "run")
    emit_result({"table": table, "history": [dict(zip(keys, row, strict=True)) for row in rows]})


@table_app.command("tag")
def table_tag(name: Annotated[str, typer.Argument(help="Tag name.")], settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Name the present state of all tables, so that it can be read again and is never vacuumed."""
    tagged = open_lake(settings).tag(name)
    echo(f"tag {name}: {len(tagged)} tables")
    emit_result({"tag": name, "tables": len(tagged)})


@table_app.command("vacuum")
def table_vacuum(
    older_than_hours: Annotated[float, typer.Option("--older-than-hours", min=0, help="Grace for files of running jobs.")] = 24.0,
    keep_snapshots: Annotated[int, typer.Option("--keep-snapshots", min=1, help="Newest snapshots of each table to keep.")] = 20,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Expire old snapshots (never tagged ones) and remove files that nothing refers to."""
    from headrace_lake.vacuum import vacuum

    report = vacuum(open_lake(settings), older_than_seconds=older_than_hours * 3600, keep_snapshots=keep_snapshots, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    echo(f"{verb} {report.files} files ({report.bytes:,} bytes), expired {report.snapshots} snapshots")
    emit_result({"files": report.files, "bytes": report.bytes, "snapshots": report.snapshots})
