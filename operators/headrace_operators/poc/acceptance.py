"""What `headrace poc` must show: each acceptance check is a sentence, whether it holds, and what was found.

Pure functions over what the lake and the run's jobs hold, so that every way to fail a check is tested without a run.
Thresholds stand in `governance/policies/poc.yaml`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from headrace_lake.strict import StrictModel


class AcceptanceLimits(StrictModel):
    """Thresholds.

    Attributes:
        languages: so many have documents and tokens.
        loss_drop_nats: how far the training loss ends below ln V, the loss of a model that knows nothing.
        unigram_from_bytes: languages with so much training text must beat a unigram model fitted on the same tokens.
    """

    languages: int = Field(default=10, ge=1)
    loss_drop_nats: float = Field(default=4.0, gt=0)
    unigram_from_bytes: int = Field(default=1_000_000, ge=0)


@dataclass(frozen=True)
class AcceptanceCheck:
    """One thing that must hold.

    Attributes:
        found: what was measured; where the check fails, what is wrong.
    """

    name: str
    holds: bool
    found: str


def counts_add_up(receipts: Iterable[Mapping[str, Any]]) -> AcceptanceCheck:
    """read = kept + dropped + failed on every current receipt."""
    rows = list(receipts)
    wrong = [
        f"{r['stage']} of {r['source']}: {r['read']} != {r['kept']} + {r['dropped']} + {r['failed']}"
        for r in rows
        if r["read"] != r["kept"] + r["dropped"] + r["failed"]
    ]
    return AcceptanceCheck(
        "read = kept + dropped + failed in every stage", bool(rows) and not wrong, _first(wrong) or f"{len(rows)} receipts"
    )


def every_stage_ran(receipts: Iterable[Mapping[str, Any]], sources: Sequence[str], stages: Sequence[str]) -> AcceptanceCheck:
    """Each source has a receipt of each stage."""
    there = {(r["source"], r["stage"]) for r in receipts}
    missing = [f"{source}: no {stage}" for source in sources for stage in stages if (source, stage) not in there]
    return AcceptanceCheck("every slice passed every stage", not missing, _first(missing) or f"{len(sources)} slices, {len(stages)} stages")


def nothing_lost(receipts: Iterable[Mapping[str, Any]], kept_aside: Mapping[str, Mapping[tuple[str, str], int]]) -> AcceptanceCheck:
    """Every dropped row is in the exclusion table and every failed one in quarantine, by stage and source.

    Args:
        kept_aside: `dropped` and `failed` → (stage, source) → rows of the table that keeps them.
    """
    tables = {"dropped": "exclusions", "failed": "quarantine"}
    wrong, sums = [], dict.fromkeys(tables, 0)
    for r in receipts:
        for field, table in tables.items():
            sums[field] += r[field]
            kept = kept_aside[field].get((r["stage"], r["source"]), 0)
            if kept != r[field]:
                wrong.append(f"{r['stage']} of {r['source']}: {field} {r[field]}, {kept} in {table}")
    found = f"{sums['dropped']:,} in exclusions, {sums['failed']:,} in quarantine"
    return AcceptanceCheck("every row that left is kept with its reason or error", not wrong, _first(wrong) or found)


def enough_languages(totals: Mapping[str, tuple[int, int]], limits: AcceptanceLimits) -> AcceptanceCheck:
    """Languages with documents and tokens.

    Args:
        totals: language → (documents, tokens).
    """
    full = [name for name, (documents, tokens) in totals.items() if documents and tokens]
    return AcceptanceCheck(
        f"at least {limits.languages} languages with documents and tokens", len(full) >= limits.languages, f"{len(full)} languages"
    )


def loss_fell(train: Mapping[str, Any], limits: AcceptanceLimits) -> AcceptanceCheck:
    """The last training loss against ln V."""
    name = f"training loss at least {limits.loss_drop_nats:g} nats below ln(V)"
    loss, vocabulary = train.get("last_loss"), train.get("vocabulary")
    if not isinstance(loss, int | float) or not isinstance(vocabulary, int) or vocabulary < 2:
        return AcceptanceCheck(name, False, "the training task left no loss")
    start = math.log(vocabulary)
    fell = start - loss
    holds = math.isfinite(loss) and fell >= limits.loss_drop_nats
    return AcceptanceCheck(
        name, holds, f"{loss:.3f} after {train.get('steps', '?')} steps: {fell:.2f} nats below ln({vocabulary}) = {start:.2f}"
    )


def better_than_unigram(languages: Sequence[Mapping[str, Any]], limits: AcceptanceLimits) -> AcceptanceCheck:
    """Bits per byte on held-out documents against a unigram model fitted on the same tokens."""
    name = f"bits per byte below a unigram model's for each language with {limits.unigram_from_bytes / 1e6:g} MB or more"
    if not languages:
        return AcceptanceCheck(name, False, "the evaluation left no language")
    judged = [r for r in languages if r["training_bytes"] >= limits.unigram_from_bytes]
    worse = [
        f"{r['language']}: {r['bits_per_byte']:.3f}, unigram {r['unigram']:.3f}" for r in judged if not r["bits_per_byte"] < r["unigram"]
    ]
    small = sorted(str(r["language"]) for r in languages if r["training_bytes"] < limits.unigram_from_bytes)
    found = f"{len(judged)} languages better" + (f"; with less text, not judged: {' '.join(small)}" if small else "")
    return AcceptanceCheck(name, not worse, _first(worse) or found)


def gate_is_open(gate: Mapping[str, Any]) -> AcceptanceCheck:
    """A Go was signed and recorded in the lake."""
    if not gate:
        return AcceptanceCheck("the gate decided Go", False, "no decision")
    return AcceptanceCheck(
        "the gate decided Go", gate.get("decision") == "Go", f"{gate.get('gate')}: {gate.get('decision')}, signed by {gate.get('signer')}"
    )


def release_is_verified(release: Mapping[str, Any], verify: Mapping[str, Any]) -> AcceptanceCheck:
    """The bundle that was built is the one that was verified (which is named relative to the lake's root)."""
    name = "the release is built and verified offline"
    if not release.get("path"):
        return AcceptanceCheck(name, False, "no release")
    if verify.get("passed") is not True:
        return AcceptanceCheck(name, False, f"{release['path']}: not verified")
    built, verified = str(release["path"]), str(verify.get("path") or "")
    if not verified or not f"/{built}".endswith(f"/{verified}"):
        return AcceptanceCheck(name, False, f"built {release['path']}, verified {verify.get('path')}")
    return AcceptanceCheck(name, True, f"{len(verify.get('checks') or {})} checks")


def every_task_succeeded(states: Mapping[str, str]) -> AcceptanceCheck:
    """No task of the run ended otherwise."""
    wrong = [f"{name}: {state}" for name, state in states.items() if state != "success"]
    return AcceptanceCheck("every task of the run succeeded", bool(states) and not wrong, _first(wrong) or f"{len(states)} tasks")


def _first(problems: list[str], shown: int = 3) -> str:
    more = f" and {len(problems) - shown} more" if len(problems) > shown else ""
    return "; ".join(problems[:shown]) + more
