"""Words of a text as numbers, split exactly as datatrove splits them and remembered by what stands between white space.

spaCy's rule-based tokenisers look at one stretch between white space at a time, so the words of a stretch are the same wherever
it stands; each is split once. Where a language has exceptions that contain a space, lines with one of those are split whole.
Chinese is cut by `jieba` block by block (`chinese`). Texts of languages whose tokeniser looks further are split whole: Japanese,
Korean, Hindi.

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
    "symbols": np.bool_,
    "alphas": np.bool_,
    "stops": np.bool_,
    "marks": np.bool_,
}
_ODD_SPACE = re.compile(r"\s\s|[^\S ]|^\s|\s$")


class Words:
    """The words of one language.

    Args:
        tokenizer: a datatrove word tokeniser.

    Attributes:
        lengths: int64 characters of each word; hashes, powers: uint64, see `kernels`; symbols: pure punctuation; alphas: with a
            letter; stops: end a sentence; marks: punctuation by Unicode. Indexed by word number.
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
        self._stretches: dict[str, list[int]] = {}
        self._room(1024)

    def _room(self, size: int) -> None:
        fresh = not self._numbers
        for name, dtype in _PROPERTIES.items():
            grown = np.zeros(size, dtype)
            if not fresh:
                old = getattr(self, name)
                grown[: len(old)] = old
            setattr(self, name, grown)

    lengths: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    powers: npt.NDArray[np.uint64]
    symbols: npt.NDArray[np.bool_]
    alphas: npt.NDArray[np.bool_]
    stops: npt.NDArray[np.bool_]
    marks: npt.NDArray[np.bool_]

    def of(self, text: str) -> npt.NDArray[np.int64]:
        """The numbers of a text's words; they hold until the next text."""
        if len(self._numbers) > MOST_WORDS or len(self._stretches) > MOST_WORDS:
            self._empty()
        return np.array(self._split(text), np.int64)

    def number(self, word: str) -> int:
        """The number of a word, -1 if no text had it."""
        return self._numbers.get(word, -1)

    def sentences(self, line: str) -> int:
        """Sentences of a line, as spaCy's sentencizer cuts it: after a mark that ends one, at the next word that is no mark."""
        # White space that is no single space between words is a token of its own to spaCy.
        if not self._by_stretch or _ODD_SPACE.search(line):
            return len(self._tokenizer.sent_tokenize(line)) if line else 0
        return int(self._kernels.sentences(self.of(line), self.stops, self.marks))

    def _split(self, text: str) -> list[int]:
        if not self._by_stretch:
            return [self._number(w) for w in self._tokenizer.word_tokenize(text)]
        out: list[int] = []
        if self._exceptions is None or not self._exceptions.search(text):
            self._add(text, out)
            return out
        for line in text.splitlines():
            if self._exceptions.search(line):
                out += [self._number(w) for w in self._tokenizer.word_tokenize(line)]
            else:
                self._add(line, out)
        return out

    def _add(self, text: str, out: list[int]) -> None:
        known = self._stretches
        for stretch in text.split():
            numbers = known.get(stretch)
            if numbers is None:
                numbers = known[stretch] = [self._number(w) for w in self._tokenizer.word_tokenize(stretch)]
            out += numbers

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is not None:
            return number
        number = len(self._numbers)
        if number == len(self.lengths):
            self._room(2 * number)
        points = np.frombuffer(word.encode("utf-32-le", "surrogatepass"), np.uint32)
        self._numbers[word] = number
        self.lengths[number] = len(word)
        self.hashes[number], self.powers[number] = self._kernels.word_hash(points)
        self.symbols[number] = all(c in self._punctuation for c in word)
        self.alphas[number] = any(c.isalpha() for c in word)
        self.stops[number] = word in self._stops
        self.marks[number] = all(unicodedata.category(c).startswith("P") for c in word)
        return number


class ChineseWords(Words):
    """Chinese words: jieba's, each block cut once."""

    def __init__(self, tokenizer: Any) -> None:
        from headrace_governance.text.statistics.chinese import Segmenter

        super().__init__(tokenizer)
        self._segmenter = Segmenter()

    def _split(self, text: str) -> list[int]:
        out: list[int] = []
        known = self._stretches
        for block in self._segmenter.blocks(text):
            numbers = known.get(block)
            if numbers is None:
                numbers = known[block] = [self._number(w) for w in self._segmenter.cut(block)]
            out += numbers
        return out


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
