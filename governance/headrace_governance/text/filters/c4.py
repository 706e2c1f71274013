"""Verdict `c4`: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.2, by datatrove.

Lines that break a line rule do not count; a document is dropped for `lorem ipsum`, a curly bracket in a counted line,
or too few sentences in the lines that are left. The rules are about English prose: source code and manuals lose.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace_governance.text.filters.datatrove_verdict import DatatroveVerdict, Measure
from headrace_lake.strict import StrictModel


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


class C4(DatatroveVerdict):
    """Documents → `verdict_c4`."""

    name = "c4"
    output = "verdict_c4"
    Params = C4Params

    def make_filter(self, thresholds: C4Thresholds, tokenizer: Any) -> Any:
        from datatrove.pipeline.filters.c4_filters import C4QualityFilter

        if not thresholds.enabled:
            return None
        return C4QualityFilter(**thresholds.model_dump(exclude={"enabled"}), language=tokenizer)

    def measure(self, reason: str, text: str, words: list[str], thresholds: C4Thresholds) -> Measure:
        match reason:
            case "curly_bracket":
                return text.count("{")
            case "lorem_ipsum":
                return text.lower().count("lorem ipsum")
        return None
