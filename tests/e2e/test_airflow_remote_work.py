"""What is true of every task: its log streams, killing it stops the remote job, a gate is signed in the UI, nothing leaks."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest
from patience import PATIENCE_S
from playwright.sync_api import Page, expect
from sqlalchemy import create_engine, text

from headrace_jobs.evaluation.bits_per_byte import DEFINITION
from headrace_jobs.gates.decide import require_go
from headrace_lake.errors import GateError, ServiceError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact

# name → (recipe, gate, who answers, with what, why the run fails; '' where it succeeds)
GATES: dict[str, tuple[str, str, str, str, str]] = {
    "rejected": ("rejected", "release", "reviewer", "Reject", "rejected by reviewer: no"),
    "automatic no-go": ("poor", "own", "", "", "signs only a Go"),
    "automatic": ("fine", "own", "", "", ""),
}
GOOD, BAD = {"value": 0.7, "low": 0.612, "high": 0.781}, {"value": -0.7, "low": -0.781, "high": -0.612}


def _checkpoint(recipe: str) -> str:
    return digest_of(["e2e", "checkpoint", recipe])


CHECKPOINT = _checkpoint("tiny")


@pytest.fixture(scope="module", autouse=True)
def begun(stack: Any) -> dict[str, str]:
    """Name → run: what needs no hand until it asks for one begins at once, all triggered by admin."""
    lake = Lake.open(stack.services.settings)
    for recipe, advantage in {"tiny": GOOD, "rejected": GOOD, "fine": GOOD, "poor": BAD, "forged": BAD}.items():
        _record_checkpoint(lake, recipe, advantage)
    runs = {"release": stack.admin.trigger("release", {"recipe": "tiny"})}
    runs["overtaken"] = stack.admin.trigger("probe_resume", {})
    runs |= {name: stack.admin.trigger("probe_gate", {"recipe": recipe, "gate": gate}) for name, (recipe, gate, *_) in GATES.items()}
    runs["forged"] = stack.admin.trigger("probe_gate", {"recipe": "forged", "gate": "release", "reason": "all well", "_options": "Approve"})
    tag = uuid.uuid4().hex
    return runs | {f"shared {i}": stack.admin.trigger("probe_log", {"lines": 12, "tag": tag}) for i in (1, 2)}


def _deferred(stack: Any, lines: int) -> tuple[str, str]:
    """A run of `probe_log` that is on Ray now, and its job."""
    run_id = stack.admin.trigger("probe_log", {"lines": lines, "tag": uuid.uuid4().hex})
    stack.wait_for("probe_log", run_id, "count", {"deferred"})
    return run_id, str(stack.admin.xcom("probe_log", run_id, "count", "job")["submission_id"])


def _ended(stack: Any, sid: str, within_s: float = PATIENCE_S) -> str:
    deadline = time.monotonic() + within_s
    while not (job := stack.jobs.describe(sid)).terminal:
        assert time.monotonic() < deadline, f"{sid} still runs"
        time.sleep(0.3)
    return str(job.status)


def _running(stack: Any, sid: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while "remote line 0" not in stack.jobs.logs(sid):
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_the_remote_log_reaches_the_ui_while_the_job_runs(stack: Any, sign_in: Callable[[str], Page]) -> None:
    page = sign_in("admin")
    run_id, sid = _deferred(stack, 1200)
    page.goto(stack.task_url("probe_log", run_id, "count"))
    expect(page.get_by_text(re.compile(r"remote line 3\b")).first).to_be_visible()
    assert not stack.jobs.describe(sid).terminal
    stack.admin.mark("probe_log", run_id, "count", "failed")
    assert _ended(stack, sid) == "STOPPED", "marking the task failed must stop its job"


def test_clearing_a_task_stops_its_job_and_starts_it_again(stack: Any) -> None:
    run_id, first = _deferred(stack, 8)
    _running(stack, first)
    stack.admin.clear("probe_log", run_id, ["count"])
    assert _ended(stack, first) in ("STOPPED", "SUCCEEDED")
    assert stack.admin.wait("probe_log", run_id, within_s=PATIENCE_S) == "success"
    second = stack.admin.xcom("probe_log", run_id, "count", "job")["submission_id"]
    assert second == first.removesuffix("-1") + "-2"


def test_two_runs_of_the_same_work_share_one_job(stack: Any, begun: dict[str, str]) -> None:
    runs = [begun["shared 1"], begun["shared 2"]]
    assert [stack.admin.wait("probe_log", run, within_s=PATIENCE_S) for run in runs] == ["success"] * 2
    asked = [stack.admin.xcom("probe_log", run, "count", "job") for run in runs]
    assert sorted(a["decision"] for a in asked) == ["attached", "submitted"]
    assert len({a["submission_id"] for a in asked}) == 1


def test_a_task_whose_first_process_ends_after_it_was_resumed_goes_on(stack: Any, begun: dict[str, str]) -> None:
    """Airflow's own LocalExecutor fails it: "finished with state success, but the task instance's state attribute is running"."""
    assert stack.admin.wait("probe_resume", begun["overtaken"], within_s=PATIENCE_S) == "success"
    assert stack.admin.xcom("probe_resume", begun["overtaken"], "overtaken") == "resumed"
    log = (stack.services.airflow.folder / "run" / "airflow-scheduler.log").read_text(encoding="utf-8")
    assert "that was deferred; the one that resumed it goes on" in log


def test_a_release_gate_is_approved_in_the_ui_by_somebody_else(
    stack: Any, begun: dict[str, str], sign_in: Callable[[str], Page], shoot: Callable[[Page, str], None]
) -> None:
    run_id = begun["release"]
    stack.wait_for("release", run_id, "gate", {"awaiting_input"})
    time.sleep(3)  # Airflow fails a gate that is answered within its first 1.5 s
    page = sign_in("reviewer")
    page.goto(f"{stack.task_url('release', run_id, 'gate')}/required_actions")
    table = page.get_by_role("table")
    expect(table.get_by_text("evaluation.languages.en.advantage.value (lower end of the interval) > 0")).to_be_visible()
    expect(table.get_by_text("0.612 to 0.781").first).to_be_visible()
    expect(page.get_by_text("admin, who triggered this run, cannot sign it")).to_be_visible()
    assert page.locator("[id^=element_]").count() == 1, "the DAG's parameters are no part of what is signed"
    page.locator("#element_reason").fill("looks right")
    shoot(page, "gate")
    page.get_by_role("button", name="Approve").click()
    stack.wait_for("release", run_id, "gate", {"success"})
    decision = require_go(Lake.open(stack.services.settings), "release", {"checkpoint": CHECKPOINT}).payload
    assert (decision["decision"], decision["signer"], decision["triggered_by"], decision["reason"]) == (
        "Go",
        "reviewer",
        "admin",
        "looks right",
    )


def _record_checkpoint(lake: Lake, recipe: str, interval: dict[str, float]) -> None:
    """An evaluated checkpoint, as training and evaluation record it; there are no weights behind it."""
    row = {
        "bits_per_byte": 2.2,
        "low": 2.1,
        "high": 2.3,
        "unigram": 2.9,
        "advantage": interval,
        "documents": 96,
        "training_bytes": 2_400_000,
    }
    languages = [{"language": name, **row} for name in ("en", "zh", "de")]
    parents: tuple[str, ...] = ()
    payloads: dict[str, dict[str, Any]] = {
        "mix": {"held_out_documents": 96, "release_gate": "poc"},
        "run": {"steps": 150},
        "checkpoint": {},
        "evaluation": {"definition": DEFINITION, "languages": languages, "overall": {"language": "all", **row}},
    }
    for kind, payload in payloads.items():
        fingerprint = digest_of(["e2e", kind, recipe])
        lake.record_artifact(
            Artifact(kind=kind, name=recipe, fingerprint=fingerprint, digest=fingerprint, parents=parents, payload=payload)
        )
        parents = (*parents, fingerprint)


def test_every_gate_that_the_form_of_release_offers_asks_a_human_or_says_that_it_does_not(
    stack: Any, begun: dict[str, str], sign_in: Callable[[str], Page], shoot: Callable[[Page, str], None]
) -> None:
    page = sign_in("admin")
    offered = {
        "release": "release: signed by a person, never by who triggered the run; a decision holds for 72 hours",
        "own": "the recipe's own: tiny → poc (AUTOMATIC, no human is asked)",
    }
    runs = {}
    for gate, words in offered.items():
        before = {run["dag_run_id"] for run in stack.admin.runs("release")}
        page.goto("/dags/release")
        page.get_by_role("button", name="Trigger").first.click()
        form = page.get_by_role("dialog")
        form.get_by_role("combobox").nth(1).click()
        assert page.get_by_role("option").all_text_contents() == list(offered.values())
        page.get_by_role("option", name=words).click()
        expect(form.get_by_text("Which policy decides")).to_be_visible()
        shoot(page, f"release-{gate}")
        form.get_by_role("button", name="Trigger", exact=True).click()
        expect(form).not_to_be_visible()
        deadline = time.monotonic() + PATIENCE_S
        while not (new := {run["dag_run_id"] for run in stack.admin.runs("release")} - before):
            assert time.monotonic() < deadline, "the UI started no run"
            time.sleep(0.5)
        runs[gate] = new.pop()
    with pytest.raises(ServiceError, match="'poc' is not one of"):
        stack.admin.trigger("release", {"recipe": "tiny", "gate": "poc"})  # nor does the API take what the form does not offer
    page.goto("about:blank")  # a page of Airflow's that is left open asks and draws all the time
    stack.wait_for("release", runs["release"], "gate", {"awaiting_input"}, within_s=PATIENCE_S)  # a human is asked
    stack.wait_for("release", runs["own"], "gate", {"success"}, within_s=PATIENCE_S)
    log = stack.admin.task_log("release", runs["own"], "gate")
    assert "policy 'poc' is automatic: the gate is signed by policy:poc, no human was asked" in log
    assert "gate poc, which recipe tiny names, is AUTOMATIC" in stack.admin.task_log("release", runs["own"], "judge")
    assert require_go(Lake.open(stack.services.settings), "poc", {"checkpoint": CHECKPOINT}).payload["signer"] == "policy:poc"
    _refused_on_the_page(stack, runs["release"], page, shoot)


def _refused_on_the_page(stack: Any, run_id: str, page: Page, shoot: Callable[[Page, str], None]) -> None:
    """Who triggered the run approves it; its page says why that does not count."""
    time.sleep(3)
    page.goto(f"{stack.task_url('release', run_id, 'gate')}/required_actions")
    page.get_by_role("button", name="Approve").click()
    stack.wait_for("release", run_id, "gate", {"failed"})
    page.reload()
    reason = page.locator("#element_reason")
    expect(reason).to_have_value(re.compile("^REFUSED: admin triggered this run and cannot approve its gate"))
    shoot(page, "refused")
    assert "admin triggered this run and cannot approve its gate" in stack.admin.task_log("release", run_id, "gate")
    assert stack.task("release", run_id, "build")["state"] == "upstream_failed"
    stack.admin.clear("release", run_id, ["gate"])  # asks again
    stack.wait_for("release", run_id, "gate", {"awaiting_input"})
    time.sleep(3)
    stack.reviewer.answer("release", run_id, "gate", "Reject", {"reason": "seen enough"})
    stack.wait_for("release", run_id, "gate", {"failed"})


@pytest.fixture(scope="module")
def gate_runs(stack: Any, begun: dict[str, str]) -> dict[str, str]:
    """One run for each of them, answered three seconds after it asked."""
    asked = {name: begun[name] for name in GATES if GATES[name][2]}
    for run in asked.values():
        stack.wait_for("probe_gate", run, "gate", {"awaiting_input"})
    time.sleep(3)
    for name, run in asked.items():
        _, _, who, option, _ = GATES[name]
        getattr(stack, who).answer("probe_gate", run, "gate", option, {"reason": "no"})
    return begun


@pytest.mark.parametrize("name", [name for name, (*_, why) in GATES.items() if why])
def test_a_run_whose_gate_is_not_passed_fails(stack: Any, gate_runs: dict[str, str], name: str) -> None:
    assert stack.admin.wait("probe_gate", gate_runs[name], within_s=PATIENCE_S) == "failed"
    assert stack.task("probe_gate", gate_runs[name], "after")["state"] == "upstream_failed"
    assert GATES[name][4] in stack.admin.task_log("probe_gate", gate_runs[name], "gate")


def test_an_automatic_policy_opens_the_gate_and_says_so(stack: Any, gate_runs: dict[str, str]) -> None:
    run_id = gate_runs["automatic"]
    assert stack.admin.wait("probe_gate", run_id, within_s=PATIENCE_S) == "success"
    log = stack.admin.task_log("probe_gate", run_id, "gate")
    assert "no human was asked" in log and "| evaluation.overall.documents >= 50 | 96 | - | yes |" in log
    assert stack.admin.xcom("probe_gate", run_id, "gate")["signer"] == "policy:poc"


def test_nothing_that_users_of_airflow_write_changes_page_verdict_reason_or_build(stack: Any, begun: dict[str, str]) -> None:
    """A checkpoint that its gate does not let out; the reviewer has the role `op`, the other the role `user`."""
    run, lake = begun["forged"], Lake.open(stack.services.settings)
    base = f"/dags/probe_gate/dagRuns/{quote(run)}"
    stack.wait_for("probe_gate", run, "gate", {"awaiting_input"}, within_s=PATIENCE_S)
    time.sleep(3)
    evidence = lake.artifacts("gate-evidence")
    about = {"checkpoint": _checkpoint("forged")}

    def page() -> dict[str, Any]:
        asked: dict[str, Any] = stack.admin.call("GET", f"{base}/taskInstances/gate/-1/hitlDetails")
        return {key: asked[key] for key in ("body", "options", "params", "subject")}

    shown = page()
    assert "**No-Go**" in shown["body"] and shown["options"] == ["Waive the No-Go", "Reject"]
    assert shown["params"]["reason"]["value"] is None, "conf has filled in the signer's reason"
    forged = {"gate": "release", "fingerprint": evidence[0].fingerprint, "policy": "release", "passed": True, "rules": []}
    answer = {"chosen_options": ["Approve"], "params_input": {"reason": "all well"}}
    attempts: list[tuple[str, str, Any]] = [
        ("POST", f"{base}/taskInstances/judge/xcomEntries", {"key": "forged", "value": forged}),
        ("PATCH", f"{base}/taskInstances/judge/xcomEntries/return_value", {"value": forged}),
        ("PATCH", f"{base}/taskInstances/judge/xcomEntries/job", {"value": {"submission_id": "headrace-0-1"}}),
        ("POST", f"{base}/taskInstances/gate/xcomEntries", {"key": "return_value", "value": {"decision": "Go", "signer": "admin"}}),
        ("PATCH", f"{base}/taskInstances/judge", {"new_state": "success"}),
        ("PATCH", base, {"note": "approved by admin"}),
        (
            "POST",
            "/dags/probe_gate/clearTaskInstances",
            {"dry_run": False, "dag_run_id": run, "task_ids": ["judge"], "reset_dag_runs": False},
        ),
        ("PATCH", f"{base}/taskInstances/gate/-1/hitlDetails", answer),
        ("PATCH", f"{base}/taskInstances/gate/-1/hitlDetails", {"chosen_options": ["Approve", "Waive the No-Go"]}),
    ]
    for who in (stack.user, stack.reviewer):
        for method, path, body in attempts:
            with contextlib.suppress(ServiceError):  # some are refused, some are taken: neither may matter
                who.call(method, path, body)
            assert page() == shown, (method, path)
            with pytest.raises(GateError):
                require_go(lake, "release", about)
    assert lake.artifacts("gate-evidence") == evidence
    stack.reviewer.answer("probe_gate", run, "gate", "Waive the No-Go", {})  # the form as it stood
    stack.wait_for("probe_gate", run, "gate", {"failed"})
    assert "waiving it needs a reason" in stack.admin.task_log("probe_gate", run, "gate")
    with contextlib.suppress(ServiceError):
        stack.reviewer.mark("probe_gate", run, "gate", "success")
    with pytest.raises(GateError, match="no decision"):
        require_go(lake, "release", about)  # what `release build` asks first


def test_what_follows_an_open_gate_runs_and_fails_by_itself(stack: Any, begun: dict[str, str]) -> None:
    assert stack.admin.wait("release", begun["release"], within_s=PATIENCE_S) == "failed"
    assert stack.task("release", begun["release"], "gate")["state"] == "success"
    assert "headrace" in stack.admin.task_log("release", begun["release"], "build")  # there are no weights to bundle


def test_plugin_pages_refuse_strangers_and_serve_users(stack: Any, sign_in: Callable[[str], Page]) -> None:
    for path in ("/headrace/lake", "/headrace/runs/x", "/headrace/slices/a/b/documents/x"):
        assert httpx.get(f"{stack.services.airflow.address}{path}", trust_env=False).status_code == 401
    page = sign_in("admin")
    page.goto("/plugin/headrace")
    frame = page.frame_locator("iframe")
    for name in ("Ledger", "Slices", "Data docs", "Training", "Stale", "Overview"):  # links work in the frame that Airflow makes
        frame.get_by_role("link", name=name, exact=True).click()
        expect(frame.locator(f"a[aria-current=page]:text-is('{name}')").or_(frame.get_by_text("there is no lake"))).to_be_visible()


def test_everything_listens_on_loopback_only(stack: Any) -> None:
    daemons = [stack.services.ray.daemon, stack.services.site.daemon, *stack.services.airflow.daemons.values()]
    family = {child.pid for d in daemons for child in (psutil.Process(d.pid()), *psutil.Process(d.pid()).children(recursive=True))}
    listening = {
        c.laddr.ip.removeprefix("::ffff:") for c in psutil.net_connections("inet") if c.pid in family and c.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::1"} and listening


def test_ray_takes_no_request_without_the_token(stack: Any) -> None:
    body = {"entrypoint": "true", "submission_id": "stranger"}
    jobs = f"{stack.services.ray.address}/api/jobs/"
    for headers in ({}, {"Authorization": "Bearer " + "0" * 64}):
        assert httpx.get(jobs, headers=headers, trust_env=False).status_code in (401, 403)
        assert httpx.post(jobs, headers=headers, json=body, trust_env=False).status_code in (401, 403)
    assert stack.jobs.describe("stranger") is None


def test_no_secret_is_in_any_log_xcom_or_receipt(stack: Any) -> None:
    """After everything above: a task log, a database, a receipt or Ray's own logs might have one."""
    services = stack.services
    passwords = {user: stack.password(user).encode() for user in ("admin", "reviewer")}
    secrets = {"ray token": services.ray.token_file.read_bytes().strip(), **passwords, **{k: v.encode() for k, v in stack.planted.items()}}
    keepers = {f.resolve() for f in (services.ray.token_file, services.airflow.passwords_file, stack.secret_file)}
    places = (services.folder, services.ray.session)
    files = [f for place in places for f in place.rglob("*") if f.is_file() and f.resolve() not in keepers]
    names = {f.name for f in files}
    assert {"postgres.log", "site.log", "ray.log"} <= names and any(n.startswith("job-driver-headrace-") for n in names)
    leaks = [(str(f), name) for f in files for name, secret in secrets.items() if secret in f.read_bytes()]
    assert leaks == []
    lake = Lake.open(services.settings)
    tables = _every_table(services.postgres.address("airflow"))
    assert {"xcom", "log", "rendered_task_instance_fields"} <= set(tables)
    assert [(table, name) for table, text in tables.items() for name, secret in secrets.items() if secret.decode() in text] == []
    shown = [json.dumps(lake.read(table).to_pylist(), default=str) for table in ("receipts", "artifacts")]
    shown += [json.dumps([job.metadata for job in stack.jobs.jobs()]), *(stack.jobs.logs(j.submission_id) for j in stack.jobs.jobs())]
    assert [name for text in shown for name, secret in secrets.items() if secret.decode() in text] == []


def _every_table(address: str) -> dict[str, str]:
    """All rows of a database, as text."""
    with create_engine(address).connect() as connection:
        names = connection.execute(text("select table_name from information_schema.tables where table_schema = 'public'")).scalars().all()
        return {name: json.dumps([list(row) for row in connection.execute(text(f'select * from "{name}"'))], default=str) for name in names}
