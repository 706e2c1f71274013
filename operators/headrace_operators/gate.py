"""`GateOperator`: a Go/No-Go that a human signs in the Airflow UI, with the evidence on the page.

The rule is judged first, by an upstream task that runs `headrace gate evaluate` on the cluster. This operator shows what
that found and waits (state `awaiting_input`, no worker, no triggerer). Then it records the signed decision in the lake
(`headrace gate sign`, a Ray job) and only then lets the run go on.

Rules of the house
- Reject fails the run.
- Who triggered the run cannot approve it, unless the gate's policy says `self_approval: true`. Airflow itself lets a user
  approve his own run, so it is enforced after the answer, in `headrace gate sign`, and in `assigned_users` where the policy
  names its approvers. He may reject it.
- Approving against a No-Go is a waiver: it needs a written reason.
- A refused approval fails the gate, and its page says why: in the place of the answer (`RefusalTrigger`). Clearing the task asks again.
- A policy with `automatic: true` (the proof of concept) signs by itself when every rule holds, and says so: in the log, in
  the decision ("signed by policy:NAME") and in the lake. A No-Go is never signed automatically.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

from headrace_jobs.gates.policy import same_person
from headrace_operators.evidence import Evidence, evidence_page, read_evidence
from headrace_operators.operator import HEADRACE, owner_of
from headrace_operators.operator_env import SETTINGS_ENV, current_settings
from headrace_operators.ray_jobs import JobRequest, RayJobs, settings_digest
from headrace_operators.refusal import RefusalTrigger
from headrace_operators.trigger import RayJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class GateOperator(ApprovalOperator):
    """Wait for a human's Go, unless the recorded policy signs.

    Args:
        evidence_task_id: the task whose result is the evidence (a `HeadraceOperator` on `gate evaluate`).
        program: words that start `headrace` on the cluster.
    """

    template_fields: Sequence[str] = ("subject", "body")

    def __init__(
        self,
        *,
        evidence_task_id: str,
        subject: str = "Go or No-Go: {{ dag.dag_id }}, {{ run_id }}",
        program: Sequence[str] = HEADRACE,
        **kwargs: Any,
    ) -> None:
        why = "Why. Needed when a rule does not hold (a signed waiver)."
        reason = Param(None, type=["null", "string"], source="task", description=why)
        # Airflow hands the DAG's own parameters through `params`; they stay out of the form that a human signs.
        kwargs.pop("params", None)
        super().__init__(subject=subject, body="", fail_on_reject=True, params={"reason": reason}, **kwargs)
        self.evidence_task_id = evidence_task_id
        self.program = list(program)

    def execute(self, context: Context) -> Any:
        """Show the evidence and wait; or sign, if the policy is automatic."""
        evidence = self._evidence(context)
        self.body = evidence_page(evidence)
        self.log.info("evidence\n%s", self.body)
        if evidence.automatic:
            signer = f"policy:{evidence.policy}"
            if not evidence.passed:
                self._refuse(f"gate {evidence.gate}: No-Go, and policy '{evidence.policy}' signs only a Go: {evidence.failing()}")
            self.log.info("policy '%s' is automatic: the gate is signed by %s, no human was asked", evidence.policy, signer)
            self._sign(context, evidence, self.APPROVE, signer, "every rule holds; signed automatically by the recorded policy")
        if evidence.approvers:
            allowed = [user for user in evidence.approvers if evidence.self_approval or not same_person(user, _triggered_by(context))]
            self.assigned_users = [{"id": user, "name": user} for user in allowed]
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """A human has answered: check that he may, record the decision."""
        if "error" in event:
            return super().execute_complete(context, event)  # raises what the error means
        evidence = self._evidence(context)
        option = event["chosen_options"][0]
        user = str((event.get("responded_by_user") or {}).get("name") or "")
        reason = str((event.get("params_input") or {}).get("reason") or "").strip()
        if option == self.APPROVE:
            refusal = refuse_approval(evidence, user, _triggered_by(context), reason)
            if refusal:
                self._refuse_answer(context, evidence, refusal)
        self.log.info("%s by %s%s", option, user, f": {reason}" if reason else "")
        self._sign(context, evidence, option, user, reason)

    def refused(self, context: Context, event: dict[str, Any], why: str) -> NoReturn:
        """The page says why the approval does not count: fail the gate."""
        self._refuse(why)

    def signed(self, context: Context, event: dict[str, Any], decision: dict[str, Any]) -> dict[str, Any]:
        """The decision is in the lake: go on, or fail the run."""
        if event["status"] != "SUCCEEDED":
            raise AirflowException(f"the decision could not be recorded: {event.get('error') or event.get('message')}")
        if decision["decision"] != self.APPROVE:
            self._refuse(f"gate {decision['gate']}: rejected by {decision['signer']}: {decision['reason'] or 'no reason given'}")
        return {**decision, "recorded": event.get("result") or {}}

    def _refuse_answer(self, context: Context, evidence: Evidence, why: str) -> NoReturn:
        """Take the answer off the page, put the reason into its place, then fail. The reason is in the log in any case."""
        self.log.error("the approval does not count: %s", why)
        ti_id = context["task_instance"].id
        # What Airflow stores of a second request is only that there is no answer: the page's text stays as it was shown.
        upsert_hitl_detail(ti_id, self.options, self.subject, evidence_page(evidence), params=self.serialized_params)
        said = f"REFUSED: {why}. Clear this task to ask again."
        self.defer(trigger=RefusalTrigger(str(ti_id), self.REJECT, said), method_name="refused", kwargs={"why": why})
        raise AssertionError("defer raises")

    def _refuse(self, why: str) -> NoReturn:
        self.log.error("%s", why)
        raise AirflowFailException(why)

    def _evidence(self, context: Context) -> Evidence:
        return read_evidence(context["ti"].xcom_pull(task_ids=self.evidence_task_id))

    def _sign(self, context: Context, evidence: Evidence, option: str, signer: str, reason: str) -> NoReturn:
        settings, file = current_settings()
        jobs = RayJobs.of(settings)
        decision = "go" if option == self.APPROVE else "no-go"
        words = ["gate", "sign", evidence.fingerprint, "--decision", decision, f"--signer={signer}", f"--reason={reason}"]
        if triggered_by := _triggered_by(context):
            words.append(f"--triggered-by={triggered_by}")  # `gate sign` holds the policy once more: it also signs without Airflow
        identity = {"settings": settings_digest(settings), "run": context["ti"].run_id}
        request = JobRequest([*self.program, *words], identity, {SETTINGS_ENV: file} if file else {}, confirm_within_s=120)
        ensured = jobs.ensure(request, owner_of(context), say=self.log.info)
        self.log.info("recording the decision: %s Ray job %s", ensured.decision, ensured.job.submission_id)
        trigger = RayJobTrigger.of(jobs, ensured, 0.5)
        signed = {"gate": evidence.gate, "decision": option, "signer": signer, "reason": reason, "automatic": evidence.automatic}
        self.defer(trigger=trigger, method_name="signed", kwargs={"decision": signed})
        raise AssertionError("defer raises")


def refuse_approval(evidence: Evidence, user: str, triggered_by: str, reason: str) -> str:
    """Why this approval does not count ('' if it does)."""
    if not user:
        return "the answer names no user: nobody has signed"
    if any(same_person(user, name) for name in (triggered_by, evidence.triggered_by)) and not evidence.self_approval:
        return f"{user} triggered this run and cannot approve its gate (policy '{evidence.policy}'): ask somebody else"
    if evidence.approvers and user not in evidence.approvers:
        return f"{user} is no approver of policy '{evidence.policy}': {', '.join(evidence.approvers)} are"
    if not evidence.passed and not reason:
        return f"gate {evidence.gate} is a No-Go ({evidence.failing()}): approving it needs a reason, the waiver"
    return ""


def _triggered_by(context: Mapping[str, Any] | Any) -> str:
    return str(getattr(context.get("dag_run"), "triggering_user_name", None) or "")
