"""What the commands `mix`, `eval`, `gate` and `release` share: a recipe's name as an argument, and lists of artifacts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_lake.terminal import completion
from headrace_lake.terminal.console import emit_result, open_lake, show_table

RecipeArgument = Annotated[
    str, typer.Argument(help="Name in megatron_jobs/configs/recipes, or a YAML file.", autocompletion=completion.recipes)
]


def list_artifacts(kinds: tuple[str, ...], settings: Path | None, *, note: Callable[[dict[str, Any]], str] = lambda _: "") -> None:
    """Artifacts of kinds; `note` says of a payload what stands behind its summary."""
    lake = open_lake(settings)
    listed: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds:
        rows: list[dict[str, Any]] = []
        for a in lake.artifacts(kind):
            what = "; ".join(filter(None, (str(a.payload.get("summary", "")), note(a.payload))))
            rows.append({"name": a.name, "fingerprint": a.fingerprint, "created": a.created_at, "what": what})
        shown = [(r["name"], r["fingerprint"][:16], f"{r['created']:%Y-%m-%d %H:%M}", r["what"]) for r in rows]
        show_table(kind, ("name", "fingerprint", "created", "what"), shown)
        listed[kind] = rows
    emit_result(listed)


def recipe_name(recipe: str) -> str:
    """A recipe's name; for a YAML file its stem."""
    return Path(recipe).stem if recipe.endswith((".yaml", ".yml")) else recipe
