"""What recomputes and what does not: edits of files in a copied checkout, as CONTRIBUTING.md describes them, on lakes with results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from checkout_copy import Copy

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_lake.engine import load_pipeline, run_pipeline
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

FENCE = re.compile(r"^```(\w+) ([^\n]+)\n(.*?)^```", re.M | re.S)
SLICE = Slice("mill", "2026-11-01")
SENTENCES = [
    "The canal that feeds the mill was dug by the monks, and it has been kept clean with great care for six hundred years.",
    "In winter the miller breaks the ice before dawn, because a frozen wheel can tear its axle from the wall of the house.",
    "A sluice gate of oak holds back the pond; when it is raised the water falls on the buckets and the great stone turns.",
    "Farmers came from every valley with their grain and waited, talking about prices, weddings and the weather of the year.",
    "Today the building is a museum, and children may lift the gate themselves to see how the force of the water is tamed.",
    "Its records of rainfall, begun in 1712, are read by scientists who study how the climate of the hills has changed.",
]


def _preview(copy: Copy) -> dict[str, str]:
    """Stage → action, of those that are not adopted."""
    steps = copy.answer("slice", "preview", "text", str(SLICE))["stages"]
    assert len(steps) >= 25
    return {s["stage"]: s["action"] for s in steps if s["action"] != "adopt"}


@pytest.fixture(scope="module")
def adopted(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a lake with one slice that has passed every stage of the text pipeline."""
    tmp_path = tmp_path_factory.mktemp("adopted")
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(8):
        body = "".join(f"<p>{s}</p>" for s in SENTENCES[number % 3 :]) + f"<p>Page {number} was written by a child of the village.</p>"
        (pages / f"{number}.html").write_text(
            f"<html><head><title>Mill {number}</title></head><body>{body}</body></html>", encoding="utf-8"
        )
    settings = Settings.model_validate({"base": str(checkout), "lake": {"root": str(tmp_path / "lake")}, "runs": str(tmp_path / "runs")})
    lake = Lake.open(settings)
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "public domain"}}
    fetch_slice(lake, Source.model_validate({"id": "mill", "licence": licence, "fetch": {"kind": "folder", "path": str(pages)}}), SLICE)
    run_pipeline(lake, load_pipeline(settings, "text"), SLICE)
    return tmp_path


def _copy(checkout: Path, adopted: Path, folder: Path) -> Copy:
    """A copied checkout whose commands use that lake."""
    places = {"base": str(folder / "checkout"), "lake": {"root": str(adopted / "lake")}, "runs": str(adopted / "runs")}
    (folder / "headrace.yaml").write_text(yaml.safe_dump(places), encoding="utf-8")
    return Copy.of(checkout, folder / "checkout", folder / "headrace.yaml")


def test_edits_recompute_what_they_change_and_nothing_else(checkout: Path, adopted: Path, tmp_path: Path) -> None:
    copy = _copy(checkout, adopted, tmp_path)
    assert _preview(copy) == {}, "the same files in another place"

    # Plumbing: a field of an error, a setting, a line of a log.
    copy.edit("lake/headrace_lake/errors.py", "    exit_code = 2\n", "    exit_code = 2\n    severity = 3\n")
    copy.edit("lake/headrace_lake/settings.py", "    runs: ", "    colour: str = 'blue'\n    runs: ")
    copy.edit("lake/headrace_lake/engine/run.py", '"looked again at other slices, ', '"looked once more at other slices, ')
    assert _preview(copy) == {}

    # The type of an output column: its stage, and what reads its table.
    tables = copy.folder / "governance/headrace_governance/text/tables.py"
    before = tables.read_text(encoding="utf-8")
    score = 'field("score", %s, "classifier\'s probability"),'
    copy.edit("governance/headrace_governance/text/tables.py", score % "FLOAT64", score % "pa.float32()")
    changed = _preview(copy)
    assert changed.pop("language") == "compute"
    stages = load_pipeline(Settings(base=checkout), "text").stages
    readers = {s.name for s in stages if "verdict_language" in {s.inputs().primary, *s.inputs().sidecars}}
    assert readers and readers <= changed.keys() and set(changed.values()) == {"depends"}
    assert not changed.keys() & {"extract", "text_digests", "exact_duplicate"}, "which read nothing of it"
    tables.write_text(before, encoding="utf-8")
    assert _preview(copy) == {}

    # A new verdict with a table of its own, as the page describes: the stage itself, and what joins it.
    page = {info: body for _, info, body in reversed(FENCE.findall((checkout / "CONTRIBUTING.md").read_text(encoding="utf-8")))}
    (copy.folder / "governance/headrace_governance/text/shouting.py").write_text(
        page["file=governance/headrace_governance/text/shouting.py"], encoding="utf-8"
    )
    pipeline = copy.folder / "governance/pipelines/text.yaml"
    lines = pipeline.read_text(encoding="utf-8").splitlines()
    at = next(i for i, x in enumerate(lines) if "text.select:Select" in x)
    lines[at : at + 1] = ["  " + x for x in (page["stage"] + page["select"]).strip().splitlines()]
    pipeline.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert _preview(copy) == {"shouting": "compute", "select": "compute", "tokenise": "depends"}


def test_a_column_added_to_tables_that_hold_data_is_null_there_and_an_incompatible_one_is_refused(
    checkout: Path, adopted: Path, tmp_path: Path
) -> None:
    copy = _copy(checkout, adopted, tmp_path)
    before = {f: f.stat().st_mtime_ns for f in (adopted / "lake" / "data").rglob("*.parquet")}
    assert before
    text, tokens = "governance/headrace_governance/text/tables.py", "tokenizers/headrace_tokenizers/tables.py"
    added = 'field("vowels", INT64, "added by a test", null=True),\n            '
    for file, neighbour in (
        (text, 'field("title", STRING, "title if found"'),
        (text, 'field("licence_class", STRING, "class in the licence policy"),\n            field("bytes", INT64'),
        (tokens, 'field("ordinal", INT64, "sequence number'),
    ):
        copy.edit(file, neighbour, added + neighbour)
    copy.edit(
        "governance/headrace_governance/text/extract.py",
        '"characters": len(text),',
        '"characters": len(text),\n                "vowels": sum(c in "aeiou" for c in text),',
    )
    copy.edit("governance/headrace_governance/text/extract.py", '"characters": 0,', '"characters": 0,\n            "vowels": 0,')
    for table in ("documents", "admitted", "passports"):
        shown = copy.answer("table", "show", table, "--slice", str(SLICE))
        assert shown["total_rows"] and {row["vowels"] for row in shown["rows"]} == {None}
        filtered = copy.answer("table", "show", table, "--where", "slice = '2026-11-01'")
        assert {row["vowels"] for row in filtered["rows"]} == {None}, "also where rows are filtered"

    late = Slice("mill", "2026-11-02")
    lake = Lake.open(
        Settings.model_validate({"base": str(checkout), "lake": {"root": str(adopted / "lake")}, "runs": str(adopted / "runs")})
    )
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "public domain"}}
    fetch = {"kind": "folder", "path": str(adopted / "pages")}
    fetch_slice(lake, Source.model_validate({"id": "mill", "licence": licence, "fetch": fetch}), late)
    copy.answer("slice", "run", "text", str(late))
    new = copy.answer("table", "show", "documents", "--slice", str(late))["rows"]
    assert new and all(row["vowels"] > 10 for row in new)
    old = copy.answer("table", "show", "documents", "--slice", str(SLICE))["rows"]
    assert {row["vowels"] for row in old} == {None}
    every = copy.answer("table", "show", "documents", "--where", "vowels > 10")
    assert every["total_rows"] == len(new), "a filter over the new column finds new rows only"
    assert {f: f.stat().st_mtime_ns for f in before} == before, "nothing was rewritten"

    copy.edit(
        text, 'field("characters", INT64, "length of the text", unit="characters")', 'field("characters", STRING, "length of the text")'
    )
    refused = copy.headrace("table", "show", "documents", "--slice", str(late))
    told = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode == 2 and "column 'characters' is int64, but it is declared as string" in told
    assert "give the new column a name of its own" in told
    copy.edit("governance/headrace_governance/text/extract.py", '"characters": len(text),', '"characters": str(len(text)),')
    refused = copy.headrace("slice", "run", "text", str(late))
    told = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode == 2 and "table documents: column 'characters' is declared as string, but the lake's table has long" in told
