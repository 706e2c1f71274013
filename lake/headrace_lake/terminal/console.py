"""What commands share: the settings and `--json` options, tables, and one machine-readable result line.

Three readers: people at a terminal (tables of Rich), pipes and logs (columns of plain text, nothing cut), programs (`--json`: one
document on standard output and nothing else). With `headrace --json-result ...` a command ends with `HEADRACE_RESULT {json}`: what an
operator reads from a job's log.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from headrace_lake.errors import InputError
from headrace_lake.foreign_text import is_unseen, log_line, terminal
from headrace_lake.lines import RESULT_PREFIX

if TYPE_CHECKING:
    from rich.console import Console

    from headrace_lake.lake import Lake

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
            echo(f"headrace: lake {where}; another lies at {other}: 'lake: {{root: {other}}}' in headrace.yaml takes that", err=True)
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


_DOCUMENT: ContextVar[TextIO | None] = ContextVar("headrace_json_document", default=None)
"""Standard output where the command was given `--json`; what is printed for people goes nowhere then."""


def _want_json(context: typer.Context, wanted: bool) -> bool:
    """Keep standard output for the document until the command ends."""
    if wanted and not context.resilient_parsing:
        output, nowhere = sys.stdout, open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed with the command
        token = _DOCUMENT.set(output)
        sys.stdout = nowhere

        def restore() -> None:
            sys.stdout = output
            _DOCUMENT.reset(token)
            nowhere.close()

        context.call_on_close(restore)
    return wanted


JsonOption = Annotated[bool, typer.Option("--json", callback=_want_json, help="Print one JSON document and nothing else.")]


def emit_result(result: Any) -> None:
    """What the command found, for programs: the document of `--json`, the result line of `--json-result`."""
    document = _DOCUMENT.get()
    if document is not None:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
        typer.echo(_escaped(orjson.dumps(result, default=_jsonable, option=options).decode()), file=document, nl=False)
        if _WANTED.get():
            typer.echo(result_line(result), file=document)
    elif _WANTED.get():
        typer.echo(result_line(result))


def echo(message: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a line for people: what of it is foreign is shown as text and drives no terminal (`foreign_text.log_line`)."""
    typer.echo(log_line(str(message)), err=err, nl=nl)


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def text_console(**options: Any) -> Console:
    """A console of Rich that shows strings as `foreign_text.terminal` does; tables and other renderables are the caller's to make safe."""
    from rich.console import Console

    class TextConsole(Console):
        def print(self, *objects: Any, **kwargs: Any) -> None:
            super().print(*(log_line(o) if isinstance(o, str) else o for o in objects), **kwargs)

    return TextConsole(**options)


def result_line(result: Any) -> str:
    """The result line: readable, and without a character that any reader might take for the end of a line, or that drives a terminal."""
    return RESULT_PREFIX + _escaped(json.dumps(result, default=str, ensure_ascii=False))


class _Escapes(dict[int, "str | int"]):
    """Code point → its JSON escape (RFC 8259, section 7) where it is unseen; filled as characters are met."""

    def __missing__(self, code: int) -> str | int:
        units = chr(code).encode("utf-16-be", "surrogatepass").hex()
        escape = "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
        self[code] = escape if is_unseen(chr(code)) else code
        return self[code]


_ESCAPES = _Escapes()


def _escaped(document: str) -> str:
    r"""JSON with the same meaning, in which unseen characters stand as `\uXXXX`.

    JSON escapes C0 controls by itself. Others it may leave as they are (RFC 8259): C1 and direction marks, which drive terminals, and
    U+0085, U+2028 and U+2029, where `str.splitlines`, editors and log pages cut. Outside its strings JSON has none of them.
    """
    return document if document.isascii() else document.translate(_ESCAPES)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table: at a terminal as wide as it is, with thousands separated; elsewhere plain columns with every value whole."""
    if _DOCUMENT.get() is not None:
        return
    body = [list(r) for r in rows]
    numeric = [bool(body) and all(isinstance(r[i], int | float) for r in body) for i in range(len(columns))]
    if sys.stdout.isatty():
        _rich_table(title, columns, body, numeric)
    else:
        echo("\n".join(_plain_table(title, columns, body, numeric)))
    if not body and opened_lake():
        echo(f"no rows; {opened_lake()}")


def show_records(title: str, records: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> None:
    """A table of records with equal keys, which are its columns; lists are joined by spaces.

    Args:
        columns: for when there is no record to take them from.
    """
    names = list(records[0]) if records else list(columns)
    rows = [[" ".join(map(str, v)) if isinstance(v, list | tuple) else v for v in r.values()] for r in records]
    show_table(title, [n.replace("_", " ") for n in names], rows)


def _rich_table(title: str, columns: Sequence[str], body: Sequence[Sequence[object]], numeric: Sequence[bool]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for name, is_number in zip(columns, numeric, strict=True):
        table.add_column(escape(name), justify="right" if is_number else "left", overflow="fold")
    for r in body:
        table.add_row(*(escape(terminal(_text(v))) for v in r))
    Console().print(table)


def _plain_table(title: str, columns: Sequence[str], body: Sequence[Sequence[object]], numeric: Sequence[bool]) -> list[str]:
    """Lines: the title, then columns that are two spaces apart; no value is cut, folded or drawn around."""
    lines = [list(columns), *([_plain(v) for v in r] for r in body)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    out = []
    for cells in lines:
        padded = []
        for cell, width, is_number in zip(cells, widths, numeric, strict=True):
            space = " " * (width - _width(cell))
            padded.append(space + cell if is_number else cell + space)
        out.append("  ".join(padded).rstrip())
    return [title, *out]


_ONE_LINE = dict.fromkeys([*range(32), 0x7F, 0x85, 0x2028, 0x2029], " ")


def _plain(value: object) -> str:
    """A value for a pipe: whole, on one line, numbers as programs read them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) else f"{value:.10g}"
    return _text(value).translate(_ONE_LINE)


def _width(text: str) -> int:
    """Columns that a text takes at a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return str(value)
