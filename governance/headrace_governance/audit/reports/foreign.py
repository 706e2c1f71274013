"""Text from outside on a page of ours: escaped by `html.text`, cut to a length, and without a character that a reader cannot see.

Control characters, zero-width ones and those that turn the direction of writing (Unicode categories Cc, Cf, Co, Cn, Cs, Zl, Zp) are shown
by their number, so that what a reader sees is what is stored. Tab and line feed stay as they are.
"""

from __future__ import annotations

import unicodedata

from markupsafe import Markup

from headrace_governance.audit.reports.html import text
from headrace_lake.foreign_text import is_unseen, name_of, one_line


def visible(words: str, most: int = 300) -> Markup:
    """Foreign text for a line of a page, at most so many characters."""
    cut = "…" if len(words) > most else ""
    return Markup('<span class="foreign" dir="auto">{}{}</span>').format(shown(words[:most]), cut)


def named(words: str, most: int = 120) -> str:
    """Foreign text as plain words, for a heading or a window's title: one line, unseen characters by their names in brackets."""
    return one_line(words[:most]) + ("…" if len(words) > most else "")


def shown(words: str) -> Markup:
    """Foreign text as HTML, its unseen characters as signs."""
    out: list[Markup] = []
    plain: list[str] = []
    for c in words:
        if not is_unseen(c):
            plain.append(c)
            continue
        out += [text("".join(plain)), _sign(c)]
        plain = []
    return Markup("").join([*out, text("".join(plain))])


def _sign(c: str) -> Markup:
    title = f"U+{ord(c):04X} {unicodedata.name(c, 'unnamed character')}"
    return Markup('<span class="sign" title="{}">{}</span>').format(title, name_of(c))
