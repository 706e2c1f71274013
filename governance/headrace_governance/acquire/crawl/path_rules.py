"""Path patterns of robots.txt and tdmrep.json, compiled once: the first of many patterns that matches a path, in bounded time.

Patterns are those of RFC 9309, 2.2.2: `*` is any text, a final `$` the end. They fall into three kinds. Whole paths (`/a$`) are looked up.
Prefixes (`/a`, and `/a*`, which is the same) are sorted, and the longest one that a path begins with is found by bisection; each knows the
first of all prefixes that it begins with itself. Patterns with a wildcard inside can match only a path that holds their longest literal
piece: an Aho-Corasick automaton (1975) over these pieces says which ones to try.

A file whose wildcards nearly match everything could still make each address expensive. So at most `MAX_TRIED` pieces are tried for an
address; beyond that the answer is unknown (`Undecided`), and the caller takes it for a refusal. Cost: about 5 µs an address with 30,000
rules (500 KiB, the most that is read of a robots.txt), at most 0.1 ms; compiling those takes 0.1 s, once a host.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

MAX_TRIED = 512
"""Literal pieces that are looked for in one path, and places where one may begin, at most."""
_IN_QUERY = (("%3A", ":"), ("%2F", "/"), ("%3F", "?"), ("%40", "@"))
"""What may stand unescaped in a query without a meaning of its own (RFC 3986, 3.4; the table in RFC 9309, 2.2.2)."""


class Undecided(Exception):
    """A path that too many patterns nearly match, so that which of them does was not looked for to the end."""


class PathRules:
    """Patterns in the order in which they take precedence.

    Args:
        patterns: in the compared form (`robots.rule_pattern`).
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = list(dict.fromkeys(patterns))
        places = {pattern: place for place, pattern in enumerate(listed)}
        self.patterns = listed
        self._as_written = _Index(places)
        plain: dict[str, int] = {}
        for pattern, place in places.items():
            if "?" in pattern:
                plain.setdefault(plain_query(pattern), place)
        self._in_queries = _Index(plain) if plain else None

    def first(self, path: str) -> str | None:
        """The first pattern that matches a path (`robots.path_of`), or None; in a query, `:`, `/`, `?` and `@` match their escapes too.

        Raises:
            Undecided: too many patterns nearly match.
        """
        place = self._as_written.first(path)
        if self._in_queries is not None and "?" in path:
            place = min(place, self._in_queries.first(plain_query(path)))
        return self.patterns[place] if place < len(self.patterns) else None


class _Index:
    """Patterns with their places; `first` is the lowest place of those that match, or one beyond all."""

    def __init__(self, places: dict[str, int]) -> None:
        self._none = 1 << 62
        self._whole: dict[str, int] = {}
        prefixes: dict[str, int] = {}
        self._wild: list[tuple[int, Sequence[str], bool]] = []
        needles: dict[str, list[int]] = {}
        for pattern, place in places.items():
            anchored = pattern.endswith("$")
            pieces = (pattern[:-1] if anchored else pattern).split("*")
            first, inner, last = pieces[0], [p for p in pieces[1:-1] if p], pieces[-1]
            if len(pieces) == 1 and anchored:
                self._whole.setdefault(first, place)
            elif len(pieces) == 1 or (not inner and not last):
                prefixes[first] = min(place, prefixes.get(first, place))
            else:
                needles.setdefault(max((first, *inner, last), key=len), []).append(len(self._wild))
                self._wild.append((place, (first, *inner, last), anchored))
        self._sort(prefixes)
        self._needles = _automaton(needles)

    def _sort(self, prefixes: dict[str, int]) -> None:
        """Prefixes in order, each with the longest other one that it begins with and the lowest place of all that it begins with."""
        self._prefixes = sorted(prefixes)
        self._parents: list[int] = []
        self._lowest: list[int] = []
        open_: list[int] = []
        for number, prefix in enumerate(self._prefixes):
            while open_ and not prefix.startswith(self._prefixes[open_[-1]]):
                open_.pop()
            parent = open_[-1] if open_ else -1
            self._parents.append(parent)
            self._lowest.append(min(prefixes[prefix], self._lowest[parent] if parent >= 0 else self._none))
            open_.append(number)

    def first(self, path: str) -> int:
        best = min(self._whole.get(path, self._none), self._prefix(path))
        if self._needles is None:
            return best
        found: set[int] = set()
        for tried, (_, numbers) in enumerate(self._needles.iter(path)):
            found.update(numbers)
            if tried > MAX_TRIED or len(found) > MAX_TRIED:
                raise Undecided
        pieces_left = MAX_TRIED
        for number in sorted(found):  # in the order of their places
            place, pieces, anchored = self._wild[number]
            if place >= best:
                break
            pieces_left -= len(pieces)
            if pieces_left < 0:
                raise Undecided
            if _matches(pieces, anchored, path):
                return place
        return best

    def _prefix(self, path: str) -> int:
        """The lowest place of the prefixes that the path begins with."""
        number = bisect_right(self._prefixes, path) - 1
        if number < 0:
            return self._none
        nearest = self._prefixes[number]
        shared = next((at for at, (a, b) in enumerate(zip(nearest, path, strict=False)) if a != b), min(len(nearest), len(path)))
        while number >= 0 and len(self._prefixes[number]) > shared:
            number = self._parents[number]
        return self._lowest[number] if number >= 0 else self._none


def _automaton(needles: dict[str, list[int]]) -> Any:
    """An automaton that finds these texts, or None without any."""
    if not needles:
        return None
    import ahocorasick  # type: ignore[import-not-found]

    automaton = ahocorasick.Automaton()
    for needle, numbers in needles.items():
        automaton.add_word(needle, numbers[: MAX_TRIED + 2])  # more are never tried
    automaton.make_automaton()
    return automaton


def _matches(pieces: Sequence[str], anchored: bool, path: str) -> bool:
    """Whether a path is these pieces in this order, with anything between; the leftmost place of each is as good as any."""
    if not path.startswith(pieces[0]):
        return False
    at = len(pieces[0])
    for piece in pieces[1:-1]:
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    last = pieces[-1]
    if anchored:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0


def plain_query(text: str) -> str:
    """A path or pattern in whose query the characters that need no escape have none."""
    head, mark, query = text.partition("?")
    for escape, char in _IN_QUERY:
        query = query.replace(escape, char)
    return head + mark + query
