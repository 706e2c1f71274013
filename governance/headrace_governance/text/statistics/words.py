"""Words of a text as numbers, split exactly as datatrove splits them.

spaCy's rule-based tokenisers look at one stretch between white space at a time, so the words of a stretch are the same wherever
it stands, but for what `affixes` says; each is split once and found again by its hash, compiled. Where a language has exceptions that
contain a space, and where words depend on their neighbours, the line is split whole. Chinese is cut by `jieba` (`segmenter`), Japanese
by Sudachi itself, without what spaCy makes of its answers. Texts of other languages whose tokeniser looks further are split whole:
Korean, Hindi.

The memory is emptied between documents when it has grown to `MOST_WORDS`; that changes speed, never a word.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_governance.text.spacy_import import import_spacy
from headrace_governance.text.statistics.affixes import Affixes
from headrace_governance.text.statistics.hash_table import HashTable
from headrace_governance.text.statistics.word_flags import LETTER, MARK, SYMBOL, word_flags

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
        import_spacy()
        from spacy.pipeline import Sentencizer

        from headrace_governance.text.statistics import kernels

        self._kernels = kernels
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
        """Sentences of a line, as spaCy's sentencizer cuts it: after a mark that ends one, at the next word that is not a mark."""
        # White space that is not a single space between words is a token of its own to spaCy.
        if not self._by_stretch or _ODD_SPACE.search(line):
            return len(self._tokenizer.sent_tokenize(line)) if line else 0
        return int(self._kernels.sentences(self.of(line), self.stops, self.marks))

    def _split(self, text: str) -> Int64s:
        return self._numbered(self._tokenizer.word_tokenize(text))

    def _numbered(self, words: list[str]) -> Int64s:
        """The number of each word; what is new is described all at once."""
        numbers = self._numbers
        out = [-1] * len(words)
        new: list[str] = []
        for i, word in enumerate(words):
            number = numbers.get(word)
            if number is None:
                number = numbers[word] = len(numbers)
                new.append(word)
            out[i] = number
        if new:
            self._describe(new)
        return np.array(out, np.int64)

    def _describe(self, words: list[str]) -> None:
        """The properties of the words numbered last."""
        first, end = len(self._numbers) - len(words), len(self._numbers)
        while end > len(self.lengths):
            self._room(2 * len(self.lengths))
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        points = _points("".join(words))
        here = slice(first, end)
        self.lengths[here] = lengths
        self._kernels.word_hashes(points, lengths, self.hashes[here], self.powers[here], self.inverses[here])
        flags = word_flags(points, lengths)
        self.symbols[here] = flags & SYMBOL != 0
        self.alphas[here] = flags & LETTER != 0
        self.marks[here] = flags & MARK != 0
        self.stops[here] = [w in self._stops for w in words]


class SpacedWords(Words):
    """Words of a language whose tokeniser looks at one stretch between white space at a time."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._affixes = Affixes(tokenizer.tokenizer.tokenizer)

    def _empty(self) -> None:
        super()._empty()
        self._known = HashTable()
        self._firsts = np.zeros(1025, np.int64)
        self._flat = np.zeros(4096, np.int64)
        self._asked = np.zeros(1024, np.bool_)
        self._edges = np.zeros((1024, 2), np.int64)

    @property
    def _full(self) -> bool:
        return super()._full or self._known.size > MOST_WORDS

    def _split(self, text: str) -> Int64s:
        if self._exceptions is None or not self._exceptions.search(text):
            numbers = self._spaced(text)
            if numbers is not None:
                return numbers
        return np.concatenate([self._line(line) for line in text.splitlines()] or [np.zeros(0, np.int64)])

    def _line(self, line: str) -> Int64s:
        numbers = None if self._exceptions is not None and self._exceptions.search(line) else self._spaced(line)
        return self._numbered(self._tokenizer.word_tokenize(line)) if numbers is None else numbers

    def _spaced(self, text: str) -> Int64s | None:
        """The words, stretch by stretch; None where a stretch's words depend on its neighbours."""
        points = _points(text)
        most = len(points) // 2 + 1
        starts, ends, found = (np.empty(most, np.int64) for _ in range(3))
        hashes = np.empty(most, np.uint64)
        n, unknown = self._kernels.stretches(points, self._known.keys, self._known.values, starts, ends, hashes, found)
        found = found[:n]
        if unknown:
            new: dict[int, str] = {}
            fresh = np.flatnonzero(found < 0).tolist()
            for i in fresh:
                new.setdefault(int(hashes[i]), text[starts[i] : ends[i]])
            first = self._known.size
            self._learn(np.fromiter(new, np.uint64, len(new)), list(new.values()))
            entries = dict(zip(new, range(first, self._known.size), strict=True))
            for i in fresh:
                found[i] = entries[int(hashes[i])]
        if self._kernels.neighbours_meet(points, starts, ends, found, self._asked, self._edges, self._affixes.meeting):
            return None
        out: Int64s = self._kernels.gather(found, self._firsts, self._flat)
        return out

    def _learn(self, keys: npt.NDArray[np.uint64], stretches: list[str]) -> None:
        """Find and remember the words of stretches."""
        found = [self._affixes.words(s) for s in stretches]
        asked = np.array([words is None for words in found])
        words = [self._tokenizer.word_tokenize(s) if w is None else w for s, w in zip(stretches, found, strict=True)]
        numbers = self._numbered([w for some in words for w in some])
        entry, last = self._known.size, self._known.size + len(words)
        ends = self._firsts[entry] + np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))
        self._firsts, self._asked = _with_room(self._firsts, last + 1), _with_room(self._asked, last)
        self._edges = _with_room(self._edges, last)
        self._flat = _with_room(self._flat, int(ends[-1]))
        self._flat[int(self._firsts[entry]) : int(ends[-1])] = numbers
        self._firsts[entry + 1 : last + 1] = ends
        self._asked[entry:last] = asked
        self._edges[entry:last] = [self._affixes.edges(stretch, w) for stretch, w in zip(stretches, found, strict=True)]
        self._known.put_all(keys, np.arange(entry, last))


class WordsByPlace(Words):
    """Words of a language whose segmenter says where each begins and ends; each is known again by its hash."""

    def _empty(self) -> None:
        super()._empty()
        self._known = HashTable()

    def _at(self, text: str, points: npt.NDArray[np.uint32], starts: Int64s, ends: Int64s) -> Int64s:
        """The numbers of the words at these places."""
        hashes, found = np.empty(len(starts), np.uint64), np.empty(len(starts), np.int64)
        if self._kernels.look_up(points, starts, ends, self._known.keys, self._known.values, hashes, found):
            fresh = np.flatnonzero(found < 0)
            seen = len(self._numbers)
            found[fresh] = self._numbered([text[i:j] for i, j in zip(starts[fresh].tolist(), ends[fresh].tolist(), strict=True)])
            new, where = np.unique(found[fresh], return_index=True)
            self._known.put_all(hashes[fresh][where][new >= seen], new[new >= seen])
        return found


class ChineseWords(WordsByPlace):
    """Chinese words: jieba's."""

    def __init__(self, tokenizer: Any) -> None:
        from headrace_governance.text.statistics.segmenter import Segmenter

        super().__init__(tokenizer)
        self._segmenter = Segmenter()

    def _split(self, text: str) -> Int64s:
        points = _points(text)
        return self._at(text, points, *self._segmenter.places(points))


class JapaneseWords(WordsByPlace):
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
        return np.concatenate([self._piece(piece) for piece in pieces] or [np.zeros(0, np.int64)])

    def _piece(self, text: str) -> Int64s:
        points = _points(text)
        # All units with a space between, in one string: asking each for its text takes longer than finding them.
        return self._at(text, points, *self._kernels.places_of_joined(points, _points(str(self._sudachi.tokenize(text)))))


def kind_of(language: str, tokenizer: Any) -> type[Words]:
    """The class that splits as a tokeniser does."""
    kinds: dict[str, type[Words]] = {"zh": ChineseWords, "ja": JapaneseWords}
    return kinds.get(language) or (SpacedWords if _stretches_of(tokenizer)[0] else Words)


def _with_room(values: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    return values if size <= len(values) else np.concatenate([values, np.zeros((max(size, len(values)), *values.shape[1:]), values.dtype)])


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
