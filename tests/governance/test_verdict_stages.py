"""The verdict stages of the shipped pipelines leave the columns of their tables to the base class."""

from __future__ import annotations

from pathlib import Path

from headrace_lake.engine import load_pipeline
from headrace_lake.settings import Settings
from headrace_lake.tables import TABLES
from headrace_lake.verdict_stage import VerdictStage


def test_every_table_of_verdicts_is_written_by_a_verdict_stage(settings: Settings, checkout: Path) -> None:
    names = sorted(f.stem for f in (checkout / "governance" / "pipelines").glob("*.yaml"))
    assert "text" in names
    stages = [s for name in names for s in load_pipeline(settings, name).stages]
    judging = [s for s in stages if s.output and TABLES[s.output].is_verdict]
    assert len(judging) >= 16
    by_hand = [s.name for s in judging if not isinstance(s, VerdictStage) or type(s).process is not VerdictStage.process]
    assert by_hand == []
