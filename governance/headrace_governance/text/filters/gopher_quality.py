"""Verdict `gopher_quality`: Rae et al. 2021, https://arxiv.org/abs/2112.11446, section A1.1, as datatrove
reads it.

Rules, in the order in which they are blamed: number of words, mean word length, hashes and ellipses a word, lines that
are bullets, lines that end in an ellipsis, words with a letter, stop words.
"""

from __future__ import annotations

from pydantic import Field

from headrace_governance.text.filters.rule_verdict import Column, Rule, RuleVerdict, share
from headrace_governance.text.statistics.measure import QUALITY_COLUMNS, WORD_COLUMNS
from headrace_lake.strict import StrictModel


class GopherQualityThresholds(StrictModel):
    """Table A1's values; 0 switches a rule off.

    Attributes:
        min_doc_words, max_doc_words: words that are not pure punctuation.
        min_avg_word_length, max_avg_word_length: characters.
        max_symbol_word_ratio: `#` or ellipses a word.
        max_bullet_lines_ratio, max_ellipsis_lines_ratio: share of lines.
        max_non_alpha_words_ratio: datatrove's name; it is the *lowest* share of words with a letter.
        min_stop_words: different stop words that must occur; which words those are is a parameter of `text_statistics`.
    """

    min_doc_words: int = 50
    max_doc_words: int = 100_000
    min_avg_word_length: float = 3
    max_avg_word_length: float = 10
    max_symbol_word_ratio: float = 0.1
    max_bullet_lines_ratio: float = 0.9
    max_ellipsis_lines_ratio: float = 0.3
    max_non_alpha_words_ratio: float = 0.8
    min_stop_words: int = 2


class GopherQualityParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: GopherQualityThresholds = GopherQualityThresholds()
    languages: dict[str, GopherQualityThresholds] = Field(default_factory=dict)


class GopherQuality(RuleVerdict):
    """`text_statistics` → `verdict_gopher_quality`."""

    name = "gopher_quality"
    output = "verdict_gopher_quality"
    Params = GopherQualityParams
    columns = (*WORD_COLUMNS, *QUALITY_COLUMNS)

    def rules(self, c: dict[str, Column], thresholds: GopherQualityThresholds) -> list[Rule]:
        t = thresholds
        length = share(c["real_word_characters"], c["real_words"])
        hashes, ellipses = share(c["hashes"], c["words"]), share(c["ellipses"], c["words"])
        bullets, ends = share(c["bullet_lines"], c["lines"]), share(c["ellipsis_lines"], c["lines"])
        alpha = share(c["alpha_words"], c["words"])
        rules = [
            (t.min_doc_words, Rule("gopher_short_doc", c["real_words"] < t.min_doc_words, c["real_words"])),
            (t.max_doc_words, Rule("gopher_long_doc", c["real_words"] > t.max_doc_words, c["real_words"])),
            (t.min_avg_word_length, Rule("gopher_below_avg_threshold", length < t.min_avg_word_length, length)),
            (t.max_avg_word_length, Rule("gopher_above_avg_threshold", length > t.max_avg_word_length, length)),
            (t.max_symbol_word_ratio, Rule("gopher_too_many_hashes", hashes > t.max_symbol_word_ratio, hashes)),
            (t.max_symbol_word_ratio, Rule("gopher_too_many_ellipsis", ellipses > t.max_symbol_word_ratio, ellipses)),
            (t.max_bullet_lines_ratio, Rule("gopher_too_many_bullets", bullets > t.max_bullet_lines_ratio, bullets)),
            (t.max_ellipsis_lines_ratio, Rule("gopher_too_many_end_ellipsis", ends > t.max_ellipsis_lines_ratio, ends)),
            (t.max_non_alpha_words_ratio, Rule("gopher_below_alpha_threshold", alpha < t.max_non_alpha_words_ratio, alpha)),
            (t.min_stop_words, Rule("gopher_enough_stop_words", c["stop_words"] < t.min_stop_words, c["stop_words"])),
        ]
        return [rule for threshold, rule in rules if threshold]
