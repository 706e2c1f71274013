"""Bits per byte against models whose answer is known, intervals against theory, and what the artifact says."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_jobs.evaluation.bits_per_byte import DEFINITION, bits_per_byte, bootstrap, definition_line, not_comparable
from headrace_jobs.evaluation.cli import eval_ls
from headrace_jobs.evaluation.run import EvaluationParams, evaluate, held_out_documents, load_evaluation
from headrace_jobs.evaluation.scoring import document_nats, windows
from headrace_jobs.evaluation.unigram import GLOBAL, training_counts, unigram_nats
from headrace_jobs.gates.judge import evaluate_gate
from headrace_jobs.gates.policy import GatePolicy
from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.release.bundle import build_release
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.lineage import down
from headrace_lake.receipts import Artifact, Receipt
from headrace_lake.strict import parse

EOD = 999


class Table:
    """A model that knows the next token from this one: a real bigram model, nats [V, V]."""

    def __init__(self, nats_VV: npt.NDArray[np.float64]) -> None:
        self.nats_VV = nats_VV

    def nll(self, tokens_BS: Any, positions_BS: Any, segments_BS: Any) -> npt.NDArray[np.float32]:
        assert tokens_BS.shape == positions_BS.shape == segments_BS.shape
        out_BS = np.zeros(tokens_BS.shape, dtype=np.float32)
        out_BS[:, :-1] = self.nats_VV[tokens_BS[:, :-1], tokens_BS[:, 1:]]
        out_BS[:, -1] = np.nan  # there is no label after the last place: nobody may use it
        return out_BS


@given(st.integers(0, 300), st.integers(1, 40), st.data())
def test_windows_score_every_label_once_with_the_context_that_is_promised(tokens: int, length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, length))
    parts = list(windows(0, tokens, length, stride))
    assert [i for w in parts for i in range(w.first, w.last)] == list(range(tokens))
    assert all(w.last - w.start == min(length, w.last) for w in parts), "a window is full unless the text is shorter"
    assert all(w.first + 1 - w.start >= min(length - stride + 1, w.first + 1) for w in parts)


@pytest.mark.parametrize(("window", "stride", "batch"), [(8, 4, 3), (8, 8, 1), (64, 1, 5), (1000, 500, 2)])
def test_nats_do_not_depend_on_windows_for_a_model_that_needs_one_token_of_context(window: int, stride: int, batch: int) -> None:
    rng = np.random.default_rng(3)
    nats = -np.log(rng.dirichlet(np.ones(EOD + 1), size=EOD + 1))
    documents = [np.append(rng.integers(0, EOD, n), EOD) for n in (1, 5, 17, 80, 200)]
    found = document_nats(Table(nats), documents, eod=EOD, window=window, stride=stride, batch=batch)
    wanted = [sum(nats[a, b] for a, b in zip([EOD, *d[:-1]], d, strict=True)) for d in documents]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_uniform_model_gives_the_entropy_of_its_vocabulary() -> None:
    uniform = Table(np.full((256, 256), math.log(256)))
    documents = [np.arange(100) % 256, np.arange(30)]
    nats = document_nats(uniform, documents, eod=0, window=16, stride=8)
    assert bits_per_byte(float(nats.sum()), 130) == pytest.approx(8.0, rel=1e-6)


def test_a_bad_stride_and_a_broken_model_are_named() -> None:
    with pytest.raises(ConfigError, match="stride 9"):
        document_nats(Table(np.zeros((4, 4))), [np.zeros(3, np.int64)], eod=0, window=8, stride=9)
    with pytest.raises(InputError, match="held-out document 0 is nan"):
        document_nats(Table(np.full((4, 4), np.nan)), [np.zeros(3, np.int64)], eod=0, window=8, stride=4)


def test_the_interval_agrees_with_theory_is_seeded_and_covers() -> None:
    rng = np.random.default_rng(7)
    sizes = np.full(400, 1000, dtype=np.int64)
    nats = rng.normal(700, 100, 400)
    found = bootstrap(nats, sizes, seed=1)
    spread = 1.96 * nats.std() / math.sqrt(400) / math.log(2) / 1000
    assert found.high - found.value == pytest.approx(spread, rel=0.1)
    assert found == bootstrap(nats, sizes, seed=1)
    truth = 700 / math.log(2) / 1000
    hits = 0
    for i in range(200):
        e = bootstrap(np.random.default_rng(i).normal(700, 100, 60), sizes[:60], seed=i, resamples=1000)
        hits += e.low <= truth <= e.high
    assert 0.90 <= hits / 200 <= 0.99


def test_a_paired_difference_is_far_tighter_than_its_parts() -> None:
    rng = np.random.default_rng(2)
    sizes = np.full(60, 1000, dtype=np.int64)
    model = rng.normal(700, 200, 60)
    other = model + rng.normal(20, 10, 60)
    alone, gain = bootstrap(model, sizes, seed=1), bootstrap(other - model, sizes, seed=1)
    assert gain.low > 0 and (alone.high - alone.low) > 10 * (gain.high - gain.low)


def test_few_resamples_and_no_documents_are_refused() -> None:
    with pytest.raises(ConfigError, match="10,000"):
        bootstrap(np.ones(3), np.ones(3, np.int64), seed=1, resamples=10)
    with pytest.raises(InputError, match="no held-out text"):
        bootstrap(np.ones(0), np.ones(0, np.int64), seed=1)


@pytest.fixture
def mix(lake: Lake, two_sources: list[Receipt]) -> Mix:
    data = {
        "name": "test",
        "licences": ["public", "share-alike"],
        "held_out": {"fraction": 0.15, "score": 10},
        "phases": [{"name": "A", "tokens": 9000, "weights": {"language=zh": 0.3, "rest": 0.7}}],
    }
    return compile_mix(lake, parse(data, Recipe, where="test"))[0]


def test_the_unigram_is_fitted_on_the_very_tokens_of_the_run(mix: Mix, lake: Lake) -> None:
    from headrace_jobs.mix.loader import PackedLoader

    counts = training_counts(mix, lake)
    labels = np.concatenate([b.labels_BS[b.loss_mask_BS > 0] for b in PackedLoader(mix, lake, sequence_length=128, micro_batch=2)])
    assert np.array_equal(counts[GLOBAL], np.bincount(labels, minlength=mix.vocabulary))
    assert sum(counts[k].sum() for k in counts if k != GLOBAL) == counts[GLOBAL].sum()
    proper = np.exp(-np.array([unigram_nats(counts["zh"], [np.array([i])])[0] for i in range(0, mix.vocabulary, 1000)]))
    assert proper.min() > 0
    assert np.exp(-unigram_nats(counts["zh"], [[i] for i in range(mix.vocabulary)])).sum() == pytest.approx(1.0)  # type: ignore[list-item]


def checkpoint(lake: Lake, mix: Mix) -> Artifact:
    run = Artifact(kind="run", name="run", fingerprint=digest_of(["run", mix.fingerprint]), parents=(mix.fingerprint,))
    made = Artifact(kind="checkpoint", name="run-10", fingerprint=digest_of(["checkpoint", mix.fingerprint]), parents=(run.fingerprint,))
    lake.record_artifact(run)
    lake.record_artifact(made)
    return made


class Unigram:
    """A trained model: the unigram of the training tokens, so its result must equal the baseline's."""

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        self.nats_V = np.log(counts.sum() + len(counts)) - np.log(counts + 1.0)

    def nll(self, tokens_BS: Any, positions_BS: Any, segments_BS: Any) -> npt.NDArray[np.float32]:
        return self.nats_V[np.roll(tokens_BS, -1, axis=1)].astype(np.float32)


def test_an_evaluation_is_recorded_adopted_and_agrees_with_its_baseline(mix: Mix, lake: Lake) -> None:
    made = checkpoint(lake, mix)
    scorer = Unigram(training_counts(mix, lake)[GLOBAL])
    artifact, action = evaluate(lake, mix, made, scorer, EvaluationParams(window=32, resamples=2000))
    assert action == "computed" and artifact.parents == (made.fingerprint, mix.fingerprint)
    result = load_evaluation(lake, artifact)
    assert [r["language"] for r in result["languages"]] == ["en", "fr", "zh"]
    for row in [*result["languages"], result["overall"]]:
        assert row["low"] <= row["bits_per_byte"] <= row["high"]
        assert row["bits_per_byte"] == pytest.approx(row["unigram_global"], rel=1e-5)
        assert row["unigram"] <= row["unigram_global"]
        gain = row["advantage"]
        assert gain["low"] <= gain["value"] <= gain["high"]
        assert gain["value"] == pytest.approx(row["unigram"] - row["bits_per_byte"], abs=1e-6)
        assert row["documents"] <= 10 or row["language"] == "all"
    _, documents, sizes = held_out_documents(lake, mix)
    assert result["overall"]["bytes"] == sizes.sum() and result["overall"]["tokens"] == sum(map(len, documents))
    page = lake.storage.read_bytes(artifact.payload["files"]["html"]).decode()
    assert "bits per byte" in page and "http" not in page.replace("http-equiv", "")
    assert lake.storage.read_bytes(artifact.payload["files"]["png"]).startswith(b"\x89PNG")
    lines = [json.loads(line) for line in lake.storage.read_bytes(artifact.payload["files"]["jsonl"]).splitlines()]
    assert [line["bytes"] for line in lines] == sizes.tolist() and [line["tokens"] for line in lines] == [len(d) for d in documents]
    whole = sum(line["nats"] for line in lines) / math.log(2) / sizes.sum()
    assert result["overall"]["bits_per_byte"] == pytest.approx(whole, rel=1e-9)
    assert evaluate(lake, mix, made, scorer, EvaluationParams(window=32, resamples=2000))[1] == "adopted"
    assert artifact.fingerprint in {n.fingerprint for n in down(lake, mix.fingerprint)}


def test_a_mix_that_an_older_version_compiled_is_not_scored(mix: Mix, lake: Lake) -> None:
    old = Mix(mix.record, mix.documents, mix.held_out.rename_columns([n.replace("encoded_", "") for n in mix.held_out.column_names]))
    with pytest.raises(InputError, match="an older Headrace compiled it.*tokenise its slices again"):
        held_out_documents(lake, old)


@pytest.mark.parametrize("definition", ["bits-per-byte/1", None])
def test_scores_of_another_definition_are_marked_where_shown_and_refused_where_judged(
    mix: Mix, lake: Lake, definition: str | None, checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checkpoint(lake, mix)
    scorer = Unigram(training_counts(mix, lake)[GLOBAL])
    artifact, _ = evaluate(lake, mix, made, scorer, EvaluationParams(window=32, resamples=1000))
    assert not_comparable(artifact.payload) == "" and DEFINITION in definition_line(artifact.payload)
    assert "max_length=32" in definition_line(artifact.payload)

    old = artifact.payload | {"definition": definition}
    lake.record_artifact(artifact.model_copy(update={"fingerprint": digest_of("old"), "payload": old, "created_at": datetime.now(UTC)}))
    found = f"measured by {definition or 'an unknown definition'}, not comparable with {DEFINITION}"
    assert not_comparable(old) == found and found.capitalize() in definition_line(old)
    rules = [{"metric": "evaluation.overall.bits_per_byte", "op": "<", "threshold": 100, "why": "test"}]
    policy = parse({"name": "release", "evidence": ["evaluation"], "rules": rules}, GatePolicy, where="test")
    for judged in (lambda: evaluate_gate(lake, policy, "test"), lambda: build_release(lake, "test")):
        with pytest.raises(InputError, match=f"{found}. .*eval run test"):
            judged()
    monkeypatch.setattr("headrace_jobs.command_line.open_lake", lambda settings: lake)
    eval_ls()
    listed = " ".join(capsys.readouterr().out.split())
    assert listed.count("not comparable") == 1
