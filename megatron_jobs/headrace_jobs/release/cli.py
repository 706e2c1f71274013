"""`headrace release`: build, verify and list releases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_jobs.command_line import RecipeArgument, list_artifacts, recipe_name
from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

app = typer.Typer(help="Build, verify and list releases.", no_args_is_help=True)


@app.command("build")
def release_build(
    recipe: RecipeArgument,
    gate: Annotated[
        str | None, typer.Option("--gate", help="A stricter gate than the recipe's own, whose decision counts instead.")
    ] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the bundle of the newest evaluated checkpoint; needs a valid Go."""
    from headrace_jobs.release.bundle import build_release
    from headrace_lake.terminal.interrupt import says_what_stays

    lake = open_lake(settings)
    with says_what_stays(lambda: "the lake is as it was, for a release is recorded when it is whole"):
        artifact, action = build_release(lake, recipe_name(recipe), gate=gate)
    where = lake.storage.uri(artifact.path).removeprefix("file://")
    p = artifact.payload["gate"]
    echo(f"gate {p['gate']}: {p['decision']}, signed by {p['signer']}; {p['note']}")
    echo(f"release {artifact.payload['bundle']}: {action}, {artifact.payload['files']} files, root {artifact.digest}")
    echo(where)
    emit_result({"action": action, "fingerprint": artifact.fingerprint, "path": where, "root": artifact.digest, **artifact.payload["gate"]})


@app.command("verify")
def release_verify(
    release: Annotated[
        str, typer.Argument(help="A bundle's folder, its name, or a recipe (its newest release).", autocompletion=completion.recipes)
    ],
    root: Annotated[str, typer.Option("--root", help="The root digest that was published, for a folder from elsewhere.")] = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check digests, weights, tokenizer and sample without a network."""
    from headrace_jobs.release.verify import verify_folder, verify_release

    if Path(release).is_dir():
        where, checks = release, verify_folder(Path(release), expected_root=root)
    else:
        where, checks = verify_release(open_lake(settings), recipe_name(release))
    show_table(f"release {where}", ("check", "found"), [(c.name, c.detail) for c in checks])
    emit_result({"path": where, "passed": True, "checks": {c.name: c.detail for c in checks}})


@app.command("ls")
def release_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """All releases."""
    list_artifacts(("release",), settings)
