"""`headrace`: the commands of every component under one name.

A mistake that the user can mend is one line and exit code 2; anything else keeps its traceback, for it is ours to mend.
"""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Annotated

import typer

from headrace_lake.console import opened_lake, want_result
from headrace_lake.errors import HeadraceError, InputError
from headrace_lake.garbage import collect_rarely

app = typer.Typer(
    name="headrace",
    help="From a list of sources to a released checkpoint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# command → (module, attribute): a Typer application or a function. Modules are imported only here; what is heavy in
# them (ray, torch, airflow) is imported inside their functions.
_COMMANDS: dict[str, tuple[str, str]] = {
    "doctor": ("headrace_cli.doctor", "doctor"),
    "poc": ("headrace_operators.poc.cli", "poc"),
    "backfill": ("headrace_operators.backfill", "backfill"),
    "services": ("headrace_operators.cli", "app"),
    "jobs": ("headrace_operators.jobs_cli", "app"),
    "samples": ("headrace_governance.cli", "samples"),
    "source": ("headrace_governance.cli", "source"),
    "crawl": ("headrace_governance.cli", "crawl"),
    "slice": ("headrace_lake.cli", "slice_app"),
    "stage": ("headrace_lake.cli", "stage_app"),
    "table": ("headrace_lake.cli", "table_app"),
    "lineage": ("headrace_jobs.lineage_cli", "app"),
    "doc": ("headrace_governance.documents_cli", "doc"),
    "drops": ("headrace_governance.documents_cli", "drops"),
    "what-if": ("headrace_governance.what_if_cli", "what_if"),
    "court": ("headrace_governance.court.cli", "app"),
    "ledger": ("headrace_governance.ledger_cli", "app"),
    "decontaminate": ("headrace_governance.decontamination_cli", "app"),
    "docs": ("headrace_governance.docs_cli", "app"),
    "quality": ("headrace_governance.text.quality.cli", "app"),
    "tokenizer": ("headrace_tokenizers.cli", "app"),
    "mix": ("headrace_jobs.cli", "mix_app"),
    "train": ("headrace_jobs.train_cli", "train"),
    "eval": ("headrace_jobs.cli", "eval_app"),
    "gate": ("headrace_jobs.cli", "gate_app"),
    "release": ("headrace_jobs.cli", "release_app"),
    "generate": ("headrace_jobs.generate", "generate"),
}


@app.callback()
def _root(
    json_result: Annotated[
        bool,
        typer.Option("--json-result", help="End with a line `HEADRACE_RESULT {json}` for programs."),
    ] = False,
) -> None:
    want_result(json_result)


def build(only: str | None = None) -> typer.Typer:
    """The application with all commands attached (once), or only with the one that a command line asks for.

    A job on Ray is one process a command: it imports its own component and waits for no other.
    """
    if not app.registered_groups and not app.registered_commands:
        for name, (module, attribute) in _COMMANDS.items():
            if only not in (None, name):
                continue
            target = getattr(importlib.import_module(module), attribute)
            if isinstance(target, typer.Typer):
                app.add_typer(target, name=name)
            else:
                app.command(name)(target)
    return app


def main() -> None:
    """Entry point of the `headrace` script."""
    collect_rarely()
    try:
        word = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
        build(word if word in _COMMANDS else None)()  # exits by itself: 0, the command's own code, or 2 for a wrong word or option
    except InputError as exc:
        # What was not found may lie in another lake: the one that was searched is named, unless the message does.
        lake = opened_lake()
        named = not lake or lake.split()[1] in str(exc)
        _fail(str(exc) if named else f"{exc} [{lake}]", exc.exit_code)
    except HeadraceError as exc:
        _fail(str(exc), exc.exit_code)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail(f"{exc.filename or 'disk'}: no space left on the device. Free disk space, then run again", 2)
        raise


def _fail(message: str, code: int) -> None:
    print(f"headrace: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
