"""`headrace quality`: train quality models and show their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_table

app = typer.Typer(help="Quality models: train them, show their cards.", no_args_is_help=True)


@app.command("train")
def train(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names in pipelines/quality/, or paths of YAML files.")],
    cache: Annotated[Path, typer.Option("--cache", help="Folder for downloaded packages.")] = Path("var/samples/packages"),
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train models and record them in the lake with their cards; what was trained from the same data is adopted."""
    from headrace_governance.text.quality.train import make_model, quality_file

    lake = open_lake(settings)
    files = [quality_file(lake.settings, n) for n in names]
    results = []
    for file in files:
        artifact, how = make_model(lake, file, cache=cache)
        echo(f"{artifact.name}: {how}, {_line(artifact.payload)}, digest {artifact.digest}")
        results.append({"name": artifact.name, "how": how, "fingerprint": artifact.fingerprint, "digest": artifact.digest})
    emit_result({"models": results})


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A model's name; all models if it is left out.")] = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """The card of the newest model of a name, or a list of all."""
    from headrace_governance.text.quality.card import card_markdown
    from headrace_governance.text.quality.train import KIND
    from headrace_lake.errors import InputError

    lake = open_lake(settings)
    if not name:
        rows = [[a.name, a.payload["role"], a.payload["language"], a.digest, _line(a.payload)] for a in lake.artifacts(KIND)]
        show_table("quality models", ["name", "role", "language", "digest", "figures"], rows)
        emit_result({"models": [{"name": r[0], "role": r[1], "language": r[2], "digest": r[3]} for r in rows]})
        return
    found = lake.find_artifact(KIND, name=name)
    if found is None:
        raise InputError(f"the lake has no quality model '{name}'", f"run 'headrace quality train {name}'")
    echo(card_markdown(found.payload))
    emit_result({"name": found.name, "digest": found.digest, "card": found.payload})


def _line(payload: dict[str, object]) -> str:
    """The figures that matter most."""
    if payload["role"] == "classifier":
        held, trials = payload["held_out"], payload["trials"]
        assert isinstance(held, dict) and isinstance(trials, dict)
        return ", ".join(f"AUC {s['auc']:.3f} {name} ({s['labels']} labels)" for name, s in {"held out": held, **trials}.items())
    return f"order {payload['order']}"
