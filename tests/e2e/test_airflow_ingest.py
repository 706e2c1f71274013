"""`ingest_text` as a user runs it: triggered in the UI for one source, backfilled by day, every line of it real."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from playwright.sync_api import Page, expect
from still_pages import STILL

from headrace_lake.errors import ServiceError
from headrace_lake.lake import Lake
from headrace_lake.slices import Slice

SOURCE = "python-topics"


def _digests(lake: Lake, interval: str) -> dict[str, list[str]]:
    return {table: [f.digest for f in lake.slice_files(table, Slice(SOURCE, interval))] for table in ("captures", "documents", "passports")}


@pytest.fixture(scope="module")
def ui_run(stack: Any, chromium: Any) -> str:
    """A run that was triggered in the UI with parameters, once it has ended."""
    stack.admin.wait_for_dag("ingest_text")
    stack.admin.unpause("ingest_text")  # from now on it also runs by itself
    context = chromium.new_context(viewport={"width": 1440, "height": 1100}, base_url=stack.services.airflow.address)
    context.add_init_script(STILL)
    page = context.new_page()
    page.goto("/")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(stack.password("admin"))
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)
    page.goto("/dags/ingest_text")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.locator("#element_slice").fill("from-the-ui")
    form.get_by_role("combobox").first.click()
    page.get_by_role("option", name=SOURCE, exact=True).click()
    form.get_by_role("combobox").nth(1).click()
    page.get_by_role("option", name="local").click()  # the schedule, which starts now too, takes the default: Ray tasks
    form.get_by_role("button", name="Trigger", exact=True).click()
    expect(form).not_to_be_visible()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        runs = [r for r in stack.admin.runs("ingest_text") if r["run_type"] == "manual" and (r["conf"] or {}).get("slice") == "from-the-ui"]
        if runs:
            break
        assert time.monotonic() < deadline, "the UI started no run"
        time.sleep(0.5)
    context.close()
    run_id = str(runs[0]["dag_run_id"])
    assert (runs[0]["conf"]["source"], runs[0]["conf"]["executor"]) == (SOURCE, "local")
    assert stack.admin.wait("ingest_text", run_id, within_s=PATIENCE_S) == "success"
    return run_id


def test_a_run_triggered_in_the_ui_fills_its_slice(stack: Any, ui_run: str) -> None:
    lake = Lake.open(stack.services.settings)
    receipts = lake.current_receipts(Slice(SOURCE, "from-the-ui"))
    assert {"crawl", "extract", "select", "tokenise"} <= set(receipts)
    assert receipts["extract"].counts.kept >= 20
    for receipt in receipts.values():
        c = receipt.counts
        assert c.read == c.kept + c.dropped + c.failed and c.failed == 0


def test_the_remote_log_is_in_the_task_log_of_the_ui(stack: Any, ui_run: str, sign_in: Callable[[str], Page]) -> None:
    page = sign_in("admin")
    page.goto(stack.task_url("ingest_text", ui_run, "crawl"))
    expect(page.get_by_text(re.compile(rf"headrace_cli --json-result crawl {SOURCE}/from-the-ui")).first).to_be_visible()
    expect(page.get_by_text(re.compile(r"read 25 = kept 25 \+ dropped 0 \+ failed 0")).first).to_be_visible()


def test_the_job_says_who_asked_for_it(stack: Any, ui_run: str) -> None:
    sid = stack.admin.xcom("ingest_text", ui_run, "crawl", "job")["submission_id"]
    metadata = stack.jobs.describe(sid).metadata
    assert (metadata["user"], metadata["run_id"], metadata["task_id"]) == ("admin", ui_run, "crawl")


def test_three_days_are_backfilled_as_three_slices_and_others_stay_as_they_were(
    stack: Any, checkout: Path, ui_run: str, sign_in: Callable[[str], Page], shoot: Callable[[Page, str], None]
) -> None:
    lake = Lake.open(stack.services.settings)
    before = _digests(lake, "from-the-ui")
    _as_documented(stack, checkout)
    runs = _ended(stack, "backfill", 3)
    assert [r["state"] for r in runs] == ["success"] * 3
    assert sorted(r["dag_run_id"] for r in runs) == [f"backfill__2026-11-0{day}T23:59:59+00:00" for day in (3, 4, 5)]
    days = sorted(s.interval for s in lake.slices("documents") if s.source == SOURCE and s.interval.startswith("2026-11-0"))
    assert days == ["2026-11-03", "2026-11-04", "2026-11-05"]
    assert _digests(lake, "from-the-ui") == before
    # All days hold the same pages: each text has its tokens once, in whichever of them keeps it. A slice that an earlier run judged, from
    # the form or by schedule, is out of date until it is run again.
    kept = [uid for day in days for uid in lake.read("passports", Slice(SOURCE, day), columns=["uid"])["uid"].to_pylist()]
    assert 5 <= len(kept) <= 25 and len(set(kept)) == len(kept)
    page = sign_in("admin")
    page.goto("/dags/ingest_text")
    expect(page.get_by_text("tokens", exact=True).first).to_be_visible()
    shoot(page, "grid")


def _as_documented(stack: Any, checkout: Path) -> None:
    """The REST calls of docs/backfill.md, for this Airflow, this source and other days."""
    page = (checkout / "docs" / "backfill.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^   ```bash\n(   A=.*?)^   ```", page, re.M | re.S)
    for words, here in {
        "http://127.0.0.1:8080": stack.services.airflow.address,
        ".venv/bin/python": sys.executable,
        "var/poc/airflow/simple_auth_manager_passwords.json.generated": str(stack.services.airflow.passwords_file),
        "2026-11-03": "2026-11-05",
        "2026-11-01": "2026-11-03",
        '{"source": "debian-handbook-en"}': json.dumps({"source": SOURCE, "executor": "local"}),
        '"max_active_runs": 1': '"max_active_runs": 3',
    }.items():
        assert words in block
        block = block.replace(words, here)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0 and '"dag_id":"ingest_text"' in done.stdout.replace(" ", ""), done


def test_the_schedule_takes_the_day_before_of_the_source_that_asks_for_it_and_of_no_other(stack: Any, ui_run: str) -> None:
    (run,) = _ended(stack, "scheduled", 1)
    assert run["state"] == "success"
    day = run["data_interval_start"][:10]
    assert datetime.fromisoformat(run["data_interval_end"]) - datetime.fromisoformat(run["data_interval_start"]) == timedelta(days=1)
    assert run["dag_run_id"] == f"scheduled__{day}"
    lake = Lake.open(stack.services.settings)
    assert Slice(SOURCE, day) in lake.slices("documents")
    assert {s.source for s in lake.slices("captures")} == {SOURCE}
    assert f"1 slices: {SOURCE}/{day}" in stack.admin.task_log("ingest_text", run["dag_run_id"], "slices")


def test_a_backfill_of_a_paused_dag_is_refused_instead_of_queued_for_ever(stack: Any) -> None:
    stack.admin.wait_for_dag("pretrain")  # as every DAG, paused until somebody unpauses it
    day = datetime(2026, 11, 3, tzinfo=UTC)
    with pytest.raises(ServiceError, match="DAG 'pretrain' is paused: .* never start them"):
        stack.admin.backfill("pretrain", day, day, {})
    assert stack.admin.runs("pretrain") == []


def test_the_backfill_command_previews_starts_follows_and_names_the_runs(stack: Any, checkout: Path) -> None:
    dag = "probe_days_0"
    stack.admin.wait_for_dag(dag)
    words = [sys.executable, "-m", "headrace_cli", "backfill", dag, "--source", "all", "--from", "2026-11-07", "--to", "2026-11-08"]
    words += ["--folder", str(stack.services.folder)]

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], cwd=checkout, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    preview = call("--dry-run")
    assert preview.returncode == 0 and "all/2026-11-08" in preview.stdout and stack.admin.runs(dag) == []
    refused = call()
    assert refused.returncode == 2 and f"DAG '{dag}' is paused" in refused.stderr and "--unpause" in refused.stderr
    done = call("--unpause", "--active-runs", "2")
    assert done.returncode == 0, done
    assert "backfill__2026-11-07T23:59:59+00:00: success" in done.stdout and "(2 of 2 ended)" in done.stdout


def _ended(stack: Any, run_type: str, number: int, within_s: float = PATIENCE_S) -> list[dict[str, Any]]:
    """The runs of this type once all have ended."""
    deadline = time.monotonic() + within_s
    while True:
        runs = [r for r in stack.admin.runs("ingest_text") if r["run_type"] == run_type]
        if len(runs) == number and all(r["state"] in ("success", "failed") for r in runs):
            return runs
        assert time.monotonic() < deadline, [(r["dag_run_id"], r["state"]) for r in runs]
        time.sleep(1)


def test_a_run_without_day_or_slice_says_what_to_do(stack: Any) -> None:
    run_id = stack.admin.trigger("ingest_text", {"source": SOURCE})  # no logical date, so no interval
    assert stack.admin.wait("ingest_text", run_id, within_s=PATIENCE_S) == "failed"
    assert "set the parameter 'slice'" in stack.admin.task_log("ingest_text", run_id, "slices")
