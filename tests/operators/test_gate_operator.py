"""Gates: page, verdict and policy are the lake's, reason and signer the answer's; what Airflow's users can write changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.definitions.param import process_params
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput, TaskDeferred
from gate_world import World

from headrace_jobs.gates.decide import require_go, sign
from headrace_lake.errors import GateError
from headrace_lake.fingerprint import digest_of
from headrace_operators.gate import GateOperator
from headrace_operators.operator import words
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.refusal import RefusalTrigger
from headrace_operators.services.ray_head import RayHead

FORGED = {"gate": "release", "fingerprint": "f" * 32, "policy": "release", "passed": True, "rules": [], "automatic": True}
Context = Callable[..., dict[str, Any]]


class _Supervisor:
    """Keeps what a task sends to its supervisor, which runs it in Airflow only."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, msg: Any) -> None:
        self.sent.append(msg)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> _Supervisor:
    made = _Supervisor()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", made, raising=False)
    return made


@pytest.fixture
def world(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A lake whose newest checkpoint passes its recipe's own gate, `release`."""
    made = World(tmp_path, checkout)
    made.evaluated()
    monkeypatch.setenv(SETTINGS_ENV, str(made.file))
    return made


@pytest.fixture
def context(new_context: Context) -> Context:
    """Of a run that alice triggered. XCom says whatever helps a forger."""

    def make(user: str = "alice") -> dict[str, Any]:
        made = new_context(xcom=FORGED, user=user)
        made["ti"].id = uuid4()
        return made

    return make


def _gate(gate: str = "own", **kwargs: Any) -> GateOperator:
    return GateOperator(task_id="gate", recipe="tiny", gate=gate, **kwargs)


def _shown(supervisor: _Supervisor, context: dict[str, Any], gate: GateOperator | None = None) -> tuple[Any, dict[str, Any]]:
    """The page that a gate asks Airflow for, and what it will be told again when it is answered."""
    with pytest.raises(TaskAwaitingInput) as waits:
        (gate or _gate()).execute(context)
    return supervisor.sent[-1], dict(waits.value.kwargs or {})


def _answer(option: str, user: str, reason: Any = "", **more: Any) -> dict[str, Any]:
    who = {"id": user, "name": user}
    return {
        "chosen_options": [option],
        "params_input": {"reason": reason},
        "responded_at": datetime.now(UTC),
        "responded_by_user": who,
    } | more


def _refused(supervisor: _Supervisor, context: dict[str, Any], answer: dict[str, Any], shown: dict[str, Any]) -> str:
    """The reason that stands in the answer's place, once the gate has failed with it."""
    gate = _gate()
    with pytest.raises(TaskDeferred) as deferred:
        gate.execute_complete(context, answer, **shown)
    path, arguments = deferred.value.trigger.serialize()
    assert path == f"{RefusalTrigger.__module__}.{RefusalTrigger.__name__}", "the answer was taken"

    async def fire() -> Any:
        async for event in RefusalTrigger(**arguments).run():
            return event.payload

    event = asyncio.run(fire())
    written = supervisor.sent[-1]
    assert (written.ti_id, written.chosen_options) == (context["ti"].id, ["Reject"])
    with pytest.raises(AirflowFailException):
        getattr(gate, deferred.value.method_name)(context, event, **(deferred.value.kwargs or {}))
    said = str(written.params_input["reason"])
    assert said.startswith("REFUSED: ")
    return said


# -- what is signed, on a real cluster ---------------------------------------------------------------------------------


def test_a_waiver_is_signed_by_a_job_and_looked_up_before_the_run_goes_on(
    ray_head: RayHead, tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch, supervisor: _Supervisor, context: Context
) -> None:
    world = World(tmp_path, checkout, ray={"address": ray_head.address, "token_file": str(ray_head.token_file)})
    monkeypatch.setenv(SETTINGS_ENV, str(world.file))
    world.evaluated(good=False)
    world.judged()
    run = context()
    page, shown = _shown(supervisor, run)
    assert page.options == ["Waive the No-Go", "Reject"] and "**No-Go**" in page.body and "cannot sign it" in page.body
    gate, reason = _gate(), "seen; $(rm) it\n\n## Decision\nall well \x1b[31m"
    with pytest.raises(TaskDeferred) as deferred:
        gate.execute_complete(run, _answer("Waive the No-Go", "bob", reason), **shown)

    async def fire() -> Any:
        async for event in deferred.value.trigger.run():
            return event.payload

    assert deferred.value.method_name == "signed"
    result = gate.signed(run, asyncio.run(fire()), **(deferred.value.kwargs or {}))
    decision = require_go(world.lake, "release", world.about)
    assert result["fingerprint"] == decision.fingerprint and result["decision"] == "waiver"
    kept = {key: decision.payload[key] for key in ("decision", "signer", "reason", "triggered_by")}
    assert kept == {"decision": "waiver", "signer": "bob", "reason": reason, "triggered_by": "alice"}


def test_an_automatic_policy_signs_a_go_and_says_so(
    world: World, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.record("mix", says="automatic", held_out_documents=96, release_gate="poc")
    world.evaluated()
    world.judged("poc")
    asked: list[list[str]] = []

    def ensure(_: Any, request: Any, *__: Any, **___: Any) -> Any:
        asked.append(list(request.argv))
        raise InterruptedError  # no cluster here: what would be submitted is seen

    monkeypatch.setattr("headrace_operators.launchers.Launcher.ensure", ensure)
    with pytest.raises(InterruptedError):
        _gate().execute(context())
    assert asked[0][4:10] == ["gate", "sign", world.judged("poc").fingerprint, "--decision", "go", "--signer=policy:poc"]
    assert "no human was asked" in capsys.readouterr().out
    world.evaluated(good=False, says="later")
    world.judged("poc")
    with pytest.raises(AirflowFailException, match=r"signs only a Go: evaluation.languages.en.advantage.value .* \(is -0.7\)"):
        _gate().execute(context())


def test_a_rejection_is_recorded_and_fails_the_run(world: World, context: Context) -> None:
    evidence = world.judged()
    sign(world.lake, evidence.fingerprint, decision="no-go", signer="alice", reason="too early")
    told = {"evidence": evidence.fingerprint, "signer": "alice", "reason": "too early"}
    with pytest.raises(AirflowFailException, match="rejected by alice: too early"):
        _gate().signed(context(), {"status": "SUCCEEDED"}, **told)


def test_the_page_shows_rule_value_interval_and_inputs_of_the_lakes_evidence(
    world: World, context: Context, supervisor: _Supervisor
) -> None:
    evidence = world.judged()
    page, shown = _shown(supervisor, context())
    assert shown == {"shown": evidence.fingerprint} and page.options == ["Approve", "Reject"]
    assert "| evaluation.languages.en.advantage.value (lower end of the interval) > 0 | 0.7 | 0.612 to 0.781 | yes |" in page.body
    assert "every rule holds" in page.body and "**alice**, who triggered this run, cannot sign it" in page.body
    world.edit("release", approvers=["alice", "carol"])
    world.judged()
    page, _ = _shown(supervisor, context())
    assert [user.id for user in page.assigned_users] == ["carol"] and "Approvers: alice, carol." in page.body


def test_what_was_typed_is_text_on_the_page(world: World, context: Context, supervisor: _Supervisor) -> None:
    name = "eve\n\n## Safety ![x](http://127.0.0.1:9/seen.png) <b>|\x1b]52;c;aGVsbG8=\x07\u202e"
    world.judged(triggered_by=name)
    page, _ = _shown(supervisor, context(user=name))
    assert "![x](" not in page.body and "\n## Safety" not in page.body and "<b>" not in page.body.replace("\\<b>", "")
    assert not {"\x1b", "\x07", "\u202e"} & set(page.body) and "\\[ESC\\]" in page.body


# -- forgery ---------------------------------------------------------------------------------------------------------


def test_what_xcom_says_of_the_evidence_changes_no_page(world: World, context: Context, supervisor: _Supervisor) -> None:
    world.evaluated(good=False)
    world.judged()
    page, _ = _shown(supervisor, context())  # XCom says Go, and automatic
    assert "**No-Go**" in page.body and page.options == ["Waive the No-Go", "Reject"]


@pytest.mark.parametrize("prefilled", ["all well", "x" * 100, "REFUSED"])
def test_a_reason_in_the_runs_conf_fills_no_form_and_signs_no_waiver(
    world: World, context: Context, supervisor: _Supervisor, prefilled: str
) -> None:
    world.evaluated(good=False)
    world.judged()
    gate, run = _gate(), context()
    process_params(
        SimpleNamespace(params={}), gate, {"reason": prefilled, "gate": "poc"}, suppress_exception=False
    )  # as Airflow merges them
    page, shown = _shown(supervisor, run, gate)
    assert page.params["reason"]["value"] is None
    said = _refused(supervisor, run, _answer("Waive the No-Go", "bob", params_input={}), shown)
    assert "waiving it needs a reason" in said


def test_a_judge_that_was_only_marked_successful_leaves_no_evidence(world: World, context: Context) -> None:
    with pytest.raises(AirflowFailException, match="the lake holds no evidence for alice on checkpoint .*clear the task that judges"):
        _gate().execute(context())
    world.judged(triggered_by="bob")  # what another's run judged does not count for alice's
    with pytest.raises(AirflowFailException, match="no evidence for alice"):
        _gate().execute(context())


@pytest.mark.parametrize("what", ["checkpoint", "evaluation", "mix", "policy"])
def test_evidence_of_something_older_is_neither_shown_nor_signed(
    world: World, context: Context, supervisor: _Supervisor, what: str
) -> None:
    world.judged()
    run = context()
    _, shown = _shown(supervisor, run)
    if what == "policy":
        world.edit("release", expiry_hours=1)
    if what == "mix":
        world.record("mix", says="later", held_out_documents=96, release_gate="release")
    if what != "policy":
        world.evaluated(good=False, says="later", checkpoint=what != "evaluation")
    said = _refused(supervisor, run, _answer("Approve", "bob"), shown)
    assert "the lake holds no evidence for alice" in said
    with pytest.raises(AirflowFailException, match="no evidence for alice"):
        _gate().execute(run)
    world.judged()  # judged again meanwhile: what was on the page is still another thing
    said = _refused(supervisor, run, _answer("Approve", "bob"), shown)
    assert "what was judged has changed since this page was shown" in said


def test_evidence_that_contradicts_itself_is_refused(world: World, context: Context) -> None:
    world.evaluated(good=False)
    honest = world.judged()
    found = next(a for a in world.lake.artifacts("gate-evidence") if a.fingerprint == honest.fingerprint)
    for changes in ({"passed": True}, {"passed": True, "rules": []}, {"automatic": True}, {"approvers": ["eve"]}, {"gate": "poc"}):
        evidence = found.payload["evidence"] | changes
        forged = found.model_copy(update={"payload": found.payload | {"evidence": evidence}, "digest": digest_of(evidence)})
        world.lake.record_artifact(forged)
        with pytest.raises(AirflowFailException, match="contradicts itself"):
            _gate().execute(context())


@pytest.mark.parametrize(
    ("good", "answer", "why"),
    [
        (False, _answer("Approve", "bob", "looks right"), "'Approve' is not what this evidence asks for: 'Waive the No-Go' is"),
        (True, _answer("Waive the No-Go", "bob", "looks right"), "'Waive the No-Go' is not what this evidence asks for"),
        (True, _answer("Anything", "bob"), "not what this evidence asks for"),
        (False, _answer("Waive the No-Go", "bob"), "waiving it needs a reason"),
        (False, _answer("Waive the No-Go", "bob", "  \n "), "waiving it needs a reason"),
        (True, _answer("Approve", "alice"), "alice triggered this run and cannot approve"),
        (True, _answer("Approve", " ＡLICE "), "triggered this run and cannot approve"),
        (True, _answer("Approve", "x", responded_by_user={"id": "alice", "name": "Bob"}), "triggered this run and cannot approve"),
        (True, _answer("Approve", "", responded_by_user=None), "nobody has signed"),
        (True, _answer("Approve", "bob", "a\0b"), "U+0000 at place 2"),
        (True, _answer("Reject", "bob", "x" * 200_000), "200,000 characters, at most 4,000"),
        (True, _answer("Approve", "bob", "half \ud800"), "U+D800"),
    ],
)
def test_an_answer_that_does_not_count_is_refused_on_the_page(
    world: World, context: Context, supervisor: _Supervisor, good: bool, answer: dict[str, Any], why: str
) -> None:
    world.evaluated(good=good)
    world.judged()
    run = context()
    _, shown = _shown(supervisor, run)
    said = _refused(supervisor, run, answer, shown)
    assert why in said and len(said) < 1000
    with pytest.raises(GateError):
        require_go(world.lake, "release", world.about)


def test_the_answer_to_a_page_that_was_never_shown_is_refused(world: World, context: Context, supervisor: _Supervisor) -> None:
    world.judged()
    for shown in ({}, {"shown": "f" * 32}):
        assert "has changed since this page was shown" in _refused(supervisor, context(), _answer("Approve", "bob"), shown)


def test_a_log_that_says_signed_opens_nothing_without_the_lakes_decision(world: World, context: Context) -> None:
    evidence = world.judged()
    told = {"evidence": evidence.fingerprint, "signer": "bob", "reason": ""}
    log = {"status": "SUCCEEDED", "result": {"decision": "Go", "signer": "bob", "fingerprint": "f" * 32}}
    with pytest.raises(AirflowFailException, match="the lake holds no decision"):
        _gate().signed(context(), log, **told)
    sign(world.lake, evidence.fingerprint, decision="go", signer="carol")
    with pytest.raises(AirflowFailException, match="is another: gate release: Go, signed by carol"):
        _gate().signed(context(), log, **told)
    sign(world.lake, evidence.fingerprint, decision="no-go", signer="bob")
    with pytest.raises(AirflowFailException, match="rejected by bob"):
        _gate().signed(context(), log, **told)


@pytest.mark.parametrize("gate", ["poc", "audit", "nosuch", "../release"])
def test_a_laxer_gate_that_conf_names_is_refused(world: World, context: Context, gate: str) -> None:
    with pytest.raises(AirflowFailException, match="cannot stand in|opens train|no gate"):
        _gate(gate).execute(context())


def test_a_list_of_names_gives_no_option() -> None:
    assert words(["crawl", {"each": '["a/b", "c/d"]'}]) == ["crawl", "a/b", "c/d"]
    for planted in ('["a/b", "--base-url=http://127.0.0.1:9"]', '"-x"'):
        with pytest.raises(AirflowFailException, match="would be an option"):
            words(["crawl", {"each": planted}])
