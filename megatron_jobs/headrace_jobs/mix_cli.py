"""`headrace mix`: compile recipes into mixes, look at them. Not in `mix`, for it names the gates, which stand above mixes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headrace_jobs.command_line import RecipeArgument, list_artifacts, recipe_name
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

app = typer.Typer(help="Compile recipes into mixes; look at them.", no_args_is_help=True)


@app.command("compile")
def mix_compile(
    recipe: RecipeArgument,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Take slices that are out of date as they are; the mix records which, and why.")
    ] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose the documents of a recipe from the lake as it is now. Exit code 1 if slices of it are out of date; names them."""
    from headrace_jobs.gates.policy import load_policy
    from headrace_jobs.mix.compile import compile_mix
    from headrace_jobs.mix.recipe import load_recipe
    from headrace_lake.terminal.interrupt import says_what_stays

    lake = open_lake(settings)
    chosen = load_recipe(lake.settings, recipe)
    load_policy(lake.settings, chosen.release_gate)  # a gate that is not there is found before training, not after
    with says_what_stays(lambda: "the lake is as it was, for a mix is recorded when it is whole"):
        mix, action = compile_mix(lake, chosen, allow_stale=allow_stale)
    _show_mix(mix.record)
    echo(f"mix {mix.fingerprint[:16]}: {action}; readable again at tag {mix.record['tag']}")
    emit_result(
        {
            "action": action,
            "fingerprint": mix.fingerprint,
            "tag": mix.record["tag"],
            "tokens": sum(p.tokens for p in mix.phases),
            "documents": mix.documents.num_rows,
            "held_out_documents": mix.record["held_out_documents"],
            "stale": mix.record.get("stale", {}),
            "languages": {k: v["planned_tokens"] for k, v in mix.record["by_language"].items()},
        }
    )


@app.command("show")
def mix_show(recipe: RecipeArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The newest compiled mix of a recipe: pools, planned tokens, epochs, licences."""
    from headrace_jobs.mix.compile import load_mix, newest_mix

    lake = open_lake(settings)
    mix = load_mix(lake, newest_mix(lake, recipe_name(recipe)))
    _show_mix(mix.record)
    rows = [(r["bucket"], r["pool_tokens"], r["planned_tokens"], r["epochs"]) for r in mix.record["plan"]]
    show_table("buckets", ("bucket", "pool tokens", "planned tokens", "epochs"), rows)
    emit_result({"fingerprint": mix.fingerprint, "plan": mix.record["plan"]})


@app.command("ls")
def mix_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All compiled mixes."""
    list_artifacts(("mix",), settings)


def _show_mix(record: dict[str, Any]) -> None:
    for field in ("language", "source", "licence_class"):
        rows = [
            (name, r["documents"], r["pool_tokens"], r["planned_tokens"], f"{r['share']:.2%}") for name, r in record[f"by_{field}"].items()
        ]
        show_table(f"by {field.replace('_', ' ')}", (field, "documents", "pool tokens", "planned tokens", "share"), rows)
    echo(f"held out: {record['held_out_documents']} documents; refused by licence: {record['refused_licences']}")
    for slice_, cause in record.get("stale", {}).items():
        echo(f"out of date when it was compiled, and allowed: {slice_} ({cause})")
