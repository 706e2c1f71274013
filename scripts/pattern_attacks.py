"""Attack strings of a regular expression: texts that may make a backtracking search slow, made from its parse tree.

The parse tree is CPython's own (`re._parser`), which has no public name: this is a tool of the repository, no code that ships. Each attack
is (lead, pumped, end): what leads up to a repeat, what this repeat or its neighbours take, many times over, and what nothing takes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT}
_MANY = 30
"""Repeats with a lower bound than this are not loop worth an attack of their own."""
_MAX_ALPHABET, _MAX_PAIRS = 16, 30


def attacks(pattern: re.Pattern[Any]) -> list[tuple[str, str, str]]:
    """(lead, pumped, end) of texts that may make a pattern slow."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    alphabet = _alphabet(tree)
    made: dict[tuple[str, str, str], None] = {}
    leads = list(dict.fromkeys(_leads(list(tree), "")))[:24]
    fill = [a for a in alphabet if a.strip()][:1] or ["a"]
    ends = ("", "\x00", "\n!", fill[0])
    for lead, bodies in leads:
        pumps = dict.fromkeys(bodies)
        for pump in pumps:
            for end in ends[:2]:
                made[(lead, pump, end)] = None
        if lead:
            made[("", lead, "")] = None
            for body in bodies[:3]:
                made[("", lead + body, "")] = None
                made[("", lead + body * 3, "\x00")] = None
    for char in alphabet:
        made[("", char, "")] = made[("", char, "\x00")] = None
        for lead, bodies in leads[:12]:
            if bodies and lead:
                made[(lead, char, "\x00")] = None
    for a, b in itertools.islice(itertools.permutations(alphabet, 2), _MAX_PAIRS):
        made[("", a + b, "\x00")] = None
    whole = _sample(list(tree))
    made[("", whole, "")] = made[("", whole[: len(whole) // 2 + 1], "")] = made[("", whole[:-1] or "a", "\x00")] = None
    return list(made)


def _leads(items: list[Any], before: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(what leads up to it, what it takes) of every repeat, and every beginning with nothing."""
    for number, (op, av) in enumerate(items):
        if op in _REPEATS:
            low, high, body = av
            body = list(body)
            if high is codes.MAXREPEAT or high >= _MANY:
                following = _sample(items[number + 1 :])
                takes = tuple(dict.fromkeys([*_samples(body), following[:1] or "a", " "]))
                yield before, tuple(t for t in takes if t)
            yield from _leads(body, before)
            before += _sample(body) * max(1, int(low))
        elif op is codes.BRANCH:
            for branch in av[1]:
                yield from _leads(list(branch), before)
            before += _sample([(op, av)])
        elif op is codes.SUBPATTERN:
            yield from _leads(list(av[3]), before)
            before += _sample(list(av[3]))
        elif op is codes.ATOMIC_GROUP:
            yield from _leads(list(av), before)
            before += _sample(list(av))
        elif op in (codes.ASSERT, codes.ASSERT_NOT):
            if av[0] > 0:
                yield from _leads(list(av[1]), before)
        else:
            before += _sample([(op, av)])
        yield before, ()


def _samples(items: list[Any]) -> list[str]:
    """A few texts that these items match: with the first, the middle and the last of each choice."""
    made = [_sample(items, choose) for choose in (0, 1, 2)]
    for op, av in items:
        if op is codes.BRANCH:
            made += [_sample(list(branch)) for branch in av[1]]
        elif op is codes.SUBPATTERN:
            made += _samples(list(av[3]))
        elif op is codes.IN:
            made += _of_set(av)
    return list(dict.fromkeys(m for m in made if m))[:8]


def _sample(items: list[Any], choose: int = 0) -> str:
    """A text that these items match, as far as assertions and back-references allow."""
    out = ""
    for op, av in items:
        if op is codes.LITERAL:
            out += chr(av)
        elif op is codes.NOT_LITERAL:
            out += "a" if av != ord("a") else "b"
        elif op is codes.ANY:
            out += "a"
        elif op is codes.IN:
            chars = _of_set(av)
            out += chars[min(choose * len(chars) // 3, len(chars) - 1)] if chars else ""
        elif op is codes.BRANCH:
            branches = av[1]
            out += _sample(list(branches[min(choose * len(branches) // 3, len(branches) - 1)]), choose)
        elif op is codes.SUBPATTERN:
            out += _sample(list(av[3]), choose)
        elif op is codes.ATOMIC_GROUP:
            out += _sample(list(av), choose)
        elif op in _REPEATS:
            low, _high, body = av
            out += _sample(list(body), choose) * min(max(int(low), 1 if int(low) or choose else 0), 200)
    return out


_PROBES = "aZ0 \t\n\r_-=<>\"'&;:/.,()[]{}\\!#*%@é中０\u00a0"


def _of_set(av: list[Any]) -> list[str]:
    """Characters of a class: its first of each item that is not excluded."""
    negated = any(op is codes.NEGATE for op, _ in av)
    try:
        matcher = re.compile("[" + ("^" if negated else "") + "".join(_written(op, x) for op, x in av) + "]")
    except re.error:
        return ["a"]
    chars = [chr(x if op is codes.LITERAL else x[0]) for op, x in av if op in (codes.LITERAL, codes.RANGE)] if not negated else []
    chars += [c for c in _PROBES if matcher.match(c)]
    return list(dict.fromkeys(chars))[:10] or ["a"]


def _written(op: Any, av: Any) -> str:
    names = {codes.CATEGORY_DIGIT: r"\d", codes.CATEGORY_NOT_DIGIT: r"\D", codes.CATEGORY_SPACE: r"\s", codes.CATEGORY_NOT_SPACE: r"\S",
             codes.CATEGORY_WORD: r"\w", codes.CATEGORY_NOT_WORD: r"\W"}  # fmt: skip
    if op is codes.LITERAL:
        return re.escape(chr(av))
    if op is codes.RANGE:
        return f"{re.escape(chr(av[0]))}-{re.escape(chr(av[1]))}"
    return names.get(av, "") if op is codes.CATEGORY else ""


def _alphabet(tree: Any) -> list[str]:
    """Characters that the pattern tells apart."""
    chars: dict[str, None] = {}

    def walk(items: Iterable[Any]) -> None:
        for op, av in items:
            if op is codes.LITERAL:
                chars[chr(av)] = None
            elif op is codes.IN:
                chars.update(dict.fromkeys(_of_set(av)[:4]))
            elif op is codes.BRANCH:
                for branch in av[1]:
                    walk(branch)
            elif op is codes.SUBPATTERN:
                walk(av[3])
            elif op is codes.ATOMIC_GROUP:
                walk(av)
            elif op in _REPEATS:
                walk(av[2])
            elif op in (codes.ASSERT, codes.ASSERT_NOT):
                walk(av[1])

    walk(tree)
    # The rarer ones first: what is not a letter separates.
    return sorted(chars, key=lambda c: (c.isalpha(), c))[:_MAX_ALPHABET]
