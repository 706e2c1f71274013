"""Bits per byte against an outside scorer: the Language Model Evaluation Harness, on what a release holds and on its encoded texts.

A small model with the real vocabulary is trained for a few steps on documents of seven languages with personal data, passages that are
cut and characters that NFC changes; all sentences are this test's own.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_jobs.evaluation.bits_per_byte import bits_per_byte
from headrace_jobs.evaluation.run import EvaluationParams, evaluate, held_out_documents, load_evaluation, scored_rows
from headrace_jobs.evaluation.scoring import windows
from headrace_jobs.export.hugging_face import export
from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.recipe import Recipe
from headrace_jobs.model.config import ModelConfig
from headrace_jobs.trainer.checkpoint import newest_valid
from headrace_jobs.trainer.config import TrainConfig
from headrace_jobs.trainer.inference import load_for_inference
from headrace_jobs.trainer.loop import train
from headrace_jobs.trainer.observer import Observer
from headrace_jobs.trainer.parallel import stop
from headrace_jobs.trainer.plan import RunPlan
from headrace_lake.engine import load_pipeline, run_pipeline
from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Artifact, Counts, Receipt, here, new_run_id
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_tokenizers.text.encoded_text import encoded_texts
from headrace_tokenizers.text.huggingface import write_hf_tokenizer
from headrace_tokenizers.text.vocabulary import load_vocabulary

SLICE = Slice("valley", "2026-11-01")
WINDOW = 48
AS_NEAR = 1e-5
SENTENCES = {
    "en": ["The sluice keeper counts the boats at dawn.", "A dry spring leaves the wheel standing.", "Its beams are of oak."],
    "de": ["Der Müller öffnet das Wehr am Morgen.", "Im Frühling fehlt dem Rad oft das Wasser.", "Die Balken sind aus Eiche."],
    "fr": ["Le meunier ouvre l'écluse à l'aube.", "Au printemps l'eau manque à la roue.", "Les poutres sont en chêne."],
    "es": ["El molinero abre la compuerta al alba.", "En primavera falta agua en la rueda.", "Las vigas son de roble."],
    "ru": ["Мельник открывает шлюз на рассвете.", "Весной колесу не хватает воды.", "Балки сделаны из дуба."],
    "zh": ["磨坊主在黎明时打开水闸。", "春天水轮常常缺水。", "横梁是橡木做的。"],
    "ja": ["粉屋は夜明けに水門を開く。", "春には水車の水が足りない。", "梁は樫の木でできている。"],
}
A_LANGUAGE = 30
MAIL, NOTICE = "miller@mill.example", "Share this page with your friends\n"
SIZES = {"hidden_size": 32, "layers": 2, "heads": 4, "kv_heads": 2, "head_size": 8, "ffn_size": 48, "max_positions": WINDOW}
TRAIN = {"sequence_length": WINDOW, "micro_batch": 2, "global_batch": 2, "max_steps": 8, "threads": 1, "optimizer": {"lr": 0.02}}
RECIPE = {
    "name": "valley",
    "licences": ["public"],
    "held_out": {"fraction": 0.6, "score": 18},
    "phases": [{"name": "A", "tokens": 3000, "weights": {"rest": 1.0}}],
}


def _document(language: str, number: int) -> tuple[str, list[tuple[int, int]], list[tuple[int, int]]]:
    """A text, the spans of its addresses, and the spans of the lines that are to be cut; lengths from one sentence to many windows."""
    rng = np.random.default_rng([number, *language.encode()])
    text, mails, cuts = "", [], []
    for i in range(int(rng.integers(1, 12))):
        text += f"{SENTENCES[language][int(rng.integers(3))]} {number * 31 + i} "
        if rng.random() < 0.2:
            start = len(text.encode())
            text += MAIL
            mails.append((start, start + len(MAIL)))
            text += " "
        if rng.random() < 0.2:
            text += "\n"
            start = len(text.encode())
            text += NOTICE
            cuts.append((start, start + len(NOTICE) - 1))
        if rng.random() < 0.3:
            text += "cafe\u0301 \u2126 \U0001d15e "  # NFC makes other, shorter and longer text of these
    return text, mails, cuts


def _commit(lake: Lake) -> None:
    """Documents, verdicts and admissions, as if the stages before `tokenise` had made them."""
    params: Any = load_pipeline(lake.settings, "text").only(["tokenise"]).stages[0].params
    verdicts = ["verdict_pii", *(f"verdict_{name}" for name in params.cut)]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("documents", "admitted", *verdicts)}
    for language in SENTENCES:
        for number in range(A_LANGUAGE):
            text, mails, cuts = _document(language, number)
            uid, rights = digest_of([language, number]), {"licence": "CC0-1.0", "licence_class": "public"}
            size = len(text.encode())
            facts = {"url": uid, "characters": len(text), "bytes": size, "replaced_characters": 0, "content_digest": uid}
            rows["documents"].append({"uid": uid, "text": text, **facts, **rights})
            rows["admitted"].append({"uid": uid, "language": language, "bytes": size, **rights})
            for table in verdicts:
                spans = mails if table == "verdict_pii" else cuts if table == "verdict_refinedweb" else []
                row = {"uid": uid, "keep": True, "starts": [a for a, _ in spans], "ends": [b for _, b in spans]}
                told: dict[str, Any] = {}
                if table == "verdict_pii":
                    told = {"kinds": ["email"] * len(spans)}
                elif table == "verdict_language":
                    told = {"language": language, "score": 0.99, "script": "Latn"}
                rows[table].append(row | told)
    shards = tuple(lake.write_shard(table, SLICE, 0, pa.Table.from_pylist(r)) for table, r in rows.items())
    about: dict[str, Any] = {"run_id": new_run_id(), "stage": "made", "version": "1", "fingerprint": digest_of([s.digest for s in shards])}
    about |= {"source": SLICE.source, "slice": SLICE.interval, "code": "", "params": {}, "params_digest": "", "inputs": ()}
    times = dict.fromkeys(("started_at", "finished_at"), datetime.now(UTC))
    lake.commit(StageCommit(Receipt(**about, outputs=shards, tables=tuple(rows), counts=Counts(), **times, **here())))


class Scored(NamedTuple):
    """A lake whose held-out documents were scored, the released files of the model that scored them, and nats a text."""

    lake: Lake
    mix: Mix
    result: dict[str, Any]
    bundle: Path
    nats: Any
    texts: list[str]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Scored]:
    folder = tmp_path_factory.mktemp("scored")
    settings = Settings.model_validate({"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")})
    lake = Lake.open(settings)
    _commit(lake)
    run_pipeline(lake, load_pipeline(settings, "text").only(["tokenise"]), SLICE)
    mix = compile_mix(lake, Recipe.model_validate(RECIPE), allow_stale=True)[0]  # its documents were written by hand
    model = ModelConfig.model_validate({"name": "small", "tied": True, "precision": "fp32", **SIZES})
    plan = RunPlan("e" * 32, folder / "run", TrainConfig.model_validate(TRAIN), model)
    train(plan, mix, lake, Observer())
    stop()
    checkpoint = newest_valid(plan.checkpoints, run=plan.fingerprint)
    assert checkpoint is not None
    bundle = folder / "model"
    export(checkpoint, bundle)
    write_hf_tokenizer(load_vocabulary(settings.resolve(mix.recipe.tokenizer)), bundle, context=WINDOW)
    scorer = load_for_inference(checkpoint)
    made = Artifact(kind="checkpoint", name="small-8", fingerprint=digest_of("c"), path=str(checkpoint), parents=(mix.fingerprint,))
    lake.record_artifact(made)
    artifact, _ = evaluate(lake, mix, made, scorer, EvaluationParams(window=WINDOW, resamples=1000))
    stop()
    uids = [bytes(row["uid"]).hex() for row in scored_rows(mix)]
    texts = encoded_texts(lake, SLICE, uids)
    lines = [json.loads(line) for line in lake.storage.read_bytes(artifact.payload["files"]["jsonl"]).splitlines()]
    assert [line["uid"] for line in lines] == uids
    yield Scored(lake, mix, load_evaluation(lake, artifact), bundle, np.array([li["nats"] for li in lines]), [texts[uid] for uid in uids])


def _harness(bundle: Path, texts: list[str]) -> tuple[list[float], list[tuple[float, int]]]:
    """Nats of each text, and (log-likelihood, bytes) as its metric takes them; models and metric are lm_eval's own."""
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import PerplexityTask
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = HFLM(pretrained=str(bundle), dtype="float32", device="cpu", batch_size=16)
    assert model.max_length == WINDOW, "by default it takes the window that the bundle declares"
    requests = [Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0) for text in texts]
    with redirect_stderr(io.StringIO()):  # its progress bars
        found = model.loglikelihood_rolling(requests, disable_tqdm=True)
    return [-value for value in found], [(value, PerplexityTask.count_bytes(text)) for value, text in zip(found, texts, strict=True)]


def test_the_harness_measures_the_same_bits_per_byte_on_the_released_model(scored: Scored) -> None:
    from lm_eval.api.metrics import bits_per_byte as harness_bits_per_byte

    languages = [row["language"] for row in scored_rows(scored.mix)]
    assert len(languages) >= 100 and len(set(languages)) >= 5
    nats, items = _harness(scored.bundle, scored.texts)
    np.testing.assert_allclose(scored.nats, nats, rtol=AS_NEAR)
    for row in [*scored.result["languages"], scored.result["overall"]]:
        mine = [i for i, language in enumerate(languages) if row["language"] in ("all", language)]
        assert row["documents"] == len(mine) and row["bytes"] == sum(items[i][1] for i in mine)
        assert row["bits_per_byte"] == pytest.approx(harness_bits_per_byte([items[i] for i in mine]), rel=AS_NEAR)
        if row["language"] != "all":
            assert row["bits_per_byte"] < np.log2(scored.mix.vocabulary) / 2, "the model has learned something, so equality means something"
    long = pc.greater(scored.mix.held_out["tokens"], WINDOW + 1)
    assert pc.sum(long).as_py() > 50, "many texts are longer than a window"


def test_bytes_are_of_the_masked_and_cut_text_before_nfc(scored: Scored) -> None:
    stored = {r["uid"]: r["text"] for r in scored.lake.read("documents", SLICE, columns=["uid", "text"]).to_pylist()}
    vocabulary = load_vocabulary(scored.lake.settings.resolve(scored.mix.recipe.tokenizer))
    differs = {"stored": 0, "NFC": 0}
    for row, text in zip(scored_rows(scored.mix), scored.texts, strict=True):
        assert MAIL not in text and NOTICE not in text
        assert row["encoded_bytes"] == len(text.encode())
        differs["stored"] += row["encoded_bytes"] < len(stored[bytes(row["uid"]).hex()].encode())
        differs["NFC"] += row["encoded_bytes"] != len(vocabulary.normalise(text).encode())
    assert min(differs.values()) > 50, "masks, cuts and NFC each change the length of many texts"
    pool = sum(b.bytes for b in scored.mix.buckets)
    assert scored.result["overall"]["training_bytes"] == pool
    passports = scored.lake.read("passports", columns=["encoded_bytes"])["encoded_bytes"]
    assert pool + pc.sum(scored.mix.held_out["encoded_bytes"]).as_py() == pc.sum(passports).as_py()


def test_the_end_of_document_token_is_context_and_never_counted(scored: Scored) -> None:
    _, documents, sizes = held_out_documents(scored.lake, scored.mix)
    assert all(scored.mix.eod not in ids for ids in documents)
    assert scored.result["overall"]["tokens"] == sum(map(len, documents))
    assert scored.result["overall"]["bits_per_byte"] == pytest.approx(bits_per_byte(float(scored.nats.sum()), int(sizes.sum())), rel=1e-9)


def test_a_text_that_changed_since_it_was_tokenised_is_named(scored: Scored) -> None:
    uid = bytes(scored_rows(scored.mix)[0]["uid"]).hex()
    with pytest.raises(InputError, match="have no document " + "f" * 32):
        encoded_texts(scored.lake, SLICE, [uid, "f" * 32])
    with pytest.raises(InputError, match="never tokenised"):
        encoded_texts(scored.lake, Slice("valley", "1999-01-01"), [uid])


@given(st.integers(1, 400), st.integers(1, 40), st.data())
def test_windows_are_the_rolling_windows_of_the_harness(tokens: int, length: int, data: st.DataObject) -> None:
    from lm_eval.utils import get_rolling_token_windows

    stride = data.draw(st.integers(1, length))
    ids, eod = list(range(tokens)), -1
    theirs = list(get_rolling_token_windows(ids, eod, length, length - stride + 1))
    ours = [([eod, *ids][w.start : w.last], ids[w.first : w.last]) for w in windows(0, tokens, length, stride)]
    assert ours == theirs
