"""The author's own macros: `\\newcommand`, `\\def`, `\\DeclareMathOperator`, `\\newtheorem` read, taken out, and expanded.

An expansion is textual, in rounds; it ends when nothing changes, after `ROUNDS`, or when the text would grow beyond `GROWTH` times its
length (a macro can double itself). Macros that use TeX's own programming (`\\if`, `\\csname`, `@`) are left unexpanded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ROUNDS = 8
GROWTH = 4
_MIN_BUDGET = 200_000
_DEFINITION = re.compile(
    r"\\(newcommand|renewcommand|providecommand|DeclareRobustCommand|DeclareMathOperator|newtheorem|newenvironment|renewenvironment"
    r"|g?def|edef|let)\b\*?"
)
_NAME = re.compile(r"\s{0,99}(?:\{\s{0,9}\\([A-Za-z]{1,60})\s{0,9}\}|\\([A-Za-z]{1,60}))")
_THEOREM = re.compile(r"\s{0,9}\{([A-Za-z*]{1,60})\}\s{0,9}(?:\[[^\[\]]{0,60}\]\s{0,9})?\{([^{}]{1,100})\}(?:\[[^\[\]]{0,60}\])?")
_ARGUMENTS = re.compile(r"\s{0,9}\[\s{0,9}([0-9])\s{0,9}\]")
_PARAMETERS = re.compile(r"\s{0,9}((?:#[1-9]\s{0,3}){0,9})(?=\{)")
_LET = re.compile(r"\s{0,9}\\([A-Za-z]{1,60})\s{0,9}=?\s{0,9}(\\[A-Za-z]{1,60})")
_COMMAND = re.compile(r"\\([A-Za-z]{1,60})")
_PROGRAMMING = re.compile(r"\\(?:if|else|fi|csname|expandafter|futurelet|catcode|ifx|loop|relax|def|newcommand|@)|@")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_MAX_BODY = 4000


@dataclass
class Macro:
    """Number of arguments, default of the first if it is optional, and what it stands for."""

    arguments: int
    default: str | None
    body: str


@dataclass
class Macros:
    """Macros by name, and titles of theorem-like environments by their name."""

    macros: dict[str, Macro] = field(default_factory=dict)
    theorems: dict[str, str] = field(default_factory=dict)


def group_ends(text: str) -> dict[int, int]:
    """Place of each `{` → place behind its `}`; one pass for all of them."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for found in _BRACE.finditer(text):
        if found[0] == "{":
            opened.append(found.start())
        elif found[0] == "}" and opened:
            ends[opened.pop()] = found.end()
    return ends


def taken_out(text: str) -> tuple[str, Macros]:
    """The text without its definitions, and what they defined."""
    known = Macros()
    out: list[str] = []
    at = 0
    ends = group_ends(text)
    while (found := _DEFINITION.search(text, at)) is not None:
        out.append(text[at : found.start()])
        end = _define(text, found, known, ends)
        if end < 0:
            out.append(found[0])
            end = found.end()
        at = end
    out.append(text[at:])
    return "".join(out), known


def _define(text: str, found: re.Match[str], known: Macros, ends: dict[int, int]) -> int:
    """Read one definition; returns where it ends, or -1 if it is none that we know."""
    kind, at = found[1], found.end()
    if kind == "newtheorem":
        theorem = _THEOREM.match(text, at)
        if theorem is None:
            return -1
        known.theorems[theorem[1]] = theorem[2]
        return theorem.end()
    if kind == "let":
        let = _LET.match(text, at)
        if let is None:
            return -1
        known.macros[let[1]] = Macro(0, None, let[2])
        return let.end()
    if kind.endswith("environment"):
        end = at
        for _ in range(3):
            while end < len(text) and text[end] in " \n[":
                end = text.find("]", end) + 1 if text[end] == "[" and text.find("]", end) >= 0 else end + 1
            end = ends.get(end, -1)
            if end < 0:
                return -1
        return end
    name = _NAME.match(text, at)
    if name is None:
        return -1
    at, called = name.end(), name[1] or name[2]
    arguments, default = 0, None
    if kind.endswith("def"):
        parameters = _PARAMETERS.match(text, at)
        if parameters is None:
            return -1
        arguments, at = parameters[1].count("#"), parameters.end()
    else:
        count = _ARGUMENTS.match(text, at)
        if count is not None:
            arguments, at = int(count[1]), count.end()
            optional = re.compile(r"\s{0,9}\[([^\[\]]{0,300})\]").match(text, at)
            if optional is not None:
                default, at = optional[1], optional.end()
    while at < len(text) and text[at].isspace():
        at += 1
    end = ends.get(at, -1)
    if end < 0:
        return -1
    body = text[at + 1 : end - 1].strip() if kind == "DeclareMathOperator" else text[at + 1 : end - 1]
    if kind == "DeclareMathOperator":
        body = f"\\operatorname{{{body}}}\\xspace"  # the blank behind it costs nothing in a formula and is easier to read
    if len(body) <= _MAX_BODY and not _PROGRAMMING.search(body):
        known.macros[called] = Macro(arguments, default, body)
    else:
        known.macros.pop(called, None)
    return end


def expanded(text: str, macros: dict[str, Macro]) -> str:
    """The text with the author's macros replaced by what they stand for."""
    macros = {name: m for name, m in macros.items() if f"\\{name}" not in m.body or m.arguments == 0}
    macros = {name: m for name, m in macros.items() if not re.search(rf"\\{name}(?![A-Za-z])", m.body)}
    if not macros:
        return text
    budget = max(_MIN_BUDGET, GROWTH * len(text))
    for _ in range(ROUNDS):
        new = _round(text, macros, budget)
        if new is None or new == text:
            return text
        text = new
    return text


def _round(text: str, macros: dict[str, Macro], budget: int) -> str | None:
    out: list[str] = []
    at = size = 0
    ends = group_ends(text)
    for found in _COMMAND.finditer(text):
        macro = macros.get(found[1])
        if macro is None or found.start() < at or (found.start() and text[found.start() - 1] == "\\" and _escaped(text, found.start())):
            continue
        values, end = _arguments(text, found.end(), macro, ends)
        if values is None:
            continue
        body = macro.body
        if values:
            body = re.sub(r"#([1-9])", lambda m, v=values: v[int(m[1]) - 1] if int(m[1]) <= len(v) else "", body)  # type: ignore[misc]
        if body.endswith("\\xspace"):
            body = body.removesuffix("\\xspace")
        elif end == found.end():  # TeX skips blanks behind a command's name
            while text.startswith(" ", end):
                end += 1
        after = text[end : end + 1]
        if re.search(r"\\[A-Za-z]{1,60}$", body[-62:]) and after.isalpha():
            body += " "
        piece = text[at : found.start()] + body
        size += len(piece)
        if size > budget:
            return None
        out.append(piece)
        at = end
    out.append(text[at:])
    return "".join(out)


def _escaped(text: str, at: int) -> bool:
    run = 0
    while at - 1 - run >= 0 and text[at - 1 - run] == "\\":
        run += 1
    return run % 2 == 1


def _arguments(text: str, at: int, macro: Macro, ends: dict[int, int]) -> tuple[list[str] | None, int]:
    values: list[str] = []
    if macro.default is not None:
        optional = re.compile(r"\s{0,9}\[([^\[\]]{0,300})\]").match(text, at)
        values.append(optional[1] if optional else macro.default)
        at = optional.end() if optional else at
    while len(values) < macro.arguments:
        start = at
        while start < len(text) and text[start].isspace() and start - at < 20:
            start += 1
        if text.startswith("{", start):
            end = ends.get(start, -1)
            if end < 0:
                return None, at
            values.append(text[start + 1 : end - 1])
        elif start < len(text) and text[start] not in "\\}":
            end = start + 1
            values.append(text[start])
        else:
            command = _COMMAND.match(text, start)
            if command is None:
                return None, at
            end = command.end()
            values.append(command[0])
        at = end
    return values, at
