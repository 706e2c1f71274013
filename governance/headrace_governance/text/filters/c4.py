"""Verdict `c4`: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.2, as datatrove reads it.

Lines that break a line rule do not count; a document is dropped for `lorem ipsum`, a curly bracket in a counted line,
or too few sentences in the lines that are left. Judged is the text without its markup (`prose`): code blocks have no lines here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from headrace_governance.text.filters.rule_verdict import measured
from headrace_lake.stage import Inputs, PartWriter, Resources
from headrace_lake.strict import StrictModel
from headrace_lake.verdict_stage import Verdicts, VerdictStage

_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_END = (".", "?", "!", '"', "'")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


class C4Thresholds(StrictModel):
    """C4's values.

    Attributes:
        enabled: False keeps every document of the language.
        filter_no_terminal_punct: count only lines that end in a terminal mark (C4: yes; FineWeb: no).
        min_num_sentences: over the counted lines; -1 switches it off.
        min_words_per_line, max_word_length: lines outside do not count; -1 switches the rule off.
        filter_lorem_ipsum, filter_curly_bracket: drop the document.
        filter_javascript, filter_policy: do not count the line.
        remove_citations: take `[1]`, `[edit]` away before the rules.
    """

    enabled: bool = True
    filter_no_terminal_punct: bool = True
    min_num_sentences: int = 5
    min_words_per_line: int = 3
    max_word_length: int = 1000
    filter_lorem_ipsum: bool = True
    filter_javascript: bool = True
    filter_curly_bracket: bool = True
    filter_policy: bool = True
    remove_citations: bool = True


class C4Params(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: C4Thresholds = C4Thresholds(enabled=False)
    languages: dict[str, C4Thresholds] = Field(default_factory=dict)


class C4(VerdictStage):
    """Documents and their language → `verdict_c4`."""

    name = "c4"
    output = "verdict_c4"
    Params = C4Params
    batch_rows = 256
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=2 << 30)

    params: C4Params

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text", "format"), {"verdict_language": ("language",)})

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        from headrace_governance.text.statistics.prose import prose_of
        from headrace_governance.text.statistics.tokenisers import words_of

        self._words_of, self._prose_of = words_of, prose_of

    def judge(self, batch: pa.Table) -> Verdicts:
        languages = [language or "und" for language in batch["verdict_language.language"].to_pylist()]
        verdicts = [self.judge_text(t, language) for t, language in zip(self._prose_of(batch).texts.to_pylist(), languages, strict=True)]
        return Verdicts([reason for reason, _ in verdicts], [value for _, value in verdicts])

    def judge_text(self, text: str, language: str) -> tuple[str | None, dict[str, Any] | None]:
        """Reason (None: kept) and, for a drop, the measured value, of a text without markup."""
        if not text.strip():
            return "empty", None
        t = self.params.languages.get(language, self.params.default)
        if not t.enabled:
            return None, None
        sentences = 0
        suspect = (t.filter_lorem_ipsum and "lorem ipsum" in text.lower()) or (t.filter_curly_bracket and "{" in text)
        for line in counted_lines(text, t):
            low = line.lower()
            if t.filter_lorem_ipsum and "lorem ipsum" in low:
                return "lorem_ipsum", measured(language, text.lower().count("lorem ipsum"))
            if t.filter_javascript and "javascript" in low:
                continue
            if t.filter_curly_bracket and "{" in line:
                return "curly_bracket", measured(language, text.count("{"))
            if t.filter_policy and any(p in low for p in _POLICY):
                continue
            if sentences < t.min_num_sentences:
                sentences += self._words_of(language).sentences(line)
            elif not suspect:
                break  # nothing that may follow drops it
        if sentences < t.min_num_sentences:
            return "too_few_sentences", measured(language, sentences)
        return None, None


def counted_lines(text: str, t: C4Thresholds) -> Iterator[str]:
    """The lines that no line rule takes away, in the order of datatrove's rules: long words, terminal mark, number of words."""
    for whole in text.splitlines():
        line = whole.strip()
        words = line.split()
        # No word is longer than its line.
        if t.max_word_length != -1 and len(line) > t.max_word_length and any(len(w) > t.max_word_length for w in words):
            continue
        if t.remove_citations and "[" in line:
            line = _CITATION.sub("", line)
        if t.filter_no_terminal_punct and (not line.endswith(_END) or line.endswith("...")):
            continue
        if len(words) < t.min_words_per_line:
            continue
        yield line
