"""Verdict `fineweb`: Penedo et al. 2024, https://arxiv.org/abs/2406.17557, section 3.6, by datatrove.

Rules, in the order in which they are blamed: lines that end in punctuation, short lines, characters in duplicate lines,
line feeds a word.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace_governance.text.filters.datatrove_verdict import DatatroveVerdict, Measure
from headrace_lake.strict import StrictModel


class FineWebThresholds(StrictModel):
    """FineWeb's values (datatrove's defaults).

    Attributes:
        line_punct_thr: lowest share of lines that end in a terminal mark of any script; 0 switches it off.
        line_punct_exclude_zero: let pages without any such line pass.
        short_line_thr: highest share of lines of at most `short_line_length` characters; above 1 switches it off.
        char_duplicates_ratio: highest share of characters in lines that occurred before.
        new_line_ratio: highest number of line feeds a word.
    """

    line_punct_thr: float = 0.12
    line_punct_exclude_zero: bool = False
    short_line_thr: float = 0.67
    short_line_length: int = 30
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3


class FineWebParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: FineWebThresholds = FineWebThresholds()
    languages: dict[str, FineWebThresholds] = Field(default_factory=dict)


class FineWeb(DatatroveVerdict):
    """Documents → `verdict_fineweb`."""

    name = "fineweb"
    output = "verdict_fineweb"
    Params = FineWebParams

    def make_filter(self, thresholds: FineWebThresholds, tokenizer: Any) -> Any:
        from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter

        return FineWebQualityFilter(**thresholds.model_dump(), language=tokenizer)

    def measure(self, reason: str, text: str, words: list[str], thresholds: FineWebThresholds) -> Measure:
        from datatrove.pipeline.filters.gopher_repetition_filter import find_duplicates
        from datatrove.utils.text import TERMINAL_PUNCTUATION

        lines = [line for line in text.split("\n") if line.strip()]
        match reason:
            case "line_punct_ratio":
                return sum(line.endswith(tuple(TERMINAL_PUNCTUATION)) for line in lines) / len(lines)
            case "short_line_ratio":
                return sum(len(line) <= thresholds.short_line_length for line in lines) / len(lines)
            case "char_dup_ratio":
                return float(find_duplicates(lines)[1] / len(text.replace("\n", "")))
            case "list_ratio":
                return text.count("\n") / max(len(words), 1)
        return None
