"""Runs an import and the extraction of a slice on a real lake, for the tests of the importers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_governance.text.formats.convert import ConversionRules
from headrace_lake.engine import load_pipeline, run_pipeline
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import load_yaml

SLICE = Slice("trial", "2026-11-01")
LICENCE = {
    "id": "CC-BY-SA-4.0",
    "class": "share-alike",
    "basis": "written for this test",
    "evidence": {"text": "written for this test"},
    "covers_silent_records": "written for this test",
}
RULES = load_yaml(Path(__file__).parents[2] / "governance/pipelines/filters/wikitext.yaml", ConversionRules)


@dataclass
class Imported:
    """What an import and its extraction left behind.

    Attributes:
        every: all texts, in the order of the table.
        texts: address → text.
        fields: address → what the format said beside it.
        reasons: (stage, reason) → addresses or details of what was dropped.
        quarantined: errors.
    """

    receipt: Receipt
    captures: list[dict[str, Any]]
    every: list[str]
    texts: dict[str, str]
    titles: dict[str, str | None]
    fields: dict[str, dict[str, str]]
    dropped: dict[tuple[str, str], list[str]]
    quarantined: list[str]


def run_import(settings: Settings, fetch: dict[str, Any], licence: dict[str, Any] | None = None) -> Imported:
    """Import a slice of a source with this `fetch`, then extract its documents with the shipped parameters."""
    lake = Lake.open(settings)
    source = Source.model_validate({"id": SLICE.source, "licence": licence or LICENCE, "fetch": fetch})
    receipt = fetch_slice(lake, source, SLICE)
    counts = receipt.counts
    assert counts.read == counts.kept + counts.dropped + counts.failed
    report = run_pipeline(lake, load_pipeline(settings, "text").only(["extract"]), SLICE)
    counts = report.stages[0].receipt.counts
    assert counts.read == counts.kept + counts.dropped + counts.failed and counts.failed == 0
    documents = lake.read("documents", SLICE).to_pylist()
    urls = {d["uid"]: d["url"] for d in documents}
    dropped: dict[tuple[str, str], list[str]] = {}
    for row in lake.read("exclusions", SLICE).to_pylist():
        dropped.setdefault((row["stage"], row["reason"]), []).append(row["detail"])
    return Imported(
        receipt,
        lake.read("captures", SLICE).to_pylist(),
        [d["text"] for d in documents],
        {d["url"]: d["text"] for d in documents},
        {d["url"]: d["title"] for d in documents},
        {urls[r["uid"]]: json.loads(r["fields"]) for r in lake.read("document_fields", SLICE).to_pylist()},
        dropped,
        [r["error"] for r in lake.read("quarantine", SLICE).to_pylist()],
    )
