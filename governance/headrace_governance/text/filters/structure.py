"""Verdict `structure`: documents that are a licence, a listing of code, or a list, by what `text_statistics` counted.

These rules are ours. A licence's text recurs in every manual, says nothing of its subject, and differs from copy to copy by addresses
and headings, so that duplicate filters see many; here each is known by SPDX's text. Code and list signs are left out of what the
published rules measure (`prose`), so a document of little else is judged here: Gopher's rule about lines that begin with a bullet
counts only bullets that are content.
"""

from __future__ import annotations

from pydantic import Field

from headrace_governance.text.filters.rule_verdict import Column, Rule, RuleVerdict, share
from headrace_lake.strict import StrictModel


class StructureThresholds(StrictModel):
    """Our values; 0 switches a rule off.

    Attributes:
        max_licence_share: highest share of words in passages of a known licence.
        max_code_share: highest share of characters in code blocks.
        max_item_lines_share: highest share of lines with a list sign: Gopher's value for bullets (Rae et al. 2021, table A1).
    """

    max_licence_share: float = Field(default=0.5, ge=0, le=1)
    max_code_share: float = Field(default=0.95, ge=0, le=1)
    max_item_lines_share: float = Field(default=0.9, ge=0, le=1)


class StructureParams(StrictModel):
    """Thresholds by ISO 639-1 code, and for all other languages."""

    default: StructureThresholds = StructureThresholds()
    languages: dict[str, StructureThresholds] = Field(default_factory=dict)


class Structure(RuleVerdict):
    """`text_statistics` → `verdict_structure`."""

    name = "structure"
    output = "verdict_structure"
    Params = StructureParams
    columns = ("characters", "lines", "code_characters", "item_lines", "plain_words", "licence_words")

    def rules(self, c: dict[str, Column], thresholds: StructureThresholds) -> list[Rule]:
        t = thresholds
        licence = share(c["licence_words"], c["plain_words"])
        code = share(c["code_characters"], c["code_characters"] + c["characters"])
        items = share(c["item_lines"], c["lines"])
        rules = [
            (t.max_licence_share, Rule("licence_page", licence > t.max_licence_share, licence)),
            (t.max_code_share, Rule("mostly_code", code > t.max_code_share, code)),
            (t.max_item_lines_share, Rule("mostly_list", items > t.max_item_lines_share, items)),
        ]
        return [rule for threshold, rule in rules if threshold]
