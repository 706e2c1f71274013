"""Quality models: n-grams as lmplz estimates them, AUC as scikit-learn has it, training to the byte, and the stage in a slice.

`ngram_lmplz/` holds what `lmplz` of KenLM 0.3.0 made of `text.txt`, which was written for this test: log10 probability and back-off
by order, as `-o 3`, `-o 4 --prune 0 0 1 --discount_fallback` and, of the first three lines, `-o 3 --discount_fallback` print them.
"""

from __future__ import annotations

import gettext
import io
import json
import math
import struct
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import floret
import numpy as np
import pyarrow as pa
import pytest
import yaml

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import Source
from headrace_governance.text.quality.card import card_markdown
from headrace_governance.text.quality.config import QualityFile
from headrace_governance.text.quality.data import Document, catalogue, passages, split, without_near_duplicates
from headrace_governance.text.quality.evaluate import auc, operating_table, tier_cuts
from headrace_governance.text.quality.generated import KINDS, generate
from headrace_governance.text.quality.models import Classifier, Perplexity, load_model
from headrace_governance.text.quality.ngram import estimate, write_arpa
from headrace_governance.text.quality.stage import LanguageModels, ModelName, Quality, QualityParams
from headrace_governance.text.quality.tokens import tokens_of
from headrace_governance.text.quality.train import make_model, quality_file
from headrace_lake.engine import load_pipeline, preview_pipeline, run_pipeline
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import digest_bytes, file_digest
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

GOLDEN = Path(__file__).parent / "ngram_lmplz"


# -- n-grams -----------------------------------------------------------------------------------------------------------


def arpa(text: str) -> dict[tuple[int, str], tuple[float, float]]:
    found, order = {}, 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1 : line.index("-")])
        elif order and "\t" in line:
            p, words, *backoff = line.split("\t")
            found[order, words] = (float(p), float(backoff[0]) if backoff else 0.0)
    return found


@pytest.mark.parametrize(
    ("golden", "lines", "order", "prune"),
    [("order-3", None, 3, ()), ("order-4-pruned", None, 4, (0, 0, 1)), ("first-3-lines", 3, 3, ())],
)
def test_an_ngram_model_is_the_one_that_lmplz_estimates(
    golden: str, lines: int | None, order: int, prune: tuple[int, ...], tmp_path: Path
) -> None:
    text = (GOLDEN / "text.txt").read_text(encoding="utf-8").splitlines()[:lines]
    every = json.loads((GOLDEN / "lmplz.json").read_text(encoding="utf-8"))
    theirs = {(n, words): row for n in range(1, order + 1) for words, row in every[f"{golden} {n}"].items()}
    write_arpa(estimate(text, order=order, prune=prune), tmp_path / "a.arpa")
    ours = arpa((tmp_path / "a.arpa").read_text(encoding="utf-8"))
    assert len(theirs) > 20 and ours.keys() == theirs.keys()
    for key, (p, backoff) in theirs.items():
        assert ours[key] == (pytest.approx(p, abs=2e-6), pytest.approx(backoff, abs=2e-6)), key


def test_probabilities_add_up_to_one_in_kenlm_and_perplexity_is_theirs(tmp_path: Path) -> None:
    import kenlm

    text = (GOLDEN / "text.txt").read_text(encoding="utf-8").splitlines()
    model = estimate(text, order=3, prune=(0, 0, 1))
    write_arpa(model, tmp_path / "a.arpa")
    loaded = kenlm.Model(str(tmp_path / "a.arpa"))
    for context in (["the"], ["the", "mill"], ["name3", "the"], ["never", "seen"]):
        before = kenlm.State()
        loaded.NullContextWrite(before)
        for word in context:
            after = kenlm.State()
            loaded.BaseScore(before, word, after)
            before = after
        total = sum(10 ** loaded.BaseScore(before, w, kenlm.State()) for w in model.words if w != "<s>")
        assert total == pytest.approx(1, abs=1e-5)
    assert Perplexity(tmp_path / "a.arpa").of([text[0]]) == pytest.approx(loaded.perplexity(text[0]), rel=1e-5)
    assert Perplexity(tmp_path / "a.arpa").of([]) is None
    with pytest.raises(InputError, match="no words"):
        estimate(["", " "])
    with pytest.raises(InputError, match="must not fall"):
        estimate(text, prune=(0, 2, 1))
    (tmp_path / "no.arpa").write_text("no model")
    with pytest.raises(InputError, match="KenLM cannot load it"):
        Perplexity(tmp_path / "no.arpa")


# -- figures -----------------------------------------------------------------------------------------------------------


def test_auc_is_that_of_scikit_learn_and_its_interval_that_of_delong() -> None:
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(3)
    good, bad = np.round(draw.normal(1, 1, 80), 1), np.round(draw.normal(0, 1, 50), 1)  # rounded: with ties
    found = auc(good, bad)
    wins = (good[:, None] > bad) + 0.5 * (good[:, None] == bad)  # DeLong's kernel, written out
    half = 1.96 * math.sqrt(wins.mean(1).var(ddof=1) / 80 + wins.mean(0).var(ddof=1) / 50)
    truth = np.r_[np.ones(80), np.zeros(50)]
    assert found["auc"] == pytest.approx(roc_auc_score(truth, np.r_[good, bad]), abs=1e-4)
    assert (found["low"], found["high"]) == (pytest.approx(wins.mean() - half, abs=2e-4), pytest.approx(wins.mean() + half, abs=2e-4))


def test_tiers_hold_their_shares_of_the_reference() -> None:
    scores = np.random.default_rng(5).random(1000)
    cuts = tier_cuts(scores, {"top": 0.1, "middle": 0.3, "rest": 0.6})
    assert [int((scores >= cut).sum()) for cut in cuts.values()] == [100, 400, 1000]
    table = operating_table(scores[scores > 0.5], scores[scores <= 0.5], cuts)
    assert table[0]["precision"] == 1 and table[0]["bad_kept"] == 0 and table[-1]["recall"] == 1


# -- data --------------------------------------------------------------------------------------------------------------


def test_words_are_folded_for_features_and_chinese_is_cut_as_jieba_cuts_it() -> None:
    import jieba

    assert tokens_of("en").lines("The MILL's wheel,\n\n  turned ２０26 times.") == ["the mill's wheel ,", "turned 0000 times ."]
    text = "磨坊的引水渠是六百年前由修道士开挖的,一直保养得很好。"
    assert tokens_of("zh").lines(text)[0].split() == [w for w in jieba.lcut(text) if w.strip()]


def compiled(messages: dict[str, str]) -> bytes:
    """A compiled catalogue, as msgfmt writes it without a hash table."""
    strings = [m.encode() for m in (*messages, *messages.values())]
    header = 28 + 8 * len(strings)
    starts = [header + sum(len(s) + 1 for s in strings[:i]) for i in range(len(strings))]
    table = b"".join(struct.pack("<2I", len(s), start) for s, start in zip(strings, starts, strict=True))
    return struct.pack("<7I", 0x950412DE, 0, len(messages), 28, 28 + 4 * len(strings), 0, 0) + table + b"".join(s + b"\0" for s in strings)


def test_a_compiled_catalogue_is_read_as_gettext_reads_it_and_a_broken_one_gives_nothing() -> None:
    messages = {"": "Content-Type: text/plain; charset=UTF-8\n", "Open": "打开", "Menu\x04Save _as": "另存为", "page\0pages": "页\0页"}
    data = compiled({k: messages[k] for k in sorted(messages)})
    theirs: dict[Any, str] = gettext.GNUTranslations(io.BytesIO(data))._catalog  # type: ignore[attr-defined]
    ours = dict(catalogue(data))
    expected = {(k if isinstance(k, str) else k[0]).rpartition("\x04")[2]: v for k, v in theirs.items()}
    assert ours == expected and ours["Save _as"] == "另存为"
    assert list(catalogue(b"")) == list(catalogue(b"\xde\x12\x04\x95" + b"\xff" * 30)) == list(catalogue(b"PK" + data)) == []
    assert all(isinstance(m, str) for pair in catalogue(data[:150]) for m in pair)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_generated_text_depends_on_its_seed_alone(language: str) -> None:
    good = {"en": "the miller keeps the sluice clean in winter", "zh": "磨坊 引水渠 修道士 开挖 一直 保养 很好"}[language].split()
    for kind in KINDS:
        one, again, other = (generate(kind, language, [good], seed=s, documents=5) for s in (1, 1, 2))
        assert one == again != other and len(one) == 5 and all(one)


def docs(*texts: str) -> list[Document]:
    return [Document(t, digest_bytes(t.encode()), "own", "e") for t in texts]


def test_near_duplicates_are_on_one_side_only_and_the_split_is_by_digest() -> None:
    texts = [p for t in topics.values() for p in t.split("\n\n\n") if len(p) > 400][:60]
    changed = [t.replace("the", "teh", 1) + " And a last word." for t in texts[:20]]
    judged, training = without_near_duplicates([docs(*texts[:30]), docs(*changed, *texts[30:], texts[0])])
    assert (
        len(judged) >= 25 and not {d.text for d in training} & {*changed, texts[0]} and len(training) >= 20
    )  # the topics repeat each other here and there
    one, held = split(docs(*texts), 0.3)
    assert {d.text for d in one}.isdisjoint({d.text for d in held}) and 5 < len(held) < 30
    assert split(docs(*reversed(texts)), 0.3)[1] == held[::-1]
    [document] = docs("\n".join(texts))
    cut = passages(document, 4)
    assert len(cut) == 4 and all(len(p) < 3100 and p.splitlines()[0] in document.text for p in cut)
    assert passages(docs("short")[0], 4) == ["short"]


# -- training ----------------------------------------------------------------------------------------------------------


def write_lines(path: Path, **sides: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": t, "label": k}) + "\n" for k, texts in sides.items() for t in texts), encoding="utf-8")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model files: Python's language reference as good text, generated text as bad; docstrings of other modules are a trial."""
    import argparse
    import decimal
    import logging
    import pathlib
    import statistics
    import zipfile

    folder = tmp_path_factory.mktemp("quality")
    reference = [p for t in topics.values() for p in _paragraphs(t)]
    modules = (argparse, decimal, logging, pathlib, statistics, zipfile)
    members = [m for module in modules for c in vars(module).values() for m in (c, *(vars(c).values() if isinstance(c, type) else ()))]
    docstrings = sorted({d for m in members if isinstance(d := getattr(m, "__doc__", None), str) and len(d) > 150})
    write_lines(folder / "good.jsonl", good=reference, other=docstrings)
    good, other = (
        {"origin": "jsonl", "path": str(folder / "good.jsonl"), "where": {"label": k}, "licence": "PSF-2.0"} for k in ("good", "other")
    )
    bad = [{"origin": "generated", "kind": k, "documents": 150} for k in ("keywords", "shuffled", "log")]
    unseen = [{"origin": "generated", "kind": k, "documents": 60, "seed": 9} for k in ("sales", "menu", "table")]
    classifier = {
        "kind": "classifier", "name": "quality-en", "language": "en", "labels": "proxy", "positive": [good], "negative": bad,
        "trials": {"unseen": {"labels": "proxy", "positive": [other], "negative": unseen}},
        "perplexity": "ngram-en", "buckets": 20000, "dim": 16,
    }  # fmt: skip
    for name, model in (
        ("classifier", classifier),
        ("ngram", {"kind": "ngram", "name": "ngram-en", "language": "en", "data": [good]}),
    ):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"model": model}), encoding="utf-8")
    return folder


def _paragraphs(text: str) -> list[str]:
    """Pieces of some 600 characters."""
    found, run = [], ""
    for paragraph in text.split("\n\n"):
        run += paragraph + "\n\n"
        if len(run) > 600:
            found.append(run)
            run = ""
    return found


def train(lake: Lake, files: Path, *names: str) -> list[Any]:
    return [make_model(lake, quality_file(lake.settings, str(files / f"{n}.yaml")), cache=files / "packages") for n in names]


def test_training_again_gives_the_same_bytes_and_the_card_says_how_good_they_are(settings: Settings, files: Path, tmp_path: Path) -> None:
    lake = Lake.open(settings)
    (ngram, _), (model, how) = train(lake, files, "ngram", "classifier")
    card = model.payload
    assert how == "computed" and card["library"].startswith("floret") and card["digest"] == model.digest
    assert file_digest(lake.storage.local_path(model.path)) == model.digest
    assert card["held_out"]["auc"] > 0.95 and card["held_out"]["low"] <= card["held_out"]["auc"] <= card["held_out"]["high"]
    assert card["trials"]["unseen"]["auc"] > 0.85 and card["trials"]["unseen"]["labels"] == "proxy"
    assert card["perplexity"] == ngram.digest and {"classifier", "perplexity"} == set(card["held_out"]["alone"])
    assert [t for t, _ in card["cuts"]] == ["high", "medium", "low"] and card["operating"][0]["precision"] > 0.9
    shown = card_markdown(card)
    assert "proxies" in shown and "| unseen | proxy |" in shown and "PSF-2.0" in shown and model.digest in shown
    assert [h for _, h in train(lake, files, "ngram", "classifier")] == ["adopted", "adopted"]
    path = str(lake.storage.local_path(model.path))
    texts = [
        " ".join(tokens_of("en").lines(t)) for t in ("buy now | buy cheap | buy", "The statement is executed when the module is loaded.")
    ]
    for text, score in zip(texts, Classifier(path).scores(texts), strict=True):
        by_label = {label: p for p, label in floret.load_model(path).f.predict(text + "\n", 2, 0.0, "strict")}
        assert score == pytest.approx(by_label["__label__good"], abs=1e-4)

    elsewhere = Lake.open(settings.model_copy(update={"lake": settings.lake.model_copy(update={"root": str(tmp_path / "other")})}))
    assert [(a.digest, a.fingerprint) for a, _ in train(elsewhere, files, "ngram", "classifier")] == [
        (a.digest, a.fingerprint) for a in (ngram, model)
    ]


def test_a_model_with_other_bytes_is_refused(settings: Settings, files: Path, tmp_path: Path) -> None:
    lake = Lake.open(settings)
    [(ngram, _)] = train(lake, files, "ngram")
    data = Path(lake.storage.local_path(ngram.path)).read_bytes()
    (tmp_path / "m.arpa").write_bytes(data.replace(b"-1", b"-2", 1))
    with pytest.raises(InputError, match="its digest is [0-9a-f]{32}, the model's is"):
        load_model("perplexity", str(tmp_path / "m.arpa"), ngram.digest)
    external = {"kind": "external-ngram", "name": "x", "language": "en", "file": str(tmp_path / "m.arpa"), "licence": "MIT"}
    right = parse({"model": {**external, "digest": file_digest(tmp_path / "m.arpa")}}, QualityFile, where="x")
    taken, _ = make_model(lake, right, cache=tmp_path)
    assert taken.payload["order"] == 3 and taken.payload["licence"] == "MIT" and "Made elsewhere" in card_markdown(taken.payload)
    with pytest.raises(InputError, match="the digest of .* is .*, not 0{32}"):
        make_model(lake, parse({"model": {**external, "digest": "0" * 32}}, QualityFile, where="x"), cache=tmp_path)


def test_mistakes_in_a_model_file_are_named(settings: Settings, files: Path) -> None:
    with pytest.raises(ConfigError, match=r"no quality model 'qualty-en' in .*; *|models: .*quality-en"):
        quality_file(settings, "qualty-en")
    for name in ("quality-en", "quality-zh", "ngram-en", "ngram-zh", "ngram-en-lake", "ngram-zh-lake"):
        assert quality_file(settings, name).model.name == name
    model = yaml.safe_load((files / "classifier.yaml").read_text())["model"]
    wrong = {
        "no kind 'spam'; kinds: keywords": {"negative": [{"origin": "generated", "kind": "spam"}]},
        "phrases for en, zh only": {"negative": [{"origin": "generated", "kind": "sales"}], "language": "de"},
        "cannot be positive": {"positive": [{"origin": "generated", "kind": "log"}]},
        "add up to 1": {"tiers": {"high": 0.5, "low": 0.4}},
    }
    for message, change in wrong.items():
        with pytest.raises(ConfigError, match=message):
            parse({"model": {**model, **change}}, QualityFile, where="q.yaml")
    lake = Lake.open(settings)
    with pytest.raises(InputError, match="no n-gram model 'ngram-en'.*headrace quality train ngram-en"):
        train(lake, files, "classifier")
    lost = {**model, "perplexity": "", "positive": [{"origin": "lake", "sources": ["nowhere-*"]}]}
    with pytest.raises(InputError, match="lake nowhere-.*no such documents"):
        make_model(lake, parse({"model": lost}, QualityFile, where="q"), cache=files)


# -- the stage ---------------------------------------------------------------------------------------------------------


def slice_of(lake: Lake, folder: Path) -> Slice:
    """A slice of pages: two of prose, one of search words, one of German."""
    good = [p for t in topics.values() for p in _paragraphs(t)]
    german = "Der Kanal speist die Mühle, und der Müller hält das Wehr sauber, damit das Rad im Winter nicht stehen bleibt. " * 4
    spam = generate("keywords", "en", [t.split() for t in good[:20]], seed=4, documents=1)[0]
    folder.mkdir()
    for name, text in {"a.txt": good[3], "b.txt": good[40], "c.txt": spam + " the and of to in that is for it", "d.txt": german}.items():
        (folder / name).write_text(text, encoding="utf-8")
    licence = {"id": "PSF-2.0", "class": "attribution", "basis": "Python's licence", "evidence": {"text": "PSF"}}
    source = Source.model_validate({"id": "python", "licence": licence, "fetch": {"kind": "folder", "path": str(folder)}})
    slice_ = Slice("python", "2026-11-01")
    fetch_slice(lake, source, slice_)
    return slice_


def verdicts(lake: Lake, slice_: Slice) -> dict[str, dict[str, Any]]:
    urls = {
        r["uid"]: r["url"].rpartition("/")[2].removeprefix("file:")
        for r in lake.read("documents", slice_, columns=["uid", "url"]).to_pylist()
    }
    return {urls[r["uid"]]: r for r in lake.read("verdict_quality", slice_).to_pylist()}


def with_quality(pipeline: Pipeline, **english: Any) -> Pipeline:
    models = {"classifier": ModelName(name="quality-en"), "perplexity": ModelName(name="ngram-en")}
    params = QualityParams(languages={"en": LanguageModels.model_validate({**models, **english})})
    return Pipeline.of("text", *(Quality(params) if s.name == "quality" else s for s in pipeline.stages))


def test_tiers_in_a_slice_null_without_models_and_thresholds_only_where_they_are_set(
    settings: Settings, files: Path, tmp_path: Path
) -> None:
    lake = Lake.open(settings)
    slice_ = slice_of(lake, tmp_path / "pages")
    pipeline = load_pipeline(settings, "text").only(["extract", "language", "quality"])
    run_pipeline(lake, pipeline, slice_)
    rows = verdicts(lake, slice_)
    assert len(rows) == 4 and all(r["keep"] and r["score"] is r["tier"] is r["perplexity"] is r["measured"] is None for r in rows.values())

    (ngram, _), (model, _) = train(lake, files, "ngram", "classifier")
    [step] = [s for s in preview_pipeline(lake, pipeline, slice_) if s.stage == "quality"]
    assert (step.action, step.why) == ("compute", "changed: input shared:models")
    run_pipeline(lake, pipeline, slice_)
    rows = verdicts(lake, slice_)
    assert all(r["keep"] for r in rows.values()) and rows["d.txt"]["tier"] is rows["d.txt"]["score"] is None
    assert {rows["a.txt"]["tier"], rows["b.txt"]["tier"]} <= {"high", "medium"} and rows["c.txt"]["tier"] == "low"
    assert rows["a.txt"]["score"] > rows["c.txt"]["score"] and rows["a.txt"]["perplexity"] < rows["c.txt"]["perplexity"]
    assert (rows["a.txt"]["classifier"], rows["a.txt"]["language_model"]) == (model.digest, ngram.digest)
    assert json.loads(rows["c.txt"]["measured"])["tier"] == "low"
    assert {s.action for s in preview_pipeline(lake, pipeline, slice_)} == {"adopt"}

    for change, reason in (
        ({"min_tier": "medium"}, "low_tier"),
        ({"min_score": 0.5}, "low_score"),
        ({"max_perplexity": 500.0}, "high_perplexity"),
    ):
        run_pipeline(lake, with_quality(pipeline, **change), slice_)
        assert {n: r["reason"] for n, r in verdicts(lake, slice_).items()} == {"a.txt": None, "b.txt": None, "c.txt": reason, "d.txt": None}
    with pytest.raises(InputError, match="has no tier 'gold'. its tiers: high, medium, low"):
        run_pipeline(lake, with_quality(pipeline, min_tier="gold"), slice_)
    with pytest.raises(InputError, match=r"tiers of en were cut with the n-gram model .* train the classifier again"):
        run_pipeline(lake, with_quality(pipeline, perplexity=None), slice_)
    with pytest.raises(InputError, match="no quality model quality-en with digest 0{32}. run 'headrace quality train quality-en'"):
        run_pipeline(lake, with_quality(pipeline, classifier=ModelName(name="quality-en", digest="0" * 32)), slice_)
    with pytest.raises(InputError, match="ngram-en is a perplexity for en on folded-words-1, not a classifier for en"):
        run_pipeline(lake, with_quality(pipeline, classifier=ModelName(name="ngram-en")), slice_)


def test_models_are_trained_from_slices_of_the_lake_and_from_what_a_verdict_dropped(
    settings: Settings, files: Path, tmp_path: Path
) -> None:
    lake = Lake.open(settings)
    slice_ = slice_of(lake, tmp_path / "pages")
    run_pipeline(lake, load_pipeline(settings, "text").only(["extract", "language", "text_statistics", "gopher_quality"]), slice_)
    entry = {"origin": "lake", "sources": ["pyth*"]}
    spec = {"kind": "ngram", "name": "n", "language": "en", "data": [entry]}
    artifact, _ = make_model(lake, parse({"model": spec}, QualityFile, where="n"), cache=tmp_path)
    [data] = artifact.payload["data"]["data"]
    assert (data["documents"], data["slices"], data["licences"]) == (3, [str(slice_)], ["PSF-2.0"])
    receipts = {s: r.fingerprint for s, r in lake.current_receipts(slice_).items()}
    assert set(artifact.parents) == {receipts["extract"], receipts["language"]}
    dropped = lake.read("verdict_gopher_quality", slice_, columns=["keep"])["keep"].to_pylist().count(False)
    spec["data"] = [{**entry, "dropped_by": ["gopher_quality"]}]
    artifact, _ = make_model(lake, parse({"model": spec}, QualityFile, where="n"), cache=tmp_path)
    assert 1 <= artifact.payload["data"]["data"][0]["documents"] <= dropped < 4


def test_documents_without_words_are_kept_without_a_score(settings: Settings, files: Path) -> None:
    lake = Lake.open(settings)
    train(lake, files, "ngram", "classifier")
    stage = with_quality(load_pipeline(settings, "text").only(["quality"])).stages[0]
    shared = stage.prepare(lake, Slice("a", "b"))

    class Part:
        def local_path(self, relative: str) -> str:
            return str(lake.storage.local_path(relative))

    stage.setup()
    stage.begin(Part(), shared)  # type: ignore[arg-type]
    batch = pa.table(
        {
            "uid": ["1", "2", "3"],
            "text": pa.array(["", " \n\t", "wörd"], pa.large_string()),
            "verdict_language.language": ["en", "en", None],
        }
    )
    out = stage.process(batch)
    assert out["keep"].to_pylist() == [True] * 3 and out["score"].null_count == out["perplexity"].null_count == out["tier"].null_count == 3
