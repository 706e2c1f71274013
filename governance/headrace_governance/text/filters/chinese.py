"""Verdict `chinese`: what Chinese collections ask of a page, beyond the rules that FineWeb-2 tunes by language.

FineWeb-2's values for Chinese (cmn_Hani) stand with the rules they belong to and come first; these are further arms, each on or
off in YAML. Three sources, and their order is the order of blame:
MAP-CC (Du et al. 2024, https://arxiv.org/abs/2404.04167, section 3): length, 【】, digits, lines that ask to expand something,
different characters, entropy, sentences.
YuLan-GARDEN (github.com/RUC-GSAI/Yulan-GARDEN, utils/filter): length, other than Chinese characters, short lines.
Data-Juicer's recipes for Chinese (github.com/modelscope/data-juicer): letters and numbers, repeated 10-grams of characters.
"""

from __future__ import annotations

from pydantic import Field

from headrace_governance.text.filters.rule_verdict import Column, Rule, RuleVerdict, share
from headrace_lake.strict import StrictModel


class ChineseThresholds(StrictModel):
    """Published values; 0 switches a rule off.

    Attributes:
        min_characters, max_characters: length of the text (MAP-CC).
        max_bracket_ratio: share of 【 and 】 among characters.
        max_digit_ratio: share of digits.
        max_expand_line_ratio: share of lines that end in "more" or "expand".
        min_unique_ratio: lowest share of different characters among visible ones; falls with length, so long texts lose.
        min_entropy: of the distribution of visible characters, nats.
        min_sentences: stretches with a letter that end in a full stop, an exclamation or question mark, a semicolon or ellipsis.
        min_passage_characters: length of the text (YuLan-GARDEN).
        max_non_chinese_ratio: share of characters that are not Chinese ones, marks and spaces among them.
        max_short_line_ratio: share of lines that are short.
        min_alnum_ratio: lowest share of letters and numbers, Chinese characters among them.
        max_repetition_ratio: share of 10-grams of characters that are often repeated.
    """

    min_characters: int = 50
    max_characters: int = 10_000
    max_bracket_ratio: float = 0.1
    max_digit_ratio: float = 0.3
    max_expand_line_ratio: float = 0.3
    min_unique_ratio: float = 0.1
    min_entropy: float = 3
    min_sentences: int = 2
    min_passage_characters: int = 170
    max_non_chinese_ratio: float = 0.4
    max_short_line_ratio: float = 0.25
    min_alnum_ratio: float = 0.1
    max_repetition_ratio: float = 0.6


OFF = ChineseThresholds.model_validate(dict.fromkeys(ChineseThresholds.model_fields, 0))
"""Every rule switched off."""


class ChineseParams(StrictModel):
    """Thresholds by ISO 639-1 code; a language without an entry is kept as it is."""

    languages: dict[str, ChineseThresholds] = Field(default_factory=dict)


class Chinese(RuleVerdict):
    """`chinese_statistics` → `verdict_chinese`."""

    name = "chinese"
    output = "verdict_chinese"
    Params = ChineseParams
    statistics = "chinese_statistics"
    columns = (
        "characters", "han_characters", "digits", "alnum_characters", "brackets", "visible_characters", "unique_characters",
        "sentences", "lines", "expand_lines", "short_lines", "ten_grams", "repeated_ten_grams", "entropy",
    )  # fmt: skip

    params: ChineseParams

    def thresholds_for(self, language: str) -> ChineseThresholds:
        return self.params.languages.get(language, OFF)

    def rules(self, c: dict[str, Column], thresholds: ChineseThresholds) -> list[Rule]:
        t = thresholds
        characters = c["characters"]
        brackets, digits = share(c["brackets"], characters), share(c["digits"], characters)
        expand, short = share(c["expand_lines"], c["lines"]), share(c["short_lines"], c["lines"])
        unique = share(c["unique_characters"], c["visible_characters"])
        other = share(characters - c["han_characters"], characters)
        alnum, repeated = share(c["alnum_characters"], characters), share(c["repeated_ten_grams"], c["ten_grams"])
        rules = [
            (t.min_characters, Rule("too_few_characters", characters < t.min_characters, characters)),
            (t.max_characters, Rule("too_many_characters", characters > t.max_characters, characters)),
            (t.max_bracket_ratio, Rule("bracket_ratio", brackets > t.max_bracket_ratio, brackets)),
            (t.max_digit_ratio, Rule("digit_ratio", digits > t.max_digit_ratio, digits)),
            (t.max_expand_line_ratio, Rule("expand_line_ratio", expand > t.max_expand_line_ratio, expand)),
            (t.min_unique_ratio, Rule("unique_ratio", unique <= t.min_unique_ratio, unique)),
            (t.min_entropy, Rule("low_entropy", c["entropy"] < t.min_entropy, c["entropy"])),
            (t.min_sentences, Rule("too_few_sentences", c["sentences"] < t.min_sentences, c["sentences"])),
            (t.min_passage_characters, Rule("short_passage", characters < t.min_passage_characters, characters)),
            (t.max_non_chinese_ratio, Rule("non_chinese_ratio", other >= t.max_non_chinese_ratio, other)),
            (t.max_short_line_ratio, Rule("short_line_ratio", short > t.max_short_line_ratio, short)),
            (t.min_alnum_ratio, Rule("alnum_ratio", alnum < t.min_alnum_ratio, alnum)),
            (t.max_repetition_ratio, Rule("repetition_ratio", repeated > t.max_repetition_ratio, repeated)),
        ]
        return [rule for threshold, rule in rules if threshold]
