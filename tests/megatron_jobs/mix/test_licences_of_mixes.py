"""Licences in mixes and releases: the class that stands in a table is not believed, duties are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from headrace_governance.sources.source import Source
from headrace_jobs.mix.compile import compile_mix
from headrace_jobs.mix.licences import policy_of
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.release.documents import licences
from headrace_lake.errors import ConfigError, InputError, SourceError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.strict import parse

FREE = ["own", "public", "attribution", "share-alike", "copyleft"]


def recipe(classes: list[str] = FREE) -> Recipe:
    phases = [{"name": "A", "tokens": 900, "weights": {"rest": 1.0}}]
    return parse({"name": "test", "licences": classes, "held_out": {"fraction": 0.1}, "phases": phases}, Recipe, where="test.yaml")


@pytest.mark.parametrize(
    ("licence", "stored", "really"),
    [
        ("CC-BY-NC-4.0", "attribution", "non-commercial"),
        ("cc-by-nc-sa-3.0-de", "share-alike", "non-commercial"),
        ("MIT AND CC-BY-ND-4.0", "attribution", "no-derivatives"),
        ("https://publisher.example/terms", "public", "unknown"),
        ("CC-BY-4.0", "public", "attribution"),
    ],
)
def test_one_passport_with_a_wrong_class_ends_the_compilation_and_is_named(
    lake: Lake, with_tokens: Callable[..., Receipt], licence: str, stored: str, really: str
) -> None:
    with_tokens("alpha", [("en", "public")] * 40 + [("en", stored, licence)])
    uid = lake.read("passports", where=f"licence = '{licence}'")["uid"][0].as_py()
    says = f"1 documents of alpha are recorded as '{stored}' under {licence}, which is '{really}'; the first is {uid} of alpha/2026-11-01"
    with pytest.raises(InputError) as caught:
        compile_mix(lake, recipe())
    assert caught.value.what == says and "headrace crawl alpha/2026-11-01 --refresh" in caught.value.way_out


def test_a_licence_with_a_duty_that_the_recipe_does_not_accept_stays_out_and_is_listed(
    lake: Lake, with_tokens: Callable[..., Receipt]
) -> None:
    kinds = [
        ("non-commercial", "CC-BY-NC-4.0"),
        ("non-commercial", "CC-BY-NC-SA-4.0"),
        ("restricted", "CC-BY-NC-ND-4.0"),
        ("unknown", "Foo-1.0"),
    ]
    free = [("share-alike", "GPL-2.0-or-later OR CC-BY-SA-3.0"), ("public", "CC0-1.0")]
    with_tokens("alpha", [("en", cls, licence) for cls, licence in [*kinds, *free] for _ in range(20)])
    record = compile_mix(lake, recipe())[0].record
    assert {(r["licence"], r["licence_class"], r["documents"]) for r in record["refused"]} == {
        ("CC-BY-NC-4.0", "non-commercial", 20),
        ("CC-BY-NC-SA-4.0", "non-commercial", 20),
        ("CC-BY-NC-ND-4.0", "no-derivatives", 20),
        ("Foo-1.0", "unknown", 20),
    }
    assert {(r["licence"], tuple(r["duties"]), r["choice"]) for r in record["licences"]} == {
        ("GPL-2.0-or-later OR CC-BY-SA-3.0", ("attribution", "share-alike"), "CC-BY-SA-3.0"),
        ("CC0-1.0", (), ""),
    }
    assert record["refused_licences"] == "no-derivatives 20, non-commercial 40, unknown 20"


def test_a_recipe_may_accept_a_duty_and_then_only_that(lake: Lake, with_tokens: Callable[..., Receipt]) -> None:
    kinds = ["CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"]
    with_tokens("alpha", [("en", "non-commercial", licence) for licence in kinds for _ in range(20)])
    with pytest.raises(ConfigError, match="no document's licence class is allowed"):
        compile_mix(lake, recipe())
    some = compile_mix(lake, recipe(["attribution", "non-commercial"]))[0].record
    assert {r["licence"] for r in some["licences"]} == {"CC-BY-NC-4.0"}
    both = compile_mix(lake, recipe(["attribution", "share-alike", "non-commercial"]))[0].record
    assert {r["licence"] for r in both["licences"]} == set(kinds)


def test_an_unknown_class_in_a_recipe_is_refused() -> None:
    with pytest.raises(ConfigError, match="licences"):
        recipe(["free"])


def test_a_release_asks_again_of_the_mix_and_of_its_sources(lake: Lake) -> None:
    fetch = {"kind": "warc", "paths": ["x.warc"]}
    good = {"id": "CC-BY-4.0", "class": "attribution", "basis": "b", "evidence": {"text": "x"}}

    def build(licence: str, cls: str, declared: dict[str, Any]) -> list[dict[str, Any]]:
        row = {"source": "alpha", "licence": licence, "licence_class": cls, "documents": 3, "tokens": 30}
        source = Source.model_validate({"id": "alpha", "licence": declared, "fetch": fetch})
        return licences({"licences": [row], "recipe": {"licences": FREE}}, {"alpha": source}, policy_of(lake))

    assert build("CC-BY-4.0", "attribution", good)[0]["declared"] == "CC-BY-4.0"
    with pytest.raises(InputError, match="the mix: source alpha: 3 documents under CC-BY-NC-4.0, which is 'non-commercial'"):
        build("CC-BY-NC-4.0", "attribution", good)
    with pytest.raises(InputError, match="under CC-BY-4.0 are written down as 'public', the licence is 'attribution'"):
        build("CC-BY-4.0", "public", good)
    with pytest.raises(SourceError, match="source alpha: licence CC-BY-NC-4.0 is 'non-commercial', not 'attribution'"):
        build("CC-BY-4.0", "attribution", {**good, "id": "CC-BY-NC-4.0"})


def test_no_shipped_recipe_accepts_more_than_free_licences(lake: Lake) -> None:
    folder = lake.settings.resolve("megatron_jobs/configs/recipes")
    for file in folder.glob("*.yaml"):
        assert set(yaml.safe_load(file.read_text(encoding="utf-8"))["licences"]) <= set(FREE), file.name
