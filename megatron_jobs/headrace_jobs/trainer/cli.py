"""`headrace train`. What is heavy is imported inside."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake


def train(
    recipe: Annotated[
        str, typer.Argument(help="Name in megatron_jobs/configs/recipes, or a YAML file.", autocompletion=completion.recipes)
    ],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe on its newest mix: adopted when finished, resumed when not."""
    from headrace_jobs.trainer.pace import duration
    from headrace_jobs.trainer.run import train_recipe
    from headrace_lake.terminal.interrupt import says_what_stays

    lake = open_lake(settings)
    with says_what_stays(lambda: "the run's last checkpoint stays, named above, and training goes on from it"):
        outcome = train_recipe(lake, recipe, settings=settings)
    p = outcome.run.payload
    fell = math.log(p["vocabulary"]) - p["last_loss"]
    echo(f"run {outcome.run.fingerprint[:16]}: {outcome.action}; {p['steps']} steps, {p['tokens']:,} tokens in {duration(p['seconds'])}")
    echo(f"loss {p['first_loss']:.4f} to {p['last_loss']:.4f} nats per token, {fell:.2f} below ln({p['vocabulary']})")
    segments = p.get("segments") or []
    last = segments[-1] if segments else {}
    if last:
        echo(f"softmax in {last['softmax']['chosen']}: {last['softmax']['why']}")
    echo(f"page: {outcome.run.path}/run.html; checkpoint: {outcome.checkpoint.path}")
    emit_result(
        {
            "action": outcome.action,
            "fingerprint": outcome.run.fingerprint,
            "checkpoint": outcome.checkpoint.path,
            "page": f"{outcome.run.path}/run.html",
            **{k: p[k] for k in ("first_loss", "last_loss", "vocabulary", "steps", "tokens", "seconds")},
            "tokens_per_second": round(p["tokens"] / p["seconds"], 1) if p["seconds"] else None,
            "precision": {use: last[use]["chosen"] for use in ("layers", "softmax") if last},
        }
    )
