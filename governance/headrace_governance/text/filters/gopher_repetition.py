"""Verdict `gopher_repetition`: Rae et al. 2021, https://arxiv.org/abs/2112.11446, section A1.1 and table A1, by datatrove.

Rules, in the order in which they are blamed: duplicate paragraphs, duplicate lines (share and characters), the most
frequent 2- to 4-gram, characters in duplicate 5- to 10-grams.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from headrace_governance.text.filters.datatrove_verdict import DatatroveVerdict, Measure
from headrace_lake.strict import StrictModel


class GopherRepetitionThresholds(StrictModel):
    """Table A1's values; 0 switches a line or paragraph rule off, an absent n its n-gram rule.

    Attributes:
        dup_*_frac: share of lines or paragraphs that occurred before.
        dup_*_char_frac: share of characters in them.
        top_n_grams: n → share of characters in the most frequent n-gram.
        dup_n_grams: n → share of characters in n-grams that occurred before.
    """

    dup_line_frac: float = 0.3
    dup_para_frac: float = 0.3
    dup_line_char_frac: float = 0.2
    dup_para_char_frac: float = 0.2
    top_n_grams: dict[int, float] = Field(default_factory=lambda: {2: 0.2, 3: 0.18, 4: 0.16})
    dup_n_grams: dict[int, float] = Field(default_factory=lambda: {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10})


class GopherRepetitionParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: GopherRepetitionThresholds = GopherRepetitionThresholds()
    languages: dict[str, GopherRepetitionThresholds] = Field(default_factory=dict)


class GopherRepetition(DatatroveVerdict):
    """Documents → `verdict_gopher_repetition`."""

    name = "gopher_repetition"
    output = "verdict_gopher_repetition"
    Params = GopherRepetitionParams

    def make_filter(self, thresholds: GopherRepetitionThresholds, tokenizer: Any) -> Any:
        from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter

        values = thresholds.model_dump()
        values["top_n_grams"] = tuple(sorted(thresholds.top_n_grams.items()))
        values["dup_n_grams"] = tuple(sorted(thresholds.dup_n_grams.items()))
        return GopherRepetitionFilter(**values, language=tokenizer)

    def measure(self, reason: str, text: str, words: list[str], thresholds: GopherRepetitionThresholds) -> Measure:
        from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate, find_duplicates, find_top_duplicate, get_n_grams

        if reason.startswith("dup_"):
            units = re.split(r"\n{2,}", text.strip()) if reason.startswith("dup_para") else re.split(r"\n+", text)
            repeated, characters = find_duplicates(units)
            return float(characters / len(text) if reason.endswith("char_frac") else repeated / len(units))
        found = re.fullmatch(r"(top|duplicated)_(\d+)_.*", reason)
        if found is None:
            return None
        n = int(found[2])
        repeated = find_top_duplicate(get_n_grams(words, n)) if found[1] == "top" else find_all_duplicate(words, n)
        return float(repeated / len(text))
