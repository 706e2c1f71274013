"""Gates: who may sign what, and that the decision is recorded before anything goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from headrace_operators.evidence import evidence_page, read_evidence
from headrace_operators.gate import GateOperator, refuse_approval
from headrace_operators.refusal import RefusalTrigger

RULE = {"rule": "bits_per_byte.en <= 4.0", "value": 3.2145678, "low": 3.1, "high": 3.3, "passed": True, "inputs": ["checkpoint ab12"]}
GO = {"gate": "quality", "fingerprint": "f" * 32, "policy": "poc", "passed": True, "rules": [RULE]}
NO_GO = {**GO, "passed": False, "rules": [{**RULE, "passed": False}]}
ECHO = ["python", "-c", "import sys,json; print('HEADRACE_RESULT '+json.dumps({'argv': sys.argv[1:]}))"]


def _gate() -> GateOperator:
    return GateOperator(task_id="gate", evidence_task_id="evaluate", program=ECHO)


def _answer(option: str, user: str, reason: str = "") -> dict[str, Any]:
    return {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": user, "name": user},
    }


def _recorded(gate: GateOperator, context: dict[str, Any], deferred: TaskDeferred) -> dict[str, Any]:
    async def fire() -> Any:
        async for event in deferred.trigger.run():
            return event.payload

    assert deferred.method_name == "signed"
    return gate.signed(context, asyncio.run(fire()), **(deferred.kwargs or {}))


def test_an_automatic_policy_signs_a_go_and_says_so(ray_settings: Path, new_context: Callable[..., Any]) -> None:
    gate, context = _gate(), new_context(xcom={**GO, "automatic": True})
    with pytest.raises(TaskDeferred) as deferred:
        gate.execute(context)
    decision = _recorded(gate, context, deferred.value)
    assert (decision["decision"], decision["signer"], decision["automatic"]) == ("Approve", "policy:poc", True)
    argv = decision["recorded"]["argv"]
    assert argv[:6] == ["gate", "sign", "f" * 32, "--decision", "go", "--signer=policy:poc"] and "automatically" in argv[6]


def test_an_automatic_policy_never_signs_a_no_go(new_context: Callable[..., Any]) -> None:
    with pytest.raises(AirflowFailException, match=r"signs only a Go: bits_per_byte.en <= 4.0 \(is 3.215\)"):
        _gate().execute(new_context(xcom={**NO_GO, "automatic": True}))


def test_an_approval_is_recorded_before_the_run_goes_on(ray_settings: Path, new_context: Callable[..., Any]) -> None:
    gate, context = _gate(), new_context(xcom=GO, user="alice")
    with pytest.raises(TaskDeferred) as deferred:
        gate.execute_complete(context, _answer("Approve", "bob", "seen; $(rm) it"))
    decision = _recorded(gate, context, deferred.value)
    assert decision["signer"] == "bob"
    assert decision["recorded"]["argv"][-3:] == ["--signer=bob", "--reason=seen; $(rm) it", "--triggered-by=alice"]


def test_a_rejection_is_recorded_and_fails_the_run(ray_settings: Path, new_context: Callable[..., Any]) -> None:
    gate, context = _gate(), new_context(xcom=GO, user="alice")
    with pytest.raises(TaskDeferred) as deferred:
        gate.execute_complete(context, _answer("Reject", "alice", "too early"))
    with pytest.raises(AirflowFailException, match="rejected by alice: too early"):
        _recorded(gate, context, deferred.value)


class _Supervisor:
    """Keeps what a task sends to its supervisor, which runs it in Airflow only."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, msg: Any) -> None:
        self.sent.append(msg)


@pytest.mark.parametrize(("starter", "evidence"), [("alice", GO), ("scheduler", {**GO, "triggered_by": "Alice"})])
def test_a_refused_approval_is_replaced_by_its_reason_on_the_page_before_the_gate_fails(
    new_context: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, starter: str, evidence: dict[str, Any]
) -> None:
    supervisor, context, gate = _Supervisor(), new_context(xcom=evidence, user=starter), _gate()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    context["ti"].id = uuid4()
    with pytest.raises(TaskDeferred) as deferred:
        gate.execute_complete(context, _answer("Approve", "alice"))
    (taken_off,) = supervisor.sent
    assert taken_off.ti_id == context["ti"].id and "cannot sign it" in taken_off.body
    path, arguments = deferred.value.trigger.serialize()
    assert path == f"{RefusalTrigger.__module__}.{RefusalTrigger.__name__}"
    trigger = RefusalTrigger(**arguments)

    async def fire() -> Any:
        async for event in trigger.run():
            return event.payload

    event = asyncio.run(fire())
    written = supervisor.sent[-1]
    assert (written.ti_id, written.chosen_options) == (context["ti"].id, ["Reject"])
    assert written.params_input["reason"].startswith("REFUSED: alice triggered this run and cannot approve its gate")
    with pytest.raises(AirflowFailException, match="alice triggered this run and cannot approve"):
        getattr(gate, deferred.value.method_name)(context, event, **(deferred.value.kwargs or {}))


@pytest.mark.parametrize(
    ("evidence", "user", "triggered_by", "reason", "refusal"),
    [
        (GO, "bob", "alice", "", ""),
        (GO, "bob", "", "", ""),
        (GO, "", "", "", "names no user"),
        (GO, "alice", "alice", "", "cannot approve"),
        ({**GO, "self_approval": True}, "alice", "alice", "", ""),
        ({**GO, "approvers": ["carol"]}, "bob", "alice", "", "no approver"),
        (NO_GO, "bob", "alice", "", "needs a reason"),
        (NO_GO, "bob", "alice", "known issue, ticket 7", ""),
    ],
)
def test_refusals(evidence: dict[str, Any], user: str, triggered_by: str, reason: str, refusal: str) -> None:
    said = refuse_approval(read_evidence(evidence), user, triggered_by, reason)
    assert refusal in said and bool(said) == bool(refusal)


def test_a_gate_without_evidence_never_opens(new_context: Callable[..., Any]) -> None:
    for nothing in (None, {}, {"gate": "x"}):
        with pytest.raises(AirflowFailException, match="no valid evidence"):
            _gate().execute(new_context(xcom=nothing))


def test_the_page_shows_rule_value_interval_and_inputs() -> None:
    page = evidence_page(read_evidence({**NO_GO, "rules": [{**RULE, "rule": "a | b", "passed": False}]}))
    assert "| a \\| b | 3.215 | 3.1 to 3.3 | **no** | checkpoint ab12 |" in page
    assert "**No-Go**" in page and "cannot sign" in page
