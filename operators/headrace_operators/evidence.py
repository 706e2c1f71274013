"""The evidence of a gate as Airflow shows and signs it: looked up in the lake, never taken from XCom, a run's conf or a job's log.

What a run expects follows from its recipe and gate alone: the gate's policy as its file is now, the recipe's newest mix, its newest
checkpoint and evaluation, and who triggered the run. Only evidence that was recorded about just these counts, so that a task that is
marked, cleared or skipped, and whatever it left, changes nothing. Costs about a second of imports and the reading of some small tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_jobs.gates.evidence import GateEvidence, rules_table
from headrace_lake.foreign_text import markdown
from headrace_lake.settings import Settings

if TYPE_CHECKING:
    from headrace_lake.receipts import Artifact


def expected_evidence(settings: Settings, recipe: str, gate: str, triggered_by: str) -> GateEvidence:
    """The evidence that a run of this recipe and gate is about.

    Args:
        gate: name of a gate that opens a release, or `own` (or empty) for the recipe's own.
        triggered_by: who triggered the run, as Airflow knows him; empty where nobody did.

    Raises:
        HeadraceError: the gate may not stand in for the recipe's own, there is nothing to release, or nobody has judged just that.
    """
    from headrace_jobs.gates.judge import own_gate, recorded_evidence
    from headrace_jobs.gates.policy import gate_of_release
    from headrace_jobs.mix.compile import newest_mix
    from headrace_lake.lake import Lake

    lake = Lake.open(settings)
    policy = gate_of_release(settings, own_gate(newest_mix(lake, recipe)), gate or None)
    return recorded_evidence(lake, policy, recipe, triggered_by=triggered_by)


def recorded_decision(settings: Settings, evidence: str, *, signer: str, reason: str) -> Artifact:
    """The decision on evidence that was committed last, if it is this signature.

    Raises:
        GateError: the lake holds no decision on it, or the last one is another's.
    """
    from headrace_jobs.gates.decide import last_decision
    from headrace_lake.lake import Lake

    return last_decision(Lake.open(settings), evidence, signer=signer, reason=reason)


def evidence_page(evidence: GateEvidence, approve: str) -> str:
    """The page's body in Markdown. Whatever was typed or measured is shown as text: it makes no section, link or picture.

    Args:
        approve: the word on the button that lets the run go on.
    """
    verdict = "**Go**: every rule holds" if evidence.passed else f"**No-Go**: {markdown(evidence.failing())}"
    lines = [
        f"### Gate `{evidence.gate}`, policy `{evidence.policy}`",
        "",
        f"The rules say {verdict}.",
        "",
        *rules_table(evidence),
    ]
    starter = f"**{markdown(evidence.triggered_by)}**, who triggered this run," if evidence.triggered_by else "Who triggered this run"
    may = "may sign it" if evidence.self_approval else "cannot sign it: an approval is refused and fails the gate, rejecting is allowed"
    named = f" Approvers: {markdown(', '.join(evidence.approvers))}." if evidence.approvers else ""
    means = (
        ""
        if evidence.passed
        else f" *{approve}* lets the run go on although rules do not hold: it needs a reason, and is kept as a waiver."
    )
    lines += ["", f"{starter} {may}.{named}{means} Evaluation `{evidence.fingerprint[:16]}`."]
    return "\n".join(lines)
