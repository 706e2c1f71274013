"""The recipe: a versioned YAML of phases, weights, caps and licence policy, checked before a token is read.

A selector names a pool of documents: `language=en`, `source=debian-*`, `licence=public`, `tier=high`, several joined with commas
(`language=en,source=libreoffice-*`), or `rest` for what no other selector of the phase matches. Values are shell patterns. A tier is
the quality stage's (`verdict_quality`), `unjudged` where a language has no quality model; buckets are told apart by tier only in a
recipe that names one. Inside a pool, documents are drawn in proportion to the tokens of each bucket, so a pool is used up evenly.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from headrace_governance.sources.licences.rules import LicenceClass
from headrace_lake.errors import ConfigError
from headrace_lake.nearest import did_you_mean
from headrace_lake.settings import Settings
from headrace_lake.strict import StrictModel, load_yaml

RECIPES = "megatron_jobs/configs/recipes"
REST = "rest"
DEFAULT_GATE = "release"
UNJUDGED = "unjudged"
_KEYS = ("source", "language", "licence", "tier")


class Caps(StrictModel):
    """Limits on repetition.

    Attributes:
        epochs: how often a document may be seen; repeating beyond 4 times stops paying (Muennighoff et al. 2023, figure 1).
    """

    epochs: float = Field(default=4.0, gt=0)


class HeldOut(StrictModel):
    """Documents that are never trained on. A keyed hash of the uid decides, so the choice is the same in every mix with this key.

    Attributes:
        fraction: share of each language's documents.
        documents: instead of a fraction, this many of each language, but never more than a quarter of them. A growing
            pool may move documents in and out: use it for small pools that stay as they are.
        score: at most so many held-out documents of a language are scored (those with the smallest hash).
    """

    fraction: float = Field(default=0.02, ge=0, lt=1)
    documents: int | None = Field(default=None, ge=1)
    score: int = Field(default=64, ge=1)
    key: str = "held-out"


class Phase(StrictModel):
    """A stretch of training: a token budget (end-of-document tokens included) and the weight of each selector."""

    name: str = Field(pattern="^[A-Za-z0-9_-]+$")
    tokens: int = Field(gt=0)
    weights: dict[str, float] = Field(min_length=1)

    @model_validator(mode="after")
    def _weights(self) -> Phase:
        for selector, weight in self.weights.items():
            parse_selector(selector)
            if weight <= 0:
                raise ValueError(f"weight of '{selector}' is {weight}: give a positive weight or leave it out")
        total = sum(self.weights.values())
        if abs(total - 1) > 1e-6:
            largest = max(self.weights, key=lambda s: self.weights[s])
            mended = self.weights[largest] + 1 - total
            raise ValueError(f"weights of phase '{self.name}' add up to {total:.6g}, not 1; smallest repair: '{largest}' = {mended:.6g}")
        return self


class Recipe(StrictModel):
    """A recipe.

    Attributes:
        tokenizer: the vocabulary's YAML; shards of another vocabulary are refused.
        slices: patterns of `source/interval` that the mix may draw from.
        licences: licence classes that may enter; everything else never does. A class stands for its duties (`share-alike` for attribution
            and share-alike), and a licence enters only if all its duties are accepted: CC-BY-NC-SA needs `share-alike` and
            `non-commercial`. No shipped recipe names `non-commercial`, `no-derivatives`, `restricted` or `unknown`.
        release_gate: the gate (`governance/policies/gates`) that its releases must pass. Part of the mix, so it is settled before training
            and cannot be swapped for a laxer one when the model is there.
        train: fields of the trainer's configuration, checked by the trainer.
    """

    name: str = Field(pattern="^[A-Za-z0-9_.-]+$")
    version: int = Field(default=1, ge=1)
    tokenizer: str = "tokenizers/configs/qwen_text.yaml"
    slices: tuple[str, ...] = ("*/*",)
    licences: tuple[LicenceClass, ...] = Field(min_length=1)
    caps: Caps = Field(default_factory=Caps)
    held_out: HeldOut = Field(default_factory=HeldOut)
    seed: int = 1
    release_gate: str = Field(default=DEFAULT_GATE, pattern="^[a-z0-9_-]+$")
    phases: tuple[Phase, ...] = Field(min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _phase_names(self) -> Recipe:
        names = [p.name for p in self.phases]
        if len(set(names)) != len(names):
            raise ValueError("two phases share a name")
        return self

    @property
    def tokens(self) -> int:
        """Tokens of all phases."""
        return sum(p.tokens for p in self.phases)

    @property
    def by_tier(self) -> bool:
        """Whether a selector names a quality tier."""
        return any("tier" in parse_selector(selector) for phase in self.phases for selector in phase.weights)

    def mix_record(self) -> dict[str, Any]:
        """What decides the mix: everything but the trainer's fields, and the gate where it is the usual one."""
        usual = {"release_gate"} if self.release_gate == DEFAULT_GATE else set()
        return self.model_dump(mode="json", exclude={"train"} | usual)


def parse_selector(selector: str) -> dict[str, str]:
    """`language=en,source=a-*` → {"language": "en", "source": "a-*"}; `rest` → {}.

    Raises:
        ValueError: an unknown key, or no `key=value`.
    """
    if selector == REST:
        return {}
    parts: dict[str, str] = {}
    for piece in selector.split(","):
        key, sep, value = piece.strip().partition("=")
        if not sep or not value or key not in _KEYS:
            raise ValueError(f"selector '{selector}': write {', '.join(f'{k}=...' for k in _KEYS)} joined with commas, or '{REST}'")
        parts[key] = value
    return parts


def matches(selector: str, *, source: str, language: str, licence: str, tier: str = "") -> bool:
    """Whether a bucket belongs to a selector (never for `rest`, which depends on the others)."""
    values = {"source": source, "language": language, "licence": licence, "tier": tier}
    parts = parse_selector(selector)
    return bool(parts) and all(fnmatch.fnmatchcase(values[k], pattern) for k, pattern in parts.items())


def recipe_path(settings: Settings, name: str) -> Path:
    """The file of a recipe: a path to a YAML, or a name in `megatron_jobs/configs/recipes`."""
    if name.endswith((".yaml", ".yml")):
        return settings.resolve(name)
    folder = settings.resolve(RECIPES)
    file = folder / f"{name}.yaml"
    if not file.exists():
        known = did_you_mean(name, (p.stem for p in folder.glob("*.yaml")), of="recipes")
        raise ConfigError(f"no recipe '{name}' in {RECIPES}", f"{known.removesuffix('?')}; or give the path of a YAML")
    return file


def load_recipe(settings: Settings, name: str) -> Recipe:
    """Read a recipe by name or path.

    Raises:
        ConfigError: no such recipe, or a field is wrong.
    """
    return load_yaml(recipe_path(settings, name), Recipe)
