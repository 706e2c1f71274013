"""One real Ray head and one real Airflow for all end-to-end tests, over a small site of real English prose.

The pages are the help topics that Python itself ships (`pydoc_data.topics`), so nothing is downloaded. Their source is
declared in the tests' own sources folder; everything else is the checkout's: DAGs, pipelines, policies.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from patience import PATIENCE_MS, PATIENCE_S
from playwright.sync_api import Browser, Page, expect, sync_playwright
from still_pages import STILL

from headrace_operators.airflow_api import AirflowApi
from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.services import LocalServices

SOURCE = "python-topics"
UNSCHEDULED = "python-topics-when-asked"
"""The same site once more, which no run takes by itself."""
PAGES = 24
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A killed runner or triggerer is missed sooner than on a busy machine one should; the scheduler looks more often.
QUICK = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,reviewer:op,user:user",
}

# Only here: a task whose remote command and gate need no data, for what is true of every task.
PROBE_DAG = """
import os
import subprocess
import time
from datetime import datetime, timedelta
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, Param
from headrace_operators.gate import GateOperator
from headrace_operators.operator import HeadraceOperator
from headrace_operators.templates import TRIGGERED_BY
from headrace_operators.timetable import DailySlices

COUNT = "import sys,time\\nfor i in range(int(sys.argv[1])):\\n print('remote line', i, flush=True)\\n time.sleep(0.5)"

with DAG(dag_id="probe_log", schedule=None, params={"lines": Param(10, type="integer"), "tag": Param("", type="string")}):
    HeadraceOperator(task_id="count", program=["python", "-c", COUNT], argv=["{{ params.lines }}", "{{ params.tag or run_id }}"])

# As the DAG `release`, for any recipe that the lake holds and without a bundle at its end.
with DAG(dag_id="probe_gate", schedule=None, params={"recipe": Param("tiny", type="string"), "gate": Param("own", type="string")}):
    words = ["gate", "evaluate", "{{ params.gate }}", "--recipe", "{{ params.recipe }}", "--for-release", TRIGGERED_BY]
    judge = HeadraceOperator(task_id="judge", argv=words)
    gate = GateOperator(task_id="gate", recipe="{{ params.recipe }}", gate="{{ params.gate }}")
    after = HeadraceOperator(task_id="after", program=["python", "-c", "print('went on')"], argv=["{{ run_id }}"])
    judge >> gate >> after

class Overtaken(BaseOperator):
    def resumed(self, context):
        return os.path.join(os.environ["AIRFLOW_HOME"], "resumed-" + context["run_id"])

    def execute(self, context):
        # Holds the task's output open until two seconds after it was resumed: Airflow takes the process for alive.
        subprocess.Popen(["bash", "-c", 'until [ -e "$0" ]; do sleep 0.2; done; sleep 2', self.resumed(context)])
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resume")

    def resume(self, context, event):
        open(self.resumed(context), "w").close()
        time.sleep(15)  # the scheduler has this long to see the first process end
        return "resumed"

with DAG(dag_id="probe_resume", schedule=None):
    Overtaken(task_id="overtaken")

# Nothing to do, every day: for what Airflow itself makes of many calls at once.
for number in range(3):
    days = DAG(dag_id=f"probe_days_{number}", schedule=DailySlices(), start_date=datetime(2026, 11, 1), catchup=False, max_active_runs=4)
    with days:
        EmptyOperator(task_id="first") >> EmptyOperator(task_id="second")
# Commits five times a second, under its job's id: it is there to be stopped.
COMMIT = '''
import os, time
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import load_settings
lake = Lake.open(load_settings())
for number in range(250):
    lake.record_artifact(Artifact(kind="stopped", name=os.environ["HEADRACE_JOB"], fingerprint=str(number)))
    time.sleep(0.2)
'''
with DAG(dag_id="probe_commits", schedule=None, max_active_runs=16):
    HeadraceOperator(task_id="work", program=["python", "-c", COMMIT], argv=["{{ run_id }}"])

# Retried at once, and often: it is there to be killed.
again = {"retries": 6, "retry_delay": timedelta(seconds=1)}
with DAG(dag_id="probe_slice", schedule=None, max_active_runs=8, default_args=again, params={"slice": Param("", type="string")}):
    HeadraceOperator(task_id="work", argv=["slice", "run", "text", "{{ params.slice }}", "--executor", "local"])

# Retried as the checkout's tasks are: there to lose its database.
tag = {"tag": Param("", type="string")}
with DAG(dag_id="probe_retried", schedule=None, max_active_runs=8, default_args=again, params=tag):
    HeadraceOperator(task_id="count", program=["python", "-c", COUNT], argv=["12", "{{ params.tag }}"])
"""


# In place of the checkout's `poc`, whose run takes minutes: the same driver follows it.
SHORT_POC = """
from datetime import timedelta
from airflow.sdk import DAG, Param
from headrace_operators.operator import HeadraceOperator

PROGRAM = "import sys,time\\nfor i in range(int(sys.argv[1])):\\n print(sys.argv[2], i, flush=True)\\n time.sleep(1)"

again = {"retries": 1, "retry_delay": timedelta(seconds=5)}  # as the checkout's
base_url = Param(None, type=["null", "string"])
with DAG(dag_id="poc", schedule=None, max_active_runs=1, default_args=again, params={"base_url": base_url}):
    program = ["python", "-c", PROGRAM]
    names = ("crawl", "clean", "train")
    crawl, clean, train = (HeadraceOperator(task_id=n, program=program, argv=["12", n, "{{ run_id }}"]) for n in names)
    crawl >> clean >> train
"""


@dataclass(frozen=True)
class Stack:
    """The running services and sessions of three users: one triggers, one reviews (Airflow's role `op`), one has the role `user`.

    Attributes:
        planted: secrets that the settings name, in the services' environment and in `secret_file`: no log may show them.
    """

    services: LocalServices
    admin: AirflowApi
    reviewer: AirflowApi
    user: AirflowApi
    planted: dict[str, str]
    secret_file: Path

    @property
    def jobs(self) -> RayLauncher:
        """The cluster's job client."""
        return self.services.ray.jobs

    def task_url(self, dag_id: str, run_id: str, task_id: str = "") -> str:
        """Address of a run's page, or of one of its tasks."""
        return f"/dags/{dag_id}/runs/{quote(run_id)}" + (f"/tasks/{task_id}" if task_id else "")

    def wait_for(self, dag_id: str, run_id: str, task_id: str, states: set[str], within_s: float = PATIENCE_S) -> str:
        """Wait until a task is in one of these states."""
        deadline = time.monotonic() + within_s
        while True:
            state = self.task(dag_id, run_id, task_id).get("state")
            if state in states:
                return str(state)
            assert time.monotonic() < deadline, f"{task_id} is {state}, not {states}"
            time.sleep(0.4)

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """One task of a run."""
        return next((t for t in self.admin.tasks(dag_id, run_id) if t["task_id"] == task_id), {})

    def password(self, user: str) -> str:
        """A local user's password."""
        return str(json.loads(self.services.airflow.passwords_file.read_text(encoding="ascii"))[user])


@pytest.fixture(scope="session")
def planted() -> Iterator[dict[str, str]]:
    """Secrets in this process's environment, which every service inherits; and one for a file."""
    made = {name: f"planted-{token_hex(12)}" for name in ("HEADRACE_S3_KEY", "HEADRACE_S3_SECRET", "catalog password")}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HEADRACE_S3_KEY", "HEADRACE_S3_SECRET"):
            patch.setenv(name, made[name])
        yield made


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, checkout: Path, planted: dict[str, str]) -> Iterator[Stack]:
    """Site, Ray and Airflow, up for the whole session."""
    folder = tmp_path_factory.mktemp("stack")
    secret_file = folder / "catalog-password"
    secret_file.write_text(planted["catalog password"], encoding="utf-8")
    lake = {
        "root": str(folder / "services" / "lake"),
        "catalog_password": {"file": str(secret_file)},
        "s3": {"endpoint": "http://127.0.0.1:9", "access_key": {"env": "HEADRACE_S3_KEY"}, "secret_key": {"env": "HEADRACE_S3_SECRET"}},
    }
    _write_site(folder / "samples" / "www")
    dags = folder / "dags"
    dags.mkdir()
    for file in (checkout / "dags").glob("*.py"):
        if file.name != "poc.py":
            (dags / file.name).symlink_to(file)
    (dags / "probes.py").write_text(PROBE_DAG, encoding="utf-8")
    (dags / "poc.py").write_text(SHORT_POC, encoding="utf-8")
    services = LocalServices(
        folder / "services",
        checkout,
        dags=dags,
        samples=folder / "samples",
        usual_ports=False,
        overrides={"sources": str(folder / "sources"), "lake": lake},
        airflow=QUICK,
    )
    _write_source(folder / "sources", services.site.port, SOURCE, schedule="daily")
    _write_source(folder / "sources", services.site.port, UNSCHEDULED)
    try:
        services.up()
        address, passwords = services.airflow.address, services.airflow.passwords_file
        admin, reviewer, user = (AirflowApi.of_passwords(address, passwords, name) for name in ("admin", "reviewer", "user"))
        for dag in ("release", "probe_log", "probe_gate", "probe_resume", "probe_slice", "probe_retried"):
            admin.wait_for_dag(dag)
            admin.unpause(dag)
        yield Stack(services, admin, reviewer, user, planted, secret_file)
        admin.close()
        reviewer.close()
        user.close()
    finally:
        services.down()
        services.postgres.remove()  # as root it lies outside pytest's folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium. Not for the whole session: while playwright is open, no other test can use `asyncio.run`."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=_chromium(), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shoot(checkout: Path) -> Callable[[Page, str], None]:
    """Saves a picture for the handbook where `HEADRACE_SCREENSHOTS` names a folder (`docs/images`)."""

    def save(page: Page, name: str) -> None:
        folder = os.environ.get("HEADRACE_SCREENSHOTS")
        if folder:
            page.wait_for_timeout(1500)
            page.screenshot(path=checkout / folder / f"{name}.png")

    return save


@pytest.fixture
def sign_in(stack: Stack, chromium: Browser) -> Iterator[Callable[[str], Page]]:
    """Makes a page on which a user has signed in."""
    contexts = []

    def make(user: str) -> Page:
        context = chromium.new_context(
            viewport={"width": 1440, "height": 900}, base_url=stack.services.airflow.address, reduced_motion="reduce"
        )
        context.add_init_script(STILL)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto("/")
        page.locator("input[name=username]").fill(user)
        page.locator("input[name=password]").fill(stack.password(user))
        page.locator("button[type=submit]").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
        page.wait_for_load_state("networkidle")
        return page

    yield make
    for context in contexts:
        context.close()


def _chromium() -> str:
    """The browser that HEADRACE_CHROMIUM or the PATH names, as scripts/setup finds it."""
    named = os.environ.get("HEADRACE_CHROMIUM")
    found = [path for path in map(shutil.which, [named] if named else CHROMIUM) if path]
    assert found, "no Chromium here: run `scripts/setup --tests` or set HEADRACE_CHROMIUM"
    return found[0]


def _write_site(www: Path) -> None:
    www.mkdir(parents=True)
    prose = {name: [p for p in (" ".join(q.split()) for q in text.split("\n\n")) if _is_prose(p)] for name, text in topics.items()}
    names = sorted(sorted(prose), key=lambda name: -sum(map(len, prose[name])))[:PAGES]
    for name in names:
        paragraphs = "\n".join(f"<p>{html.escape(p)}</p>" for p in prose[name])
        head = f'<head><meta charset="utf-8"><title>{name}</title></head>'
        page = f'<!DOCTYPE html><html lang="en">{head}<body><main><h1>{name}</h1>{paragraphs}</main></body></html>'
        (www / f"{name}.html").write_text(page, encoding="utf-8")
    links = "".join(f'<li><a href="/{name}.html">{name}</a></li>' for name in names)
    (www / "index.html").write_text(f"<!DOCTYPE html><html><body><ul>{links}</ul></body></html>", encoding="utf-8")
    (www / "robots.txt").write_text("User-agent: *\nDisallow: /private/\n", encoding="utf-8")


def _is_prose(paragraph: str) -> bool:
    """Sentences, not grammar or code: what the quality filters are made to keep."""
    words = paragraph.split()
    return (
        paragraph.endswith(".")
        and len(words) > 15
        and not set("{}=|") & set(paragraph)
        and sum(w.strip("(),.`'*").isalpha() for w in words) > 0.9 * len(words)
    )


def _write_source(folder: Path, port: int, name: str, **more: str) -> None:
    folder.mkdir(exist_ok=True)
    source = {
        "id": name,
        "title": "Python's help topics",
        "modality": "text",
        "languages": ["en"],
        "licence": {
            "id": "BSD-3-Clause",
            "class": "attribution",
            "basis": "Python's documentation, offered under the PSF licence and the Zero-Clause BSD licence",
            "evidence": {"text": "Python documentation, licence page"},
        },
        "fetch": {
            "kind": "crawl",
            "base_url": f"http://127.0.0.1:{port}",
            "allow_hosts": [f"127.0.0.1:{port}"],
            "seeds": ["/index.html"],
            "max_pages": PAGES + 5,
            "delay_seconds": 0,
            "language_hint": "en",
        },
        "declared_tokens": 100000,
        **more,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(source), encoding="utf-8")
