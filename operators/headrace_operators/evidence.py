"""The evidence of a gate as it travels from `headrace gate evaluate` to the page that a human signs."""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from pydantic import ValidationError

from headrace_lake.strict import StrictModel


class RuleResult(StrictModel):
    """One judged rule.

    Attributes:
        rule: what must hold, in words with its threshold (`bits_per_byte.en <= 4.0`).
        low, high: 95 % interval of the value, where it has one.
        inputs: names or short digests of what it was measured on.
    """

    rule: str
    value: float | int | str | None = None
    low: float | None = None
    high: float | None = None
    passed: bool
    inputs: tuple[str, ...] = ()


class Evidence(StrictModel):
    """What `gate evaluate` found.

    Attributes:
        fingerprint: identity of this evaluation; `gate sign` takes it.
        policy: name of the gate's policy file.
        triggered_by: who asked for it, where `gate evaluate` was told.
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
        return "; ".join(f"{r.rule} (is {_number(r.value)})" for r in self.rules if not r.passed) or "no rule was judged"


def read_evidence(value: Any) -> Evidence:
    """Evidence from a task's result.

    Raises:
        AirflowFailException: the task left nothing that is evidence; a gate without evidence never opens.
    """
    try:
        return Evidence.model_validate(value)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "result"
        raise AirflowFailException(f"the upstream task left no valid evidence: {where}: {first['msg']}") from exc


def evidence_page(evidence: Evidence) -> str:
    """The page's body in Markdown."""
    verdict = "**Go**: every rule holds" if evidence.passed else f"**No-Go**: {_cell(evidence.failing())}"
    lines = [
        f"### Gate `{evidence.gate}`, policy `{evidence.policy}`",
        "",
        f"The rules say {verdict}.",
        "",
        "| rule | value | 95 % interval | holds | measured on |",
        "|---|---|---|---|---|",
    ]
    for rule in evidence.rules:
        interval = f"{_number(rule.low)} to {_number(rule.high)}" if rule.low is not None and rule.high is not None else "-"
        holds = "yes" if rule.passed else "**no**"
        lines.append(
            f"| {_cell(rule.rule)} | {_cell(_number(rule.value))} | {interval} | {holds} | {_cell(', '.join(rule.inputs)) or '-'} |"
        )
    starter = f"**{_cell(evidence.triggered_by)}**, who triggered this run," if evidence.triggered_by else "Who triggered this run"
    may = "may sign it" if evidence.self_approval else "cannot sign it: an approval is refused and fails the gate, rejecting is allowed"
    named = f" Approvers: {_cell(', '.join(evidence.approvers))}." if evidence.approvers else ""
    lines += [
        "",
        f"{starter} {may}.{named} Approving a No-Go needs a reason: it is kept as a waiver. Evaluation `{evidence.fingerprint[:16]}`.",
    ]
    return "\n".join(lines)


def _number(value: float | int | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
