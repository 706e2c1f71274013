"""Tables that only a stage of a pipeline declares: `table ls` and `table show` know them, in a process that has run nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import write_documents

from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

DAY = Slice("web", "2026-11-01")
STAGE = """
import pyarrow as pa
from headrace_lake.tables.fields import INT64, ROW, field, spec
from headrace_lake.stage import Inputs, Stage

class Vowels(Stage):
    name = "vowels"
    output = "vowels"
    tables = (spec("vowels", [*ROW, field("vowels", INT64, "vowels of a text", unit="characters")], "vowels of each document"),)

    def inputs(self):
        return Inputs("documents", ("uid", "text"))

    def process(self, batch):
        return pa.table({"uid": batch["uid"], "vowels": [sum(c in "aeiou" for c in t) for t in batch["text"].to_pylist()]})
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A lake with a slice, a pipeline whose stage declares a table, and another that cannot be read; the settings file."""
    (tmp_path / "vowel_stages.py").write_text(STAGE, encoding="utf-8")
    pipelines = tmp_path / "pipelines"
    pipelines.mkdir()
    (pipelines / "vowels.yaml").write_text(yaml.safe_dump({"name": "vowels", "stages": [{"use": "vowel_stages:Vowels"}]}))
    (pipelines / "broken.yaml").write_text(yaml.safe_dump({"name": "broken", "stages": [{"use": "vowel_stages:Missing"}]}))
    settings = {"base": str(tmp_path), "pipelines": "pipelines", "lake": {"root": str(tmp_path / "lake")}}
    write_documents(Lake.open(Settings.model_validate(settings)), DAY, parts=1, rows=5)
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def headrace(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(site.parent), *sys.path])
    argv = [sys.executable, "-m", "headrace_cli", *words, "--settings", str(site)]
    return subprocess.run(argv, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)


def answer(site: Path, *words: str) -> Any:
    done = headrace(site, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_table_that_a_stage_declares_is_listed_and_shown_before_and_after_it_is_written(site: Path) -> None:
    listed = {t["table"]: t for t in answer(site, "table", "ls")["tables"]}
    assert listed["vowels"] == {"table": "vowels", "rows": 0, "files": 0, "bytes": 0, "what": "vowels of each document"}
    assert answer(site, "table", "show", "vowels")["total_rows"] == 0
    answer(site, "slice", "run", "vowels", str(DAY))
    listed = {t["table"]: t for t in answer(site, "table", "ls")["tables"]}
    assert (listed["vowels"]["rows"], listed["documents"]["rows"]) == (5, 5)
    shown = answer(site, "table", "show", "vowels", "--slice", str(DAY))
    assert shown["total_rows"] == 5 and shown["columns"][-1] == {
        "name": "vowels", "type": "int64 required", "unit": "characters", "meaning": "vowels of a text",
    }  # fmt: skip


def test_a_pipeline_that_cannot_be_read_is_named_and_the_other_tables_are_listed(site: Path) -> None:
    done = headrace(site, "table", "ls")
    told = " ".join(done.stdout.split())
    assert done.returncode == 0 and "pipeline 'broken' cannot be read, so tables of its own stages are not known" in told
    assert "vowels of each document" in told
    refused = headrace(site, "table", "show", "vowel")
    assert refused.returncode == 2 and "did you mean 'vowels'" in " ".join((refused.stdout + refused.stderr).split())
