"""`kill -9` of task runners and of the triggerer at seeded random moments: after Airflow's retry the lake is as if nothing had happened.

Six runs of one slice each go at once. Each is sentenced beforehand: which of its runner processes dies, the first or the
second (before the job is handed over to the triggerer, or after it came back), whether it is the task itself or the
supervisor above it, and after how long. The triggerer that watches all of them dies twice. Then every table of every slice
must hold the very files that an undisturbed command line makes in another lake, and each job must have run once.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
import yaml
from patience import PATIENCE_S

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import get_source
from headrace_lake.jobs.ledger import JobLedger
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.tables import TABLES

SEED = 20261125
RUNS = 6
NAMES = [f"killed-{number}" for number in range(RUNS)]
INTERVAL = "trial"
PAGES = 8
RECEIPTS = {"receipts", "artifacts"}
"""Not compared: they hold times."""
FROM_CAPTURES = {"captures"}
"""Not compared: a WARC record bears a random id; both lakes read the same pages."""
RUNNER = re.compile(r"airflow worker -- LocalExecutor: ([0-9a-f-]{36})$")


@dataclass
class Sentence:
    """What happens to one run.

    Attributes:
        runner: which runner process of the run dies, counted from 0.
        whole: the supervisor dies too (Airflow then misses its heartbeat), not the task alone.
        after_s: how long after it was first seen.
    """

    runner: int
    whole: bool
    after_s: float
    seen: list[int] = field(default_factory=list)
    due: float = 0.0
    done: bool = False


def _sentences() -> list[Sentence]:
    rng = random.Random(SEED)
    # The first lives for about 0.8 s; the second, which only hands the result on, for 0.2 s: it may escape.
    return [Sentence(int(i % 3 == 2), i % 3 == 0, rng.uniform(0.0, 0.04 if i % 3 == 2 else 0.5)) for i in range(RUNS)]


@pytest.fixture(scope="module")
def slices(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Slices whose pages are in the stack's lake, and in no table beyond; a source each, with texts of its own."""
    sources = stack.services.settings.resolve(stack.services.settings.sources)
    template = yaml.safe_load((sources / "python-topics.yaml").read_text(encoding="utf-8"))
    prose = sorted((stack.services.site.samples / "www").glob("*.html"))[:PAGES]
    for number, name in enumerate(NAMES):
        folder = tmp_path_factory.mktemp(name)
        for page in prose:
            # Duplicates are judged across slices: no two, nor those of other tests, may have texts alike, or who comes first would matter.
            own = re.sub("<p>(.*?)</p>", lambda m, every=number + 2: _dealt(m[1], every), page.read_text(encoding="utf-8"))
            (folder / page.name).write_text(own, encoding="utf-8")
        fetch = {"kind": "folder", "path": str(folder), "language_hint": "en"}
        (sources / f"{name}.yaml").write_text(yaml.safe_dump({**template, "id": name, "fetch": fetch}), encoding="utf-8")
    return _import(Lake.open(stack.services.settings))


@pytest.fixture(scope="module")
def undisturbed(stack: Any, slices: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    """Slice → table → digests of its files, made by a plain command line in another lake."""
    folder = tmp_path_factory.mktemp("undisturbed")
    content = yaml.safe_load(stack.services.settings_file.read_text(encoding="utf-8"))
    content |= {"base": str(stack.services.settings.base), "lake": {"root": str(folder / "lake")}}
    file = folder / "headrace.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    lake = Lake.open(Settings.model_validate(content))
    _import(lake)
    words = [sys.executable, "-m", "headrace_cli", "slice", "run", "text", *slices, "--settings", str(file)]
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE_S)
    return {text: _digests(lake, text) for text in slices}


def test_killed_runners_and_triggerers_leave_the_lake_as_if_nothing_had_happened(
    stack: Any, slices: list[str], undisturbed: dict[str, dict[str, list[str]]]
) -> None:
    runs = {stack.admin.trigger("probe_slice", {"slice": text}): sentence for text, sentence in zip(slices, _sentences(), strict=True)}
    killed = _execute(stack, runs, within_s=400)
    assert {run: stack.admin.run("probe_slice", run)["state"] for run in runs} == dict.fromkeys(runs, "success")
    assert killed["task"] >= 2 and killed["supervisor"] >= 1 and sum(killed.values()) >= 6, killed
    lake = Lake.open(stack.services.settings)
    for text in slices:
        assert _digests(lake, text) == undisturbed[text], text
        stages = [r.stage for r in lake.receipts(Slice.parse(text))]
        assert sorted(stages) == sorted(set(stages)), f"{text}: a stage was committed twice"
    jobs = [job for job in stack.jobs.jobs() if job.metadata.get("dag_id") == "probe_slice"]
    ledger = JobLedger.of(stack.services.settings)
    # A job whose worker died before it could hand it over, or whose triggerer was away for long, never began: it is asked for again.
    worked = [job for job in jobs if (entry := ledger.entry(job.submission_id)) and entry.state != "expired"]
    assert sorted(job.metadata["run_id"] for job in worked) == sorted(runs), "each run has one job that began: none ran twice"
    assert {job.status for job in worked} == {"SUCCEEDED"}
    tries = [stack.task("probe_slice", run, "work")["try_number"] for run in runs]
    assert sum(t > 1 for t in tries) >= 3, f"hardly a task was retried: {tries}"
    print(f"killed {killed}, tries {tries}")


def _dealt(paragraph: str, every: int) -> str:
    """A paragraph of the same words in another order: every so many-th word, from each beginning."""
    words = paragraph.split(" ")
    return f"<p>{' '.join(word for start in range(every) for word in words[start::every])}</p>"


def _import(lake: Lake) -> list[str]:
    folder = lake.settings.resolve(lake.settings.sources)
    for name in NAMES:
        fetch_slice(lake, get_source(folder, name), Slice(name, INTERVAL))
    return [f"{name}/{INTERVAL}" for name in NAMES]


def _digests(lake: Lake, text: str) -> dict[str, list[str]]:
    found = {
        name: sorted(f.digest for f in lake.slice_files(name, Slice.parse(text))) for name in TABLES if name not in RECEIPTS | FROM_CAPTURES
    }
    assert found["documents"] and found["passports"], f"{text} is empty"
    return found


def _execute(stack: Any, runs: dict[str, Sentence], *, within_s: float) -> dict[str, int]:
    """Kill as sentenced until every run has ended; returns how many of each were killed."""
    rng = random.Random(SEED)
    killed = {"task": 0, "supervisor": 0, "triggerer": 0}
    whose: dict[str, str] = {}
    triggerer_due = time.monotonic() + 8 + rng.uniform(0, 3)
    deadline, next_look = time.monotonic() + within_s, 0.0
    while True:
        now = time.monotonic()
        assert now < deadline, f"still running; killed {killed}"
        if now > next_look:
            next_look = now + 2
            if all(stack.admin.run("probe_slice", run)["state"] in ("success", "failed") for run in runs):
                return killed
        for task_id, process in _runners(stack):
            if task_id not in whose:
                whose |= {stack.task("probe_slice", run, "work").get("id", ""): run for run in runs}
                whose.setdefault(task_id, "")  # somebody else's
            if (sentence := runs.get(whose.get(task_id, ""))) and (victim := _judge(sentence, process, rng)):
                killed[victim] += 1
        if killed["triggerer"] < 2 and now > triggerer_due:
            triggerer = stack.services.airflow.daemons["triggerer"]
            os.kill(triggerer.pid(), signal.SIGKILL)
            killed["triggerer"] += 1
            while triggerer.pid() is not None:
                time.sleep(0.02)
            stack.services.airflow.start(stack.services.environment(), stack.services.root)
            triggerer_due = time.monotonic() + rng.uniform(0, 3)
        time.sleep(0.03)


def _judge(sentence: Sentence, process: psutil.Process, rng: random.Random) -> str:
    """Kill this runner if it is its turn; returns what died ('' for nothing)."""
    if process.pid not in sentence.seen:
        sentence.seen.append(process.pid)
        if len(sentence.seen) > sentence.runner and not sentence.done:
            sentence.runner = len(sentence.seen) - 1  # the one before was too quick for us
            sentence.due = time.monotonic() + sentence.after_s
            sentence.after_s = rng.uniform(0.0, sentence.after_s)
    if sentence.done or sentence.seen.index(process.pid) != sentence.runner or time.monotonic() < sentence.due:
        return ""
    try:
        victim = process.parent() if sentence.whole else process
        if victim is None or "airflow worker" not in " ".join(victim.cmdline()):
            return ""  # its own parent has gone, or never was one of ours
        victim.kill()
    except psutil.NoSuchProcess:
        return ""
    sentence.done = True
    return "supervisor" if sentence.whole else "task"


def _runners(stack: Any) -> list[tuple[str, psutil.Process]]:
    """The task processes of this Airflow, children of its busy workers: (id of the task instance, process)."""
    keeper = psutil.Process(stack.services.airflow.daemons["scheduler"].pid())
    found = []
    for worker in [worker for scheduler in keeper.children() for worker in scheduler.children()]:
        with contextlib.suppress(psutil.Error):
            if match := RUNNER.search(" ".join(worker.cmdline()).strip()):
                found += [(match[1], task) for task in worker.children()]
    return found
