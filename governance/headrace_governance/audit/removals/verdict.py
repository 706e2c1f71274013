"""The removal audit's verdict on a sample: precision of each verdict with its interval, recorded as artifact `audit`.

Decision of a verdict, held against the policy's `precision_at_least`: `fail` as soon as the upper end of the interval is below it; `pass`
when enough cases are judged, enough of them by people, and the lower end reaches it; `fail` when enough are judged and it does not;
else `not enough judgements`.
The whole passes if every verdict does. A gate reads it as `audit.verdicts.*.precision.value` (evidence: [audit]).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from headrace_governance.audit.removals.interval import Estimate, Tally, stratified
from headrace_governance.audit.removals.judgements import Agreement, JudgeKind, Label, agreements, combined, recorded_judgements
from headrace_governance.audit.removals.policy import AuditPolicy
from headrace_governance.audit.removals.sample import Case, Sample
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.strict import StrictModel

AUDIT_KIND = "audit"
Decision = Literal["pass", "fail", "not enough judgements"]


class Precision(StrictModel):
    """A share of removals that were right, with its interval."""

    value: float
    low: float
    high: float


class Finding(StrictModel):
    """What was found about some strata together.

    Attributes:
        removals: in the slices.
        cases: drawn; `judged` of them have a label, `people` of these from a person.
    """

    name: str
    removals: int
    cases: int
    judged: int
    people: int
    right: int
    wrong: int
    unsure: int
    precision: Precision


class VerdictFinding(Finding):
    """A verdict, its strata, and the decision."""

    decision: Decision
    strata: tuple[Finding, ...]


class AuditVerdict(StrictModel):
    """The whole."""

    sample: str
    precision_at_least: float
    decision: Decision
    overall: Finding
    verdicts: tuple[VerdictFinding, ...]
    agreements: tuple[Agreement, ...]


Labels = Mapping[str, tuple[Label, JudgeKind]]


def judge_sample(sample: Sample, labels: Labels, policy: AuditPolicy, agreed: Sequence[Agreement] = ()) -> AuditVerdict:
    """The verdict on a sample from one label a case."""
    cases: dict[str, list[Case]] = {}
    for case in sample.cases:
        cases.setdefault(case.stratum, []).append(case)
    verdicts = []
    for name in sample.verdicts:
        strata = [
            _finding(s.name, s.population, cases[s.name], labels, _tally(s.population, cases[s.name], labels), policy)
            for s in sample.strata
            if s.verdict == name
        ]
        mine = [c for c in sample.cases if c.verdict == name]
        tallies = [Tally(s.removals, s.judged, s.right) for s in strata]
        whole = _finding(name, sum(s.removals for s in strata), mine, labels, tallies, policy)
        verdicts.append(VerdictFinding(**whole.model_dump(), decision=_decision(whole, policy), strata=tuple(strata)))
    every = [Tally(s.removals, s.judged, s.right) for v in verdicts for s in v.strata]
    overall = _finding("all", sum(v.removals for v in verdicts), sample.cases, labels, every, policy)
    decisions = [v.decision for v in verdicts]
    decision: Decision = "fail" if "fail" in decisions else "not enough judgements" if "not enough judgements" in decisions else "pass"
    return AuditVerdict(
        sample=sample.fingerprint,
        precision_at_least=policy.precision_at_least,
        decision=decision,
        overall=overall,
        verdicts=tuple(verdicts),
        agreements=tuple(agreed),
    )


def _tally(population: int, cases: Sequence[Case], labels: Labels) -> list[Tally]:
    found = [labels[c.case][0] for c in cases if c.case in labels]
    return [Tally(population, len(found), found.count("right"))]


def _finding(name: str, removals: int, cases: Sequence[Case], labels: Labels, tallies: Sequence[Tally], policy: AuditPolicy) -> Finding:
    found = [labels[c.case] for c in cases if c.case in labels]
    count = {label: sum(said == label for said, _ in found) for label in ("right", "wrong", "unsure")}
    estimate: Estimate = stratified(tallies, policy.confidence)
    return Finding(
        name=name,
        removals=removals,
        cases=len(cases),
        judged=len(found),
        people=sum(kind == "person" for _, kind in found),
        **count,
        precision=Precision(value=estimate.value, low=estimate.low, high=estimate.high),
    )


def _decision(found: Finding, policy: AuditPolicy) -> Decision:
    if found.precision.high < policy.precision_at_least:
        return "fail"
    enough = found.judged >= min(policy.target, found.removals) and found.people >= min(policy.people_at_least, found.removals)
    if not enough:
        return "not enough judgements"
    return "pass" if found.precision.low >= policy.precision_at_least else "fail"


def decide(lake: Lake, sample: Sample, policy: AuditPolicy) -> tuple[AuditVerdict, Artifact, str]:
    """The verdict from what is recorded, itself recorded; also `computed` or `adopted`."""
    judgements = recorded_judgements(lake, sample)
    verdict = judge_sample(sample, combined(judgements), policy, agreements(judgements))
    payload = _payload(sample, verdict)
    fingerprint = digest_of({"kind": AUDIT_KIND, "payload": payload})
    found = lake.find_artifact(AUDIT_KIND, fingerprint=fingerprint)
    if found is not None:
        return verdict, found, "adopted"
    p = verdict.overall.precision
    summary = f"{verdict.decision}: precision {p.value:.3f} ({p.low:.3f} to {p.high:.3f}) over {verdict.overall.judged:,} judged removals"
    artifact = Artifact(
        kind=AUDIT_KIND,
        name=sample.fingerprint[:16],
        fingerprint=fingerprint,
        digest=digest_of(payload),
        parents=(sample.fingerprint, *dict.fromkeys(j["receipt"] for j in sample.judged)),
        payload={**payload, "summary": summary},
    )
    lake.record_artifact(artifact)
    return verdict, artifact, "computed"


def _payload(sample: Sample, verdict: AuditVerdict) -> dict[str, Any]:
    """What gates read: numbers under names, and which verdicts on which slices they are about."""
    data = verdict.model_dump(mode="json")
    verdicts = {v["name"]: v | {"passed": int(v["decision"] == "pass")} for v in data.pop("verdicts")}
    return {
        **data,
        "passed": int(verdict.decision == "pass"),
        "verdicts": verdicts,
        "slices": list(sample.slices),
        "judged": [dict(j) for j in sample.judged],
    }
