"""Stage `toxicity`: documents → `verdict_toxicity`, the tier of each with its categories, density and places.

A document is marked and kept; it is dropped as `toxic` only if hits of the tier `drop.tier` are as many and as dense as
`filters/toxicity.yaml` says. Quotations, court rulings, dictionaries and novels stay, because training on none of them makes a model
that cannot talk about harm (Longpre et al. 2023), and because word lists hit dialects harder than what they were made for (Dodge et
al. 2021). The words of a document are those of `text_statistics`.

Overlapping findings: an allowed phrase wins, then the worse tier, then the longer, then the earlier.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, ClassVar

import pyarrow as pa

from headrace_governance.text.toxicity.policy import TIERS, ToxicityParams
from headrace_lake.stage import Inputs, Resources
from headrace_lake.verdict_stage import Verdicts, VerdictStage


@dataclass(frozen=True)
class Hit:
    """A finding, in bytes of the text."""

    start: int
    end: int
    tier: int
    category: str


class Toxicity(VerdictStage):
    """Documents, their language and their number of words → `verdict_toxicity`."""

    name = "toxicity"
    output = "verdict_toxicity"
    Params = ToxicityParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=2 << 30)
    batch_rows = 512

    params: ToxicityParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"), {"verdict_language": ("language",), "text_statistics": ("words",)})

    def setup(self) -> None:
        from headrace_governance.text.toxicity.classifiers import load

        self._rules = self.params.model_dump_json(include={"languages", "restricted"})
        self._scorers = {name: load(name, spec) for name, spec in sorted(self.params.classifiers.items())}

    def judge(self, batch: pa.Table) -> Verdicts:
        texts = batch["text"].combine_chunks()
        texts = texts if isinstance(texts, pa.Array) else texts.chunk(0)
        languages = [code or "und" for code in batch["verdict_language.language"].to_pylist()]
        words = batch["text_statistics.words"].to_pylist()
        if None in words:
            raise ValueError("no row in text_statistics")
        hits = self.hits(texts, languages)
        scores, raised = self._scores(texts, languages, hits)
        rows = [self._row(*row) for row in zip(hits, words, scores, raised, strict=True)]
        columns = {name: [r[name] for r in rows] for name in ("tier", "categories", "per_thousand", "starts", "ends")}
        return Verdicts([r["reason"] for r in rows], [r["measured"] for r in rows], columns | {"score": scores})

    def hits(self, texts: pa.Array, languages: list[str]) -> list[list[Hit]]:
        """Findings of each text, by place."""
        from headrace_governance.text.toxicity.automaton import search

        found: list[list[Hit]] = [[] for _ in languages]
        for language in sorted(set(languages)):
            rows = [i for i, code in enumerate(languages) if code == language]
            automaton = _automaton(language, self._rules)
            if not automaton.patterns:
                continue
            column = texts if len(rows) == len(texts) else texts.take(pa.array(rows))
            raw: dict[int, list[Hit]] = {}
            for row, number, start, end in zip(*(a.tolist() for a in search(automaton, column)), strict=True):
                pattern = automaton.patterns[number]
                raw.setdefault(rows[row], []).append(Hit(start, end, pattern.tier, pattern.category))
            for i, some in raw.items():
                found[i] = resolve(some)
        return found

    def _scores(self, texts: pa.Array, languages: list[str], hits: list[list[Hit]]) -> tuple[list[float | None], list[int]]:
        """The highest score of each document, and the tier that thresholds raise it to."""
        scores: list[float | None] = [None] * len(languages)
        raised = [0] * len(languages)
        for name, scorer in self._scorers.items():
            spec = self.params.classifiers[name]
            wanted = [not spec.languages or code in spec.languages for code in languages]
            asked = [i for i, want in enumerate(wanted) if want and (hits[i] or not spec.needs_hit)]
            lines = [[line for line in texts[i].as_py()[: spec.characters].splitlines() if line.strip()] for i in asked]
            odds = scorer([line for some in lines for line in some])
            at = 0
            for i, some in zip(asked, lines, strict=True):
                if some:
                    worst = float(odds[at : at + len(some)].max())
                    at += len(some)
                    scores[i] = max(worst, scores[i] or 0.0)
                    reached = [TIERS.index(tier) for tier, limit in spec.thresholds.items() if worst >= limit]
                    raised[i] = max(raised[i], *reached, 0)
        return [None if s is None else round(s, 6) for s in scores], raised

    def _row(self, hits: list[Hit], words: int, score: float | None, raised: int) -> dict[str, Any]:
        drop = self.params.drop
        bad = sum(h.tier >= TIERS.index(drop.tier) for h in hits)
        toxic = bad >= drop.hits and 1000 * bad / max(words, 1) >= drop.per_thousand
        counts = Counter(TIERS[h.tier] for h in hits)
        measured = {tier: counts[tier] for tier in TIERS if counts[tier]} | {"words": words} | ({} if score is None else {"score": score})
        return {
            "reason": "toxic" if toxic else None,
            "measured": measured if hits or raised else None,
            "tier": TIERS[max([raised, *(h.tier for h in hits)])],
            "categories": sorted({h.category for h in hits}),
            "per_thousand": round(1000 * len(hits) / max(words, 1), 3),
            "starts": [h.start for h in hits],
            "ends": [h.end for h in hits],
        }


@lru_cache(maxsize=64)
def _automaton(language: str, rules: str) -> Any:
    """The automaton of a language, kept for the next part."""
    from headrace_governance.text.toxicity.automaton import build
    from headrace_governance.text.toxicity.terms import patterns_of

    return build(patterns_of(language, ToxicityParams.model_validate_json(rules)))


def resolve(raw: list[Hit]) -> list[Hit]:
    """Findings that do not overlap, without what lies in an allowed phrase, by place."""
    allowed = sorted((h.start, h.end) for h in raw if h.tier == 0)
    reach = list(accumulate((end for _, end in allowed), max))
    chosen: list[Hit] = []
    for h in sorted((h for h in raw if h.tier), key=lambda h: (-h.tier, h.start - h.end, h.start, h.category)):
        before = bisect_right(allowed, (h.start, sys.maxsize)) - 1
        if before >= 0 and reach[before] >= h.end:
            continue
        at = bisect_right(chosen, h.start, key=lambda c: c.start)
        if (at and chosen[at - 1].end > h.start) or (at < len(chosen) and chosen[at].start < h.end):
            continue
        chosen.insert(at, h)
    return chosen
