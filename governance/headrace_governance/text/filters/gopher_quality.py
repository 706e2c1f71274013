"""Verdict `gopher_quality`: Rae et al. 2021, https://arxiv.org/abs/2112.11446, section A1.1, by datatrove.

Rules, in the order in which they are blamed: number of words, mean word length, hashes and ellipses a word, lines that
are bullets, lines that end in an ellipsis, words with a letter, stop words.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace_governance.text.filters.datatrove_verdict import DatatroveVerdict, Measure
from headrace_lake.strict import StrictModel


class GopherQualityThresholds(StrictModel):
    """Table A1's values; 0 switches a rule off.

    Attributes:
        min_doc_words, max_doc_words: words that are not pure punctuation.
        min_avg_word_length, max_avg_word_length: characters.
        max_symbol_word_ratio: `#` or ellipses a word.
        max_bullet_lines_ratio, max_ellipsis_lines_ratio: share of lines.
        max_non_alpha_words_ratio: datatrove's name; it is the *lowest* share of words with a letter.
        min_stop_words: different stop words that must occur.
        stop_words: empty means the paper's eight English ones.
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
    stop_words: tuple[str, ...] = ()


class GopherQualityParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: GopherQualityThresholds = GopherQualityThresholds()
    languages: dict[str, GopherQualityThresholds] = Field(default_factory=dict)


class GopherQuality(DatatroveVerdict):
    """Documents → `verdict_gopher_quality`."""

    name = "gopher_quality"
    output = "verdict_gopher_quality"
    Params = GopherQualityParams

    def make_filter(self, thresholds: GopherQualityThresholds, tokenizer: Any) -> Any:
        from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter

        values = thresholds.model_dump()
        values["stop_words"] = list(thresholds.stop_words) or None
        return GopherQualityFilter(**values, language=tokenizer)

    def measure(self, reason: str, text: str, words: list[str], thresholds: GopherQualityThresholds) -> Measure:
        from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS
        from datatrove.utils.text import PUNCTUATION_SET

        lines = text.splitlines()
        real = [w for w in words if any(ch not in PUNCTUATION_SET for ch in w)]
        match reason:
            case "gopher_short_doc" | "gopher_long_doc":
                return len(real)
            case "gopher_below_avg_threshold" | "gopher_above_avg_threshold":
                return sum(map(len, real)) / max(len(real), 1)
            case "gopher_too_many_hashes":
                return text.count("#") / len(words)
            case "gopher_too_many_ellipsis":
                return (text.count("...") + text.count("…")) / len(words)
            case "gopher_too_many_bullets":
                return sum(s.lstrip().startswith(("•", "-")) for s in lines) / len(lines)
            case "gopher_too_many_end_ellipsis":
                return sum(s.rstrip().endswith(("...", "…")) for s in lines) / len(lines)
            case "gopher_below_alpha_threshold":
                return sum(any(c.isalpha() for c in w) for w in words) / len(words)
            case "gopher_enough_stop_words":
                return len(set(thresholds.stop_words or STOP_WORDS) & set(words))
        return None
