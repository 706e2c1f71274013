"""Commands about stages: `headrace stage ls`, `run`, `prove-equal`, `equivalences`, `revoke`."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Annotated

import typer

from headrace_lake.cli import ExecutorOption, PipelineArgument, SlicesArgument, slice_run
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.settings import Settings
from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_records

stage_app = typer.Typer(help="List stages; run one; prove that its code still writes the same.", no_args_is_help=True)

StageArgument = Annotated[str, typer.Argument(help="Stage name.", autocompletion=completion.stages)]
ByOption = Annotated[str, typer.Option("--by", help="Who says so; the user of this process by default.")]


@stage_app.command("ls")
def stage_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
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
            reads = [wanted.primary, *wanted.sidecars]
            rows.append({"pipeline": pipeline.name, "stage": stage.name, "version": stage.version, "reads": reads, "writes": outputs})
    show_records("stages", rows, ["pipeline", "stage", "version", "reads", "writes"])
    emit_result({"stages": rows})


@stage_app.command("run")
def stage_run(
    pipeline: PipelineArgument,
    stage: StageArgument,
    slices: SlicesArgument,
    executor: ExecutorOption = "local",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring one stage of one or more slices up to date."""
    slice_run(pipeline, slices, executor=executor, stages=stage, settings=settings)


@stage_app.command("prove-equal")
def stage_prove_equal(
    stage: StageArgument,
    parts: Annotated[int, typer.Option("--parts", min=1, help="Parts to compute again and compare.")] = 60,
    seed: Annotated[int, typer.Option("--seed", help="Of the random sample.")] = 1,
    pipeline: Annotated[str, typer.Option("--pipeline", help="Where the stage is declared.", autocompletion=completion.pipelines)] = "",
    code: Annotated[str, typer.Option("--code", help="The older code to compare with: the beginning of its digest.")] = "",
    executor: ExecutorOption = "local",
    by: ByOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute a random sample of a stage's parts with today's code; if all bytes agree, what older code wrote is adopted."""
    from headrace_lake.engine import load_pipeline, prove_equal
    from headrace_lake.engine.executors import make_executor

    lake = open_lake(settings)
    chosen = load_pipeline(lake.settings, pipeline or _declaring(lake.settings, stage))
    proof = prove_equal(lake, chosen, stage, make_executor(executor, lake), parts=parts, seed=seed, by=by or getpass.getuser(), code=code)
    told = f"at most {proof.bound:.1%} of the others differ (95 % confidence)" if proof.bound else "which is all of them"
    echo(
        f"{stage}: {proof.parts} of {proof.population} parts of {proof.slices} slices, computed by {proof.before[:12]}, come out the same "
        f"by today's {proof.after[:12]}; {told}. Recorded as equivalence {proof.fingerprint[:12]}",
        err=True,
    )
    for why, count in proof.skipped.items():
        echo(f"{count} slices were not compared: {why}", err=True)
    for code, count in proof.others.items():
        echo(f"{count} slices are of other code, {code[:12]}, which was not compared; '--code {code[:12]}' does", err=True)
    emit_result(asdict(proof))


@stage_app.command("equivalences")
def stage_equivalences(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """What was proven equal, by whom, and what was taken back."""
    from headrace_lake.engine.prove_equal import equivalences

    rows = [
        {
            "equivalence": a.fingerprint[:12], "stage": a.payload["stage"], "before": a.payload["before"][:12],
            "after": a.payload["after"][:12], "parts": f"{a.payload['parts']} of {a.payload['population']}",
            "differ at most": f"{a.payload['bound']:.1%}", "by": a.payload["by"], "recorded (UTC)": f"{a.created_at:%Y-%m-%d %H:%M}",
            "revoked": a.payload.get("revoked", ""),
        }
        for a in equivalences(open_lake(settings))
    ]  # fmt: skip
    names = ["equivalence", "stage", "before", "after", "parts", "differ at most", "by", "recorded (UTC)", "revoked"]
    show_records("equivalences", rows, names)
    emit_result({"equivalences": rows})


@stage_app.command("revoke")
def stage_revoke(
    equivalence: Annotated[str, typer.Argument(help="The beginning of its fingerprint.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")],
    by: ByOption = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an equivalence back: what the older code wrote is out of date again."""
    from headrace_lake.engine.prove_equal import revoke

    if not reason.strip():
        raise InputError("an equivalence is not taken back without a reason", "--reason 'what was found'")
    old = revoke(open_lake(settings), equivalence, reason, by=by or getpass.getuser())
    echo(f"equivalence {old.fingerprint[:12]} of {old.payload['stage']} is revoked: {reason}", err=True)
    emit_result({"revoked": old.fingerprint})


def _declaring(settings: Settings, stage: str) -> str:
    """The one pipeline that has a stage."""
    from headrace_lake.engine import load_pipeline

    names = sorted(f.stem for f in settings.resolve(settings.pipelines).glob("*.yaml"))
    found = [n for n in names if stage in {s.name for s in load_pipeline(settings, n).stages}]
    if len(found) != 1:
        what = f"stage '{stage}' is in no pipeline" if not found else f"stage '{stage}' is in several pipelines: {', '.join(found)}"
        raise ConfigError(what, "'headrace stage ls' lists stages" if not found else "name one with --pipeline")
    return found[0]
