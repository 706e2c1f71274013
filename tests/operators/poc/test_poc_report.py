"""The closing report of `headrace poc`: every acceptance check can fail, and is then named; nothing is taken on trust."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from gate_world import World
from rich.console import Console

from headrace_jobs.gates.decide import sign
from headrace_lake.engine import load_pipeline
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Artifact, Counts, Receipt, here, new_run_id
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.tables import table_spec
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.poc import acceptance
from headrace_operators.poc.acceptance import AcceptanceCheck, AcceptanceLimits
from headrace_operators.poc.plan import PocPlan, load_poc_plan
from headrace_operators.poc.report import lake_checks, print_checks, recorded_results, result_checks, work_done

LANGUAGES = "en zh de es fr ja ru ar ko hi".split()
PLAN = PocPlan(slice="poc", sources=tuple(f"book-{language}" for language in LANGUAGES), recipe="tiny", gate="poc")
VOCABULARY = 151_936
LANGUAGE = {"language": "en", "bits_per_byte": 2.1, "low": 2.0, "high": 2.2, "unigram": 2.9, "training_bytes": 2_000_000}
SMALL = {**LANGUAGE, "language": "hi", "bits_per_byte": 3.5, "training_bytes": 40_000}
RESULTS: dict[str, dict[str, Any]] = {
    "train": {"action": "computed", "last_loss": 6.1, "vocabulary": VOCABULARY, "steps": 120},
    "evaluate": {"action": "computed", "languages": [LANGUAGE, SMALL], "overall": {**LANGUAGE, "language": "all"}},
    "gate": {"gate": "poc", "decision": "Go", "signer": "policy:poc", "automatic": True},
    "release": {"action": "adopted", "path": "/somewhere/lake/releases/tiny-1"},
    "verify": {"path": "releases/tiny-1", "passed": True, "checks": {"digests": "14 files"}},
}


def _console() -> Console:
    return Console(file=io.StringIO(), width=200)


def _missed(judged: list[AcceptanceCheck]) -> dict[str, str]:
    return {check.name: check.found for check in judged if not check.holds}


# -- what the lake holds ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Lake:
    """A lake after the data's half of the line, filled once for all tests here."""
    filled = Lake.open(Settings.model_validate({"base": str(checkout), "lake": {"root": str(tmp_path_factory.mktemp("lake"))}}))
    _fill(filled)
    return filled


def _value(field: pa.Field, known: dict[str, Any]) -> Any:
    if field.name in known:
        return known[field.name]
    if pa.types.is_integer(field.type):
        return 1
    if pa.types.is_floating(field.type):
        return 1.0
    if pa.types.is_timestamp(field.type):
        return datetime.now(UTC)
    if pa.types.is_boolean(field.type):
        return True
    return "x" if pa.types.is_string(field.type) or pa.types.is_large_string(field.type) else None


def _rows(table: str, count: int, **known: Any) -> pa.Table:
    """Rows of a table by its own schema; what is not given is filled in."""
    schema = pa.schema([f for f in table_spec(table).schema if f.name not in ("source", "slice")])
    made = [{f.name: _value(f, {"uid": digest_of([table, known, i]), **known}) for f in schema} for i in range(count)]
    return pa.Table.from_pylist(made, schema=schema)


def _stage(
    lake: Lake, source: str, stage: str, *, dropped: int = 0, failed: int = 0, tables: dict[str, pa.Table] | None = None
) -> StageCommit:
    slice_ = Slice(source, PLAN.slice)
    now = datetime.now(UTC)
    made = [lake.write_shard(name, slice_, 0, rows) for name, rows in (tables or {}).items() if rows.num_rows]
    receipt = Receipt(
        run_id=new_run_id(),
        stage=stage,
        version="1",
        source=source,
        slice=PLAN.slice,
        fingerprint=digest_of([stage, source]),
        code="c",
        params={},
        params_digest="p",
        inputs=(),
        outputs=tuple(made),
        tables=("exclusions", "quarantine"),
        counts=Counts(read=5 + dropped + failed, kept=5, dropped=dropped, failed=failed, reasons={"rule": dropped} if dropped else {}),
        started_at=now,
        finished_at=now,
        **here(),
    )
    return StageCommit(receipt, expects="*")


def _fill(lake: Lake) -> None:
    """Every stage of every source; `language` drops a row and fails on one, the last stage writes tokens."""
    stages = ["crawl", *(s.name for s in load_pipeline(lake.settings, "text").stages)]
    commits = []
    for source, language in zip(PLAN.sources, LANGUAGES, strict=True):
        for stage in stages:
            tables: dict[str, pa.Table] = {}
            if stage == "language":
                tables = {
                    "exclusions": _rows("exclusions", 1, stage=stage, reason="rule"),
                    "quarantine": _rows("quarantine", 1, stage=stage),
                }
            if stage == stages[-1]:
                tables = {"passports": _rows("passports", 5, language=language, token_count=40)}
            counts = {"dropped": 1, "failed": 1} if stage == "language" else {}
            commits.append(_stage(lake, source, stage, tables=tables, **counts))
    lake.commit(*commits)


def test_a_whole_lake_meets_its_bars_and_shows_its_counts(lake: Lake) -> None:
    console = _console()
    judged = lake_checks(lake, PLAN, console)
    print_checks(judged, console)
    assert _missed(judged) == {}
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "10 languages" in text and "10 in exclusions, 10 in quarantine" in text and "tokenise" in text


def test_a_slice_that_never_came_and_languages_without_tokens_are_named(lake: Lake) -> None:
    wanted = PLAN.model_copy(update={"sources": (*PLAN.sources, "book-xx"), "acceptance": AcceptanceLimits(languages=11)})
    missed = _missed(lake_checks(lake, wanted, _console()))
    assert set(missed) == {"every slice passed every stage", "at least 11 languages with documents and tokens"}
    assert missed["every slice passed every stage"].startswith("book-xx: no crawl; book-xx: no extract")


def test_a_row_that_left_without_a_trace_is_named(lake: Lake) -> None:
    again = _stage(lake, "book-en", "language", dropped=2, failed=1, tables={"exclusions": _rows("exclusions", 1, stage="language")})
    lake.commit(again)
    found = _missed(lake_checks(lake, PLAN, _console()))["every row that left is kept with its reason or error"]
    assert "language of book-en: dropped 2, 1 in exclusions" in found and "failed 1, 0 in quarantine" in found


# -- what the jobs said ----------------------------------------------------------------------------------------------


def test_results_as_the_jobs_print_them_meet_their_bars() -> None:
    console = _console()
    assert _missed(result_checks(RESULTS, PLAN, console)) == {}
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "no human was asked" in text and "lake/releases/tiny-1" in text and "2.000 to 2.200" in text


@pytest.mark.parametrize(
    ("task", "change", "name", "found"),
    [
        ("train", {"last_loss": math.log(VOCABULARY) - 3.9}, "4 nats below", "3.90 nats below"),
        ("train", {"last_loss": float("nan")}, "4 nats below", "nan"),
        ("train", {"last_loss": None}, "4 nats below", "left no loss"),
        ("evaluate", {"languages": [{**LANGUAGE, "bits_per_byte": 2.9}]}, "unigram", "en: 2.900, unigram 2.900"),
        ("evaluate", {"languages": [{**LANGUAGE, "bits_per_byte": float("nan")}]}, "unigram", "en: nan"),
        ("evaluate", {"languages": []}, "unigram", "left no language"),
        ("gate", {"decision": "No-Go"}, "gate", "poc: No-Go, signed by policy:poc"),
        ("gate", {"decision": "waiver"}, "gate", "waiver"),
        ("release", {"path": ""}, "release", "no release"),
        ("verify", {"passed": False}, "release", "not verified"),
        ("verify", {"path": "releases/another"}, "release", "verified releases/another"),
    ],
)
def test_each_missed_bar_is_named_with_what_was_found(task: str, change: dict[str, Any], name: str, found: str) -> None:
    missed = _missed(result_checks({**RESULTS, task: {**RESULTS[task], **change}}, PLAN, _console()))
    assert len(missed) == 1
    (check, said), *_ = missed.items()
    assert name in check and found in said


def test_results_are_those_of_the_lake_and_of_the_newest_checkpoint(tmp_path: Path, checkout: Path) -> None:
    world = World(tmp_path, checkout)
    assert recorded_results(world.lake, "nosuch") == {} and recorded_results(world.lake, "tiny") == {}
    world.evaluated()
    evidence = world.judged()
    decision, _ = sign(world.lake, evidence.fingerprint, decision="go", signer="bob")
    world.lake.record_artifact(
        Artifact(kind="release", name="tiny", fingerprint="r" * 32, path="releases/tiny-1", parents=(decision.fingerprint,))
    )
    found = recorded_results(world.lake, "tiny")
    assert (found["train"]["steps"], found["gate"]["signer"]) == (150, "bob") and found["release"]["path"].endswith("/releases/tiny-1")
    world.evaluated(says="later")  # of which nobody has decided anything
    assert set(recorded_results(world.lake, "tiny")) == {"train", "evaluate"}


def test_a_run_that_never_got_there_misses_everything_beyond() -> None:
    assert len(_missed(result_checks({}, PLAN, _console()))) == 4


def test_a_failed_task_and_a_run_without_tasks_are_named() -> None:
    assert acceptance.every_task_succeeded({"train": "success"}).holds
    assert acceptance.every_task_succeeded({"train": "success", "gate": "failed", "release": "upstream_failed"}).found == (
        "gate: failed; release: upstream_failed"
    )
    assert not acceptance.every_task_succeeded({}).holds


def test_counts_that_do_not_add_up_are_named() -> None:
    row = {"stage": "select", "source": "a", "read": 5, "kept": 3, "dropped": 1, "failed": 0}
    assert acceptance.counts_add_up([row]).found == "select of a: 5 != 3 + 1 + 0"
    assert not acceptance.counts_add_up([]).holds


def test_a_second_run_says_that_everything_was_adopted() -> None:
    done = {"clean": {"slices": [{"stages": [{"action": "adopted"}, {"action": "adopted"}]}]}, "train": {"action": "adopted"}}
    assert work_done(done) == "3 adopted"


def test_the_bars_are_those_of_the_policy(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    monkeypatch.delenv(SETTINGS_ENV, raising=False)
    assert load_poc_plan().acceptance == AcceptanceLimits(languages=10, loss_drop_nats=4.0, unigram_from_bytes=1_000_000)
