"""`headrace`: the commands of every component under one name.

A mistake that the user can mend is one line and exit code 2; anything else keeps its traceback, for it is ours to mend. A signal ends a
command with the shell's code (130, 143) and one line that says what stays; a pipe that closes early ends it quietly.
"""

from __future__ import annotations

import errno
import importlib
import os
import shlex
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headrace_lake.errors import HeadraceError, InputError
from headrace_lake.foreign_text import one_line
from headrace_lake.garbage import collect_no_more, collect_rarely
from headrace_lake.nearest import nearest
from headrace_lake.terminal.console import echo, opened_lake, want_result
from headrace_lake.terminal.interrupt import interruptible, this_command

# command → (module, attribute): a Typer application or a function. Modules are imported only when their command is asked for; what is
# heavy in them (ray, torch, airflow) is imported inside their functions.
_COMMANDS: dict[str, tuple[str, str]] = {
    "doctor": ("headrace_cli.doctor", "doctor"),
    "poc": ("headrace_operators.poc.cli", "poc"),
    "backfill": ("headrace_operators.backfill", "backfill"),
    "services": ("headrace_operators.cli", "app"),
    "jobs": ("headrace_operators.jobs_cli", "app"),
    "samples": ("headrace_governance.acquire.cli", "samples"),
    "source": ("headrace_governance.acquire.cli", "source"),
    "crawl": ("headrace_governance.acquire.cli", "crawl"),
    "compile": ("headrace_governance.acquire.compiling_cli", "compile_command"),
    "slice": ("headrace_lake.cli", "slice_app"),
    "stage": ("headrace_lake.stage_cli", "stage_app"),
    "table": ("headrace_lake.cli", "table_app"),
    "lineage": ("headrace_jobs.lineage_cli", "app"),
    "doc": ("headrace_governance.audit.document_trace_cli", "doc"),
    "drops": ("headrace_governance.audit.document_trace_cli", "drops"),
    "what-if": ("headrace_governance.audit.what_if_cli", "what_if"),
    "audit": ("headrace_governance.audit.removals.cli", "app"),
    "ledger": ("headrace_governance.audit.ledger_cli", "app"),
    "decontaminate": ("headrace_governance.decontamination.cli", "app"),
    "docs": ("headrace_governance.audit.reports.cli", "app"),
    "quality": ("headrace_governance.text.quality.cli", "app"),
    "tokenizer": ("headrace_tokenizers.text.cli", "app"),
    "mix": ("headrace_jobs.mix_cli", "app"),
    "train": ("headrace_jobs.trainer.cli", "train"),
    "eval": ("headrace_jobs.evaluation.cli", "app"),
    "gate": ("headrace_jobs.gates.cli", "app"),
    "release": ("headrace_jobs.release.cli", "app"),
    "generate": ("headrace_jobs.release.generate", "generate"),
}

# What `headrace --help` says of each, so that it imports none of them (a test holds them equal to the commands' own words). A command
# without a line here is imported for it.
_SUMMARIES = {
    "doctor": "What is missing or wrong on this machine and in the settings, and how to get it right.",
    "poc": "The whole line on this machine: samples, crawl, clean, tokens, training, evaluation, gate, release.",
    "backfill": "Backfill days of a source in the local Airflow: one run, one slice a day.",
    "services": "PostgreSQL, Ray, Airflow and the sample site on this machine, loopback only.",
    "jobs": "Remote jobs: list them, read their logs, stop them, show what would be sent.",
    "samples": "The sample site: real packages' pages, opened without installing.",
    "source": "Sources: list and check them.",
    "crawl": "Crawl or import slices of sources into the lake; what it holds already is adopted.",
    "compile": "Compile what a pipeline runs, before its first slice on this machine: a minute or two, once.",
    "slice": "Run, preview and look at slices.",
    "stage": "List stages; run one; prove that its code still writes the same.",
    "table": "Look at tables; tag and vacuum them.",
    "lineage": "Where did this come from; what did this go into.",
    "doc": "What became of one document, verdict by verdict, and why.",
    "drops": "What every rule dropped, with its share of what the stage read, and some of it to look at.",
    "what-if": "What an edited threshold would newly drop or keep, by source, language and rule; nothing is committed.",
    "audit": "Were removals right? Samples, judgements, precision.",
    "ledger": "What each source and language declared, brought, lost and gave.",
    "decontaminate": "Evaluation sets, and where their items stand in the documents.",
    "docs": "Data docs: what tables were expected to be, and were.",
    "quality": "Quality models: train them, show their cards.",
    "tokenizer": "The text vocabulary: show, encode, decode, export.",
    "mix": "Compile recipes into mixes; look at them.",
    "train": "Train a recipe on its newest mix: adopted when finished, resumed when not.",
    "eval": "Bits per byte on held-out documents.",
    "gate": "Go or No-Go: judge, show, sign.",
    "release": "Build, verify and list releases.",
    "generate": "Sample from a release.",
}

# Words of commands that were renamed; the old one is told the new one and runs nothing.
_RENAMED = {"court": "audit"}
_RENAMED_BELOW = {("audit", "wipe-out"): "drop-rate"}

_COMPLETION = ("--install-completion", "--show-completion")
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def renamed(words: list[str]) -> list[str] | None:
    """The words of a command line by today's names of commands, or None where it uses no former one."""
    now = [_RENAMED.get(words[0], words[0]), *words[1:]] if words else []
    if len(now) > 1:
        now[1] = _RENAMED_BELOW.get((now[0], now[1]), now[1])
    return now if now != words else None


class _Root(TyperGroup):
    """The root command; it imports the module of the one command that is asked for, and none to list them all."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands and cmd_name in _COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] in _COMPLETION and not ctx.resilient_parsing:
            option = next(p for p in self.params if args[0] in p.opts)
            option.callback(ctx, option, _shell(ctx, args))  # type: ignore[misc]  # writes or prints, and exits
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if (now := renamed(args)) is not None and not ctx.resilient_parsing:
            ctx.fail(f"{' '.join(args[:2])!r} is called {' '.join(now[:2])!r} now. Run 'headrace {shlex.join(now)}'.")
        if args and args[0] not in _COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = nearest(args[0], _COMMANDS)
            way_out = f"Did you mean {' or '.join(map(repr, near))}?" if near else "'headrace --help' lists the commands."
            ctx.fail(f"No such command {args[0]!r}. {way_out}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._summary(ctx, name)) for name in _COMMANDS])

    def _summary(self, ctx: Any, name: str) -> str:
        return _SUMMARIES.get(name) or self.get_command(ctx, name).get_short_help_str(1000)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return list(super().shell_complete(ctx, incomplete))
        return [CompletionItem(name) for name in _COMMANDS if name.startswith(incomplete)]


def _shell(ctx: Any, args: list[str]) -> str:
    """The shell to complete in: the one that is named, that runs this command, or that the user logs in with."""
    from typer._completion_shared import _get_shell_name

    for name in args[1:2] or (_get_shell_name(), os.path.basename(os.environ.get("SHELL", ""))):
        if name in _SHELLS:
            return name
    what = f"{args[1]!r} is no shell that is known" if args[1:] else "Which shell this is cannot be told"
    ctx.fail(f"{what}. Name one of {', '.join(_SHELLS)}: 'headrace {args[0]} bash'.")
    raise AssertionError("fail has raised")


app = typer.Typer(
    name="headrace",
    help="From a list of sources to a released checkpoint.",
    cls=_Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help: whole lines in a pipe, and half a second sooner than Rich's.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from headrace_cli.version import version

        echo(f"headrace {version()}")
        raise typer.Exit


@app.callback()
def _root(
    json_result: Annotated[
        bool,
        typer.Option("--json-result", help="End with a line `HEADRACE_RESULT {json}` for programs."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print version and commit, and exit.")
    ] = False,
) -> None:
    want_result(json_result)


def build() -> typer.Typer:
    """The application with all commands attached, once: for whoever walks them. `main` imports only the one that it needs."""
    if not app.registered_groups and not app.registered_commands:
        for name in _COMMANDS:
            _attach(app, name)
    return app


def _attach(to: typer.Typer, name: str) -> None:
    module, attribute = _COMMANDS[name]
    target = getattr(importlib.import_module(module), attribute)
    if isinstance(target, typer.Typer):
        to.add_typer(target, name=name)
    else:
        to.command(name)(target)


def _load(name: str) -> Any:
    """One command, as the root would have it."""
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.callback()(lambda: None)
    _attach(alone, name)
    return _with_whole_lines(typer.main.get_group(alone).commands[name])


def _with_whole_lines(command: Any) -> Any:
    """Let a group list its commands with their whole first sentences, which are cut by default."""
    for each in getattr(command, "commands", {}).values():
        first = " ".join((each.help or "").partition("\n\n")[0].split())
        each.short_help = each.short_help or first.partition(". ")[0].removesuffix(".") + "."
        _with_whole_lines(each)
    return command


def main() -> None:
    """Entry point of the `headrace` script."""
    collect_rarely()
    with interruptible() as received:
        try:
            _run()
        except SystemExit as exc:
            code = exc.code
            if received.number and code == 128 + signal.SIGINT:  # Typer makes 130 of every interruption that a command lets through
                if not received.told:
                    _say(f"{_name(received.number)}: stopped; what was committed stays. Go on with: {this_command()}")
                code = 128 + received.number
            _flush()
            sys.exit(code)
        except KeyboardInterrupt:  # before or after the command itself
            _say(f"{_name(received.number or signal.SIGINT)}: stopped. Go on with: {this_command()}")
            sys.exit(128 + (received.number or signal.SIGINT))
        finally:
            collect_no_more()


def _run() -> None:
    from headrace_cli.chatter import quiet_libraries

    quiet_libraries()
    try:
        typer.main.get_command(app)()  # exits by itself: 0, the command's own code, or 2 for a wrong word or option
    except InputError as exc:
        # What was not found may lie in another lake: the one that was searched is named, unless the message does.
        lake = opened_lake()
        named = not lake or lake.split()[1] in str(exc)
        _fail(str(exc) if named else f"{exc} [{lake}]", exc.exit_code)
    except HeadraceError as exc:
        _fail(str(exc), exc.exit_code)
    except BrokenPipeError:
        _nowhere(sys.stdout)
        sys.exit(0)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            _fail(f"{exc.filename or 'disk'}: no space left on the device. Free disk space, then run again", 2)
        raise


def _flush() -> None:
    """Write what is left now: at the interpreter's end a closed pipe would be told as an ignored exception."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            _nowhere(stream)


def _nowhere(stream: Any) -> None:
    """Let what the stream still holds go nowhere: its reader has left (`| head`)."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return


def _name(number: int) -> str:
    return signal.Signals(number).name


def _fail(message: str, code: int) -> None:
    _say(message)
    sys.exit(code)


def _say(message: str) -> None:
    print(f"headrace: {one_line(message)}", file=sys.stderr)
