"""Decisions: who signed what, when, until when; and `require_go`, which everything irreversible calls first.

A decision is one of: Go (every rule held), waiver (a person approved a No-Go, with a reason), No-Go. The newest decision
on the same inputs counts. Nothing is ever rewritten: a change of mind is a new decision.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from headrace_jobs.gates.judge import EVIDENCE_KIND, GateEvidence
from headrace_jobs.gates.policy import AUTOMATIC_SIGNER, GatePolicy, may_sign
from headrace_lake.errors import GateError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.strict import parse

GATE_KIND = "gate"
GO, NO_GO, WAIVER = "Go", "No-Go", "waiver"


def find_evidence(lake: Lake, fingerprint: str) -> Artifact:
    """Evidence by fingerprint or its first 8 digits or more.

    Raises:
        InputError: none, or several.
    """
    found = [a for a in lake.artifacts(EVIDENCE_KIND) if len(fingerprint) >= 8 and a.fingerprint.startswith(fingerprint)]
    if len({a.fingerprint for a in found}) != 1:
        raise InputError(f"no single gate evidence '{fingerprint}'", "run 'headrace gate ls' and give its fingerprint")
    return found[-1]


def sign(
    lake: Lake,
    fingerprint: str,
    *,
    decision: Literal["go", "no-go"],
    signer: str,
    reason: str = "",
    triggered_by: str = "",
    now: datetime | None = None,
) -> tuple[Artifact, str]:
    """Record a signed decision on evidence; returns it and `computed` or `adopted` (a retry of the same signature).

    Raises:
        GateError: the signer may not sign, or approves a No-Go without a reason.
    """
    moment = now or datetime.now(UTC)
    found = find_evidence(lake, fingerprint)
    evidence = parse(found.payload["evidence"], GateEvidence, where="recorded evidence")
    policy = parse(found.payload["policy"], GatePolicy, where="recorded policy")
    may_sign(policy, triggered_by if decision == "go" else "", signer)  # who triggered a run may always stop it
    automatic = signer.startswith(AUTOMATIC_SIGNER)
    if decision == "go" and not evidence.passed:
        if automatic:
            raise GateError(f"gate {policy.name} is a No-Go; a policy signs only a Go", "a person may sign a waiver, with --reason")
        if not reason.strip():
            raise GateError(f"gate {policy.name} is a No-Go: {_failing(evidence)}", "approving it is a waiver: give --reason")
    verdict = NO_GO if decision == "no-go" else GO if evidence.passed else WAIVER
    previous = _decisions(lake, evidence_fingerprint=found.fingerprint)
    if previous:
        last = previous[-1]
        same = (last.payload["decision"], last.payload["signer"], last.payload["reason"]) == (verdict, signer, reason)
        if same and _expires(last) > moment:
            return last, "adopted"
    payload: dict[str, Any] = {
        "gate": policy.name,
        "decision": verdict,
        "signer": signer,
        "triggered_by": triggered_by,
        "reason": reason,
        "automatic": automatic,
        "note": f"signed automatically by the recorded policy, no human was asked: {policy.reason}" if automatic else "signed by a person",
        "signed_at": moment.isoformat(),
        "expires_at": (moment + timedelta(hours=policy.expiry_hours)).isoformat(),
        "opens": list(policy.opens),
        "evidence": evidence.model_dump(mode="json"),
        "inputs": found.payload["inputs"],
        "recipe": found.payload["recipe"],
        "summary": f"{verdict}, signed by {signer}",
    }
    identity = {"kind": GATE_KIND, "evidence": found.fingerprint, "signed": [verdict, signer, reason, payload["signed_at"]]}
    artifact = Artifact(
        kind=GATE_KIND,
        name=policy.name,
        fingerprint=digest_of(identity),
        digest=digest_of(payload),
        parents=(found.fingerprint, *found.parents),
        created_at=moment,
        payload=payload,
    )
    lake.record_artifact(artifact)
    return artifact, "computed"


def require_go(lake: Lake, fingerprint: str, *, gate: str | None = None, opens: str = "release", now: datetime | None = None) -> Artifact:
    """The valid decision that lets work on `fingerprint` go on.

    Args:
        fingerprint: the checkpoint, evaluation or mix that the decision must have looked at.
        gate: name of the gate; any gate that opens `opens` by default.

    Raises:
        GateError: there is no decision, the newest one is a No-Go or has expired, or it looked at something else.
    """
    moment = now or datetime.now(UTC)
    named = [d for d in _decisions(lake) if (gate is None or d.name == gate) and opens in d.payload["opens"]]
    mine = [d for d in named if fingerprint in d.payload["inputs"].values()]
    what = f"gate {gate}" if gate else f"a gate that opens '{opens}'"
    if not mine:
        other = f"; its {len(named)} decisions are about other inputs" if named else ""
        raise GateError(f"{what}: no decision on {fingerprint[:12]}{other}", "run 'headrace gate evaluate', then 'headrace gate sign'")
    last = mine[-1]
    p = last.payload
    if p["decision"] == NO_GO:
        raise GateError(
            f"gate {last.name}: No-Go, signed by {p['signer']}: {p['reason'] or 'no reason given'}", "mend it, or sign a waiver"
        )
    if _expires(last) <= moment:
        raise GateError(f"gate {last.name}: the decision of {p['signed_at'][:16]} expired at {p['expires_at'][:16]}", "sign again")
    return last


def _decisions(lake: Lake, *, evidence_fingerprint: str | None = None) -> list[Artifact]:
    """Decisions, oldest first."""
    return [d for d in lake.artifacts(GATE_KIND) if evidence_fingerprint is None or evidence_fingerprint in d.parents]


def _expires(decision: Artifact) -> datetime:
    return datetime.fromisoformat(decision.payload["expires_at"])


def _failing(evidence: GateEvidence) -> str:
    return "; ".join(f"{r.rule} (is {r.value})" for r in evidence.rules if not r.passed)
