"""A text without its Markdown, written for reading: the oracle of `text/statistics/prose.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_SPACES = "[ \t]*"
_BREAK = re.compile(rf"{_SPACES}([-*_=])(?:{_SPACES}\1){{2,}}{_SPACES}")
_QUOTE = re.compile(rf"{_SPACES}>(?=[ >]|$)")
_SIGN = re.compile(rf"{_SPACES}(?:[-*+]|[0-9]{{1,3}}[.)])(?= {_SPACES}[^ \t])")
_FENCE = re.compile(r"(`{3,})([^`]*)")
_CLOSE = re.compile(rf"[ \t>]*(`{{3,}}){_SPACES}")
_HEADING = re.compile(r"#{1,6} ")
_INLINE = re.compile(r"[\\`*\[\]]")
_ESCAPED = re.compile(r"\\[*#_`]")
_ROW = re.compile(rf"\| .*\|{_SPACES}")


@dataclass
class Line:
    text: str
    start: int
    end: int
    kind: str


def _is_rule(text: str) -> bool:
    """A row whose cells are three dashes or more, with colons; the last cell has some."""
    text = text.rstrip(" \t")
    if not re.fullmatch(r"\|[-:| ]*", text):
        return False
    counts = [cell.count("-") for cell in text.split("|")[1:]]
    closed = counts[:-1] if text.endswith("|") and len(text) > 1 else counts
    return bool(closed) and all(n == 0 or n >= 3 for n in closed) and closed[-1] >= 3


def _signs(text: str) -> tuple[str, bool]:
    """What follows the list and quote signs, and whether there was one of a list."""
    rest, item = text, False
    for _ in range(24):
        found = _QUOTE.match(rest)
        if not found:
            found = None if _BREAK.fullmatch(rest) else _SIGN.match(rest)
            item = item or found is not None
        if not found:
            break
        rest = rest[found.end() :]
    return (text, False) if rest is text else (rest.lstrip(" \t"), item)


def _row(text: str) -> str:
    inner = text.rstrip(" \t")[1:-1]
    cells = " ".join(c for c in re.split(r"(?<!\\)\||[ \t]+", inner.replace("\\\\|", "\\\0|")) if c)
    return cells.replace("\\|", "|").replace("\\\0", "\\")


def _alnum(c: str) -> bool:
    return c.isascii() and c.isalnum()


def inline(text: str) -> str:
    """A line without marks of emphasis, inline code and links."""
    if not _INLINE.search(text):
        return text
    gone: set[int] = set()
    stars: list[tuple[int, int]] = []
    brackets: list[int] = []
    i = 0
    while found := _INLINE.search(text, i):
        i = found.start()
        if _ESCAPED.match(text, i):
            gone.add(i)
            i += 2
        elif text[i] == "`":
            run = len(text[i:]) - len(text[i:].lstrip("`"))
            closing = [m for m in re.finditer(r"`+", text[i + run :]) if len(m[0]) == run] if run <= 16 else []
            if closing:
                close = i + run + closing[0].start()
                gone |= {*range(i, i + run), *range(close, close + run)}
                i = close
            i += run
        elif text[i] == "*":
            run = len(text[i:]) - len(text[i:].lstrip("*"))
            before, after = text[i - 1 : i] or " ", text[i + run : i + run + 1] or " "
            if run <= 3:
                equal = [k for k, (_, n) in enumerate(stars) if n == run]
                if before != " " and not _alnum(after) and equal:
                    at = stars[equal[-1]][0]
                    gone |= {*range(at, at + run), *range(i, i + run)}
                    del stars[equal[-1] :]
                elif after != " " and not _alnum(before) and len(stars) < 8:
                    stars.append((i, run))
            i += run
        elif text[i] == "[":
            if len(brackets) < 8:
                brackets.append(i)
            i += 1
        elif text[i] == "]":
            if brackets:
                opened = brackets.pop()
                target = re.match(r"\(([^\x00-\x20(\[)]*)\)", text[i + 1 :])
                if target and re.search(r"[./#]", target[1]) and len(target[0].encode()) <= 300:
                    gone |= {opened, *range(i, i + 1 + target.end())}
                    if text[opened - 1 : opened] == "!":
                        gone.add(opened - 1)
                    i += target.end()
            i += 1
        else:
            i += 1
    return "".join(c for k, c in enumerate(text) if k not in gone)


@lru_cache(maxsize=8192)
def lines_of(text: str) -> tuple[list[Line], int]:
    """The lines of a Markdown text that are prose, and the characters of its code blocks; not to be changed, since they are remembered."""
    raw: list[tuple[str, int, int]] = []
    at = 0
    for line in text.split("\n"):
        raw.append((line, at, at + len(line.encode())))
        at = raw[-1][2] + 1
    out: list[Line] = []
    left_out = False
    code = 0
    fence = ""
    for number, (line, start, end) in enumerate(raw):
        if fence:
            closing = _CLOSE.fullmatch(line)
            if closing and len(closing[1]) >= len(fence):
                fence = ""
            else:
                code += len(line) + (number + 1 < len(raw))
            continue
        rest, item = _signs(line)
        block = rest.lstrip(" \t")
        opened = _FENCE.fullmatch(block)
        closers = [m for later, _, _ in raw[number + 1 :] if (m := _CLOSE.fullmatch(later))] if opened else []
        if opened and any(len(m[1]) >= len(opened[1]) for m in closers):
            fence, left_out = opened[1], True
            continue
        if _BREAK.fullmatch(block) or _is_rule(block):
            left_out = True
            continue
        kind = "item" if item else "text"
        if _ROW.fullmatch(block):
            kind, rest = "row", _row(block)
        elif heading := _HEADING.match(block):
            kind, rest = "heading", block[heading.end() :]
        rest = inline(rest)
        blank = not rest.strip(" \t")
        if blank and kind != "text":
            left_out = True
            continue
        if blank and left_out and (not out or not out[-1].text.strip(" \t")):
            continue
        out.append(Line(rest, start, end, kind))
        if not blank:
            left_out = False
    while left_out and out and not out[-1].text.strip(" \t"):
        out.pop()
    return out or [Line("", 0, 0, "text")], code


def prose(text: str) -> str:
    return "\n".join(line.text for line in lines_of(text)[0])
