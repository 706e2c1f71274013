"""Where LaTeX reads characters as they are: `\\verb`, `\\url`, `\\lstinline` and their kin, and environments such as `verbatim`.

Known before comments are cut and braces are matched, because a `%`, a brace or a dollar in them is a character. Everything here is one
pass over the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

VERBATIM = frozenset(
    "verbatim Verbatim BVerbatim LVerbatim SaveVerbatim lstlisting minted alltt code verbatimtab tcblisting pyverbatim".split()
)
"""Environments whose lines are characters, with or without a star."""
HIDDEN = frozenset({"comment", "filecontents", "filecontents*"})
"""Environments that print nothing."""
_DELIMITED = ("verb", "Verb", "lstinline", "mintinline", "path", "url", "nolinkurl", "pyginline", "codeinline")
_GROUPED = ("url", "nolinkurl", "path", "href", "lstinline", "mintinline", "burl", "Verb", "pyginline", "doi")
_CODE = frozenset({"verb", "Verb", "lstinline", "mintinline", "pyginline", "codeinline"})
TOKEN = re.compile(
    r"\\(?P<command>" + "|".join(sorted({*_DELIMITED, *_GROUPED}, key=len, reverse=True)) + r")(?![A-Za-z@])\*?"
    r"|\\begin\s{0,9}\{(?P<environment>"
    + "|".join(re.escape(n) for n in sorted(VERBATIM | HIDDEN, key=len, reverse=True))
    + r")(?P<star>\*?)\}"
    r"|\\.|%",
    re.DOTALL,
)
"""What decides whether a character is one: these commands and environments, escapes, and the comment sign."""
_OPTION = re.compile(r"[ \t]{0,9}\[[^\[\]]{0,400}\]")
_LANGUAGE = re.compile(r"[ \t]{0,9}\{[^{}]{0,40}\}")
_BRACE = re.compile(r"\\.|[{}]|\n[ \t]*\n", re.DOTALL)
_LONGEST = 4000
"""Characters of such an argument at most; one that is not closed by then is none."""
_SHORT = re.compile(
    r"\\(?:lstMakeShortInline|MakeShortVerb\*?)[ \t]{0,9}(?:\[[^\[\]]{0,200}\])?[ \t]{0,9}(?:\{\\?([|!\"+@/])\}|\\([|!\"+@/]))"
)


@dataclass(frozen=True)
class Inline:
    """An argument that is read as it stands: its characters, where the command goes on behind it, and whether it is code or an address."""

    content: str
    end: int
    code: bool
    keeps_text: bool
    """an argument follows that is text (`\\href`)"""


def inline_at(text: str, found: re.Match[str]) -> Inline | None:
    """The verbatim argument of the command that `TOKEN` found, or None if what follows is none."""
    name = found["command"]
    at = found.end()
    code = name in _CODE
    if name in ("lstinline", "mintinline", "Verb", "pyginline") or name == "href":
        option = _OPTION.match(text, at)
        at = option.end() if option else at
    if name in ("mintinline", "pyginline"):
        language = _LANGUAGE.match(text, at)
        if language is None:
            return None
        at = language.end()
    if name not in ("verb", "Verb"):
        while at < len(text) and text[at] in " \t\n" and at - found.end() < 100:
            at += 1
    sign = text[at : at + 1]
    if sign == "{" and name in _GROUPED:
        end = _closing(text, at)
        return Inline(text[at + 1 : end], end + 1, code, name == "href") if end >= 0 else None
    delimits = (
        sign in '|!+"/@' if name in ("path", "url", "nolinkurl") else not sign.isalnum() and not sign.isspace() and sign not in "\\{}"
    )
    if name in _DELIMITED and sign and delimits:  # TikZ has a `\path (a) -- (b);` of its own
        end = text.find(sign, at + 1, at + _LONGEST)
        if end > 0 and "\n\n" not in text[at:end]:
            return Inline(text[at + 1 : end], end + 1, code, False)
    return None


def _closing(text: str, at: int) -> int:
    """The brace that closes the one here; a `\\%` in between is not a brace, an empty line ends the search."""
    depth = 0
    for found in _BRACE.finditer(text, at, min(len(text), at + _LONGEST)):
        if found[0] == "{":
            depth += 1
        elif found[0] == "}":
            depth -= 1
            if not depth:
                return found.start()
        elif found[0][0] == "\n":
            return -1
    return -1


def _token(text: str) -> re.Pattern[str]:
    """`TOKEN`, with the characters that the document makes delimiters of code (`\\MakeShortVerb{\\|}`)."""
    made = "".join(dict.fromkeys((m[1] or m[2]) for m in _SHORT.finditer(text))) if "Short" in text else ""
    return re.compile(f"{TOKEN.pattern}|[{re.escape(made)}]", re.DOTALL) if made else TOKEN


def _short_end(text: str, at: int, sign: str) -> int:
    """Where code between such delimiters ends, or -1: it does not go over the end of a line."""
    end = text.find(sign, at, at + 400)
    return end if end >= 0 and "\n" not in text[at:end] else -1


def address(content: str) -> str:
    """An address as it prints: without the backslashes that protect its signs, on one line."""
    return re.sub(r"\\([%#&_~{}$^])", r"\1", "".join(content.split())).replace("\\textasciitilde", "~").replace("\\textunderscore", "_")


def uncommented(text: str) -> str:
    """LaTeX without comments; what is read as it stands is left alone, `comment` and `filecontents` environments are removed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    out: list[str] = []
    token = _token(text)
    at = searched = 0
    while (found := token.search(text, searched)) is not None:
        searched = found.end()
        if found["command"]:
            inline = inline_at(text, found)
            searched = inline.end if inline is not None else searched
        elif found["environment"]:
            name = found["environment"] + found["star"]
            end = text.find(f"\\end{{{name}}}", searched)
            stop = end + len(name) + 6 if end >= 0 else len(text)
            if name in HIDDEN:
                out.append(text[at : found.start()])
                at = searched = stop
            elif end >= 0:
                searched = stop
        elif found[0] == "%":
            at, searched = _comment(text, at, found.start(), out)
        elif found[0][0] != "\\":
            searched = max(searched, _short_end(text, searched, found[0]) + 1)
    out.append(text[at:])
    return "".join(out)


def _comment(text: str, at: int, sign: int, out: list[str]) -> tuple[int, int]:
    """Cut the comment at `sign`. TeX's `%` at the end of a line eats the line feed too, but no empty line."""
    line = text.rfind("\n", 0, sign) + 1
    end = text.find("\n", sign)
    end = len(text) if end < 0 else end
    before = text[max(at, line) : sign]
    if not before.strip() and max(at, line) == line:  # a line of its own
        out.append(text[at:line])
        return min(end + 1, len(text)), min(end + 1, len(text))
    out.append(text[at:sign])
    following = text.find("\n", end + 1)
    empty = not text[end + 1 : following if following >= 0 else len(text)].strip()
    joined = not before[-1:].isspace() and not empty and end < len(text)
    after = end + 1 if joined else end
    return min(after, len(text)), min(after, len(text))


def code_spans(text: str) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, kind, characters) of everything that is read as it stands in text without comments.

    Kinds: the name of an environment, `code`, `address`, or `href`, whose text follows.
    """
    token = _token(text)
    at = 0
    while (found := token.search(text, at)) is not None:
        at = found.end()
        if found["command"]:
            inline = inline_at(text, found)
            if inline is not None and not re.search(r"#[1-9]", inline.content):  # a macro's parameter stands for something else
                yield found.start(), inline.end, "code" if inline.code else "href" if inline.keeps_text else "address", inline.content
                at = inline.end
        elif found["environment"]:
            name = found["environment"] + found["star"]
            end = text.find(f"\\end{{{name}}}", at)
            if end >= 0:
                yield found.start(), end + len(name) + 6, name, text[at:end]
                at = end + len(name) + 6
        elif found[0][0] not in "\\%" and (end := _short_end(text, at, found[0])) > at:
            yield found.start(), end + 1, "code", text[at:end]
            at = end + 1
