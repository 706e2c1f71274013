"""Evidence of a gate: what its rules measured, as it is recorded in the lake, looked up there, and checked before anybody relies on it.

Light: pydantic and the policy only, so that the orchestrator's side can show evidence without loading what judges it.
"""

from __future__ import annotations

from headrace_jobs.gates.policy import GatePolicy
from headrace_lake.errors import GateError
from headrace_lake.fingerprint import digest_of
from headrace_lake.foreign_text import markdown
from headrace_lake.receipts import Artifact
from headrace_lake.strict import StrictModel, parse

EVIDENCE_KIND = "gate-evidence"
SIGN_AGAIN = "run 'headrace gate evaluate {gate} --recipe RECIPE', then 'headrace gate sign'"


class RuleResult(StrictModel):
    """One judged rule, as the approval page shows it.

    Attributes:
        rule: what must hold, in words with its threshold (`evaluation.overall.bits_per_byte < 4`).
        low, high: 95 % interval of the value, where it has one.
        inputs: names of what it was measured on, with short fingerprints.
    """

    rule: str
    value: float | int | str | None = None
    low: float | None = None
    high: float | None = None
    passed: bool
    inputs: tuple[str, ...] = ()


class GateEvidence(StrictModel):
    """What was found.

    Attributes:
        fingerprint: identity of this evaluation; `gate sign` takes it.
        policy: name of the gate's policy file.
        triggered_by: who asked for it, where that is known (Airflow knows who triggered the run).
        automatic: the policy signs a Go by itself.
        self_approval: who triggered the run may approve it.
        approvers: users who may sign; empty means anybody else than who triggered the run.
    """

    gate: str
    fingerprint: str
    policy: str
    passed: bool
    triggered_by: str = ""
    automatic: bool = False
    self_approval: bool = False
    approvers: tuple[str, ...] = ()
    rules: tuple[RuleResult, ...]

    def failing(self) -> str:
        """The rules that do not hold, in one line."""
        return "; ".join(f"{r.rule} (is {number(r.value)})" for r in self.rules if not r.passed) or "no rule was judged"


def number(value: float | int | str | None) -> str:
    """A measured value as pages and messages show it: four digits of a float."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rules_table(evidence: GateEvidence) -> list[str]:
    """The lines of a Markdown table of what the rules measured."""
    lines = ["| rule | value | 95 % interval | holds | measured on |", "|---|---|---|---|---|"]
    for r in evidence.rules:
        interval = f"{number(r.low)} to {number(r.high)}" if r.low is not None and r.high is not None else "-"
        holds, measured_on = "yes" if r.passed else "**no**", markdown(", ".join(r.inputs)) or "-"
        lines.append(f"| {markdown(r.rule)} | {markdown(number(r.value))} | {interval} | {holds} | {measured_on} |")
    return lines


def read_evidence(found: Artifact) -> tuple[GateEvidence, GatePolicy]:
    """Evidence and the policy that it was judged under, from their artifact.

    Raises:
        GateError: the artifact is not what its digest, its fingerprint or its policy says.
    """
    evidence = parse(found.payload["evidence"], GateEvidence, where="recorded evidence")
    policy = parse(found.payload["policy"], GatePolicy, where="recorded policy")
    said = (evidence.fingerprint, evidence.gate, evidence.policy, evidence.automatic, evidence.self_approval, evidence.approvers)
    policys = (found.fingerprint, policy.name, policy.name, policy.automatic, policy.self_approval, policy.approvers)
    whole = digest_of(found.payload["evidence"]) == found.digest and found.name == policy.name and said == policys
    if not whole or evidence.passed != (bool(evidence.rules) and all(r.passed for r in evidence.rules)):
        raise GateError(
            f"gate {found.name}: recorded evidence {found.fingerprint[:16]} contradicts itself", SIGN_AGAIN.format(gate=found.name)
        )
    return evidence, policy
