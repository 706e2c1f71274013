"""Verdict `gopher_repetition`: Rae et al. 2021, https://arxiv.org/abs/2112.11446, section A1.1 and table A1, as
datatrove reads it.

Rules, in the order in which they are blamed: duplicate paragraphs, duplicate lines (share and characters), the most
frequent 2- to 4-gram, characters in duplicate 5- to 10-grams.
"""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from headrace_governance.text.filters.rule_verdict import Column, Rule, RuleVerdict, share
from headrace_governance.text.statistics.measure import DUPLICATE_N_GRAMS, REPETITION_COLUMNS, TOP_N_GRAMS
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

    @field_validator("top_n_grams", "dup_n_grams")
    @classmethod
    def _measured(cls, grams: dict[int, float], info: ValidationInfo) -> dict[int, float]:
        known = TOP_N_GRAMS if info.field_name == "top_n_grams" else DUPLICATE_N_GRAMS
        for n in grams:
            if n not in known:
                raise ValueError(f"no statistic of {n}-grams; measured are {', '.join(map(str, known))}")
        return grams


class GopherRepetitionParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: GopherRepetitionThresholds = GopherRepetitionThresholds()
    languages: dict[str, GopherRepetitionThresholds] = Field(default_factory=dict)


class GopherRepetition(RuleVerdict):
    """`text_statistics` → `verdict_gopher_repetition`."""

    name = "gopher_repetition"
    output = "verdict_gopher_repetition"
    Params = GopherRepetitionParams
    columns = ("characters", "words", *REPETITION_COLUMNS)

    def rules(self, c: dict[str, Column], thresholds: GopherRepetitionThresholds) -> list[Rule]:
        t = thresholds
        found = [
            ("dup_para_frac", t.dup_para_frac, share(c["duplicate_paragraphs"], c["paragraphs"])),
            ("dup_para_char_frac", t.dup_para_char_frac, share(c["duplicate_paragraph_characters"], c["characters"])),
            ("dup_line_frac", t.dup_line_frac, share(c["duplicate_lines"], c["line_runs"])),
            ("dup_line_char_frac", t.dup_line_char_frac, share(c["duplicate_line_characters"], c["characters"])),
        ]
        rules = [Rule(reason, value > threshold, value) for reason, threshold, value in found if threshold]
        for n, threshold in sorted(t.top_n_grams.items()):
            value = share(c[f"top_{n}_gram_characters"], c["characters"])
            rules.append(Rule(f"top_{n}_gram", value > threshold, value))
        for n, threshold in sorted(t.dup_n_grams.items()):
            value = share(c[f"duplicate_{n}_gram_characters"], c["characters"])
            rules.append(Rule(f"duplicated_{n}_n_grams", value > threshold, value))
        return rules
