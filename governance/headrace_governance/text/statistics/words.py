"""Words of a text as numbers, split exactly as datatrove splits them.

spaCy's rule-based tokenisers look at one stretch between white space at a time, so the words of a stretch are the same wherever
it stands; each is split once and found again by its hash, compiled. Where a language has exceptions that contain a space, lines with
one of those are split whole. Chinese is cut by `jieba` (`segmenter`), Japanese by Sudachi itself, without what spaCy makes of its
answers. Texts of other languages whose tokeniser looks further are split whole: Korean, Hindi.

The memory is emptied between documents when it has grown to `MOST_WORDS`; that changes speed, never a word.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_WORDS = 1 << 20
"""Different words, or stretches, at most: about 300 MB."""


_PROPERTIES: dict[str, Any] = {
    "lengths": np.int64,
    "hashes": np.uint64,
    "powers": np.uint64,
    "inverses": np.uint64,
    "symbols": np.bool_,
    "alphas": np.bool_,
    "stops": np.bool_,
    "marks": np.bool_,
}
_ODD_SPACE = re.compile(r"\s\s|[^\S ]|^\s|\s$")
Int64s = npt.NDArray[np.int64]


class Words:
    """The words of one language.

    Args:
        tokenizer: a datatrove word tokeniser.

    Attributes:
        lengths: int64 characters of each word; hashes, powers, inverses: uint64, see `kernels.word_hash`; symbols: pure
            punctuation; alphas: with a letter; stops: end a sentence; marks: punctuation by Unicode. Indexed by word number.
    """

    def __init__(self, tokenizer: Any) -> None:
        from datatrove.utils.text import PUNCTUATION_SET
        from spacy.pipeline import Sentencizer

        from headrace_governance.text.statistics import kernels

        self._kernels = kernels
        self._punctuation = PUNCTUATION_SET
        self._stops = frozenset(Sentencizer.default_punct_chars)
        self._tokenizer = tokenizer
        self._by_stretch, self._exceptions = _stretches_of(tokenizer)
        self._empty()

    def _empty(self) -> None:
        self._numbers: dict[str, int] = {}
        self._room(1024)

    def _room(self, size: int) -> None:
        fresh = not self._numbers
        for name, dtype in _PROPERTIES.items():
            grown = np.zeros(size, dtype)
            if not fresh:
                old = getattr(self, name)
                grown[: len(old)] = old
            setattr(self, name, grown)

    lengths: Int64s
    hashes: npt.NDArray[np.uint64]
    powers: npt.NDArray[np.uint64]
    inverses: npt.NDArray[np.uint64]
    symbols: npt.NDArray[np.bool_]
    alphas: npt.NDArray[np.bool_]
    stops: npt.NDArray[np.bool_]
    marks: npt.NDArray[np.bool_]

    @property
    def _full(self) -> bool:
        return len(self._numbers) > MOST_WORDS

    def of(self, text: str) -> Int64s:
        """The numbers of a text's words; they hold until the next text."""
        if self._full:
            self._empty()
        return self._split(text)

    def number(self, word: str) -> int:
        """The number of a word, -1 if no text had it."""
        return self._numbers.get(word, -1)

    def sentences(self, line: str) -> int:
        """Sentences of a line, as spaCy's sentencizer cuts it: after a mark that ends one, at the next word that is no mark."""
        # White space that is no single space between words is a token of its own to spaCy.
        if not self._by_stretch or _ODD_SPACE.search(line):
            return len(self._tokenizer.sent_tokenize(line)) if line else 0
        return int(self._kernels.sentences(self.of(line), self.stops, self.marks))

    def _split(self, text: str) -> Int64s:
        return self._numbered(self._tokenizer.word_tokenize(text))

    def _numbered(self, words: list[str]) -> Int64s:
        return np.array([self._number(w) for w in words], np.int64)

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is not None:
            return number
        number = len(self._numbers)
        if number == len(self.lengths):
            self._room(2 * number)
        self._numbers[word] = number
        self.lengths[number] = len(word)
        self.hashes[number], self.powers[number], self.inverses[number] = self._kernels.word_hash(_points(word))
        self.symbols[number] = all(c in self._punctuation for c in word)
        self.alphas[number] = any(c.isalpha() for c in word)
        self.stops[number] = word in self._stops
        self.marks[number] = all(unicodedata.category(c).startswith("P") for c in word)
        return number


class SpacedWords(Words):
    """Words of a language whose tokeniser looks at one stretch between white space at a time."""

    def _empty(self) -> None:
        super()._empty()
        self._known = HashTable()
        self._firsts = np.zeros(1025, np.int64)
        self._flat = np.zeros(4096, np.int64)

    @property
    def _full(self) -> bool:
        return super()._full or self._known.size > MOST_WORDS

    def _split(self, text: str) -> Int64s:
        if self._exceptions is None or not self._exceptions.search(text):
            return self._spaced(text)
        return np.concatenate(
            [
                self._numbered(self._tokenizer.word_tokenize(line)) if self._exceptions.search(line) else self._spaced(line)
                for line in text.splitlines()
            ]
            or [np.zeros(0, np.int64)]
        )

    def _spaced(self, text: str) -> Int64s:
        points = _points(text)
        most = len(points) // 2 + 1
        starts, ends, found = (np.empty(most, np.int64) for _ in range(3))
        hashes = np.empty(most, np.uint64)
        n, unknown = self._kernels.stretches(points, self._known.keys, self._known.values, starts, ends, hashes, found)
        if unknown:
            new: dict[int, str] = {}
            fresh = np.flatnonzero(found[:n] < 0).tolist()
            for i in fresh:
                new.setdefault(int(hashes[i]), text[starts[i] : ends[i]])
            first = self._known.size
            for key, words in zip(new, self._words_of(list(new.values())), strict=True):
                self._learn(words, np.uint64(key))
            entries = dict(zip(new, range(first, self._known.size), strict=True))
            for i in fresh:
                found[i] = entries[int(hashes[i])]
        out: Int64s = self._kernels.gather(found[:n], self._firsts, self._flat)
        return out

    def _words_of(self, stretches: list[str]) -> list[list[str]]:
        """The words of each stretch; spaCy is asked once for all of them, because a call costs more than a stretch."""
        line = " ".join(stretches)
        if len(stretches) < 2 or "IS_ALPHA" in line or (self._exceptions is not None and self._exceptions.search(line)):
            return [self._tokenizer.word_tokenize(s) for s in stretches]
        inner = self._tokenizer.tokenizer
        out: list[list[str]] = []
        with inner.memory_zone():
            tokens = [(t.idx, t.text) for t in inner.tokenizer(line)]
        at = end = 0
        for stretch in stretches:
            end += len(stretch) + 1
            words: list[str] = []
            while at < len(tokens) and tokens[at][0] < end:
                if word := tokens[at][1].strip():
                    words.append(word)
                at += 1
            out.append(words)
        return out

    def _learn(self, words: list[str], key: np.uint64) -> None:
        """Remember the words of a stretch."""
        numbers = [self._number(w) for w in words]
        entry = self._known.size
        if entry + 2 > len(self._firsts):
            self._firsts = np.concatenate([self._firsts, np.zeros_like(self._firsts)])
        first = int(self._firsts[entry])
        while first + len(numbers) > len(self._flat):
            self._flat = np.concatenate([self._flat, np.zeros_like(self._flat)])
        self._flat[first : first + len(numbers)] = numbers
        self._firsts[entry + 1] = first + len(numbers)
        self._known.put(key, entry)


class ChineseWords(Words):
    """Chinese words: jieba's."""

    def __init__(self, tokenizer: Any) -> None:
        from headrace_governance.text.statistics.segmenter import Segmenter

        super().__init__(tokenizer)
        self._segmenter = Segmenter()

    def _empty(self) -> None:
        super()._empty()
        self._known = HashTable()

    def _split(self, text: str) -> Int64s:
        points = _points(text)
        starts, ends = self._segmenter.places(points)
        hashes, found = np.empty(len(starts), np.uint64), np.empty(len(starts), np.int64)
        if self._kernels.look_up(points, starts, ends, self._known.keys, self._known.values, hashes, found):
            for i in np.flatnonzero(found < 0).tolist():
                word = text[starts[i] : ends[i]]
                seen = len(self._numbers)
                found[i] = self._number(word)
                if found[i] == seen:
                    self._known.put(hashes[i], seen)
        return found


class JapaneseWords(Words):
    """Japanese words: Sudachi's shortest units, which is what spaCy's Japanese tokeniser cuts by."""

    _MOST_BYTES = 40_000
    """datatrove's bound for one piece; Sudachi takes 49,149 bytes."""

    def __init__(self, tokenizer: Any) -> None:
        from datatrove.utils.word_tokenizers import chunk_text_on_bytes
        from sudachipy import Dictionary, SplitMode

        super().__init__(tokenizer)
        self._pieces = chunk_text_on_bytes
        self._sudachi = Dictionary().tokenizer(mode=SplitMode.A)

    def _split(self, text: str) -> Int64s:
        if "IS_ALPHA" in text:  # a name inside spaCy, which fails at the word; datatrove has a way around that
            return super()._split(text)
        pieces = self._pieces(text, self._MOST_BYTES) if len(text) * 3 > self._MOST_BYTES else [text]
        number = self._number
        return np.array([number(w) for piece in pieces for m in self._sudachi.tokenize(piece) if (w := m.surface().strip())], np.int64)


class HashTable:
    """Numbers by hash, open addressing, at most half full, for compiled loops."""

    def __init__(self) -> None:
        from headrace_governance.text.statistics import kernels

        self._kernels = kernels
        self.keys = np.zeros(4096, np.uint64)
        self.values = np.zeros(4096, np.int64)
        self.size = 0

    def put(self, key: np.uint64, value: int) -> None:
        """Add a hash (not 0) that is not there yet."""
        if 2 * self.size >= len(self.keys):
            more = np.zeros(4 * len(self.keys), np.uint64), np.zeros(4 * len(self.keys), np.int64)
            self._kernels.rehash(self.keys, self.values, *more)
            self.keys, self.values = more
        self._kernels.put(self.keys, self.values, key, value)
        self.size += 1


def kind_of(language: str, tokenizer: Any) -> type[Words]:
    """The class that splits as a tokeniser does."""
    kinds: dict[str, type[Words]] = {"zh": ChineseWords, "ja": JapaneseWords}
    return kinds.get(language) or (SpacedWords if _stretches_of(tokenizer)[0] else Words)


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _stretches_of(tokenizer: Any) -> tuple[bool, re.Pattern[str] | None]:
    """Whether a tokeniser looks at one stretch at a time, and what matches its exceptions that contain a space."""
    from datatrove.utils.word_tokenizers import SpaCyTokenizer

    if not isinstance(tokenizer, SpaCyTokenizer):
        return False, None
    inner = tokenizer.tokenizer.tokenizer
    # White space alone is an exception too, but makes no word.
    rules = [rule for rule in getattr(inner, "rules", None) or {} if rule.strip()]
    spaced = sorted((r for r in rules if any(c.isspace() for c in r)), key=len, reverse=True)
    if type(inner).__module__ != "spacy.tokenizer" or any(set(r) & set("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029") for r in spaced):
        return False, None
    return True, re.compile("|".join(map(re.escape, spaced))) if spaced else None
