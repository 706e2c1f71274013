"""The worked examples of CONTRIBUTING.md, taken from the page and run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import typer
import yaml
from patience import PATIENCE_S

from headrace_cli.main import build
from headrace_governance.sources.source import load_source
from headrace_governance.text.select import SelectParams
from headrace_lake import tables as schemas
from headrace_lake.engine import Pipeline, RunReport, load_pipeline, preview_pipeline, run_pipeline
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Counts, Receipt, here, new_run_id
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

FENCE = re.compile(r"^```(\w+) ([^\n]+)\n(.*?)^```", re.M | re.S)
SLICE = Slice("example-handbook", "2026-11-01")


@pytest.fixture(scope="module")
def page(checkout: Path) -> dict[str, list[str]]:
    """Info string of a fence → its blocks."""
    blocks: dict[str, list[str]] = {}
    for _, info, body in FENCE.findall((checkout / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        blocks.setdefault(info, []).append(body)
    return blocks


@pytest.fixture
def example(page: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that holds the page's Python files, importable."""
    package = tmp_path / "page_examples"
    package.mkdir()
    for info, (body, *_) in page.items():
        if info.startswith("file=governance") and info.endswith(".py"):
            (package / Path(info).name).write_text(body, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package.name
    for name in [n for n in sys.modules if n.startswith(package.name)]:
        del sys.modules[name]


TEXTS = ("# One\nA quiet sentence.\n## Two\nAnother one.", "READ THIS NOW, EVERYBODY", "")


def _write_documents(lake: Lake) -> None:
    """Three documents of our own typing, committed as an extraction would."""
    schema = schemas.table_spec("documents").schema
    rows = []
    for i, text in enumerate(TEXTS):
        row = dict.fromkeys(schema.names)
        row |= {"uid": f"{i:032x}", "source": SLICE.source, "slice": SLICE.interval, "part": 0, "text": text}
        row |= {"url": f"https://handbook.example/en/{i}", "characters": len(text), "bytes": len(text), "replaced_characters": 0}
        row |= {"licence": "CC-BY-SA-4.0", "licence_class": "share-alike", "content_digest": "0" * 32}
        rows.append(row)
    shard = lake.write_shard("documents", SLICE, 0, pa.Table.from_pylist(rows, schema=schema))
    now = datetime.now(UTC)
    receipt = Receipt(
        run_id=new_run_id(),
        stage="typed",
        version="1",
        source=SLICE.source,
        slice=SLICE.interval,
        fingerprint="0" * 32,
        code="0" * 32,
        params={},
        params_digest=digest_of({}),
        inputs=(),
        outputs=(shard,),
        tables=("documents",),
        counts=Counts(read=3, kept=3),
        started_at=now,
        finished_at=now,
        **here(),
    )
    lake.commit(StageCommit(receipt))


def test_the_source_is_a_source(page: dict[str, list[str]], tmp_path: Path) -> None:
    file = tmp_path / "example-handbook.yaml"
    file.write_text(page["file=governance/sources/example-handbook.yaml"][0], encoding="utf-8")
    source = load_source(file)
    assert (source.licence.cls, source.fetch.kind, source.declared_tokens) == ("share-alike", "crawl", 4_000_000)


def test_the_filter_gives_a_verdict_and_an_exclusion(example: str, page: dict[str, list[str]], settings: Settings, tmp_path: Path) -> None:
    lake = Lake.open(settings)
    _write_documents(lake)
    pipeline = _pipeline(settings, tmp_path, page["stage"][0].replace("headrace_governance.text", example))
    report = run_pipeline(lake, pipeline, SLICE)

    assert _counts(report) == [("shouting", 3, 2, 1, 0)]
    assert lake.read("verdict_shouting", SLICE)["keep"].to_pylist() == [True, False, True]
    dropped = lake.read("exclusions", SLICE).to_pylist()
    assert [(r["stage"], r["reason"], json.loads(r["detail"])) for r in dropped] == [("shouting", "shouting", {"capitals": 1.0})]


def test_a_changed_threshold_is_seen_by_the_preview(example: str, page: dict[str, list[str]], settings: Settings, tmp_path: Path) -> None:
    lake = Lake.open(settings)
    _write_documents(lake)
    line = page["stage"][0].replace("headrace_governance.text", example)
    run_pipeline(lake, _pipeline(settings, tmp_path, line), SLICE)
    changed = _pipeline(settings, tmp_path, line.replace("0.4", "0.9"))

    assert [s.action for s in preview_pipeline(lake, _pipeline(settings, tmp_path, line), SLICE)] == ["adopt"]
    (step,) = preview_pipeline(lake, changed, SLICE)
    assert (step.action, "max_share" in step.why) == ("compute", True)


def test_the_page_names_every_verdict_that_select_joins(page: dict[str, list[str]]) -> None:
    (entry,) = yaml.safe_load(page["select"][0])
    assert tuple(entry["params"]["verdicts"]) == (*SelectParams().verdicts, "shouting")


def test_the_stage_fills_its_table(example: str, settings: Settings, tmp_path: Path) -> None:
    lake = Lake.open(settings)
    _write_documents(lake)
    report = run_pipeline(lake, _pipeline(settings, tmp_path, f"- use: {example}.outline:Outline\n"), SLICE)

    assert _counts(report) == [("outline", 3, 3, 0, 0)]
    assert lake.read("outlines", SLICE)["headings"].to_pylist() == [2, 0, 0]


def test_the_python_on_the_page_keeps_our_style(example: str, tmp_path: Path, checkout: Path) -> None:
    ruff = str(Path(sys.executable).parent / "ruff")
    config = ["--config", str(checkout / "pyproject.toml")]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([ruff, *command, *config, str(tmp_path / example)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print(json.dumps([bag.import_errors, {d.dag_id: [t.argv for t in d.tasks] for d in bag.dags.values()}]))
"""


def test_the_dag_parses_and_starts_commands_that_exist(page: dict[str, list[str]], tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "ledger_weekly.py").write_text(page["file=dags/ledger_weekly.py"][0], encoding="utf-8")
    home = {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(folder)],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    errors, dags = json.loads(done.stdout.splitlines()[-1])

    assert errors == {}
    assert dags == {"ledger_weekly": [["ledger"]]}
    assert "ledger" in typer.main.get_command(build()).commands


def _pipeline(settings: Settings, folder: Path, stages: str) -> Pipeline:
    file = folder / "page.yaml"
    file.write_text(yaml.safe_dump({"name": "page", "stages": yaml.safe_load(stages)}), encoding="utf-8")
    return load_pipeline(settings, file)


def _counts(report: RunReport) -> list[tuple[str, int, int, int, int]]:
    return [(r.stage, c.read, c.kept, c.dropped, c.failed) for r in report.stages for c in (r.receipt.counts,)]
