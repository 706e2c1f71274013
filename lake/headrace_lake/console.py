"""What commands share: the settings option, tables for people, and one machine-readable result line.

With `headrace --json-result ...` a command ends with `HEADRACE_RESULT {json}`: what an operator reads from a job's log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_lake.errors import InputError

if TYPE_CHECKING:
    from headrace_lake.lake import Lake

RESULT_PREFIX = "HEADRACE_RESULT "
_LINE_SEPARATORS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}

SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings", help="Settings file; by default headrace.yaml or var/poc/headrace.yaml of this folder or the nearest above."
    ),
]
_OPENED: ContextVar[str] = ContextVar("headrace_opened_lake", default="")


def open_lake(settings: Path | None, *, create: bool = False) -> Lake:
    """The lake that the settings file names.

    Args:
        create: for commands that may be the first to write to it; others have nothing to read in a lake that is not there.

    Raises:
        InputError: there is no lake; says where it was looked for, and by which settings.
    """
    # A second of imports, which a command that opens no lake, or speaks before it does, need not pay.
    from headrace_lake.lake import Lake
    from headrace_lake.settings import load_settings, other_lake

    chosen = load_settings(settings)
    lake = Lake.open(chosen)
    where = f"{lake.storage.root} ({chosen.origin})"
    other = other_lake(chosen)
    hint = ""
    if other is not None:
        hint = f"; another lies at {other}"
        if chosen.searched:  # nobody named this one
            typer.echo(f"headrace: lake {where}; another lies at {other}: 'lake: {{root: {other}}}' in headrace.yaml takes that", err=True)
    _OPENED.set(where + hint)
    if not create and not lake.exists:
        raise InputError(
            f"no lake at {where}{hint}", "'make poc' or 'headrace crawl SOURCE/INTERVAL' starts one; '--settings FILE' names another"
        )
    return lake


def opened_lake() -> str:
    """`lake: FOLDER (from SETTINGS)` of the lake that this command has opened, for what it did not find there; empty if it opened none."""
    return f"lake: {_OPENED.get()}" if _OPENED.get() else ""


_WANTED: ContextVar[bool] = ContextVar("headrace_json_result", default=False)
# Not typer's context: typer carries a click of its own, whose current context another click does not see.


def want_result(wanted: bool) -> None:
    """Remember whether the command line asked for the result line."""
    _WANTED.set(wanted)


def emit_result(result: Any) -> None:
    """Print the result line, if the command line asked for one."""
    if _WANTED.get():
        typer.echo(result_line(result))


def result_line(result: Any) -> str:
    r"""The result line: readable, and without a character that any reader might take for the end of a line.

    JSON escapes control characters by itself; U+0085, U+2028 and U+2029 it may leave as they are (RFC 8259), and then `str.splitlines`,
    editors and log pages cut there.
    """
    return RESULT_PREFIX + json.dumps(result, default=str, ensure_ascii=False).translate(_LINE_SEPARATORS)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table at a terminal; numbers right-aligned with thousands separated."""
    from rich.console import Console
    from rich.table import Table

    body = [list(r) for r in rows]
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        numeric = bool(body) and all(isinstance(r[i], int | float) for r in body)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for r in body:
        table.add_row(*(_text(v) for v in r))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    if not body and opened_lake():
        console.print(f"no rows; {opened_lake()}", soft_wrap=True, markup=False, highlight=False)


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    from rich.markup import escape

    return escape(str(value))
