"""Stage `quality`: documents → `verdict_quality`: a classifier's score, its tier, and perplexity, by language.

Nothing is dropped unless a threshold is set: a tier is for the mix. The models are artifacts of the lake (`headrace quality train`),
named by `filters/quality.yaml`; the newest of a name is used unless its digest is pinned, and its digest is part of the stage's
fingerprint, so a new model makes the verdict stale. Without a model of a document's language the columns are null and the document is kept.

Reasons: `low_score`, `low_tier`, `high_perplexity`. Speed with both models, a core: 12 MB/s
English, 4 MB/s Chinese (benchmarks/text/bench_quality.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from headrace_governance.text.quality.models import Classifier, Perplexity, grade, load_model
from headrace_governance.text.quality.tokens import TOKENS, tokens_of
from headrace_lake.errors import InputError
from headrace_lake.slices import Slice
from headrace_lake.stage import Inputs, PartWriter, Resources, SliceReader
from headrace_lake.strict import StrictModel
from headrace_lake.verdict_stage import Verdicts, VerdictStage

_MODELS = "models"
_SCHEMA = pa.schema(
    [(n, pa.string()) for n in ("language", "role", "digest", "path", "cuts", "scales", "beside")] + [("characters", pa.int64())]
)


class ModelName(StrictModel):
    """A model of the lake.

    Attributes:
        name: the newest of this name.
        digest: this one and no other; empty takes the newest.
        required: whether its absence is an error.
    """

    name: str
    digest: str = ""
    required: bool = False


class LanguageModels(StrictModel):
    """The models of a language, and the thresholds below which its documents are dropped; none are set by default."""

    classifier: ModelName | None = None
    perplexity: ModelName | None = None
    min_score: float | None = Field(default=None, ge=0, le=1)
    min_tier: str | None = None
    max_perplexity: float | None = Field(default=None, gt=0)


class QualityParams(StrictModel):
    """Parameters of `quality`: ISO 639-1 code → its models."""

    languages: dict[str, LanguageModels] = Field(default_factory=dict)


class Quality(VerdictStage):
    """Documents and their language → `verdict_quality`."""

    name = "quality"
    output = "verdict_quality"
    Params = QualityParams
    resources: ClassVar[Resources] = Resources(cpus=1, memory_bytes=2 << 30)
    batch_rows = 512

    params: QualityParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"), {"verdict_language": ("language",)})

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """The models: language, role, digest, path, and the tiers' cuts."""
        wanted = [
            (language, role, name)
            for language, models in sorted(self.params.languages.items())
            for role, name in (("classifier", models.classifier), ("perplexity", models.perplexity))
            if name is not None
        ]
        rows = []
        if wanted:
            columns = ["name", "digest", "path", "payload"]
            recorded = reader.read("artifacts", columns=columns, where="kind = 'quality-model'").to_pylist()
            rows = [found for w in wanted if (found := _found(recorded, *w, slice_)) is not None]
        return {_MODELS: pa.Table.from_pylist(rows, schema=_SCHEMA)}

    def setup(self) -> None:
        self._loaded: dict[tuple[str, str], Classifier | Perplexity] = {}

    def teardown(self) -> None:
        self._loaded = {}

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self._classifiers: dict[str, tuple[Classifier, dict[str, Any], dict[str, float]]] = {}
        self._perplexities: dict[str, tuple[Perplexity, dict[str, Any]]] = {}
        for row in shared[_MODELS].to_pylist():
            key = (row["role"], row["digest"])  # which models there are, the slice's table says; it is the same for most slices
            if key not in self._loaded:
                self._loaded[key] = load_model(row["role"], part.local_path(row["path"]), row["digest"])
            model = self._loaded[key]
            if isinstance(model, Classifier):
                self._classifiers[row["language"]] = model, row, self._tiers(row)
            else:
                self._perplexities[row["language"]] = model, row
        for language, (_, row, _) in self._classifiers.items():
            beside = self._perplexities.get(language)
            if row["beside"] and (beside is None or beside[1]["digest"] != row["beside"]):
                raise InputError(
                    f"tiers of {language} were cut with the n-gram model {row['beside'][:12]}, which the stage does not have",
                    "name that model in filters/quality.yaml, or train the classifier again",
                )

    def _tiers(self, row: dict[str, Any]) -> dict[str, float]:
        cuts = dict(json.loads(row["cuts"]))
        wanted = self.params.languages[row["language"]].min_tier
        row["scales"] = json.loads(row["scales"])
        if wanted is not None and wanted not in cuts:
            raise InputError(f"quality model of {row['language']} has no tier '{wanted}'", f"its tiers: {', '.join(cuts)}")
        return cuts

    def judge(self, batch: pa.Table) -> Verdicts:
        texts, languages = batch["text"].to_pylist(), batch["verdict_language.language"].to_pylist()
        rows: list[dict[str, Any]] = [{} for _ in texts]
        for language in sorted({x for x in languages if x in self._classifiers or x in self._perplexities}):
            mine = [i for i, x in enumerate(languages) if x == language]
            for i, row in zip(mine, self._measure(language, [texts[i] for i in mine]), strict=True):
                rows[i] = row
        reasons = [self._reason(language, row) for language, row in zip(languages, rows, strict=True)]
        columns = {name: [r.get(name) for r in rows] for name in ("score", "tier", "classifier", "perplexity", "language_model")}
        return Verdicts(reasons, [_short(row) if row else None for row in rows], columns)

    def _measure(self, language: str, texts: list[str]) -> list[dict[str, Any]]:
        """Columns of documents of one language."""
        tokens = tokens_of(language)
        classifier, perplexity = self._classifiers.get(language), self._perplexities.get(language)
        most = max(m[1]["characters"] for m in (classifier, perplexity) if m is not None)
        lines = [tokens.lines(t[:most]) for t in texts]
        rows: list[dict[str, Any]] = [{} for _ in texts]
        if perplexity is not None:
            ngrams, record = perplexity
            for row, x in zip(rows, lines, strict=True):
                row |= {"perplexity": ngrams.of(x), "language_model": record["digest"]}
        if classifier is not None:
            model, record, cuts = classifier
            for row, score in zip(rows, model.scores([" ".join(x) for x in lines]), strict=True):
                row |= {"score": score, "classifier": record["digest"]}
                if score is not None:
                    value = grade(score, row.get("perplexity"), record["scales"])
                    row["tier"] = next(t for t, cut in cuts.items() if value >= cut)
        return rows

    def _reason(self, language: str | None, row: dict[str, Any]) -> str | None:
        rules = self.params.languages.get(language or "")
        if rules is None or not row:
            return None
        score, perplexity = row.get("score"), row.get("perplexity")
        if rules.min_score is not None and score is not None and score < rules.min_score:
            return "low_score"
        if rules.min_tier is not None and row.get("tier") is not None:
            order = list(self._classifiers[language or ""][2])
            if order.index(row["tier"]) > order.index(rules.min_tier):
                return "low_tier"
        if rules.max_perplexity is not None and perplexity is not None and perplexity > rules.max_perplexity:
            return "high_perplexity"
        return None


def _found(recorded: list[dict[str, Any]], language: str, role: str, wanted: ModelName, slice_: Slice) -> dict[str, Any] | None:
    """The last recorded model that is meant, as a row of the shared table.

    Args:
        recorded: rows of `artifacts` in the order of their commits.
    """
    for row in reversed(recorded):
        payload = json.loads(row["payload"])
        if row["name"] != wanted.name or wanted.digest not in ("", row["digest"]):
            continue
        if (payload["role"], payload["language"], payload["tokens"]) != (role, language, TOKENS):
            raise InputError(
                f"quality model {wanted.name} is a {payload['role']} for {payload['language']} on {payload['tokens']}, "
                f"not a {role} for {language} on {TOKENS}",
                "name another in filters/quality.yaml, or train it again",
            )
        return {
            "language": language,
            "role": role,
            "digest": row["digest"],
            "path": row["path"],
            "cuts": json.dumps(payload.get("cuts", [])),
            "scales": json.dumps(payload.get("scales", [])),
            "beside": payload["perplexity"] if role == "classifier" else "",
            "characters": payload["characters"],
        }
    if wanted.required or wanted.digest:
        which = wanted.name + (f" with digest {wanted.digest}" if wanted.digest else "")
        raise InputError(f"slice {slice_}: the lake has no quality model {which}", f"run 'headrace quality train {wanted.name}'")
    return None


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items() if k in ("score", "tier", "perplexity") and v is not None}
