"""Stage `text_statistics`: documents and their language → `text_statistics`, one column a statistic.

Everything is measured on the text without its markup (`prose`): heading marks and pipes are not symbols of the author's, and code is no
prose. Of what was left out the row says how much there was: characters of code, lines with a list sign.

No threshold is known here. What is known is structure: which words are stop words in a language, and up to how many characters a
line is short; changing that computes the statistics again, changing a threshold only the join.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from headrace_governance.text.statistics.measure import COLUMNS, measure
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage
from headrace_lake.strict import StrictModel


class TextStatisticsParams(StrictModel):
    """Parameters of `text_statistics`.

    Attributes:
        stop_words: ISO 639-1 code → words of which different ones are counted; a language without an entry counts `default`.
        short_line: characters.
    """

    stop_words: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    short_line: int = Field(default=30, ge=0)


class TextStatistics(Stage):
    """Documents → `text_statistics`."""

    name = "text_statistics"
    output = "text_statistics"
    Params = TextStatisticsParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=3 << 30)
    batch_rows = 256

    params: TextStatisticsParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text", "format"), {"verdict_language": ("language",)})

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        from headrace_governance.text.statistics.licence_words import licence_words
        from headrace_governance.text.statistics.prose import item_lines, prose_of
        from headrace_governance.text.statistics.tokenisers import words_of

        self._words_of, self._licence_words, self._prose_of, self._item_lines = words_of, licence_words, prose_of, item_lines

    def process(self, batch: pa.Table) -> pa.Table:
        languages = [language or "und" for language in batch["verdict_language.language"].to_pylist()]
        prose = self._prose_of(batch)
        texts = prose.texts.to_pylist()
        words, known = self._licence_words(prose.texts)
        rows = [self.measure(t, language) for t, language in zip(texts, languages, strict=True)]
        values = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
        return pa.table(
            {
                "uid": batch["uid"],
                "language": pa.array(languages, pa.string()),
                "blank": pa.array([not t.strip() for t in texts], pa.bool_()),
                **{name: pa.array(column, pa.int64()) for name, column in zip(COLUMNS, values, strict=True)},
                "code_characters": pa.array(prose.code),
                "item_lines": pa.array(self._item_lines(prose)),
                "plain_words": pa.array(words),
                "licence_words": pa.array(known),
                DROP_REASON: pa.nulls(batch.num_rows, pa.string()),
                DROP_DETAIL: pa.nulls(batch.num_rows, pa.string()),
            }
        )

    def measure(self, text: str, language: str) -> list[int]:
        """The values of `COLUMNS` for a text without markup in a language."""
        known = self.params.stop_words
        return measure(text, self._words_of(language), known.get(language, known.get("default", ())), self.params.short_line)
