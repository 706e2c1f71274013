"""Stage `line_statistics`: documents and their language → `line_statistics`, what rules about single lines compare.

Lines are measured without their Markdown (`prose`): "- 3 likes" is a counter, and code blocks have no lines here. Places are those of the
stored text, because there the shards are cut: a line goes with its marks. Of most lines only their words are counted; a row keeps the
lines that such a rule could touch (few words, many capitals or
digits), and places of boilerplate: counters ("3 likes") and phrases ("Sign-in"). Which words and phrases those are is structure
and stands in `filters/line_statistics.yaml`; how much of something is too much is a threshold of the verdict.

Speed: one compiled pass over the batch's bytes, and one search for the phrases; only texts that have one are looked at in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from headrace_governance.text.text_format import HEADING, ROW
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage
from headrace_lake.strict import StrictModel

if TYPE_CHECKING:
    from headrace_governance.text.statistics.prose import Prose

COUNTER, PHRASE = "counter", "phrase"
LINE_COLUMNS = ("line_starts", "line_ends", "line_tokens", "line_words", "line_characters", "line_uppercase", "line_digits")
MARK_COLUMNS = ("mark_kinds", "mark_starts", "mark_ends", "mark_tokens", "mark_words")
Phrases = tuple[str, ...]


class LinePatterns(StrictModel):
    """Boilerplate of one language; upper or lower case, ASCII letters alike.

    Attributes:
        counters: words that a number counts in a line of nothing else.
        anywhere, at_end, at_start: phrases, by where they stand in a line.
    """

    counters: Phrases = ()
    anywhere: Phrases = ()
    at_end: Phrases = ()
    at_start: Phrases = ()


class LineStatisticsParams(StrictModel):
    """Parameters of `line_statistics`.

    Attributes:
        skip_markup: keep no headings, list items and rows of tables, and look for no boilerplate in headings and rows: a title in
            capitals, an item or a row of one word is not debris.
        languages: ISO 639-1 code → boilerplate; a language without an entry has only its lines counted.
    """

    skip_markup: bool = True
    languages: dict[str, LinePatterns] = Field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """A place of boilerplate: its bytes, tokens of its line, and counted words that go with it."""

    kind: str
    start: int
    end: int
    tokens: int
    words: int


class LineStatistics(Stage):
    """Documents → `line_statistics`."""

    name = "line_statistics"
    output = "line_statistics"
    Params = LineStatisticsParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=1 << 30)
    batch_rows = 512

    params: LineStatisticsParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text", "format"), {"verdict_language": ("language",)})

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        from headrace_governance.text.statistics.line_kernel import line_facts
        from headrace_governance.text.statistics.prose import prose_of

        self._line_facts, self._prose_of = line_facts, prose_of
        self._finders = {language: Finder(p, self.params.skip_markup) for language, p in sorted(self.params.languages.items())}

    def process(self, batch: pa.Table) -> pa.Table:
        prose = self._prose_of(batch, origins=True)
        languages = pa.array([language or "und" for language in batch["verdict_language.language"].to_pylist()], pa.string())
        words, offsets, lines = self._line_facts(prose, self.params.skip_markup)
        marks = self._marks(prose, languages)
        columns = {name: _lists(offsets, lines[:, i]) for i, name in enumerate(LINE_COLUMNS)}
        for name in MARK_COLUMNS:
            attribute = name.removeprefix("mark_")[: None if name in ("mark_tokens", "mark_words") else -1]
            values = [[getattr(m, attribute) for m in found] for found in marks]
            columns[name] = pa.array(values, pa.list_(pa.string() if attribute == "kind" else pa.int64()))
        return pa.table(
            {
                "uid": batch["uid"],
                "language": languages,
                "blank": pa.array(words[:, 1] == 0, pa.bool_()),
                "words": pa.array(np.ascontiguousarray(words[:, 0]), pa.int64()),
                **columns,
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )

    def _marks(self, prose: Prose, languages: pa.Array) -> list[list[Mark]]:
        marks: list[list[Mark]] = [[] for _ in range(len(languages))]
        for language, finder in self._finders.items():
            rows = np.flatnonzero(pc.equal(languages, language).to_numpy(zero_copy_only=False))
            for row in rows[finder.candidates(prose.texts.take(pa.array(rows)))]:
                text, origins, lines = prose.one(int(row))
                marks[row] = finder.find(text, origins, lines)
        return marks


def _lists(offsets: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(np.ascontiguousarray(values), pa.int64()))


class Finder:
    """Finds the boilerplate of one language."""

    def __init__(self, patterns: LinePatterns, skip_markup: bool) -> None:
        self._skip_markup = skip_markup
        counters = _alternatives(patterns.counters)
        self._counter = re.compile(rf"\W*\d[\d,.]*[kmb]?\s+(?:{counters})\W*") if counters else None
        ascii_case = re.ASCII | re.IGNORECASE
        phrases = ((_alternatives(p), form) for p, form in _forms(patterns))
        self._phrases = [re.compile(form.format(words), ascii_case) for words, form in phrases if words]
        every = [re.escape(p) for p in (*patterns.anywhere, *patterns.at_end, *patterns.at_start)]
        # RE2's \W counts letters beyond ASCII too, so this finds at least every counter.
        anywhere = [*every, *([rf"(?:{counters})\W*(?:\n|$)"] if counters else [])]
        self._candidate = "|".join(anywhere)

    def candidates(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        """Which texts can have some at all."""
        if not self._candidate:
            return np.zeros(len(texts), np.bool_)
        found: npt.NDArray[np.bool_] = pc.match_substring_regex(texts, self._candidate, ignore_case=True).to_numpy(zero_copy_only=False)
        return found

    def find(self, text: str, origins: npt.NDArray[np.int32], lines: npt.NDArray[np.int64]) -> list[Mark]:
        """The boilerplate of a text without markup, by place in the stored text; a line is a counter, or has phrases, or neither.

        Args:
            origins, lines: as in `Prose`, of this text.
        """
        marks: list[Mark] = []
        at = 0
        for line, (start, end, kind) in zip(text.split("\n"), lines.tolist(), strict=True):
            size = len(line.encode("utf-8"))
            if not (self._skip_markup and kind in (HEADING, ROW)):
                marks += self._in_line(line, origins[at : at + size], start, end)
            at += size + 1
        return marks

    def _in_line(self, line: str, origins: npt.NDArray[np.int32], start: int, end: int) -> Iterator[Mark]:
        if self._counter is not None and self._counter.fullmatch(line.lower()):
            yield Mark(COUNTER, start, end, len(line.split()), counted_words(line))
            return
        # A later phrase can come about when an earlier one is taken out, but only then.
        if not any(pattern.search(line) for pattern in self._phrases):
            return
        left, cut = line, [False] * len(line)
        for pattern in self._phrases:
            places = [i for i, gone in enumerate(cut) if not gone]
            for match in pattern.finditer(left):
                for i in places[match.start() : match.end()]:
                    cut[i] = True
            left = "".join(c for c, gone in zip(line, cut, strict=True) if not gone)
        if not left or left.isspace():
            yield Mark(PHRASE, start, end, len(line.split()), counted_words(line))
            return
        words = counted_words(line) - counted_words(left)
        for a, b in _runs(cut):
            first, behind = (len(line[:k].encode("utf-8")) for k in (a, b))
            yield Mark(PHRASE, int(origins[first]), int(origins[behind - 1]) + 1, len(line.split()), words)
            words = 0  # of all places of the line together


def _alternatives(words: Sequence[str]) -> str:
    return "|".join(map(re.escape, words))


def _forms(patterns: LinePatterns) -> tuple[tuple[Phrases, str], ...]:
    """The phrases in DCLM's order, with the white space that goes with them."""
    return (patterns.anywhere, r"\s?(?:{})"), (patterns.at_end, r"\s?(?:{})\Z"), (patterns.at_start, r"\A(?:{})\s?")


def _runs(cut: list[bool]) -> Iterator[tuple[int, int]]:
    start = None
    for i, gone in enumerate([*cut, False]):
        if gone and start is None:
            start = i
        elif not gone and start is not None:
            yield start, i
            start = None


_WORD = re.compile(r"[^ \t\n\v\f\r\0]+")


def counted_words(text: str) -> int:
    """Tokens of fastText that begin with a letter or number, as DCLM counts words."""
    return sum(w[0][0].isalnum() for w in _WORD.finditer(text))
