"""The gate policy `audit`: a mix, and verdicts of the removal audit that pass, fail, are missing or stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headrace_governance.audit.removals.verdict import AUDIT_KIND
from headrace_jobs.gates.decide import require_go, sign
from headrace_jobs.gates.judge import GateEvidence, evaluate_gate
from headrace_jobs.gates.policy import load_policy
from headrace_lake.errors import GateError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, content_digest
from headrace_lake.receipts import Artifact

EMPTY = content_digest([])
"""Of a verdict table that holds nothing for a slice, as in this lake."""


def a_mix(lake: Lake, tmp_path: Path, *slices: str) -> Artifact:
    """A compiled mix of these slices."""
    file = tmp_path / "mix.json"
    file.write_text(json.dumps({"shards": [dict(zip(("source", "slice"), s.split("/"), strict=True)) for s in slices]}), encoding="utf-8")
    made = Artifact(kind="mix", name="tiny", fingerprint=digest_of(["mix", slices]), path=lake.put_object(file, kind="mix", suffix=".json"))
    lake.record_artifact(made)
    return made


def a_verdict(lake: Lake, *slices: str, low: float = 0.93, passed: int = 1, digest: str = EMPTY) -> Artifact:
    """A verdict of the removal audit on these slices, as `audit verdict` records it."""
    near = {"removals": 900, "precision": {"value": 0.96, "low": low, "high": 0.98}}
    none = {"removals": 0, "precision": {"value": 1.0, "low": 1.0, "high": 1.0}}
    judged = [{"verdict": "near_duplicate", "slice": s, "digest": digest, "receipt": "r"} for s in slices]
    payload: dict[str, Any] = {
        "passed": passed,
        "verdicts": {"near_duplicate": near, "pii": none},
        "slices": list(slices),
        "judged": judged,
    }
    made = Artifact(kind=AUDIT_KIND, name="audit", fingerprint=digest_of([payload]), digest=digest_of(payload), payload=payload)
    lake.record_artifact(made)
    return made


def audited(lake: Lake) -> GateEvidence:
    return evaluate_gate(lake, load_policy(lake.settings, "audit"), "tiny")[0]


def test_precision_opens_the_gate_for_the_mix_whose_slices_it_covers(lake: Lake, tmp_path: Path) -> None:
    mix = a_mix(lake, tmp_path, "mill/1", "bakery/1")
    with pytest.raises(InputError, match=r"covers the 2 slices \(the nearest covers 0\).*headrace audit sample"):
        audited(lake)
    a_verdict(lake, "mill/1")
    with pytest.raises(InputError, match="the nearest covers 1"):
        audited(lake)
    verdict = a_verdict(lake, "mill/1", "bakery/1", "brewery/1")
    evidence = audited(lake)
    assert evidence.passed and [r.rule for r in evidence.rules] == [
        "audit.verdicts.near_duplicate.precision.value (lower end of the interval) >= 0.9",
        "audit.passed == 1",
    ]
    decision, _ = sign(lake, evidence.fingerprint, decision="go", signer="bob")
    assert require_go(lake, "audit", {"mix": mix.fingerprint}, opens="train") == decision and verdict.fingerprint in decision.parents


@pytest.mark.parametrize(("low", "passed"), [(0.89, 1), (0.95, 0)])
def test_a_low_precision_or_too_few_judgements_are_a_no_go(lake: Lake, tmp_path: Path, low: float, passed: int) -> None:
    mix = a_mix(lake, tmp_path, "mill/1")
    a_verdict(lake, "mill/1", low=low, passed=passed)
    evidence = audited(lake)
    assert not evidence.passed
    with pytest.raises(GateError, match="letting it pass is a waiver"):
        sign(lake, evidence.fingerprint, decision="go", signer="bob")
    with pytest.raises(GateError, match="no decision on"):
        require_go(lake, "audit", {"mix": mix.fingerprint}, opens="train")


def test_a_verdict_on_what_the_lake_no_longer_holds_is_no_evidence(lake: Lake, tmp_path: Path) -> None:
    a_mix(lake, tmp_path, "mill/1")
    a_verdict(lake, "mill/1", digest="0" * 32)
    with pytest.raises(InputError, match="slice mill/1: verdict near_duplicate was computed again since"):
        audited(lake)
