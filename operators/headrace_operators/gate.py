"""`GateOperator`: a Go/No-Go that a human signs in the Airflow UI, with the evidence on the page.

The rules are judged first, by an upstream task that runs `headrace gate evaluate` on the cluster and records what it found in the lake.
This operator looks that up (`headrace_operators.evidence`), shows it and waits (state `awaiting_input`, no worker, no triggerer). When it
is answered it looks it up once more, records the signed decision in the lake (`headrace gate sign`, as a job), finds that there, and only
then lets the run go on. Nothing that a user of Airflow can write (XCom, a run's conf, a task's state) is read for this: page, verdict and
policy are the lake's, reason and signer are those of the answer itself, whose user Airflow has authenticated.

Rules
- A Go is approved; a No-Go is waived: another button with another word, and it needs a written reason. Neither word stands for the other.
- Reject fails the run.
- Who triggered the run cannot let it pass, unless the gate's policy says `self_approval: true`. Airflow itself lets a user
  approve his own run, so it is enforced after the answer, in `headrace gate sign`, and in `assigned_users` where the policy
  names its approvers. He may reject it.
- What was signed is what was shown: if another checkpoint, evaluation or policy has come since, the answer is refused.
- A refused answer fails the gate, and its page says why: in the place of the answer (`RefusalTrigger`). Clearing the task asks again.
- A policy with `automatic: true` (the proof of concept) signs by itself when every rule holds, and says so: in the log, in
  the decision ("signed by policy:NAME") and in the lake. A No-Go is never signed automatically.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskAwaitingInput
from airflow.sdk.execution_time.hitl import upsert_hitl_detail

from headrace_jobs.gates.evidence import GateEvidence
from headrace_jobs.gates.policy import OWN, REASON_AT_MOST, refuse_reason, same_person
from headrace_lake.errors import HeadraceError
from headrace_lake.foreign_text import markdown, one_line
from headrace_operators.evidence import evidence_page, expected_evidence, recorded_decision
from headrace_operators.launchers import HEADRACE, JobSpec, launcher_of, settings_digest
from headrace_operators.operator import owner_of
from headrace_operators.operator_env import SETTINGS_ENV, current_settings
from headrace_operators.refusal import RefusalTrigger
from headrace_operators.trigger import JobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class GateOperator(ApprovalOperator):
    """Wait for a human's Go, unless the recorded policy signs.

    Args:
        recipe: whose newest checkpoint is released (template).
        gate: the policy that decides; `own` is the gate that the recipe names (template).
        program: words that start `headrace` where the job runs.
    """

    WAIVE = "Waive the No-Go"
    WORDS: ClassVar[dict[str, str]] = {ApprovalOperator.APPROVE: "go", WAIVE: "waiver", ApprovalOperator.REJECT: "no-go"}
    """Button → decision, as `headrace gate sign` takes it."""

    template_fields: Sequence[str] = ("subject", "recipe", "gate")

    def __init__(
        self,
        *,
        recipe: str,
        gate: str = OWN,
        subject: str = "Go or No-Go: {{ dag.dag_id }}, {{ run_id }}",
        program: Sequence[str] = HEADRACE,
        **kwargs: Any,
    ) -> None:
        # Airflow hands the DAG's own parameters through `params`; they stay out of the form that a human signs.
        kwargs.pop("params", None)
        super().__init__(subject=subject, body="", fail_on_reject=True, params={"reason": _reason_field()}, **kwargs)
        self.recipe = recipe
        self.gate = gate
        self.program = list(program)

    @property
    def serialized_params(self) -> dict[str, dict[str, Any]]:
        """The form: one empty field. Airflow would fill it from a run's conf, whoever wrote that; then the signer signs another's words."""
        return {"reason": _reason_field().serialize()}

    def execute(self, context: Context) -> Any:
        """Show the evidence and wait; or sign, if the policy is automatic."""
        try:
            evidence = self._evidence(context)
        except HeadraceError as exc:
            self._refuse(str(exc))
        approve = self._approve(evidence)
        self.body = evidence_page(evidence, approve)
        self.log.info("evidence\n%s", self.body)
        if evidence.automatic:
            signer = f"policy:{evidence.policy}"
            if not evidence.passed:
                self._refuse(f"gate {evidence.gate}: No-Go, and policy '{evidence.policy}' signs only a Go: {evidence.failing()}")
            self.log.info("policy '%s' is automatic: the gate is signed by %s, no human was asked", evidence.policy, signer)
            self._sign(context, evidence, approve, signer, "every rule holds; signed automatically by the recorded policy")
        if evidence.approvers:
            allowed = [user for user in evidence.approvers if evidence.self_approval or not same_person(user, _triggered_by(context))]
            self.assigned_users = [{"id": user, "name": user} for user in allowed]
        self.options = [approve, self.REJECT]
        try:
            return super().execute(context)
        except TaskAwaitingInput as wait:  # what was shown is remembered by Airflow's own record of the task, which no user writes
            raise TaskAwaitingInput(method_name=wait.method_name, kwargs={"shown": evidence.fingerprint}, timeout=wait.timeout) from None

    def execute_complete(self, context: Context, event: dict[str, Any], shown: str = "") -> Any:
        """A human has answered: check that he may, record the decision.

        Args:
            shown: fingerprint of the evidence that was on the page.
        """
        if "error" in event:
            return super().execute_complete(context, event)  # raises what the error means
        option = str(event["chosen_options"][0])
        who = event.get("responded_by_user") or {}
        names = [str(who.get(key) or "").strip() for key in ("name", "id")]
        reason = str((event.get("params_input") or {}).get("reason") or "").strip()
        try:
            evidence = self._evidence(context)
        except HeadraceError as exc:
            self._refuse_answer(context, None, str(exc))
        refusal = refuse_reason(reason)
        if not refusal and evidence.fingerprint != shown:
            refusal = "what was judged has changed since this page was shown: another checkpoint, evaluation or policy has come"
        if not refusal and option != self.REJECT:
            refusal = refuse_approval(evidence, names, _triggered_by(context), reason, option=option, approve=self._approve(evidence))
        if refusal:
            self._refuse_answer(context, evidence, refusal)
        self.log.info("%s by %s%s", option, one_line(names[0]), f": {one_line(reason)}" if reason else "")
        self._sign(context, evidence, option, names[0] or names[1], reason)

    def refused(self, context: Context, event: dict[str, Any], why: str) -> NoReturn:
        """The page says why the answer does not count: fail the gate."""
        self._refuse(why)

    def signed(self, context: Context, event: dict[str, Any], evidence: str, signer: str, reason: str) -> dict[str, Any]:
        """The job that signs has ended: go on if the lake holds this signature as the last one, and it lets the run pass."""
        if event["status"] != "SUCCEEDED":
            raise AirflowException(f"the decision could not be recorded: {one_line(str(event.get('error') or event.get('message')))}")
        try:
            found = recorded_decision(current_settings()[0], evidence, signer=signer, reason=reason)
        except HeadraceError as exc:
            self._refuse(str(exc))
        p = found.payload
        if p["decision"] not in ("Go", "waiver"):
            self._refuse(f"gate {p['gate']}: rejected by {p['signer']}: {p['reason'] or 'no reason given'}")
        return {"fingerprint": found.fingerprint, **{key: p[key] for key in ("gate", "decision", "signer", "automatic", "reason")}}

    def _approve(self, evidence: GateEvidence) -> str:
        return str(self.APPROVE if evidence.passed else self.WAIVE)

    def _refuse_answer(self, context: Context, evidence: GateEvidence | None, why: str) -> NoReturn:
        """Take the answer off the page, put the reason into its place, then fail. The reason is in the log in any case."""
        self.log.error("the answer does not count: %s", one_line(why))
        ti_id = context["task_instance"].id
        # What Airflow stores of a second request is only that there is no answer: the page's text stays as it was shown.
        page = markdown(why) if evidence is None else evidence_page(evidence, self._approve(evidence))
        upsert_hitl_detail(ti_id, self.options, self.subject, page, params=self.serialized_params)
        said = f"REFUSED: {one_line(why)}. Clear this task to ask again."
        self.defer(trigger=RefusalTrigger(str(ti_id), self.REJECT, said), method_name="refused", kwargs={"why": why})
        raise AssertionError("defer raises")

    def _refuse(self, why: str) -> NoReturn:
        self.log.error("%s", one_line(why))
        raise AirflowFailException(one_line(why))

    def _evidence(self, context: Context) -> GateEvidence:
        return expected_evidence(current_settings()[0], self.recipe, self.gate, _triggered_by(context))

    def _sign(self, context: Context, evidence: GateEvidence, option: str, signer: str, reason: str) -> NoReturn:
        settings, file = current_settings()
        launcher = launcher_of(settings)
        words = ["gate", "sign", evidence.fingerprint, "--decision", self.WORDS[option], f"--signer={signer}", f"--reason={reason}"]
        if triggered_by := _triggered_by(context):
            words.append(f"--triggered-by={triggered_by}")  # `gate sign` holds the policy once more: it also signs without Airflow
        identity = {"settings": settings_digest(settings), "run": context["ti"].run_id}
        spec = JobSpec([*self.program, *words], identity, {SETTINGS_ENV: file} if file else {}, confirm_within_s=120)
        ensured = launcher.ensure(spec, owner_of(context), say=self.log.info)
        self.log.info("recording the decision: %s %s %s", ensured.decision, launcher.called, ensured.job.submission_id)
        trigger = JobTrigger.of(launcher, ensured, 0.5)
        signature = {"evidence": evidence.fingerprint, "signer": signer, "reason": reason}
        self.defer(trigger=trigger, method_name="signed", kwargs=signature)
        raise AssertionError("defer raises")


def refuse_approval(evidence: GateEvidence, names: Sequence[str], triggered_by: str, reason: str, *, option: str, approve: str) -> str:
    """Why this answer does not let the run pass ('' if it does).

    Args:
        names: of who answered, as Airflow has authenticated him: name and id.
        option: the button that was pressed.
        approve: the button that lets evidence of this verdict pass.
    """
    user = next(filter(None, names), "")
    if not user:
        return "the answer names no user: nobody has signed"
    if option != approve:
        return f"'{option}' is not what this evidence asks for: '{approve}' is"
    starters = (triggered_by, evidence.triggered_by)
    if any(same_person(name, starter) for name in names for starter in starters) and not evidence.self_approval:
        return f"{user} triggered this run and cannot approve its gate (policy '{evidence.policy}'): ask somebody else"
    if evidence.approvers and user not in evidence.approvers:
        return f"{user} is not an approver of policy '{evidence.policy}': {', '.join(evidence.approvers)} are"
    if not evidence.passed and not reason:
        return f"gate {evidence.gate} is a No-Go ({evidence.failing()}): waiving it needs a reason"
    return ""


def _reason_field() -> Param:
    why = f"Why, in at most {REASON_AT_MOST:,} characters. Needed when a rule does not hold (a signed waiver)."
    return Param(None, type=["null", "string"], maxLength=REASON_AT_MOST, pattern="^[^\\u0000]*$", source="task", description=why)


def _triggered_by(context: Mapping[str, Any] | Any) -> str:
    return str(getattr(context.get("dag_run"), "triggering_user_name", None) or "")
