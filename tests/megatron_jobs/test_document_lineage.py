"""Lineage of documents: by the document to the releases that were trained on it, and from a release back; uids told apart by source."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.audit.document_trace import story
from headrace_governance.sources.source import Source
from headrace_governance.text.select import SelectParams
from headrace_jobs import lineage_cli
from headrace_jobs.evaluation.run import scored_rows
from headrace_jobs.lineage import Consumption, down, trained_documents, up
from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.loader import PackedLoader
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.model.config import ModelConfig
from headrace_jobs.trainer.checkpoint import STATE, CheckpointState
from headrace_jobs.trainer.config import TrainConfig
from headrace_lake.documents import find_documents
from headrace_lake.engine import Pipeline, load_pipeline, run_pipeline
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_bytes, digest_of
from headrace_lake.identity import document_uid
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact, Receipt
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

MILL, BAKERY = Slice("mill", "2026-11-01"), Slice("bakery", "2026-11-01")
SIZES = {"name": "small", "hidden_size": 32, "layers": 1, "heads": 4, "kv_heads": 2, "head_size": 8, "ffn_size": 48}


def _page(*words: str) -> str:
    body = "".join(f"<p>The {w} of the old mill was mended by the people of the valley, who still tell how it was done.</p>" for w in words)
    return f"<html><head><title>{words[0]}</title></head><body>{body}</body></html>"


PAGES = {f"page-{i}.html": _page(f"wheel number {i}", f"gate number {i}", f"stone number {i}") for i in range(24)}
OF_MILL = PAGES | {"copy.html": PAGES["page-5.html"], "empty.html": "<html><script>only();</script></html>"}
OF_BAKERY = {"page-0.html": PAGES["page-0.html"], "page-1.html": _page("oven", "trough", "roof")}


def _import(lake: Lake, folder: Path, slice_: Slice, pages: dict[str, str]) -> None:
    folder.mkdir()
    for name, page in pages.items():
        (folder / name).write_text(page, encoding="utf-8")
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "public domain"}}
    fetch = {"kind": "folder", "path": str(folder)}
    fetch_slice(lake, Source.model_validate({"id": slice_.source, "licence": licence, "fetch": fetch}), slice_)


def _pipeline(settings: Settings) -> Pipeline:
    """The text line with two verdicts."""
    shipped = load_pipeline(settings, "text").only(["extract", "language", "text_digests", "exact_duplicate", "select", "tokenise"])
    changed = {"select": SelectParams(verdicts=("language", "exact_duplicate"))}
    stages = []
    for stage in shipped.stages:
        params: Any = changed.get(stage.name, stage.params)
        if stage.name == "tokenise":
            params = params.model_copy(update={"masks": {}, "cut": ()})
        stages.append(type(stage)(params))
    return Pipeline.of("short", *stages)


def _checkpoint(lake: Lake, mix: Mix, folder: Path, loader: PackedLoader, step: int) -> Artifact:
    """A run on the mix and a checkpoint with this loader's state, as training leaves them; without tensors."""
    about = CheckpointState(
        run=digest_of(["run", mix.fingerprint]),
        step=step,
        tokens=loader.places,
        eod=mix.eod,
        tokenizer_digest=mix.tokenizer_digest,
        model=ModelConfig.model_validate(SIZES),
        train=TrainConfig.model_validate({"sequence_length": loader.sequence_length, "micro_batch": 1, "global_batch": 1}),
        loader=loader.state_dict(),
        schedule={},
    )
    place = folder / f"step-{step:08d}"
    place.mkdir(parents=True)
    (place / STATE).write_text(about.model_dump_json(), encoding="utf-8")
    run = Artifact(kind="run", name=mix.recipe.name, fingerprint=about.run, parents=(mix.fingerprint,), payload={"summary": "a run"})
    made = digest_of(["checkpoint", mix.fingerprint, step])
    checkpoint = Artifact(kind="checkpoint", name=f"c-{step}", fingerprint=made, path=str(place), parents=(run.fingerprint,))
    if lake.find_artifact("run", fingerprint=run.fingerprint) is None:
        lake.record_artifact(run)
    lake.record_artifact(checkpoint)
    return checkpoint


class World(NamedTuple):
    """Two imported sources, a mix, a checkpoint after one step and one after the last, a release of each."""

    lake: Lake
    mix: Mix
    seen: set[str]
    early: set[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> World:
    folder = tmp_path_factory.mktemp("lineage")
    settings = Settings.model_validate({"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")})
    lake = Lake.open(settings)
    for slice_, pages in ((BAKERY, OF_BAKERY), (MILL, OF_MILL)):
        _import(lake, folder / slice_.source, slice_, pages)
        run_pipeline(lake, _pipeline(settings), slice_)
    recipe = {
        "name": "r",
        "licences": ["public"],
        "held_out": {"documents": 3, "score": 3},
        "phases": [{"name": "A", "tokens": 1200, "weights": {"rest": 1.0}}],
    }
    mix, _ = compile_mix(lake, Recipe.model_validate(recipe))
    loader = PackedLoader(mix, lake, sequence_length=64, micro_batch=1)
    early: set[str] = set()
    seen: set[str] = set()
    for step, batch in enumerate(loader, start=1):
        seen |= {span.uid for span in batch.spans}
        if step == 1:
            early = set(seen)
            _checkpoint(lake, mix, folder / "checkpoints", loader, 1)
    last = _checkpoint(lake, mix, folder / "checkpoints", loader, step)
    first = lake.artifacts("checkpoint")[0]
    for name, checkpoint in (("early", first), ("late", last)):
        parents = (checkpoint.fingerprint, mix.fingerprint)
        release = Artifact(kind="release", name=name, fingerprint=digest_of(name), parents=parents, payload={"bundle": name})
        lake.record_artifact(release)
    lake.record_artifact(Artifact(kind="evaluation", name="r", fingerprint=digest_of("e"), parents=(last.fingerprint, mix.fingerprint)))
    return World(lake, mix, seen, early)


def _uid(slice_: Slice, name: str, pages: dict[str, str]) -> str:
    return document_uid(slice_.source, f"file:{name}", digest_bytes(pages[name].encode()))


def _kinds(lake: Lake, what: str) -> list[str]:
    return [n.kind for n in down(lake, what)]


def test_of_two_documents_of_a_slice_only_the_admitted_one_reaches_a_release(world: World) -> None:
    copies = {name: _uid(MILL, name, OF_MILL) for name in ("page-5.html", "copy.html")}
    excluded = set(world.lake.read("exclusions", MILL, columns=["uid"])["uid"].to_pylist())
    [dropped] = excluded & set(copies.values())
    kinds = _kinds(world.lake, dropped)
    assert kinds == ["capture", "document", "dropped", "dropped"], "the verdict, and what selected by it; nothing after"
    assert "by exact_duplicate" in down(world.lake, dropped)[2].detail and "by select" in down(world.lake, dropped)[3].detail
    rows = world.lake.read("exclusions", MILL, columns=["stage", "reason", "detail"], where=f"uid = '{dropped}'").to_pylist()
    said = {f"by {r['stage']}: {r['reason']} ({r['detail']})" if r["detail"] else f"by {r['stage']}: {r['reason']}" for r in rows}
    assert {n.detail for n in down(world.lake, dropped)[2:]} == said and any(r["detail"] for r in rows)

    admitted = min(world.seen & set(world.lake.read("passports", MILL, columns=["uid"])["uid"].to_pylist()))
    nodes = down(world.lake, admitted)
    assert [n.kind for n in nodes][:5] == ["capture", "document", "admitted", "tokens", "mix"]
    assert ("release", "late") in {(n.kind, n.name) for n in nodes}
    tokens = next(n.detail for n in nodes if n.kind == "tokens")
    [passport] = world.lake.read("passports", MILL, where=f"uid = '{admitted}'").to_pylist()
    assert f"tokens {passport['token_start']:,}..{passport['token_start'] + passport['token_count']:,} of part 0" in tokens


def test_what_an_extraction_dropped_ends_there(world: World) -> None:
    [*way, last] = down(world.lake, _uid(MILL, "empty.html", OF_MILL))
    assert [n.kind for n in way] == ["capture"] and last.kind == "dropped" and "by extract: no_text" in last.detail


def test_a_document_is_in_the_releases_of_the_checkpoints_that_were_trained_on_it(world: World) -> None:
    assert world.early and world.early < world.seen
    for uid in sorted(world.seen)[:6] + sorted(world.early)[:2]:
        reached = {n.name for n in down(world.lake, uid) if n.kind == "release"}
        assert reached == ({"early", "late"} if uid in world.early else {"late"}), uid
        told = {n.name: n.detail for n in down(world.lake, uid) if n.kind == "checkpoint"}
        assert ("trained on" if uid in world.early else "not reached by step 1") in told["c-1"]


def test_a_held_out_document_is_in_the_evaluation_and_in_no_release(world: World) -> None:
    uid = scored_rows(world.mix)[0]["uid"].hex()
    nodes = down(world.lake, uid)
    assert [n.kind for n in nodes if n.kind in ("mix", "run", "checkpoint", "evaluation", "release")] == ["mix", "evaluation"]
    assert "never trained on" in next(n.detail for n in nodes if n.kind == "mix")


def test_a_release_leads_up_to_the_very_documents_that_it_was_trained_on(world: World, tmp_path: Path) -> None:
    for name, wanted in (("late", world.seen), ("early", world.early)):
        found = trained_documents(world.lake, name)
        assert set(found["uid"].to_pylist()) == wanted and found["url"].null_count == 0
    nodes = up(world.lake, "late")
    assert {"release", "checkpoint", "run", "mix", "documents", "stage tokenise", "stage import"} <= {n.kind for n in nodes}
    assert f"of {len(world.seen):,} documents" in next(n.detail for n in nodes if n.kind == "documents")


def test_two_sources_that_import_one_file_have_a_document_each_and_the_copy_is_found_by_its_text(world: World) -> None:
    uids = [_uid(slice_, "page-0.html", PAGES) for slice_ in (MILL, BAKERY)]
    assert uids[0] != uids[1]
    assert find_documents(world.lake, "file:page-0.html") == sorted(zip(uids, (MILL, BAKERY), strict=True))
    every = [uid for slice_ in (MILL, BAKERY) for uid in world.lake.read("captures", slice_, columns=["uid"])["uid"].to_pylist()]
    assert max(Counter(every).values()) == 1 and set(uids) <= set(every)
    judged = {r["uid"]: r for r in world.lake.read("verdict_exact_duplicate", columns=["uid", "keep", "keeper"]).to_pylist()}
    assert judged[uids[1]]["keep"] and not judged[uids[0]]["keep"], "of equal texts of two sources one stays"
    assert judged[uids[0]]["keeper"] == f"{BAKERY}/{uids[1]}"


def test_the_beginning_of_a_uid_is_enough_and_an_unknown_one_names_the_lake_that_was_searched(world: World) -> None:
    uid = _uid(MILL, "page-3.html", OF_MILL)
    assert down(world.lake, uid[:8]) == down(world.lake, uid)
    assert story(world.lake, uid[:8]).uid == uid == story(world.lake, uid[:10], MILL).uid
    for unknown in ("0" * 32, "0123abcd", "file:nothing.html", "nobody"):
        with pytest.raises(InputError, match=f"'{unknown}' is not known to the lake at .*lineage.*table show documents.*--settings"):
            down(world.lake, unknown)
    for slice_ in (None, MILL):
        with pytest.raises(InputError, match="no document 0{32} in .*lineage.*table show documents"):
            story(world.lake, "0" * 32, slice_)


def test_the_beginning_of_several_uids_is_refused_with_some_of_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_lake.documents._HEX", re.compile("[0-9a-f]{1,32}"))
    every = world.lake.read("captures", columns=["uid"])["uid"].to_pylist()
    first, count = Counter(uid[0] for uid in every).most_common(1)[0]
    assert count > 1
    with pytest.raises(InputError, match=rf"{count} documents begin with '{first}': {first}[0-9a-f]{{31}}.*give more digits"):
        down(world.lake, first)


def test_a_slice_still_goes_into_what_read_it(world: World) -> None:
    nodes = {(n.kind, n.name) for n in down(world.lake, str(BAKERY))}
    assert {("stage import", str(BAKERY)), ("stage tokenise", str(BAKERY)), ("mix", "r"), ("release", "late")} <= nodes
    assert {n.kind for n in up(world.lake, str(BAKERY))} >= {"stage import", "stage tokenise"}


def test_the_command_writes_the_documents_of_a_release(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_jobs.lineage_cli.open_lake", lambda settings: world.lake)
    lines, parquet = tmp_path / "documents.jsonl", tmp_path / "documents.parquet"
    for file in (lines, parquet):
        result = CliRunner().invoke(lineage_cli.app, ["up", "late", "--documents", str(file)])
        assert result.exit_code == 0 and f"{len(world.seen)} documents: {file}" in result.output.replace("\n", "")
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert rows == pq.read_table(parquet).to_pylist() and {r["uid"] for r in rows} == world.seen
    down_of = CliRunner().invoke(lineage_cli.app, ["down", rows[0]["uid"]])
    assert down_of.exit_code == 0 and "release" in down_of.output
    refused = CliRunner().invoke(lineage_cli.app, ["up", str(MILL), "--documents", str(lines)])
    assert isinstance(refused.exception, InputError) and "is not a checkpoint or release" in str(refused.exception)


@pytest.mark.parametrize("length", [32, 200])
def test_what_a_checkpoint_has_trained_on_is_what_its_batches_held(
    lake: Lake, two_sources: list[Receipt], tmp_path: Path, length: int
) -> None:
    """Over several epochs, two phases, documents that are cut and pieces that were packed ahead; at every fortieth step."""
    phases = [
        {"name": "A", "tokens": 22000, "weights": {"rest": 1.0}},
        {"name": "B", "tokens": 9000, "weights": {"language=zh": 0.3, "rest": 0.7}},
    ]
    recipe = {"name": "epochs", "licences": ["public", "share-alike"], "caps": {"epochs": 4}, "phases": phases}
    mix, _ = compile_mix(lake, Recipe.model_validate(recipe))
    loader = PackedLoader(mix, lake, sequence_length=length, micro_batch=1)
    counted: Counter[str] = Counter()
    judged = 0
    for step, batch in enumerate(loader, start=1):
        for span in batch.spans:
            counted[span.uid] += span.length
        if step % 40 == 0:
            made = _checkpoint(lake, mix, tmp_path / "c", loader, step)
            seen = Consumption.of(lake, made, mix)
            tokens = {mix.uid_of(b, d): int(n) for b in range(len(mix.buckets)) for d, n in enumerate(seen.tokens_of(b).tolist()) if n}
            assert tokens == dict(counted)
            judged += 1
    assert judged >= 2 and max(seen.times_of(0)) >= 2, "documents were repeated"


def test_a_checkpoint_of_other_documents_is_not_taken_for_one_of_these(lake: Lake, two_sources: list[Receipt], tmp_path: Path) -> None:
    recipe = {"name": "m", "licences": ["public", "share-alike"], "phases": [{"name": "A", "tokens": 3000, "weights": {"rest": 1.0}}]}
    mix, _ = compile_mix(lake, Recipe.model_validate(recipe))
    loader = PackedLoader(mix, lake, sequence_length=64, micro_batch=1)
    next(loader)
    made = _checkpoint(lake, mix, tmp_path, loader, 1)
    state = json.loads((Path(made.path) / STATE).read_text(encoding="utf-8"))
    for entry in state["loader"]["stream"]["buckets"].values():
        entry[2] = "0" * 32
    (Path(made.path) / STATE).write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(InputError, match="has other documents in mix"):
        Consumption.of(lake, made, mix)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c", ""), ("a", "bc", "")),
        (("a", "b", "c"), ("a", "bc", "")),
        (("a", "b\0c", ""), ("a", "b", "c")),
        (("mill", "file:a", "1" * 32), ("farm", "file:a", "1" * 32)),
        (("mill", "file:a", "1" * 32), ("mill", "file:b", "1" * 32)),
        (("mill", "file:a", "1" * 32), ("mill", "file:a", "2" * 32)),
        (("mill", "file:a", ""), ("mill", "file:a", digest_bytes(b""))),
    ],
)
def test_source_address_and_content_each_make_another_uid(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert document_uid(*one) != document_uid(*other)
    assert document_uid(*one) == document_uid(*one)


def test_a_uid_is_the_digest_that_its_definition_describes() -> None:
    fields = [b"mill", "file:w\u00e4ter".encode(), b"0" * 32]
    data = b"".join(len(f).to_bytes(8, "big") + f for f in fields)
    assert document_uid("mill", "file:w\u00e4ter", "0" * 32) == hashlib.blake2b(data, digest_size=16, person=b"headrace-uid-2").hexdigest()
    assert len(document_uid("mill", "file:\ud800")) == 32, "an address that is not Unicode"
