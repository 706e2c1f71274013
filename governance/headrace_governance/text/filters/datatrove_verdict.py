"""What the four datatrove verdicts share: the language picks the thresholds, datatrove's own filter decides.

Parameters are `default` and `languages`: a language without an entry gets `default`; a field that an entry does not
name gets the field's default, which is the published English value. The verdict's text is never changed, even where
the filter (C4) edits the document that it is given.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa

from headrace_governance.text.filters.words import tokenizer_for
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, Stage

Measure = float | int | None


class DatatroveVerdict(Stage):
    """Documents and their language → a verdict table; reasons are datatrove's own."""

    batch_rows = 256
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=3 << 30)

    @abstractmethod
    def make_filter(self, thresholds: Any, tokenizer: Any) -> Any:
        """datatrove's filter for one language's thresholds; None if the language is not filtered."""

    @abstractmethod
    def measure(self, reason: str, text: str, words: list[str], thresholds: Any) -> Measure:
        """The value that broke the rule, for the exclusion table."""

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"), {"verdict_language": ("language",)})

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._filters: dict[str, Any] = {}

    def thresholds_for(self, language: str) -> Any:
        """The thresholds of a language."""
        params: Any = self.params
        return params.languages.get(language, params.default)

    def process(self, batch: pa.Table) -> pa.Table:
        texts = batch["text"].to_pylist()
        languages = [lang or "und" for lang in batch["verdict_language.language"].to_pylist()]
        verdicts = [self.judge(t, lang) for t, lang in zip(texts, languages, strict=True)]
        reasons = pa.array([v[0] for v in verdicts], pa.string())
        details = pa.array([v[1] for v in verdicts], pa.string())
        return pa.table(
            {
                "uid": batch["uid"],
                "keep": pa.array([v[0] is None for v in verdicts], pa.bool_()),
                "reason": reasons,
                "measured": details,
                DROP_REASON: reasons,
                DROP_DETAIL: details,
            }
        )

    def judge(self, text: str, language: str) -> tuple[str | None, str | None]:
        """Reason (None: kept) and, for a drop, the measured value as JSON."""
        from datatrove.data import Document

        if not text.strip():
            return "empty", None  # two of datatrove's filters divide by zero here
        if language not in self._filters:
            self._filters[language] = self.make_filter(self.thresholds_for(language), tokenizer_for(language))
        chosen = self._filters[language]
        if chosen is None:
            return None, None
        result = chosen.filter(Document(text=text, id=""))
        kept, reason = result if isinstance(result, tuple) else (result, None)
        if kept:
            return None, None
        why = str(reason or self.name)
        words = tokenizer_for(language).word_tokenize(text)
        value = self.measure(why, text, words, self.thresholds_for(language))
        return why, json.dumps({"language": language, "value": round(value, 4) if isinstance(value, float) else value})
