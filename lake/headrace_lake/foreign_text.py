"""Foreign and typed text made safe to show: one function for terminals and logs, one for Markdown, one for HTML.

What comes from a page, a record, a source file or a person's keyboard may hold control characters that drive a terminal (ECMA-48: C0, C1,
CSI, OSC), direction marks that make text read otherwise than it is stored (Unicode Technical Report 36, "bidirectional text spoofing"), and
markup that forges a section, a link or a picture. Each function returns text that shows what is stored and does nothing else. All are
linear in the length of the text.
"""

from __future__ import annotations

import html as _html
import re
import unicodedata

_NAMES = {"\r": "CR", "\x00": "NUL", "\x1b": "ESC", "\u200b": "ZWSP", "\u200c": "ZWNJ", "\u200d": "ZWJ", "\u00ad": "SHY", "\ufeff": "BOM"}
_UNSEEN = ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")
_COLOURS = re.compile(r"\x1b\[[0-9;]{0,40}m")
"""Select Graphic Rendition (ECMA-48, 8.3.117): how programs colour what they print."""
_SPACES = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")
_MARKS = re.compile(
    r"[\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=[#0-9A-Za-z])|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|:(?=/)|(?<=www)\.|@(?=[0-9A-Za-z])", re.IGNORECASE
)
_AT_THE_START = re.compile(r"([0-9]{0,9})([.)](?: |$)|#{1,6}(?: |$)|>|[+-](?: |$)|[=-]+$)")
"""What begins a list, a heading, a quotation or a heading's underline (CommonMark 0.31, sections 4.1 to 5.2)."""
_PLAIN_URL = re.compile(r"https?://[0-9A-Za-z.:-]{1,255}(?:/[0-9A-Za-z./_~%+,;=&?@#-]*)?")


def is_unseen(character: str) -> bool:
    """Whether a reader cannot see a character, or it moves what stands beside it.

    Controls, format and direction marks, surrogates, private and unassigned code points, line and paragraph separators (Unicode categories
    Cc, Cf, Co, Cn, Cs, Zl, Zp). Tab and line feed are seen.
    """
    return character not in "\t\n" and unicodedata.category(character) in _UNSEEN


def name_of(character: str) -> str:
    """A short name of an unseen character: `ESC`, `U+202E`."""
    return _NAMES.get(character, f"U+{ord(character):04X}")


class _Shown(dict[int, "str | int"]):
    """Code point → what is shown for it; filled as characters are met, so that `str.translate` asks once for each."""

    def __missing__(self, code: int) -> str | int:
        character = chr(code)
        self[code] = f"[{name_of(character)}]" if is_unseen(character) else code
        return self[code]


_SHOWN = _Shown()


def terminal(text: str) -> str:
    """Text for a terminal or a log: unseen characters by their names in brackets (`[ESC]`, `[U+202E]`), lines and tabs as they are."""
    return text if text.isascii() and text.isprintable() else text.translate(_SHOWN)


def one_line(text: str) -> str:
    """`terminal` on one line: every run of white space is one space."""
    return terminal(_SPACES.sub(" ", text).strip(" "))


def log_line(text: str) -> str:
    """A line that another program printed, for a log of ours: its colours are taken off, everything else is as `terminal` shows it."""
    return terminal(_COLOURS.sub("", text))


def markdown(text: str) -> str:
    """Text within a line of Markdown (CommonMark 0.31 and GitHub's tables, strikethrough, links without brackets, formulas): on one line,
    with a backslash before whatever would be markup. It makes no heading, list, cell, link, picture, HTML or formula."""
    marked = _MARKS.sub(r"\\\g<0>", one_line(text))
    start = _AT_THE_START.match(marked)
    return f"{start[1]}\\{marked[start.end(1) :]}" if start else marked


def markdown_address(address: str) -> str:
    """An address in Markdown: as it is where it is a plain web address, which a reader may follow; else as `markdown` shows it."""
    return address if _PLAIN_URL.fullmatch(address) else markdown(address)


def html(text: str) -> str:
    """Text in HTML, between tags or within a quoted attribute: markup escaped, unseen characters as `terminal` shows them."""
    return _html.escape(terminal(text))
