"""From weights to tokens: what each bucket gives in each phase, and whether that closes within the cap on epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_jobs.mix.recipe import REST, Phase, Recipe, matches, parse_selector
from headrace_lake.errors import ConfigError


@dataclass(frozen=True)
class Bucket:
    """A pool of documents that are drawn by one cursor.

    Attributes:
        documents, tokens: what may be trained on (held-out documents are not counted); end-of-document tokens included.
        bytes: of their encoded texts, UTF-8 (`passports.encoded_bytes`).
        digest: of the documents' uids and lengths, in order.
        tier: quality tier, empty where the recipe does not tell tiers apart.
    """

    source: str
    slice: str
    language: str
    licence_class: str
    documents: int
    tokens: int
    bytes: int
    digest: str
    tier: str = ""

    @property
    def key(self) -> str:
        return "/".join(filter(None, (self.source, self.slice, self.language, self.licence_class, self.tier)))

    def belongs_to(self, selector: str) -> bool:
        """Whether a selector names this pool."""
        return matches(selector, source=self.source, language=self.language, licence=self.licence_class, tier=self.tier)


@dataclass(frozen=True)
class PhasePlan:
    """A phase with the weight of every bucket (float64, adds up to 1)."""

    name: str
    tokens: int
    weights: npt.NDArray[np.float64]


def phase_weights(recipe: Recipe, phase: Phase, buckets: list[Bucket]) -> PhasePlan:
    """The weight of every bucket in a phase: a selector's weight, shared out by tokens.

    Raises:
        ConfigError: a selector matches nothing, or two match the same bucket.
    """
    weights = np.zeros(len(buckets))
    owner: dict[int, str] = {}
    for selector in sorted(phase.weights, key=lambda s: s == REST):
        if selector == REST:
            pool = [i for i in range(len(buckets)) if i not in owner]
        else:
            pool = [i for i, b in enumerate(buckets) if b.belongs_to(selector)]
        where = f"recipe {recipe.name}, phase {phase.name}: selector '{selector}'"
        if not pool:
            known = f"languages at hand: {', '.join(sorted({b.language for b in buckets}))}"
            if "tier" in parse_selector(selector):
                known += f"; tiers: {', '.join(sorted({b.tier for b in buckets}))}"
            raise ConfigError(f"{where} matches no admissible document", f"leave it out, or fetch more; {known}")
        for i in pool:
            if i in owner:
                raise ConfigError(
                    f"{where} and '{owner[i]}' both match {buckets[i].key}", "make them disjoint, for example with ',source=...'"
                )
            owner[i] = selector
        tokens = np.array([buckets[i].tokens for i in pool], dtype=np.float64)
        weights[pool] = phase.weights[selector] * tokens / tokens.sum()
    return PhasePlan(phase.name, phase.tokens, weights / weights.sum())


def check_closing(recipe: Recipe, phases: list[PhasePlan], buckets: list[Bucket]) -> npt.NDArray[np.float64]:
    """Planned tokens of each bucket over all phases; refuses a plan that repeats documents beyond the cap."""
    planned = np.zeros(len(buckets))
    for number, phase in enumerate(phases):
        before = planned.copy()
        planned += phase.weights * phase.tokens
        epochs = planned / np.array([b.tokens for b in buckets])
        worst = int(np.argmax(epochs))
        if epochs[worst] <= recipe.caps.epochs:
            continue
        selector, weight, pool = _selector_of(recipe.phases[number], buckets, worst)
        room = recipe.caps.epochs * sum(buckets[i].tokens for i in pool) - float(before[pool].sum())
        most = max(0.0, room / phase.tokens)
        repair = (
            f"'{selector}' at most {_floor(most)} in phase '{phase.name}' (the rest to other selectors)"
            if most > 0
            else f"drop '{selector}' from phase '{phase.name}'"
        )
        times = f"{epochs[worst]:.2f} times by the end of phase '{phase.name}', the cap is {recipe.caps.epochs:g}"
        raise ConfigError(
            f"recipe {recipe.name} does not close: selector '{selector}' (weight {weight:g}) would show {buckets[worst].key} {times}",
            f"smallest repair: {repair}; or phase tokens {int(room / weight)}; or caps.epochs {np.ceil(epochs[worst] * 100) / 100:g}",
        )
    return planned


def _selector_of(phase: Phase, buckets: list[Bucket], bucket: int) -> tuple[str, float, list[int]]:
    named = {s: [i for i, b in enumerate(buckets) if b.belongs_to(s)] for s in phase.weights}
    for selector, pool in named.items():
        if bucket in pool:
            return selector, phase.weights[selector], pool
    taken = {i for pool in named.values() for i in pool}
    return REST, phase.weights[REST], [i for i in range(len(buckets)) if i not in taken]


def _floor(weight: float) -> str:
    return f"{np.floor(weight * 1e4) / 1e4:g}"


def grouped(buckets: list[Bucket], planned: npt.NDArray[np.float64], field: str) -> dict[str, dict[str, Any]]:
    """Documents, bytes (of encoded texts), pool and planned tokens by one attribute of the buckets."""
    out: dict[str, dict[str, Any]] = {}
    for b, t in zip(buckets, planned, strict=True):
        row = out.setdefault(getattr(b, field), {"documents": 0, "bytes": 0, "pool_tokens": 0, "planned_tokens": 0.0})
        row["documents"] += b.documents
        row["bytes"] += b.bytes
        row["pool_tokens"] += b.tokens
        row["planned_tokens"] += float(t)
    for row in out.values():
        row["planned_tokens"] = round(row["planned_tokens"])
        row["share"] = round(row["planned_tokens"] / max(1.0, float(planned.sum())), 6)
    return dict(sorted(out.items()))
