"""Searching for what a text ends with.

`re` tries every place of a text from its start. spaCy's patterns for the ends of words are bounded but for runs of dots; where a
pattern's own parse tree shows that, only the places from which it may reach the end are tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import _constants as op  # type: ignore[attr-defined]  # what the patterns are compiled from; it has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Search = Callable[[str], re.Match[str] | None]


def search_from_the_end(pattern: re.Pattern[str]) -> Search:
    """What finds the same as `pattern.search`."""
    tree = parser.parse(pattern.pattern, pattern.flags)
    alternatives = list(tree[0][1][1]) if len(tree) == 1 and tree[0][0] is op.BRANCH else [tree]
    if tree.state.flags & (re.IGNORECASE | re.MULTILINE) or any(not a or a[-1] != (op.AT, op.AT_END) for a in alternatives):
        return pattern.search
    unbounded = [a for a in alternatives if a.getwidth()[1] >= op.MAXREPEAT]
    runs = [_run(a) for a in unbounded]
    if any(run is None for run in runs):
        return pattern.search
    long = tuple(dict.fromkeys(run for run in runs if run is not None))
    # A match may end before a last line feed.
    most = max((a.getwidth()[1] for a in alternatives if a not in unbounded), default=0) + 1
    ends = tuple(run + feed for run in long for feed in ("", "\n"))
    search = pattern.search

    def found(text: str) -> re.Match[str] | None:
        return search(text) if text.endswith(ends) else search(text, max(0, len(text) - most))

    return found


def _run(alternative: Any) -> str | None:
    """The shortest text of an alternative that matches one character again and again, else None."""
    characters, length = set(), 0
    for code, value in alternative[:-1]:
        least = 1
        if code in (op.MAX_REPEAT, op.MIN_REPEAT) and len(value[2]) == 1:
            least, (code, value) = value[0], value[2][0]
        if code is not op.LITERAL:
            return None
        characters.add(chr(value))
        length += least
    return characters.pop() * length if len(characters) == 1 and length else None
