"""Did you mean: the known names nearest to one that is not known, as the way out of an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CUTOFF = 0.5
LISTED_AT_MOST = 12


def nearest(word: str, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Known names that look like `word`, the nearest first: spelled alike (case aside), or one a part of the other."""
    names = list(dict.fromkeys(known))
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(name.casefold(), []).append(name)
    close = difflib.get_close_matches(word.casefold(), folded, n=count, cutoff=CUTOFF)
    found = [name for key in close for name in folded[key]]
    if len(word) >= 3:
        found += [n for n in names if n not in found and (word.casefold() in n.casefold() or n.casefold() in word.casefold())]
    return found[:count]


def did_you_mean(word: str, known: Iterable[str], *, of: str) -> str:
    """A way out: the nearest names, or all of them where none is near.

    Args:
        of: what they are, in the plural: `tables`.
    """
    names = sorted(set(known))
    near = nearest(word, names)
    if near:
        return f"did you mean {' or '.join(repr(n) for n in near)}?"
    listed = ", ".join(names[:LISTED_AT_MOST]) or "none"
    more = len(names) - LISTED_AT_MOST
    return f"{of}: {listed}{f' and {more} more' if more > 0 else ''}"
