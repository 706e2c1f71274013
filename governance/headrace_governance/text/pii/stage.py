"""Stage `pii`: documents → `verdict_pii`, the typed spans of each document.

A document is kept whatever it holds, because its spans are masked when shards are cut; it is dropped as `dense` only if it
has many and more than `max_per_thousand` characters of a thousand are PII: directories and leaked lists are not text to learn from.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from headrace_governance.text.pii.detect import KINDS, candidates, chosen, find
from headrace_governance.text.pii.spans import Span
from headrace_lake.stage import Inputs, Resources
from headrace_lake.strict import StrictModel
from headrace_lake.verdict_stage import Verdicts, VerdictStage

NER_LANGUAGES = ("en", "zh")
"""Languages with a model for names."""


class PiiParams(StrictModel):
    """Parameters of `pii`.

    Attributes:
        kinds: what to look for.
        names: whether models look for names in running text, and for Chinese addresses (`names.py`): English and Chinese documents then
            take 20 to 40 times as long. Names then count for no density: a text about people is not a directory.
        max_per_thousand: characters in findings of a thousand of the document; a letter with sender, recipient and
            telephone has about 150, an address list above 500.
        dense_from: findings from which a document can be `dense`; a line with one address is none.
    """

    kinds: tuple[str, ...] = KINDS
    names: bool = False
    max_per_thousand: float = Field(default=300.0, ge=0, le=1000)
    dense_from: int = Field(default=10, ge=1)

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(f"no kind '{kind}'; kinds: {', '.join(KINDS)}")
        return tuple(k for k in KINDS if k in kinds)


class Pii(VerdictStage):
    """Documents and their language → `verdict_pii`."""

    name = "pii"
    output = "verdict_pii"
    Params = PiiParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=1 << 30)
    batch_rows = 512

    params: PiiParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"), {"verdict_language": ("language",)})

    def judge(self, batch: pa.Table) -> Verdicts:
        texts = batch["text"]
        languages = batch["verdict_language.language"].to_pylist()
        maybe = {kind: found.to_pylist() for kind, found in candidates(texts).items() if kind in self.params.kinds}
        rows = []
        for i, language in enumerate(languages):
            kinds = tuple(k for k in self.params.kinds if maybe[k][i])
            asked = self.params.names and language in NER_LANGUAGES
            text = texts[i].as_py() if kinds or asked else ""
            spans = find(text, language or "und", kinds) if kinds else []
            if asked:
                from headrace_governance.text.pii.names import recogniser

                spans = chosen([*spans, *(s for s in recogniser(language).find(text) if s.kind in self.params.kinds)])
            rows.append(self._row(text, spans))
        columns = {name: [r[name] for r in rows] for name in ("kinds", "starts", "ends")}
        return Verdicts([r["reason"] for r in rows], [r["measured"] for r in rows], columns)

    def _row(self, text: str, spans: list[Span]) -> dict[str, Any]:
        covered = sum(s.end - s.start for s in spans if s.kind != "name" or not self.params.names)
        share = 1000 * covered / len(text) if text else 0.0
        counts = dict(sorted(Counter(s.kind for s in spans).items()))
        starts, ends = byte_places(text, spans)
        dense = share > self.params.max_per_thousand and len(spans) >= self.params.dense_from
        return {
            "reason": "dense" if dense else None,
            "measured": {"per_thousand": round(share, 1), **counts} if spans else None,
            "kinds": [s.kind for s in spans],
            "starts": starts,
            "ends": ends,
        }


def byte_places(text: str, spans: list[Span]) -> tuple[list[int], list[int]]:
    """Starts and ends of spans (by place, not overlapping) in bytes of UTF-8."""
    starts, ends = [], []
    at = place = 0
    for s in spans:
        place += len(text[at : s.start].encode("utf-8"))
        starts.append(place)
        place += len(text[s.start : s.end].encode("utf-8"))
        ends.append(place)
        at = s.end
    return starts, ends
