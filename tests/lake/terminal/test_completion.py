"""What a shell offers for a word: read from files, without a stage's module being imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_lake.engine import load_pipeline
from headrace_lake.settings import SETTINGS_ENV, Settings
from headrace_lake.tables import TABLES
from headrace_lake.terminal.completion import stages, tables


@pytest.fixture(autouse=True)
def _in_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    monkeypatch.delenv(SETTINGS_ENV, raising=False)


def test_the_stages_offered_are_those_of_the_pipelines(checkout: Path) -> None:
    settings = Settings(base=checkout)
    declared = {s.name for file in (checkout / "governance/pipelines").glob("*.yaml") for s in load_pipeline(settings, file.stem).stages}
    assert set(stages("")) == declared
    assert set(stages("gopher")) == {s for s in declared if s.startswith("gopher")} != set()


def test_where_there_is_no_lake_the_declared_tables_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(tables("")) == set(TABLES)
