"""Decisions: who signed what, when, until when; and `require_go`, which everything irreversible calls first.

A decision is one of: Go (every rule held), waiver (a person let a No-Go pass, with a reason), No-Go. Nothing is ever rewritten: a change of
mind is a new decision, which names those that it supersedes. The newest is the one that the catalog committed last, whatever the signers'
clocks say. Of two that sign at the same moment, neither knowing the other, the second is refused and told of the first.

A decision is about one checkpoint, under one policy as it was when its rules were judged. When the policy's file has changed since, the
evidence is neither signed nor accepted: looser rules or another signer would otherwise open by what was signed before.

What this cannot do: tell a user at the command line from who he says he is. Whoever may write to the lake may write anything into it;
names that Airflow knows are kept with the evidence and cannot be left out again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from headrace_jobs.gates.evidence import EVIDENCE_KIND, SIGN_AGAIN, GateEvidence, read_evidence
from headrace_jobs.gates.policy import AUTOMATIC_SIGNER, GatePolicy, changed_fields, known_gates, load_policy, may_sign, refuse_reason
from headrace_lake.errors import GateError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact

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
    decision: Literal["go", "waiver", "no-go"],
    signer: str,
    reason: str = "",
    triggered_by: str = "",
    now: datetime | None = None,
) -> tuple[Artifact, str]:
    """Record a signed decision on evidence; returns it and `computed` or `adopted` (a retry of the same signature).

    Args:
        decision: `go` where every rule holds, `waiver` where one does not: neither stands for the other.

    Raises:
        GateError: the signer may not sign, the word is not that of the evidence's verdict, a waiver has no reason, the reason cannot be
            kept, the policy's file has changed since its rules were judged, or somebody else has signed meanwhile.
    """
    moment = now or datetime.now(UTC)
    found = find_evidence(lake, fingerprint)
    evidence, policy = read_evidence(found)
    if refusal := refuse_reason(reason):
        raise GateError(f"gate {policy.name}: {refusal}", "give a shorter one, as plain text")
    _unchanged(policy, load_policy(lake.settings, policy.name))
    signer, triggered_by = signer.strip(), triggered_by.strip() or evidence.triggered_by
    # Who triggered a run may always stop it.
    may_sign(policy, (*_asked_by(lake, found), triggered_by) if decision != "no-go" else "", signer)
    automatic = signer.startswith(AUTOMATIC_SIGNER)
    if automatic and (decision != "go" or not evidence.passed):
        raise GateError(f"gate {policy.name}: a policy signs only a Go", "a person signs a No-Go, or a waiver with --reason")
    if decision == "go" and not evidence.passed:
        raise GateError(
            f"gate {policy.name} is a No-Go: {evidence.failing()}", "letting it pass is a waiver: --decision waiver --reason WHY"
        )
    if decision == "waiver" and evidence.passed:
        raise GateError(f"gate {policy.name} is a Go: every rule holds, there is nothing to waive", "sign it with --decision go")
    if decision == "waiver" and not reason.strip():
        raise GateError(f"gate {policy.name} is a No-Go: {evidence.failing()}", "a waiver needs a reason: give --reason")
    verdict = {"go": GO, "waiver": WAIVER, "no-go": NO_GO}[decision]
    earlier = _decisions(lake, found.name, found.payload["inputs"])
    last = earlier[-1] if earlier else None
    if last is not None and found.fingerprint in last.parents:
        same = (last.payload["decision"], last.payload["signer"], last.payload["reason"]) == (verdict, signer, reason)
        if same and _expires(last, policy) > moment:
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
        "supersedes": [d.fingerprint for d in earlier],
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
    known = [d.fingerprint for d in earlier]

    def somebody_else(there: list[Artifact]) -> None:
        new = [d for d in _about(there, found.name, found.payload["inputs"]) if d.fingerprint not in known]
        if new:
            raise GateError(f"gate {policy.name}: meanwhile, {describe(new[-1])}", "look at it ('headrace gate ls'), then sign again")

    lake.record_artifact(artifact, unless=somebody_else)
    return artifact, "computed"


def last_decision(lake: Lake, evidence: str, *, signer: str, reason: str) -> Artifact:
    """The decision on evidence that was committed last, if it carries this signature.

    Args:
        evidence: whole fingerprint.

    Raises:
        GateError: the lake holds none, or the last one was signed by somebody else or for another reason.
    """
    mine = [d for d in lake.artifacts(GATE_KIND) if evidence in d.parents]
    if not mine:
        raise GateError(f"the lake holds no decision on evidence {evidence[:16]}", "sign again; the log of the signing job says more")
    last = mine[-1]
    if (last.payload["signer"], last.payload["reason"]) != (signer, reason):
        raise GateError(f"the last decision on evidence {evidence[:16]} is another: {describe(last)}", "look at it, then sign again")
    return last


def require_go(lake: Lake, gate: str, inputs: Mapping[str, str], *, opens: str = "release", now: datetime | None = None) -> Artifact:
    """The valid decision of a gate that lets work on `inputs` go on.

    Args:
        gate: name of the gate's policy.
        inputs: kind → fingerprint of what the work is about (`checkpoint`, `evaluation`, `mix`); a decision that looked at another one of
            any of these kinds does not count.

    Raises:
        GateError: there is no decision, the newest one is a No-Go, has expired, was made under another policy or by who may not sign it,
            or all decisions are about something else or under another gate's name. Says which, and what to do.
    """
    moment = now or datetime.now(UTC)
    policy = load_policy(lake.settings, gate)
    if opens not in policy.opens:
        raise GateError(f"gate {gate} opens {', '.join(policy.opens)}, not '{opens}'", f"gates: {', '.join(known_gates(lake.settings))}")
    every = lake.artifacts(GATE_KIND)
    mine = [d for d in every if d.name == gate and all(d.payload["inputs"].get(kind) == value for kind, value in inputs.items())]
    last = mine[-1] if mine else None
    if last is None:
        raise GateError(f"gate {gate}: {_nothing_on(every, gate, inputs)}", SIGN_AGAIN.format(gate=gate))
    p = last.payload
    if p["decision"] not in (GO, WAIVER):
        raise GateError(f"gate {gate}: No-Go, signed by {p['signer']}: {p['reason'] or 'no reason given'}", "mend it, or sign a waiver")
    evidence, then = _evidence_of(lake, last)
    _unchanged(then, policy)
    if _expires(last, policy) <= moment:
        raise GateError(
            f"gate {gate}: the decision of {p['signed_at'][:16]} expired at {_expires(last, policy).isoformat()[:16]}", "sign again"
        )
    if p["decision"] == GO and not evidence.passed:
        raise GateError(f"gate {gate}: a Go is recorded, but rules do not hold: {evidence.failing()}", "sign a waiver, with --reason")
    if p["decision"] == WAIVER and (evidence.passed or not str(p["reason"]).strip()):
        raise GateError(f"gate {gate}: a waiver is recorded without {'a rule that fails' if evidence.passed else 'a reason'}", "sign again")
    may_sign(policy, (evidence.triggered_by, str(p["triggered_by"])), str(p["signer"]))
    return last


def describe(decision: Artifact) -> str:
    """A decision in one line, for logs and lists: gate, verdict, signer and how it was signed."""
    p = decision.payload
    return f"gate {p['gate']}: {p['decision']}, signed by {p['signer']} until {p['expires_at'][:16]} UTC; {p['note']}"


def _nothing_on(every: Sequence[Artifact], gate: str, inputs: Mapping[str, str]) -> str:
    """What to say when no decision of the gate is on these inputs: which there are instead."""
    kind, value = next(iter(inputs.items()))
    others = sorted({d.name for d in every if d.name != gate and d.payload["inputs"].get(kind) == value})
    elsewhere = [d for d in every if d.name == gate]
    older = [d for d in elsewhere if d.payload["inputs"].get(kind) == value]
    said = f"no decision on {kind} {value[:12]}"
    if older:
        differ = sorted({k for d in older for k, v in inputs.items() if d.payload["inputs"].get(k) != v})
        return f"{said} with its newest {' and '.join(differ)}; its {len(older)} decisions are about other inputs"
    if elsewhere:
        said += f"; its {len(elsewhere)} decisions are about other inputs"
    return said + (f"; what gates {', '.join(others)} decided does not count here" if others else "")


def _unchanged(then: GatePolicy, now: GatePolicy) -> None:
    fields = changed_fields(then, now)
    if fields:
        raise GateError(
            f"gate {now.name}: its policy was changed ({', '.join(fields)}) after its rules were judged", SIGN_AGAIN.format(gate=now.name)
        )


def _asked_by(lake: Lake, evidence: Artifact) -> tuple[str, ...]:
    """Who is known to have asked for this gate on the same inputs, by whichever evidence: a name cannot be left out by signing another."""
    same = [a for a in lake.artifacts(EVIDENCE_KIND) if a.name == evidence.name and a.payload["inputs"] == evidence.payload["inputs"]]
    return tuple(sorted({str(a.payload["evidence"].get("triggered_by") or "") for a in same} - {""}))


def _evidence_of(lake: Lake, decision: Artifact) -> tuple[GateEvidence, GatePolicy]:
    """Evidence and policy that a decision was signed on.

    Raises:
        GateError: the lake has none, or it is not what the decision says.
    """
    found = next((a for a in lake.artifacts(EVIDENCE_KIND) if a.fingerprint in decision.parents), None)
    if found is None:
        raise GateError(f"gate {decision.name}: the decision has no evidence in the lake", SIGN_AGAIN.format(gate=decision.name))
    evidence, policy = read_evidence(found)
    held = found.payload["inputs"] == decision.payload["inputs"] and digest_of(decision.payload) == decision.digest
    if not held or decision.name != policy.name or decision.payload["automatic"] != decision.payload["signer"].startswith(AUTOMATIC_SIGNER):
        raise GateError(f"gate {decision.name}: the decision is not what its evidence says", SIGN_AGAIN.format(gate=decision.name))
    return evidence, policy


def _decisions(lake: Lake, gate: str, inputs: Mapping[str, str]) -> list[Artifact]:
    """Decisions of a gate about the same checkpoint (or the same mix, where it looks at no checkpoint), in the order of their commits."""
    return _about(lake.artifacts(GATE_KIND), gate, inputs)


def _about(decisions: Sequence[Artifact], gate: str, inputs: Mapping[str, str]) -> list[Artifact]:
    kind = "checkpoint" if "checkpoint" in inputs else "mix"
    return [d for d in decisions if d.name == gate and d.payload["inputs"].get(kind) == inputs[kind]]


def _expires(decision: Artifact, policy: GatePolicy) -> datetime:
    """When it ends: as recorded, but never later than the policy allows."""
    p = decision.payload
    return min(datetime.fromisoformat(p["expires_at"]), datetime.fromisoformat(p["signed_at"]) + timedelta(hours=policy.expiry_hours))
