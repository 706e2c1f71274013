"""`headrace compile`: compile what a pipeline runs, before its first slice."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_lake.terminal import completion
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result


def compile_command(
    pipeline: Annotated[str, typer.Argument(help="Name in governance/pipelines.", autocompletion=completion.pipelines)] = "text",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile what a pipeline runs, before its first slice on this machine: a minute or two, once."""
    import time

    from headrace_governance.acquire.compiling import compile_kernels
    from headrace_lake.settings import load_settings

    began = time.monotonic()
    done = compile_kernels(load_settings(settings), pipeline)
    seconds = time.monotonic() - began
    echo(f"compiled: {done.stages} stages of {pipeline} ran over {done.documents} texts in {seconds:.0f} s")
    emit_result({"pipeline": pipeline, "stages": done.stages, "documents": done.documents, "seconds": round(seconds, 1)})
