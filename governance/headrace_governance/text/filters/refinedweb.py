"""Verdict `refinedweb`: the line-wise corrections of Penedo et al. 2023, https://arxiv.org/abs/2306.01116, section 3.2 and table 8.

Lines are taken out that are mostly capitals, nothing but digits, a counter ("3 likes") or a single word, and in short lines the
phrases of shops and logins; a document that would lose more than 5 % of its words goes as a whole, reason `word_removal_ratio`.
The text is never rewritten: `starts` and `ends` say which bytes are left out when shards are cut (`tokenise`, parameter `cut`).

The order of the rules and the counting of words are DCLM's (Li et al. 2024, https://arxiv.org/abs/2406.11794,
github.com/mlfoundations/dclm, baselines/mappers/modifiers.py). Two differences: its dots in "Read more..." match any
characters, ours are dots; lines are measured without their Markdown, code blocks are left alone, and so are headings, list items and rows
of tables but for counters and phrases in items (`line_statistics`, `skip_markup`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from headrace_governance.text.filters.rule_verdict import measured
from headrace_governance.text.statistics.lines import COUNTER, LINE_COLUMNS, MARK_COLUMNS
from headrace_lake.stage import Inputs, Resources
from headrace_lake.strict import StrictModel
from headrace_lake.verdict_stage import Verdicts, VerdictStage

Ints = npt.NDArray[np.int64]


class RefinedWebThresholds(StrictModel):
    """DCLM's values. The bounds are those down to which `line_statistics` keeps lines.

    Attributes:
        enabled: False keeps every document of the language, and all its lines.
        max_uppercase: highest share of capitals among a line's characters.
        max_digits: highest share of digits; below 1 by a hair, so that lines of digits alone go.
        min_line_words: fewest words, between white space, of a line that is not empty; 0 switches it off.
        counters: take counters out.
        max_phrase_words: words up to which a line loses its phrases; 0 switches it off.
        max_removed: highest share of words that may go; above it the document does.
    """

    enabled: bool = True
    max_uppercase: float = Field(default=0.5, ge=0.25)
    max_digits: float = Field(default=0.999999, ge=0.5)
    min_line_words: int = Field(default=2, ge=0, le=4)
    counters: bool = True
    max_phrase_words: int = Field(default=10, ge=0)
    max_removed: float = Field(default=0.05, ge=0, le=1)


class RefinedWebParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: RefinedWebThresholds = RefinedWebThresholds(enabled=False)
    languages: dict[str, RefinedWebThresholds] = Field(default_factory=dict)


class RefinedWeb(VerdictStage):
    """`line_statistics` → `verdict_refinedweb`; no text is read."""

    name = "refinedweb"
    output = "verdict_refinedweb"
    Params = RefinedWebParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=2 << 30)
    batch_rows = 8192

    params: RefinedWebParams

    def inputs(self) -> Inputs:
        return Inputs("line_statistics", ("uid", "language", "blank", "words", *LINE_COLUMNS, *MARK_COLUMNS))

    def judge(self, batch: pa.Table) -> Verdicts:
        languages = batch["language"].to_pylist()
        thresholds = [self.params.languages.get(language, self.params.default) for language in languages]
        lines = _Lists.of(batch, LINE_COLUMNS)
        broken = self._broken(lines, thresholds)
        removed = np.bincount(lines.rows[broken], lines["line_words"][broken], batch.num_rows).astype(np.int64)
        cuts = _by_row(lines.rows[broken], lines["line_starts"][broken], lines["line_ends"][broken], batch.num_rows)
        marked = np.flatnonzero(_lengths(batch["mark_kinds"]))
        for row in marked.tolist():
            removed[row] += self._marks(batch.slice(row, 1), thresholds[row], cuts[row])
        reasons: list[str | None] = []
        details: list[dict[str, Any] | None] = []
        values = zip(languages, thresholds, batch["blank"].to_pylist(), batch["words"].to_pylist(), removed.tolist(), strict=True)
        for language, t, blank, words, gone in values:
            dropped = words > 0 and gone / words > t.max_removed
            reasons.append("empty" if blank else "word_removal_ratio" if dropped else None)
            details.append(measured(language, gone / words) if dropped and not blank else None)
        return Verdicts(reasons, details, {"starts": [[s for s, _ in c] for c in cuts], "ends": [[e for _, e in c] for c in cuts]})

    def _broken(self, lines: _Lists, thresholds: list[RefinedWebThresholds]) -> npt.NDArray[np.bool_]:
        """Which of the kept lines go."""

        def each(name: str) -> npt.NDArray[Any]:
            return np.array([getattr(t, name) for t in thresholds])[lines.rows]

        characters = lines["line_characters"]
        broken = (
            (lines["line_uppercase"] / characters > each("max_uppercase"))
            | (lines["line_digits"] / characters > each("max_digits"))
            | (lines["line_tokens"] < each("min_line_words"))
        )
        found: npt.NDArray[np.bool_] = broken & each("enabled").astype(np.bool_)
        return found

    def _marks(self, row: pa.Table, t: RefinedWebThresholds, cuts: list[tuple[int, int]]) -> int:
        """Add a document's counters and phrases, but for those in lines that go anyway; returns the words that go with them."""
        if not t.enabled:
            return 0
        lines, words = list(cuts), 0
        for kind, start, end, tokens, count in zip(*(row[name][0].as_py() for name in MARK_COLUMNS), strict=True):
            wanted = t.counters if kind == COUNTER else tokens <= t.max_phrase_words
            if wanted and not any(s <= start and end <= e for s, e in lines):
                cuts.append((start, end))
                words += count
        cuts.sort()
        return words


class _Lists:
    """List columns of equal lengths, one after another, with the row of each value."""

    def __init__(self, rows: Ints, columns: dict[str, Ints]) -> None:
        self.rows = rows
        self._columns = columns

    @classmethod
    def of(cls, batch: pa.Table, names: tuple[str, ...]) -> _Lists:
        columns = {name: batch[name].combine_chunks().flatten().to_numpy() for name in names}
        return cls(np.repeat(np.arange(batch.num_rows), _lengths(batch[names[0]])), columns)

    def __getitem__(self, name: str) -> Ints:
        return self._columns[name]


def _lengths(lists: pa.ChunkedArray) -> Ints:
    lengths: Ints = pa.compute.list_value_length(lists).to_numpy()
    return lengths


def _by_row(rows: Ints, starts: Ints, ends: Ints, count: int) -> list[list[tuple[int, int]]]:
    cuts: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        cuts[row].append((start, end))
    return cuts
