"""`headrace eval`: bits per byte on held-out documents."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headrace_jobs.command_line import RecipeArgument, list_artifacts, recipe_name
from headrace_lake.errors import ConfigError
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

app = typer.Typer(help="Bits per byte on held-out documents.", no_args_is_help=True)


@app.command("run")
def eval_run(
    recipe: RecipeArgument,
    window: Annotated[int | None, typer.Option("--window", min=2, help="Context in tokens; the recipe's length by default.")] = None,
    stride: Annotated[int | None, typer.Option("--stride", min=1, help="Tokens that a window scores; the window by default.")] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1000, help="Of the bootstrap.")] = 10_000,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score the newest checkpoint of the recipe's newest mix on its held-out documents."""
    from headrace_jobs.evaluation.run import EvaluationParams, evaluate_recipe, load_evaluation
    from headrace_jobs.mix.recipe import load_recipe

    lake = open_lake(settings)
    chosen = load_recipe(lake.settings, recipe)
    length = window or chosen.train.get("sequence_length", 256)
    if not isinstance(length, int):
        raise ConfigError(f"recipe {chosen.name}: field 'train.sequence_length' is '{length}'", "give a whole number")
    params = EvaluationParams(window=length, stride=stride, resamples=resamples)
    artifact, action = evaluate_recipe(lake, chosen.name, params)
    result = load_evaluation(lake, artifact)
    _show_evaluation(result)
    echo(f"evaluation {artifact.fingerprint[:16]}: {action}; page: {artifact.payload['files']['html']}")
    kept = {"definition": result["definition"], "languages": result["languages"], "overall": result["overall"]}
    emit_result({"action": action, "fingerprint": artifact.fingerprint, "path": artifact.path, **kept})


@app.command("show")
def eval_show(recipe: RecipeArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The newest evaluation of a recipe."""
    from headrace_jobs.evaluation.run import load_evaluation
    from headrace_lake.errors import InputError

    lake = open_lake(settings)
    found = lake.find_artifact("evaluation", name=recipe_name(recipe))
    if found is None:
        raise InputError(f"recipe '{recipe}' has no evaluation", f"run 'headrace eval run {recipe}'")
    result = load_evaluation(lake, found)
    _show_evaluation(result)
    emit_result(result)


@app.command("ls")
def eval_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All evaluations; what another definition measured is marked."""
    from headrace_jobs.evaluation.bits_per_byte import not_comparable

    list_artifacts(("evaluation",), settings, note=not_comparable)


def _show_evaluation(result: dict[str, Any]) -> None:
    from headrace_jobs.evaluation.bits_per_byte import definition_line

    rows = [
        (
            r["language"],
            f"{r['bits_per_byte']:.4f}",
            f"{r['low']:.4f} to {r['high']:.4f}",
            f"{r['unigram']:.4f}",
            "yes" if r["better"] else "no",
            r["documents"],
            r["bytes"],
        )
        for r in [*result["languages"], result["overall"]]
    ]
    columns = ("language", "bits per byte", "95 % interval", "unigram", "better", "documents", "bytes")
    show_table(f"held-out bits per byte of {result['checkpoint']['name']}", columns, rows)
    echo(definition_line(result))
