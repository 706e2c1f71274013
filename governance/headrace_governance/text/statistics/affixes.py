"""spaCy's rules for the words of one stretch, without spaCy's documents, tokens and lexemes.

spaCy takes off marks at both ends, one each a turn, until nothing changes, and cuts what is left at its infixes (the procedure is in
its documentation, https://spacy.io/usage/linguistic-features#how-tokenizer-works). The patterns are the language's own, taken from its
tokeniser; where one of the language's exceptions may have a say, spaCy itself is to be asked.

When a text has been cut, spaCy looks once more for words that side by side are cut as an exception is, across single spaces too: such
a find across a space changes nothing, but hides finds inside a stretch that it overlaps. So an asked stretch's words depend on its
neighbours where the words on both sides of a space are neighbours in an exception as well (`meeting`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from headrace_governance.text.statistics.from_the_end import search_from_the_end
from headrace_governance.text.statistics.letters_only import finds_nothing_in_letters

Match = re.Match[str]

_MOST_KNOWN = 1 << 16
"""Remembered cores of stretches (`foo` of `(foo,`), some 10 MB; then all are forgotten."""


class Affixes:
    """The words of stretches, by the patterns of a `spacy.tokenizer.Tokenizer`.

    Attributes:
        meeting: bool; whether the word of a row and that of a column follow each other in an exception (see `edges`).
    """

    def __init__(self, tokenizer: Any) -> None:
        self._known: dict[str, list[str]] = {}  # what is left when nothing more comes off, cut
        self._prefix: Callable[[str], Match | None] = tokenizer.prefix_search or _never
        self._suffix = search_from_the_end(tokenizer.suffix_search.__self__) if tokenizer.suffix_search else _never
        self._infixes: Callable[[str], Iterator[Match]] = tokenizer.infix_finditer or _none
        self._whole: Callable[[str], Match | None] = tokenizer.token_match or _never
        cutting = (tokenizer.prefix_search, tokenizer.suffix_search, tokenizer.infix_finditer)
        self._letters_stay = all(search is None or finds_nothing_in_letters(search.__self__) for search in cutting)
        self._address: Callable[[str], Match | None] = tokenizer.url_match or _never
        rules = {rule: [str(word) for part in parts for word in part.values()] for rule, parts in (tokenizer.rules or {}).items()}
        cut = {rule: [word for stretch in rule.split() for word in self.pieces(stretch)] for rule in rules}
        self._changed = frozenset(words[0] for rule, words in cut.items() if len(words) == 1 and rules[rule] != words)
        self._sequences: dict[tuple[str, str], list[list[str]]] = {}  # exceptions of several words, by their first two
        for words in cut.values():
            if len(words) > 1:
                self._sequences.setdefault((words[0], words[1]), []).append(words)
        pairs = {pair for words in cut.values() for pair in pairwise(words)}
        self._exceptions = frozenset(rules)
        self._rows = {word: i for i, word in enumerate(sorted({left for left, _ in pairs}), start=1)}
        self._columns = {word: i for i, word in enumerate(sorted({right for _, right in pairs}), start=1)}
        self.meeting = np.zeros((len(self._rows) + 1, len(self._columns) + 1), np.bool_)
        for left, right in pairs:
            self.meeting[self._rows[left], self._columns[right]] = True

    def pieces(self, stretch: str) -> list[str]:
        """The words of a stretch as if there were no exceptions."""
        before, middle, after = self._off(stretch, frozenset(), {}) or ([], [], [])
        return [*before, *middle, *reversed(after)]

    def edges(self, stretch: str, words: list[str] | None) -> tuple[int, int]:
        """Row and column in `meeting` of a stretch's last and first word (of `pieces`, where spaCy was asked), 0 for most."""
        words = words or self.pieces(stretch)
        return self._rows.get(words[-1], 0), self._columns.get(words[0], 0)

    def words(self, stretch: str) -> list[str] | None:
        """The words of a stretch without white space; None where spaCy must be asked."""
        if self._letters_stay and stretch.isalpha():  # half of all new stretches
            return None if stretch in self._exceptions else [stretch]
        found = self._off(stretch, self._exceptions, self._known)
        if found is None:
            return None
        before, words, after = found
        if before or after:
            words = [*before, *words, *reversed(after)]
        if len(words) > 1 and (not self._changed.isdisjoint(words) or self._holds_exception(words)):
            return None
        return words

    def _holds_exception(self, words: list[str]) -> bool:
        """Whether these words, one after another, are cut as an exception is."""
        if self._sequences.keys().isdisjoint(pairwise(words)):
            return False
        return any(words[i : i + len(s)] == s for i, pair in enumerate(pairwise(words)) for s in self._sequences.get(pair, ()))

    def _off(self, stretch: str, exceptions: frozenset[str], known: dict[str, list[str]]) -> tuple[list[str], list[str], list[str]] | None:
        """What comes off in front, what is left, cut, and what comes off at the end, outermost first; None at an exception.

        Args:
            known: what was left before, and its words; added to.
        """
        before: list[str] = []
        after: list[str] = []
        rest, length = stretch, -1
        while rest and len(rest) != length:
            if self._letters_stay and rest.isalpha():
                return None if rest in exceptions else (before, [rest], after)
            if self._whole(rest):
                break
            if (words := known.get(rest)) is not None:
                return before, words, after
            if rest in exceptions:
                return None
            length = len(rest)
            found = self._prefix(rest)
            first = found.end() - found.start() if found else 0
            if first and rest[first:] in exceptions:
                return None
            found = self._suffix(rest[first:])
            last = found.end() - found.start() if found else 0
            if last and rest[:-last] in exceptions:
                return None
            if first:
                before.append(rest[:first])
            if last and first + last <= length:
                after.append(rest[length - last :])
                rest = rest[first : length - last]
            elif first:
                rest = rest[first:]
        if rest in exceptions:
            return None
        if len(known) == _MOST_KNOWN:
            known.clear()
        words = known[rest] = self._cut(rest)
        return before, words, after

    def _cut(self, rest: str) -> list[str]:
        if not rest or self._whole(rest) or self._address(rest):
            return [rest] if rest else []
        pieces: list[str] = []
        start = 0
        for match in self._infixes(rest):
            first, last = match.span()
            if first == 0:
                continue
            pieces += (rest[start:first], rest[first:last])
            start = last
        pieces.append(rest[start:])
        return [p for p in pieces if p]


def _never(_text: str) -> None:
    return None


def _none(_text: str) -> Iterator[Match]:
    return iter(())
