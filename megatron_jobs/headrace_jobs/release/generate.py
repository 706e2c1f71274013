"""`headrace generate`: words from a released model. Only safetensors and JSON are read, after their digests were checked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake


def generate(
    release: Annotated[str, typer.Argument(help="A bundle's folder, its name, or a recipe (its newest release).")],
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What the text begins with; empty starts a document.")] = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest continuation.")] = 64,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 always takes the most probable token.")] = 0.8,
    top_p: Annotated[
        float, typer.Option("--top-p", min=0.01, max=1.0, help="Draw from the likeliest tokens that hold this probability.")
    ] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same text.")] = 1,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sample from a release."""
    from headrace_jobs.release.sample import continuation
    from headrace_jobs.release.verify import checked_bundle
    from headrace_lake.terminal.interrupt import says_what_stays
    from headrace_lake.terminal.progress import progress

    lake = None if Path(release).is_dir() else open_lake(settings)
    with says_what_stays(lambda: "nothing of the text"), checked_bundle(lake, release) as folder:
        began = time.monotonic()
        with progress("generate", max_tokens, "tokens") as bar:
            result = continuation(
                folder, prompt, new_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, on_token=bar.advance
            )
        seconds = time.monotonic() - began
    echo(prompt + result.text)
    echo(
        f"[{len(result.ids)} tokens in {seconds:.1f} s, {len(result.ids) / max(seconds, 1e-9):.1f} a second; "
        f"{'ended by itself' if result.ended else 'cut at --max-tokens'}; seed {seed}]",
        err=True,
    )
    emit_result({"prompt": prompt, "text": result.text, "ids": result.ids, "ended": result.ended, "seed": seed})
