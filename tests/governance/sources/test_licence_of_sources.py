"""Licences of sources at the doors of the lake: a class that is not the licence's, unknown ids, the policy, silent records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_governance.acquire.crawl.run import crawl_slice
from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source, load_source
from headrace_lake.errors import ConfigError, HeadraceError, SourceError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

SLICE = Slice("trial", "2026-11-01")
CC0 = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "the test says so"}}


def bring_in(settings: Settings, fetch: dict[str, Any], licence: dict[str, Any] = CC0) -> list[str]:
    """Licence, class and basis of what was kept."""
    lake = Lake.open(settings)
    fetch_slice(lake, Source.model_validate({"id": SLICE.source, "licence": licence, "fetch": fetch}), SLICE)
    return [f"{r['licence']} {r['licence_class']} {r['licence_basis']}" for r in lake.read("captures", SLICE).to_pylist()]


@pytest.mark.parametrize(
    ("licence", "says"),
    [
        ({"id": "CC-BY-NC-4.0", "class": "attribution"}, r"source trial: licence CC-BY-NC-4.0 is 'non-commercial', not 'attribution'"),
        (
            {"id": "CC-BY-NC-SA-2.0-FR", "class": "share-alike"},
            r"is 'non-commercial', not 'share-alike' \(duties: attribution, share-alike, non-",
        ),
        ({"id": "CC-BY-4.0", "class": "public"}, "is 'attribution', not 'public'"),
        ({"id": "GPL-3.0-only AND CC-BY-4.0", "class": "attribution"}, "is 'copyleft', not 'attribution'"),
        ({"id": "MIT OR GPL-2.0", "class": "copyleft"}, r"is 'attribution' \(chosen: MIT\), not 'copyleft'"),
        ({"id": "CC-BY-NC-4.0", "class": "non-commercial"}, "class 'non-commercial' may not be fetched"),
        ({"id": "CC-BY-SA-5.0", "class": "share-alike"}, r"unknown licence id 'CC-BY-SA-5.0'. did you mean 'CC-BY-SA-\d.\d'"),
        ({"id": "Apache2", "class": "attribution"}, "unknown licence id 'Apache2'. did you mean 'Apache-2.0'"),
        ({"id": "LicenseRef-ours", "class": "own"}, "unknown licence id 'LicenseRef-ours'"),
        ({"id": "CC BY 4.0", "class": "attribution"}, "unknown licence id 'CC BY 4.0'. did you mean 'CC-BY-4.0'"),
        (
            {"id": "https://creativecommons.org/licenses/by/4.0/", "class": "attribution"},
            "not a licence expression .* did you mean 'CC-BY-4.0'",
        ),
        ({"id": "MIT AND", "class": "attribution"}, "'MIT AND' is not a licence expression"),
    ],
)
@pytest.mark.parametrize("door", ["crawl", "import"])
def test_a_wrong_class_is_refused_at_every_door(settings: Settings, tmp_path: Path, licence: dict[str, Any], says: str, door: str) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "x"}\n', encoding="utf-8")
    crawl = {"kind": "crawl", "base_url": "http://127.0.0.1:9", "seeds": ["/"]}
    fetch = crawl if door == "crawl" else {"kind": "jsonl", "paths": [str(tmp_path / "t.jsonl")]}
    lake = Lake.open(settings)
    source = Source.model_validate({"id": "trial", "licence": {**CC0, **licence}, "fetch": fetch})
    with pytest.raises(SourceError, match=says) as caught:
        crawl_slice(lake, source, SLICE) if door == "crawl" else fetch_slice(lake, source, SLICE)
    assert "\n" not in str(caught.value) and caught.value.way_out
    assert not lake.receipts()


def own_policies(settings: Settings, folder: Path, **changes: Any) -> Settings:
    policies = folder / "policies"
    policies.mkdir()
    shipped = settings.resolve(settings.policies)
    data = yaml.safe_load((shipped / "licences.yaml").read_text(encoding="utf-8"))
    (policies / "licences.yaml").write_text(yaml.safe_dump(data | changes), encoding="utf-8")
    (policies / "fetch.yaml").write_bytes((shipped / "fetch.yaml").read_bytes())
    return settings.model_copy(update={"policies": str(policies)})


def test_a_policy_may_demand_the_statement_of_every_source_and_know_licences_of_its_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "x", "url": "https://x.example/1"}\n', encoding="utf-8")
    fetch = {"kind": "jsonl", "paths": [str(tmp_path / "t.jsonl")], "url": "url"}
    strict = own_policies(settings, tmp_path, silent_records_covered=[], licences={"LicenseRef-ours": "own"})
    with pytest.raises(SourceError, match=r"does not state that its own covers them. add licence.covers_silent_records with the reason"):
        bring_in(strict, fetch)
    ours = {**CC0, "id": "LicenseRef-ours", "class": "own", "covers_silent_records": "we wrote them"}
    assert bring_in(strict, fetch, ours) == ["LicenseRef-ours own policy"]


def test_a_policy_cannot_loosen_a_known_licence(settings: Settings, tmp_path: Path) -> None:
    lax = own_policies(settings, tmp_path, licences={"CC-BY-NC-4.0": "attribution"})
    with pytest.raises(ConfigError, match="CC-BY-NC-4.0 is 'non-commercial' by its terms"):
        bring_in(lax, {"kind": "jsonl", "paths": ["t.jsonl"]})


def test_a_source_file_states_it_with_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    fetch = {"kind": "crawl", "base_url": "http://site.example", "seeds": ["/"]}
    licence = {**CC0, "covers_silent_records": "the site's licence page covers all its pages"}
    file.write_text(yaml.safe_dump({"id": "site", "licence": licence, "fetch": fetch}), encoding="utf-8")
    assert load_source(file).record()["licence"]["covers_silent_records"] == licence["covers_silent_records"]
    file.write_text(yaml.safe_dump({"id": "site", "licence": {**licence, "covers_silent": "x"}, "fetch": fetch}), encoding="utf-8")
    with pytest.raises(HeadraceError, match="did you mean 'covers_silent_records'"):
        load_source(file)


def test_what_is_chosen_of_an_or_stands_in_the_receipt_and_in_the_evidence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "x", "url": "https://x.example/1"}\n', encoding="utf-8")
    either = {**CC0, "id": "GPL-2.0-or-later OR CC-BY-SA-3.0", "class": "share-alike"}
    kept = bring_in(settings, {"kind": "jsonl", "paths": [str(tmp_path / "t.jsonl")], "url": "url"}, either)
    assert kept == ["GPL-2.0-or-later OR CC-BY-SA-3.0 share-alike policy"]
    lake = Lake.open(settings)
    assert "licence GPL-2.0-or-later OR CC-BY-SA-3.0: CC-BY-SA-3.0 chosen" in lake.receipts()[0].notes
    digest = lake.read("captures", SLICE)["licence_evidence"][0].as_py()
    evidence = next(i.path for i in lake.storage.list("objects") if digest in i.path)
    assert b'"choice": "CC-BY-SA-3.0"' in lake.storage.read_bytes(evidence)
