"""Words of a text as numbers, split exactly as datatrove splits them and remembered by what stands between white space.

spaCy's rule-based tokenisers look at one stretch between white space at a time, so the words of a stretch are the same wherever
it stands; each is split once. Where a language has exceptions that contain white space, texts with one of those are split whole,
as are all texts of languages whose tokeniser looks further: Chinese, Japanese, Korean, Hindi.

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
        self._whole = _exceptions_with_space(tokenizer)
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
        if self._whole is None or _ODD_SPACE.search(line):
            return len(self._tokenizer.sent_tokenize(line)) if line else 0
        return int(self._kernels.sentences(self.of(line), self.stops, self.marks))

    def _split(self, text: str) -> list[int]:
        if self._whole is None or any(e in text for e in self._whole):
            return [self._number(w) for w in self._tokenizer.word_tokenize(text)]
        out: list[int] = []
        known = self._stretches
        for stretch in text.split():
            numbers = known.get(stretch)
            if numbers is None:
                numbers = known[stretch] = [self._number(w) for w in self._tokenizer.word_tokenize(stretch)]
            out += numbers
        return out

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


def _exceptions_with_space(tokenizer: Any) -> tuple[str, ...] | None:
    """A rule-based tokeniser's exceptions that contain white space; None for a tokeniser that looks beyond white space."""
    from datatrove.utils.word_tokenizers import SpaCyTokenizer

    if not isinstance(tokenizer, SpaCyTokenizer):
        return None
    inner = tokenizer.tokenizer.tokenizer
    if type(inner).__module__ != "spacy.tokenizer":
        return None
    # A match of URLs and the like (`token_match`) also sees one stretch only.
    # White space alone is an exception too, but makes no word.
    return tuple(sorted(rule for rule in inner.rules if rule.strip() and len(rule.split()) + (rule != rule.strip()) > 1))
