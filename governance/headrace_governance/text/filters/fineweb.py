"""Verdict `fineweb`: Penedo et al. 2024, https://arxiv.org/abs/2406.17557, section 3.6, as datatrove reads it.

Rules, in the order in which they are blamed: lines that end in punctuation, short lines, characters in duplicate lines,
line feeds a word.
"""

from __future__ import annotations

from pydantic import Field

from headrace_governance.text.filters.rule_verdict import Column, Rule, RuleVerdict, share
from headrace_governance.text.statistics.measure import FINEWEB_COLUMNS
from headrace_lake.strict import StrictModel


class FineWebThresholds(StrictModel):
    """FineWeb's values (datatrove's defaults).

    Attributes:
        line_punct_thr: lowest share of lines that end in a terminal mark of any script; 0 switches it off.
        line_punct_exclude_zero: let pages without any such line pass.
        short_line_thr: highest share of short lines (how short: a parameter of `text_statistics`); above 1 switches it off.
        char_duplicates_ratio: highest share of characters in lines that occurred before.
        new_line_ratio: highest number of line feeds a word.
    """

    line_punct_thr: float = 0.12
    line_punct_exclude_zero: bool = False
    short_line_thr: float = 0.67
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3


class FineWebParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: FineWebThresholds = FineWebThresholds()
    languages: dict[str, FineWebThresholds] = Field(default_factory=dict)


class FineWeb(RuleVerdict):
    """`text_statistics` → `verdict_fineweb`."""

    name = "fineweb"
    output = "verdict_fineweb"
    Params = FineWebParams
    columns = ("characters", "words", *FINEWEB_COLUMNS)

    def rules(self, c: dict[str, Column], thresholds: FineWebThresholds) -> list[Rule]:
        t = thresholds
        terminal = share(c["terminal_lines"], c["full_lines"])
        few = terminal < t.line_punct_thr
        short = share(c["short_lines"], c["full_lines"])
        repeated = share(c["duplicate_full_line_characters"], c["characters"] - c["line_feeds"])
        feeds = share(c["line_feeds"], c["words"])
        return [
            Rule("line_punct_ratio", few & (terminal != 0) if t.line_punct_exclude_zero else few, terminal),
            Rule("short_line_ratio", short > t.short_line_thr, short),
            Rule("char_dup_ratio", repeated > t.char_duplicates_ratio, repeated),
            Rule("list_ratio", feeds > t.new_line_ratio, feeds),
        ]
