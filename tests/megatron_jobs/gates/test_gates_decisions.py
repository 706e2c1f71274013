"""Gates: rules against evidence, who may sign, and what a decision allows."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_jobs.evaluation.bits_per_byte import DEFINITION
from headrace_jobs.gates.decide import require_go, sign
from headrace_jobs.gates.evidence import GateEvidence
from headrace_jobs.gates.judge import evaluate_gate, evidence_markdown, judge_rule, recorded_evidence
from headrace_jobs.gates.policy import GatePolicy, Rule, gate_of_release, known_gates, load_policy, may_sign, release_gates, same_person
from headrace_lake.errors import ConfigError, GateError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.lineage import up
from headrace_lake.receipts import Artifact
from headrace_lake.settings import Settings
from headrace_lake.strict import parse
from headrace_operators.evidence import evidence_page

LANGUAGES = [
    {"language": "en", "bits_per_byte": 2.0, "low": 1.9, "high": 2.1, "unigram": 2.5, "training_bytes": 2_000_000},
    {"language": "zh", "bits_per_byte": 2.4, "low": 2.2, "high": 2.6, "unigram": 2.5, "training_bytes": 2_000_000},
    {"language": "hi", "bits_per_byte": 9.0, "low": 8.0, "high": 9.5, "unigram": 2.5, "training_bytes": 10},
]
EVIDENCE = {"evaluation": {"languages": LANGUAGES, "overall": {"bits_per_byte": 2.2, "low": 2.1, "high": 2.3, "documents": 60}}}


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> Lake:
    """A lake whose gates a test may write."""
    shutil.copytree(settings.resolve(settings.policies), tmp_path / "policies")
    return Lake.open(settings.model_copy(update={"policies": str(tmp_path / "policies")}))


def declared(lake: Lake, gate: GatePolicy) -> GatePolicy:
    """Write a policy's file."""
    file = Path(lake.settings.policies) / "gates" / f"{gate.name}.yaml"
    file.write_text(yaml.safe_dump(gate.model_dump(mode="json")), encoding="utf-8")
    return gate


def rule(**changes: Any) -> Rule:
    return parse(
        {"metric": "evaluation.overall.bits_per_byte", "op": "<", "threshold": 3.0, "why": "test"} | changes, Rule, where="gate.yaml"
    )


def policy(**changes: Any) -> GatePolicy:
    data = {"name": "release", "evidence": ["evaluation"], "rules": [rule().model_dump()]}
    return parse(data | changes, GatePolicy, where="gate.yaml")


def test_every_entry_of_a_star_is_judged_for_itself_and_where_picks() -> None:
    wide = rule(
        metric="evaluation.languages.*.bits_per_byte", threshold="unigram", where=[{"field": "training_bytes", "op": ">=", "value": 1e6}]
    )
    results = judge_rule(wide, EVIDENCE, {"evaluation": "evaluation abc"})
    assert [(r.rule, r.passed) for r in results] == [
        ("evaluation.languages.en.bits_per_byte < 2.5 (unigram)", True),
        ("evaluation.languages.zh.bits_per_byte < 2.5 (unigram)", True),
    ]
    strict = judge_rule(wide.model_copy(update={"use": "upper"}), EVIDENCE, {})
    assert [r.passed for r in strict] == [True, False] and strict[1].high == 2.6


@pytest.mark.parametrize(("use", "threshold", "passed"), [("value", 2.25, True), ("upper", 2.25, False), ("lower", 2.15, True)])
def test_the_interval_may_decide(use: str, threshold: float, passed: bool) -> None:
    assert [r.passed for r in judge_rule(rule(use=use, threshold=threshold), EVIDENCE, {})] == [passed]


def test_a_rule_that_judges_nothing_does_not_hold() -> None:
    nothing = rule(metric="evaluation.languages.*.bits_per_byte", where=[{"field": "training_bytes", "op": ">", "value": 1e12}])
    assert [r.passed for r in judge_rule(nothing, EVIDENCE, {})] == [False]
    assert [r.passed for r in judge_rule(nothing.model_copy(update={"at_least": 0}), EVIDENCE, {})] == [True]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_never_passes(value: float) -> None:
    evidence = {"evaluation": {"overall": {"bits_per_byte": value}}}
    for op in ("<", "<=", ">", ">=", "=="):
        assert not judge_rule(rule(op=op), evidence, {})[0].passed


def test_an_interval_counts_only_for_the_metric_it_belongs_to() -> None:
    documents = rule(metric="evaluation.overall.documents", op=">=", threshold=50)
    assert (judge_rule(documents, EVIDENCE, {})[0].low, judge_rule(documents, EVIDENCE, {})[0].passed) == (None, True)
    with pytest.raises(ConfigError, match="not an interval of this metric"):
        judge_rule(documents.model_copy(update={"use": "lower"}), EVIDENCE, {})


def test_a_metric_that_is_not_there_lists_what_is() -> None:
    with pytest.raises(ConfigError, match="has no 'bpb'.*bits_per_byte, documents, high, low"):
        judge_rule(rule(metric="evaluation.overall.bpb"), EVIDENCE, {})


def test_the_gates_of_the_repository_read_and_an_unknown_one_lists_them(settings: Settings) -> None:
    assert known_gates(settings) == ["audit", "poc", "release"]
    assert load_policy(settings, "poc").automatic and not load_policy(settings, "release").automatic
    with pytest.raises(ConfigError, match="gates: audit, poc, release"):
        load_policy(settings, "nosuch")


def test_an_automatic_gate_must_say_why() -> None:
    with pytest.raises(ConfigError, match="must say why"):
        policy(automatic=True)


def test_who_triggered_a_run_cannot_approve_it_unless_the_policy_says_so() -> None:
    with pytest.raises(GateError, match="ann triggered the run"):
        may_sign(policy(), "ann", "ann")
    may_sign(policy(self_approval=True), "ann", "ann")
    may_sign(policy(), "ann", "bob")
    with pytest.raises(GateError, match="bob is not an approver"):
        may_sign(policy(approvers=["cleo"]), "ann", "bob")
    for signer in ("policy:release", "policy:other", "policy:", "", " "):
        with pytest.raises(GateError):
            may_sign(policy(), "ann", signer)


def world(lake: Lake, bits: float = 2.2) -> dict[str, Artifact]:
    """Mix, run, checkpoint and evaluation as the line leaves them."""
    mix = Artifact(kind="mix", name="tiny", fingerprint=digest_of("mix"))
    run = Artifact(kind="run", name="tiny", fingerprint=digest_of("run"), parents=(mix.fingerprint,))
    checkpoint = Artifact(kind="checkpoint", name="tiny", fingerprint=digest_of("checkpoint"), parents=(run.fingerprint,))
    overall = {"bits_per_byte": bits, "low": bits - 0.1, "high": bits + 0.1}
    evaluation = Artifact(
        kind="evaluation",
        name="tiny",
        fingerprint=digest_of(["evaluation", bits]),
        parents=(checkpoint.fingerprint, mix.fingerprint),
        payload={"definition": DEFINITION, "overall": overall},
    )
    made = {a.kind: a for a in (mix, run, checkpoint, evaluation)}
    for a in made.values():
        lake.record_artifact(a)
    return made


def judged(lake: Lake, gate: GatePolicy, **asked: str) -> GateEvidence:
    return evaluate_gate(lake, declared(lake, gate), "tiny", **asked)[0]


def about(made: dict[str, Artifact]) -> dict[str, str]:
    """What a release is about."""
    return {kind: made[kind].fingerprint for kind in ("checkpoint", "mix", "evaluation")}


def test_a_go_opens_for_its_own_inputs_only(lake: Lake) -> None:
    made = about(world(lake))
    declared(lake, policy())
    with pytest.raises(GateError, match="no decision on checkpoint"):
        require_go(lake, "release", made)
    evidence, action = evaluate_gate(lake, policy(), "tiny")
    assert evidence.passed and action == "computed" and evaluate_gate(lake, policy(), "tiny")[1] == "adopted"
    with pytest.raises(GateError, match="no decision on checkpoint"):
        require_go(lake, "release", made)  # evidence alone opens nothing
    decision, _ = sign(lake, evidence.fingerprint, decision="go", signer="bob", triggered_by="ann")
    assert require_go(lake, "release", made).fingerprint == decision.fingerprint
    assert decision.payload["decision"] == "Go" and decision.payload["automatic"] is False
    with pytest.raises(GateError, match=r"its 1 decisions are about other inputs.*gate evaluate release"):
        require_go(lake, "release", made | {"checkpoint": digest_of("another checkpoint")})
    with pytest.raises(GateError, match="gate poc: no decision on checkpoint .*what gates release decided does not count here"):
        require_go(lake, "poc", made)
    with pytest.raises(GateError, match="gate audit opens train, not 'release'"):
        require_go(lake, "audit", made)
    names = {n.kind for n in up(lake, decision.fingerprint)}
    assert {"gate", "gate-evidence", "evaluation", "checkpoint", "run", "mix"} <= names


def test_a_gate_that_looks_at_the_mix_only_still_opens_for_one_checkpoint(lake: Lake) -> None:
    made = world(lake)
    small = policy(evidence=["mix"], rules=[rule(metric="mix.documents").model_dump()])
    mix = made["mix"].model_copy(update={"payload": {"documents": 2}, "created_at": datetime.now(UTC)})
    lake.record_artifact(mix)
    sign(lake, judged(lake, small).fingerprint, decision="go", signer="bob")
    assert require_go(lake, "release", {"checkpoint": made["checkpoint"].fingerprint})
    with pytest.raises(GateError, match="are about other inputs"):
        require_go(lake, "release", {"checkpoint": digest_of("the next one"), "mix": mix.fingerprint})


def test_signing_again_is_adopted_and_a_change_of_mind_counts(lake: Lake) -> None:
    made = about(world(lake))
    fingerprint = judged(lake, policy()).fingerprint
    first, _ = sign(lake, fingerprint, decision="go", signer="bob")
    assert sign(lake, fingerprint, decision="go", signer="bob") == (first, "adopted")
    sign(lake, fingerprint, decision="no-go", signer="cleo", reason="canary leaked")
    with pytest.raises(GateError, match="No-Go, signed by cleo: canary leaked"):
        require_go(lake, "release", made)
    again, action = sign(lake, fingerprint, decision="go", signer="bob")
    assert action == "computed" and require_go(lake, "release", made).fingerprint == again.fingerprint


def test_of_two_signers_the_later_commit_wins_in_20_of_20_however_wrong_their_clocks(lake: Lake) -> None:
    made = about(world(lake))
    fingerprint = judged(lake, policy(expiry_hours=24 * 30)).fingerprint
    rng = random.Random(18)
    for number in range(20):
        off = timedelta(days=rng.choice((-2, 2)))
        first, second = rng.choice((("go", "no-go"), ("no-go", "go")))
        sign(lake, fingerprint, decision=first, signer="bob", reason=f"{number}", now=datetime.now(UTC) + off)  # type: ignore[arg-type]
        last, _ = sign(lake, fingerprint, decision=second, signer="cleo", reason=f"{number}", now=datetime.now(UTC) - off)  # type: ignore[arg-type]
        if second == "go":
            assert require_go(lake, "release", made, now=datetime.now(UTC)) == last, number
        else:
            with pytest.raises(GateError, match=f"No-Go, signed by cleo: {number}$|No-Go, signed by cleo: {number}[^0-9]"):
                require_go(lake, "release", made)


def test_of_two_who_sign_at_once_the_second_is_told_of_the_first(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Go that did not know of a No-Go never stands after it, whichever clock is behind."""
    made = about(world(lake))
    fingerprint = judged(lake, policy()).fingerprint
    plain, quicker = Lake.record_artifact, [True]

    def overtaken(self: Lake, artifact: Artifact, **kwargs: Any) -> None:
        if artifact.payload["signer"] == "bob" and quicker.pop():
            sign(Lake.open(lake.settings), fingerprint, decision="no-go", signer="cleo", now=datetime.now(UTC) - timedelta(days=2))
        plain(self, artifact, **kwargs)

    monkeypatch.setattr(Lake, "record_artifact", overtaken)
    with pytest.raises(GateError, match="meanwhile, gate release: No-Go, signed by cleo"):
        sign(lake, fingerprint, decision="go", signer="bob")
    with pytest.raises(GateError, match="No-Go, signed by cleo"):
        require_go(lake, "release", made)
    assert len(lake.artifacts("gate")) == 1


def test_a_no_go_passes_only_by_a_persons_waiver_with_a_reason(lake: Lake) -> None:
    made = about(world(lake, bits=5.0))
    evidence = judged(lake, policy(automatic=True, reason="test"))
    assert not evidence.passed
    with pytest.raises(GateError, match="a policy signs only a Go"):
        sign(lake, evidence.fingerprint, decision="go", signer="policy:release")
    with pytest.raises(GateError, match="letting it pass is a waiver: --decision waiver"):
        sign(lake, evidence.fingerprint, decision="go", signer="bob", reason="known and accepted")
    for nothing in ("", " \n"):
        with pytest.raises(GateError, match="give --reason"):
            sign(lake, evidence.fingerprint, decision="waiver", signer="bob", reason=nothing)
    with pytest.raises(GateError, match="a policy signs only a Go"):
        sign(lake, evidence.fingerprint, decision="waiver", signer="policy:release", reason="known")
    decision, _ = sign(lake, evidence.fingerprint, decision="waiver", signer="bob", reason="known and accepted")
    assert decision.payload["decision"] == "waiver"
    assert require_go(lake, "release", made).payload["reason"] == "known and accepted"


def test_a_go_is_nothing_to_waive(lake: Lake) -> None:
    world(lake)
    evidence = judged(lake, policy())
    with pytest.raises(GateError, match="there is nothing to waive"):
        sign(lake, evidence.fingerprint, decision="waiver", signer="bob", reason="to be sure")
    assert lake.artifacts("gate") == []


@pytest.mark.parametrize("reason", ["a\0b", "x" * 200_000, "half \ud800 pair"])
def test_a_reason_that_no_command_line_takes_is_refused(lake: Lake, reason: str) -> None:
    world(lake)
    evidence = judged(lake, policy())
    with pytest.raises(GateError, match="which no command line takes|200,000 characters, at most 4,000 are kept"):
        sign(lake, evidence.fingerprint, decision="no-go", signer="bob", reason=reason)
    assert lake.artifacts("gate") == []


def test_an_automatic_signature_says_so_and_is_never_a_no_go(lake: Lake) -> None:
    world(lake)
    evidence = judged(lake, policy(automatic=True, reason="nobody is there"))
    with pytest.raises(GateError, match="a policy signs only a Go"):
        sign(lake, evidence.fingerprint, decision="no-go", signer="policy:release")
    decision, _ = sign(lake, evidence.fingerprint, decision="go", signer="policy:release")
    assert decision.payload["automatic"] is True
    assert decision.payload["note"] == "signed automatically by the recorded policy, no human was asked: nobody is there"


def test_nobody_signs_as_a_policy_that_a_person_must_sign(lake: Lake) -> None:
    world(lake)
    evidence = judged(lake, policy())
    for signer in (
        "policy:release",
        "policy:poc",
        "Policy:release",
        " policy:release",
        "policy :release",
        "POLICY/release",
        "ｐｏｌｉｃｙ:x",
    ):
        with pytest.raises(GateError):
            sign(lake, evidence.fingerprint, decision="go", signer=signer)
    with pytest.raises(GateError):
        sign(lake, evidence.fingerprint, decision="no-go", signer="policy:release")
    assert lake.artifacts("gate") == []


def test_who_is_known_to_have_triggered_cannot_sign_though_the_name_is_left_out(lake: Lake) -> None:
    made = about(world(lake))
    from_airflow = judged(lake, policy(), triggered_by="admin")
    by_hand = judged(lake, policy())
    assert from_airflow.fingerprint != by_hand.fingerprint and from_airflow.triggered_by == "admin"
    for evidence in (from_airflow, by_hand):
        for signer in ("admin", " Admin "):
            with pytest.raises(GateError, match="triggered the run and cannot sign"):
                sign(lake, evidence.fingerprint, decision="go", signer=signer, triggered_by="somebody-else")
    decision, _ = sign(lake, from_airflow.fingerprint, decision="go", signer="reviewer")
    assert decision.payload["triggered_by"] == "admin" and require_go(lake, "release", made) == decision
    sign(lake, by_hand.fingerprint, decision="no-go", signer="admin")  # may always stop it
    with pytest.raises(GateError, match="No-Go, signed by admin"):
        require_go(lake, "release", made)
    assert same_person("Ann", "ａnn ") and not same_person("", "") and not same_person("ann", "anna")


def test_a_policy_that_was_edited_after_its_rules_were_judged_is_neither_signed_nor_opens(lake: Lake) -> None:
    made = about(world(lake))
    evidence = judged(lake, policy())
    sign(lake, evidence.fingerprint, decision="go", signer="bob")
    edits: dict[str, dict[str, Any]] = {
        "rules": {"rules": [rule(threshold=9.0).model_dump()]},
        "automatic, reason": {"automatic": True, "reason": "faster"},
        "approvers": {"approvers": ["eve"]},
        "self_approval": {"self_approval": True},
        "expiry_hours": {"expiry_hours": 9999},
    }
    for fields, changes in edits.items():
        declared(lake, policy(**changes))
        says = rf"its policy was changed \({fields}\) after its rules were judged.*gate evaluate release"
        with pytest.raises(GateError, match=says):
            require_go(lake, "release", made)
        with pytest.raises(GateError, match=says):
            sign(lake, evidence.fingerprint, decision="go", signer="bob", reason="again")
    declared(lake, policy())
    assert require_go(lake, "release", made)  # as it was when its rules were judged
    looser = policy(approvers=["eve"])
    sign(lake, judged(lake, looser).fingerprint, decision="go", signer="eve")
    assert require_go(lake, "release", made).payload["signer"] == "eve"


def test_a_decision_that_is_not_what_its_evidence_says_opens_nothing(lake: Lake) -> None:
    made = world(lake, bits=5.0)
    evidence = judged(lake, policy())
    stop, _ = sign(lake, evidence.fingerprint, decision="no-go", signer="cleo", reason="canary leaked")
    forged = {
        "rules do not hold": {"decision": "Go", "signer": "bob"},
        "cannot sign its gate": {"decision": "waiver", "signer": "bob", "triggered_by": "bob"},
        "may not sign": {"decision": "waiver", "signer": "policy:release", "automatic": True},
        "not what its evidence says": {"decision": "waiver", "signer": "policy:release", "automatic": False},
        "expired at": {"decision": "waiver", "signer": "bob", "signed_at": "2020-01-01T00:00:00+00:00"},
        "a waiver is recorded without a reason": {"decision": "waiver", "signer": "bob", "reason": ""},
    }
    for number, (says, changes) in enumerate(forged.items()):
        earlier = [d.fingerprint for d in lake.artifacts("gate")]
        payload = stop.payload | changes | {"supersedes": earlier, "expires_at": "2099-01-01T00:00:00+00:00"}
        lake.record_artifact(stop.model_copy(update={"fingerprint": digest_of(number), "digest": digest_of(payload), "payload": payload}))
        with pytest.raises(GateError, match=says):
            require_go(lake, "release", about(made))
    lake.record_artifact(stop.model_copy(update={"payload": stop.payload | {"decision": "waiver", "reason": "edited"}}))  # the digest stays
    with pytest.raises(GateError, match="not what its evidence says"):
        require_go(lake, "release", about(made))


def test_a_decision_expires_and_can_be_signed_again(lake: Lake) -> None:
    made = about(world(lake))
    fingerprint = judged(lake, policy(expiry_hours=1)).fingerprint
    then = datetime.now(UTC) - timedelta(hours=2)
    sign(lake, fingerprint, decision="go", signer="bob", now=then)
    assert require_go(lake, "release", made, now=then + timedelta(minutes=59))
    with pytest.raises(GateError, match="expired at"):
        require_go(lake, "release", made)
    assert sign(lake, fingerprint, decision="go", signer="bob")[1] == "computed"
    assert require_go(lake, "release", made)


def test_a_new_evaluation_needs_a_new_decision(lake: Lake) -> None:
    made = world(lake)
    first = judged(lake, policy())
    later = world(lake, bits=2.3)["evaluation"]
    second = judged(lake, policy())
    assert first.fingerprint != second.fingerprint
    sign(lake, first.fingerprint, decision="go", signer="bob")
    with pytest.raises(GateError, match="with its newest evaluation; its 1 decisions are about other inputs"):
        require_go(lake, "release", about(made | {"evaluation": later}))


def test_another_gate_may_only_be_stricter_than_the_recipes_own(lake: Lake) -> None:
    declared(lake, policy(approvers=["ann", "bob"], expiry_hours=72))
    more = [rule().model_dump(), rule(op=">", threshold=1.0).model_dump()]
    strict = {"name": "board", "rules": more, "approvers": ["ann"], "expiry_hours": 24}
    declared(lake, policy(**strict))
    settings = lake.settings
    assert gate_of_release(settings, "release").name == gate_of_release(settings, "release", "own").name == "release"
    assert gate_of_release(settings, "release", "board").name == gate_of_release(settings, "poc", "board").name == "board"
    assert gate_of_release(settings, "poc").automatic
    for changes, says in (
        ({"approvers": ["eve"]}, "others than ann, bob may sign it"),
        ({"approvers": []}, "others than ann, bob may sign it"),
        ({"expiry_hours": 100}, "hold for 100 hours, not 72"),
        ({"self_approval": True}, "lets who triggered the run sign"),
        ({"rules": more[1:]}, "lacks the rule evaluation.overall.bits_per_byte < 3"),
        ({"automatic": True, "reason": "x"}, "automatic: no human would be asked"),
        ({"opens": ["train"]}, "opens train, not a release"),
    ):
        declared(lake, policy(**strict | changes))
        with pytest.raises(GateError, match=says):
            gate_of_release(settings, "release", "board")
    with pytest.raises(GateError, match="cannot stand in for 'release', the recipe's own gate: it is automatic"):
        gate_of_release(settings, "release", "poc")
    declared(lake, policy(**strict))
    assert set(release_gates(settings)) == {"board", "release"}
    with pytest.raises(ConfigError, match="stands for the recipe's own gate"):
        policy(name="own")


def test_missing_inputs_name_the_command(lake: Lake) -> None:
    with pytest.raises(InputError, match="headrace mix compile tiny"):
        evaluate_gate(lake, policy(), "tiny")
    lake.record_artifact(Artifact(kind="mix", name="tiny", fingerprint=digest_of("mix")))
    with pytest.raises(InputError, match="headrace train"):
        evaluate_gate(lake, policy(), "tiny")


def test_the_approval_page_reads_what_the_gate_writes(lake: Lake) -> None:
    world(lake)
    evidence = judged(lake, policy())
    assert recorded_evidence(lake, policy(), "tiny") == evidence
    assert "every rule holds" in evidence_page(evidence, "Approve")
    table = evidence_markdown(evidence)
    assert "| evaluation.overall.bits_per_byte < 3 | 2.2 | 2.1 to 2.3 | yes | evaluation" in table
