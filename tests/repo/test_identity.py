"""What recomputes and what does not: edits of files in a copied checkout, as CONTRIBUTING.md describes them, on lakes with results."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from checkout_copy import Copy

from headrace_governance.fetching import fetch_slice
from headrace_governance.sources import Source
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


def _adopted(checkout: Path, tmp_path: Path) -> None:
    """A lake with one slice that has passed every stage of the text pipeline."""
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


def test_edits_recompute_what_they_change_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    _adopted(checkout, tmp_path)
    places = {"base": str(tmp_path / "checkout"), "lake": {"root": str(tmp_path / "lake")}, "runs": str(tmp_path / "runs")}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(places), encoding="utf-8")
    copy = Copy.of(checkout, tmp_path / "checkout", tmp_path / "headrace.yaml")
    assert _preview(copy) == {}, "the same files in another place"

    # Plumbing: a field of an error, a setting, a line of a log.
    copy.edit("lake/headrace_lake/errors.py", "    exit_code = 2\n", "    exit_code = 2\n    severity = 3\n")
    copy.edit("lake/headrace_lake/settings.py", "    runs: ", "    colour: str = 'blue'\n    runs: ")
    copy.edit("lake/headrace_lake/engine/run.py", '"looked again at other slices, ', '"looked once more at other slices, ')
    assert _preview(copy) == {}

    # The type of an output column: its stage, and what reads its table.
    schemas = copy.folder / "lake/headrace_lake/schemas/text.py"
    before = schemas.read_text(encoding="utf-8")
    score = 'field("score", %s, "classifier\'s probability"),'
    copy.edit("lake/headrace_lake/schemas/text.py", score % "FLOAT64", score % "pa.float32()")
    changed = _preview(copy)
    assert changed.pop("language") == "compute"
    stages = load_pipeline(Settings(base=checkout), "text").stages
    readers = {s.name for s in stages if "verdict_language" in {s.inputs().primary, *s.inputs().sidecars}}
    assert readers and readers <= changed.keys() and set(changed.values()) == {"depends"}
    assert not changed.keys() & {"extract", "text_digests", "exact_duplicate"}, "which read nothing of it"
    schemas.write_text(before, encoding="utf-8")
    assert _preview(copy) == {}

    # A new verdict with a table of its own, as the page describes: the stage itself, and what joins it.
    page = {info: body for _, info, body in reversed(FENCE.findall((checkout / "CONTRIBUTING.md").read_text(encoding="utf-8")))}
    (copy.folder / "governance/headrace_governance/text/shouting.py").write_text(
        page["file=governance/headrace_governance/text/shouting.py"], encoding="utf-8"
    )
    declared = schemas.read_text(encoding="utf-8").rstrip().removesuffix("]") + "    " + page["schema"].strip().rstrip(",") + ",\n]\n"
    schemas.write_text(declared, encoding="utf-8")
    pipeline = copy.folder / "governance/pipelines/text.yaml"
    lines = pipeline.read_text(encoding="utf-8").splitlines()
    at = next(i for i, x in enumerate(lines) if "text.select:Select" in x)
    lines[at : at + 1] = ["  " + x for x in (page["stage"] + page["select"]).strip().splitlines()]
    pipeline.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert _preview(copy) == {"shouting": "compute", "select": "compute", "tokenise": "depends"}
