"""What a recipe may say, and what is said when it does not hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace_jobs.mix.compile import Mix, compile_mix, load_mix, newest_mix
from headrace_jobs.mix.plan import Bucket, grouped
from headrace_jobs.mix.recipe import Recipe, load_recipe
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.lineage import up
from headrace_lake.receipts import Receipt
from headrace_lake.settings import Settings
from headrace_lake.strict import parse
from headrace_lake.vacuum import vacuum


def recipe(**changes: Any) -> Recipe:
    data: dict[str, Any] = {
        "name": "test",
        "licences": ["public", "share-alike"],
        "held_out": {"fraction": 0.1},
        "phases": [
            {"name": "A", "tokens": 6000, "weights": {"language=en": 0.5, "language=zh": 0.3, "language=fr": 0.2}},
            {"name": "B", "tokens": 3000, "weights": {"source=beta": 0.7, "rest": 0.3}},
        ],
    }
    return parse(data | changes, Recipe, where="test.yaml")


def test_an_unknown_key_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'held_out'"):
        recipe(heldout={"fraction": 0.1})


def test_weights_that_do_not_add_up_come_with_the_repair() -> None:
    with pytest.raises(ConfigError, match=r"add up to 0.9, not 1; smallest repair: 'language=en' = 0.6"):
        recipe(phases=[{"name": "A", "tokens": 10, "weights": {"language=en": 0.5, "rest": 0.4}}])


def test_an_unknown_selector_is_refused() -> None:
    with pytest.raises(ConfigError, match="selector 'lang=en'"):
        recipe(phases=[{"name": "A", "tokens": 10, "weights": {"lang=en": 1.0}}])


def test_an_unknown_recipe_lists_the_known_ones(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="recipes: .*tiny"):
        load_recipe(settings, "nosuch")


def test_every_recipe_of_the_repository_reads(settings: Settings) -> None:
    assert load_recipe(settings, "tiny").name == "tiny"


def test_an_empty_lake_says_what_to_run(lake: Lake) -> None:
    with pytest.raises(InputError, match="nothing has been tokenised"):
        compile_mix(lake, recipe())


def test_an_empty_pool_is_refused(lake: Lake, two_sources: list[Receipt]) -> None:
    with pytest.raises(ConfigError, match=r"'language=ko' matches no admissible document.*en, fr, zh"):
        compile_mix(lake, recipe(phases=[{"name": "A", "tokens": 10, "weights": {"language=ko": 1.0}}]))


def test_two_selectors_for_one_bucket_are_refused(lake: Lake, two_sources: list[Receipt]) -> None:
    with pytest.raises(ConfigError, match=r"both match alpha/2026-11-01/en/public"):
        compile_mix(lake, recipe(phases=[{"name": "A", "tokens": 10, "weights": {"language=en": 0.5, "source=alpha": 0.5}}]))


def test_a_budget_beyond_the_cap_does_not_close_and_its_repair_does(lake: Lake, two_sources: list[Receipt]) -> None:
    def asked(weight: float) -> Recipe:
        weights = {"language=zh": weight, "rest": 1 - weight}
        return recipe(phases=[{"name": "A", "tokens": 20_000, "weights": weights}], caps={"epochs": 3})

    with pytest.raises(
        ConfigError, match=r"does not close: selector 'language=zh'.*smallest repair: 'language=zh' at most 0\.\d+"
    ) as caught:
        compile_mix(lake, asked(0.9))
    mended = float(caught.value.way_out.split("at most ")[1].split(" ")[0])
    mix, _ = compile_mix(lake, asked(mended))
    assert max(p["epochs"] for p in mix.record["plan"]) <= 3


def test_shards_of_another_vocabulary_are_refused(lake: Lake, with_tokens: Callable[..., Receipt]) -> None:
    with_tokens("alpha", [("en", "public")] * 20, tokenizer_digest="0" * 32)
    with pytest.raises(InputError, match=r"token shard alpha/2026-11-01 part 0 was made with vocabulary 000000000000"):
        compile_mix(lake, recipe())


def test_a_forbidden_licence_and_the_held_out_never_enter(lake: Lake, two_sources: list[Receipt]) -> None:
    mix, _ = compile_mix(lake, recipe())
    passports = lake.read("passports").to_pylist()
    restricted = {r["uid"] for r in passports if r["licence_class"] == "restricted"}
    training = {u.hex() for u in mix.documents["uid"].to_pylist()}
    held_out = {u.hex() for u in mix.held_out["uid"].to_pylist()}
    assert len(restricted) == 10 and not restricted & (training | held_out)
    assert held_out and not training & held_out
    assert training | held_out | restricted == {r["uid"] for r in passports}
    assert mix.record["refused_licences"] == "restricted 10"


def test_held_out_documents_stay_held_out_when_the_pool_grows(
    lake: Lake, two_sources: list[Receipt], with_tokens: Callable[..., Receipt]
) -> None:
    before = set(compile_mix(lake, recipe())[0].held_out["uid"].to_pylist())
    with_tokens("gamma", [("en", "public")] * 100)
    after = set(compile_mix(lake, recipe())[0].held_out["uid"].to_pylist())
    assert before < after


def test_the_same_recipe_is_adopted_and_the_trainer_does_not_matter(lake: Lake, two_sources: list[Receipt]) -> None:
    first, action = compile_mix(lake, recipe())
    again, action_again = compile_mix(lake, recipe(train={"steps": 3}))
    other, action_other = compile_mix(lake, recipe(seed=2))
    assert (action, action_again, action_other) == ("computed", "adopted", "computed")
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert again.documents.equals(first.documents) and again.buckets == first.buckets
    assert len(lake.artifacts("mix")) == 2


def test_vacuum_leaves_what_a_mix_is_made_of(lake: Lake, two_sources: list[Receipt]) -> None:
    mix, _ = compile_mix(lake, recipe())
    for file in Path(lake.storage.root).rglob("*"):
        os.utime(file, (0, 0))
    vacuum(lake)
    loaded = load_mix(lake, newest_mix(lake, "test"))
    assert loaded.documents.equals(mix.documents) and loaded.held_out.equals(mix.held_out)


def test_a_mix_knows_the_receipts_it_was_made_from_and_can_be_read_at_its_tag(
    lake: Lake, two_sources: list[Receipt], with_tokens: Callable[..., Receipt]
) -> None:
    mix, _ = compile_mix(lake, recipe())
    artifact = newest_mix(lake, "test")
    assert set(artifact.parents) == {r.fingerprint for r in two_sources}
    assert {n.name for n in up(lake, mix.fingerprint)} == {"test", "alpha/2026-11-01", "beta/2026-11-01"}
    with_tokens("gamma", [("en", "public")] * 10)
    assert set(lake.read("passports", tag=artifact.payload["tag"])["source"].to_pylist()) == {"alpha", "beta"}
    loaded: Mix = load_mix(lake, artifact)
    assert loaded.fingerprint == mix.fingerprint


def _judge(lake: Lake, receipts: list[Receipt], tiers: Callable[[int], str | None]) -> None:
    """Commit a row of `verdict_quality` for every passport of these slices."""
    for receipt in receipts:
        passports = lake.read("passports", where=f"source = '{receipt.source}'").sort_by("uid")
        rows = [{"uid": uid, "keep": True, "tier": tiers(i)} for i, uid in enumerate(passports["uid"].to_pylist())]
        shard = lake.write_shard("verdict_quality", receipt.slice_, 0, pa.Table.from_pylist(rows))
        changes = {
            "stage": "quality",
            "tables": ("verdict_quality",),
            "outputs": (shard,),
            "fingerprint": digest_of(["quality", receipt.source]),
        }
        lake.commit(StageCommit(receipt.model_copy(update=changes)))


def test_a_recipe_chooses_by_quality_tier(lake: Lake, two_sources: list[Receipt]) -> None:
    _judge(lake, two_sources, lambda i: ("high", "low", None)[i % 3])
    wanted = recipe(caps={"epochs": 50}, phases=[{"name": "A", "tokens": 900, "weights": {"tier=high": 0.6, "tier=unjudged": 0.4}}])
    mix, _ = compile_mix(lake, wanted)
    tier = {r["uid"]: r["tier"] or "unjudged" for r in lake.read("verdict_quality").to_pylist()}
    for number, bucket in enumerate(mix.buckets):
        assert {tier[mix.uid_of(number, i)] for i in range(bucket.documents)} == {bucket.tier}
    shares = {t: row["share"] for t, row in mix.record["by_tier"].items()}
    assert shares == pytest.approx({"high": 0.6, "unjudged": 0.4, "low": 0.0}, abs=0.001)
    assert load_mix(lake, newest_mix(lake, "test")).buckets == mix.buckets
    assert {r.stage for r in lake.receipts() if r.fingerprint in mix.record["parents"]} == {"tokenise", "quality"}


def test_a_tier_that_no_document_has_is_refused(lake: Lake, two_sources: list[Receipt]) -> None:
    by_tier = recipe(phases=[{"name": "A", "tokens": 900, "weights": {"tier=gold": 1.0}}])
    with pytest.raises(InputError, match="table verdict_quality is empty: no document has a quality tier"):
        compile_mix(lake, by_tier)
    _judge(lake, two_sources[:1], lambda i: "high")
    with pytest.raises(InputError, match="documents have no quality tier, the first is [0-9a-f]+ of beta/2026-11-01"):
        compile_mix(lake, by_tier)
    _judge(lake, two_sources[1:], lambda i: "high")
    with pytest.raises(ConfigError, match="'tier=gold' matches no admissible document.*tiers: high"):
        compile_mix(lake, by_tier)


def test_the_report_by_language_adds_up_documents_bytes_and_tokens_of_its_buckets() -> None:
    same = {"slice": "one", "licence_class": "public", "digest": "d"}
    buckets = [
        Bucket(source="a", language="en", documents=2, tokens=30, bytes=100, **same),
        Bucket(source="b", language="en", documents=3, tokens=50, bytes=170, **same),
        Bucket(source="a", language="zh", documents=1, tokens=20, bytes=60, **same),
    ]
    assert grouped(buckets, np.array([10.0, 20.0, 10.0]), "language") == {
        "en": {"documents": 5, "bytes": 270, "pool_tokens": 80, "planned_tokens": 30, "share": 0.75},
        "zh": {"documents": 1, "bytes": 60, "pool_tokens": 20, "planned_tokens": 10, "share": 0.25},
    }


def test_two_phases_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two phases share a name"):
        recipe(phases=[{"name": "A", "tokens": 10, "weights": {"rest": 1.0}}, {"name": "A", "tokens": 20, "weights": {"rest": 1.0}}])
