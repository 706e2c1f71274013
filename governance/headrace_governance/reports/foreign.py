"""Text from outside on a page of ours: escaped by `html.el`, cut to a length, and without a character that a reader cannot see.

Control characters, zero-width ones and those that turn the direction of writing (Unicode categories Cc, Cf, Co, Cn, Cs, Zl, Zp) are shown
by their number, so that what a reader sees is what is stored. Tab and line feed stay as they are.
"""

from __future__ import annotations

import unicodedata

from headrace_governance.reports.html import Element, el, text
from headrace_lake.foreign_text import is_unseen, name_of, one_line


def visible(words: str, most: int = 300) -> Element:
    """Foreign text for a line of a page, at most so many characters."""
    short = words[:most]
    return el("span", shown(short), "…" if len(words) > most else None, class_="foreign", dir="auto")


def named(words: str, most: int = 120) -> str:
    """Foreign text as plain words, for a heading or a window's title: one line, unseen characters by their names in brackets."""
    return one_line(words[:most]) + ("…" if len(words) > most else "")


def shown(words: str) -> Element:
    """Foreign text as HTML, its unseen characters as signs."""
    out: list[str] = []
    plain: list[str] = []
    for c in words:
        if not is_unseen(c):
            plain.append(c)
            continue
        out += [text("".join(plain)), _sign(c)]
        plain = []
    return Element("".join([*out, text("".join(plain))]))


def _sign(c: str) -> Element:
    return el("span", name_of(c), class_="sign", title=f"U+{ord(c):04X} {unicodedata.name(c, 'unnamed character')}")
