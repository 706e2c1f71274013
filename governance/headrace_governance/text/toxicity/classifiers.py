"""Classifiers by configuration: found in a package, a folder or the local hub cache, checked against their digests, then loaded.

Nothing is downloaded and nothing is unpickled: a linear model's tensors are read from ONNX, fastText has a format of its own, a
transformer is read from safetensors without its own code. A file that is not named with its digest is not read.

What ships for offline use: `hatesonar` (MIT; Davidson et al. 2017, English tweets in three classes). It was trained on tweets and
leans on single words; it calls dialect offensive more often (Sap et al. 2019), which `bench_toxicity.py` prints. Hence its score is
recorded and moves no tier.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headrace_governance.text.toxicity.policy import Classifier
from headrace_lake.errors import ConfigError, InputError

_CODE = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".msgpack", ".py", ".so"}
_TOKENS = 512


class Scorer(Protocol):
    """A loaded classifier: the probability of its toxic labels, by text."""

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float64]: ...


def load(name: str, spec: Classifier) -> Scorer:
    """Load a classifier after its files have been compared with their digests.

    Raises:
        ConfigError: it is not on this machine, or a label does not exist.
        InputError: a file differs from its digest.
    """
    place = locate(name, spec)
    files = verify(name, spec, place)
    return {"linear": _linear, "fasttext": _fasttext, "floret": _fasttext, "transformer": _transformer}[spec.kind](name, spec, files)


def locate(name: str, spec: Classifier) -> Path:
    """The file or folder of a classifier."""
    if spec.package is not None:
        module, _, path = spec.package.partition(":")
        found = importlib.util.find_spec(module) if module.isidentifier() else None
        if found is None or found.origin is None:
            raise ConfigError(f"classifier '{name}' needs the package {module}", f"pip install {module}")
        place = Path(found.origin).parent / path
    elif spec.folder is not None:
        place = Path(spec.folder)
    else:
        place = _cached(name, spec)
    if not place.exists():
        raise ConfigError(f"classifier '{name}': {place} does not exist", "correct its place in filters/toxicity.yaml")
    return place


def _cached(name: str, spec: Classifier) -> Path:
    from huggingface_hub import try_to_load_from_cache

    assert spec.hub is not None and spec.revision is not None
    first = next(iter(spec.digests))
    found = try_to_load_from_cache(spec.hub, first, revision=spec.revision)
    if not isinstance(found, str):
        way_out = f"fetch it once where the network is: hf download {spec.hub} --revision {spec.revision}"
        raise ConfigError(f"classifier '{name}': {spec.hub} at {spec.revision[:12]} is not in the local hub cache", way_out)
    return Path(found).parents[first.count("/")]


def verify(name: str, spec: Classifier, place: Path) -> dict[str, Path]:
    """File name → path of every file with a digest; a folder may hold no weights beside them."""
    files = {n: place / n if place.is_dir() else place for n in spec.digests}
    if place.is_file() and set(spec.digests) != {place.name}:
        raise ConfigError(f"classifier '{name}': digests name {', '.join(spec.digests)}, the file is {place.name}", "name that file")
    for n, file in files.items():
        if not file.is_file() or (place.is_dir() and ".." in Path(n).parts):
            raise ConfigError(f"classifier '{name}': no file '{n}' in {place}", "correct its digests in filters/toxicity.yaml")
        with file.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        if digest != spec.digests[n]:
            raise InputError(
                f"classifier '{name}': {n} has SHA-256 {digest}, not {spec.digests[n]}", "fetch it again, or review the change"
            )
    return files


def _columns(name: str, labels: Sequence[str], spec: Classifier) -> list[int]:
    for label in spec.toxic:
        if label not in labels:
            raise ConfigError(f"classifier '{name}': no label '{label}'", f"labels: {', '.join(labels)}")
    return [labels.index(label) for label in spec.toxic]


def _linear(name: str, spec: Classifier, files: dict[str, Path]) -> Scorer:
    from headrace_governance.text.toxicity.linear import read_onnx

    [file] = files.values()
    model = read_onnx(file.read_bytes(), where=f"classifier '{name}': {file.name}")
    columns = _columns(name, spec.labels, spec)
    if len(spec.labels) != len(model.bias):
        raise ConfigError(f"classifier '{name}' has {len(model.bias)} classes, {len(spec.labels)} labels are given", "name them all")

    def score(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        return np.asarray(model.predict(texts)[:, columns].sum(axis=1))

    return score


def _fasttext(name: str, spec: Classifier, files: dict[str, Path]) -> Scorer:
    [file] = files.values()
    model = importlib.import_module(spec.kind).load_model(str(file))
    prefix = "__label__"

    def score(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        out = np.zeros(len(texts))
        for row, text in enumerate(texts):
            # The extension's own function: floret's wrapper asks numpy 2 for what it no longer does.
            found = model.f.predict(text.replace("\n", " ") + "\n", -1, 0.0, "strict")
            out[row] = sum(float(p) for p, label in found if label.removeprefix(prefix) in spec.toxic)
        return np.minimum(out, 1.0)

    return score


def _transformer(name: str, spec: Classifier, files: dict[str, Path]) -> Scorer:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = min(files.values(), key=lambda f: len(f.parts)).parent
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        inside = file.relative_to(folder).as_posix()
        if file.suffix in _CODE or inside not in files:
            raise ConfigError(
                f"classifier '{name}': '{inside}' lies beside the named files",
                "give the digest of JSON, text or safetensors; remove others",
            )
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), **options)
    model: Any = AutoModelForSequenceClassification.from_pretrained(str(folder), use_safetensors=True, weights_only=True, **options)
    model.eval()
    names = [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
    columns = _columns(name, spec.labels or names, spec)
    several = getattr(model.config, "problem_type", None) == "multi_label_classification"

    def score(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        rows = []
        for start in range(0, len(texts), 16):
            some = tokenizer(list(texts[start : start + 16]), truncation=True, max_length=_TOKENS, padding=True, return_tensors="pt")
            with torch.inference_mode():
                logits = model(**some).logits.double()
            odds = torch.sigmoid(logits)[:, columns].amax(1) if several else torch.softmax(logits, 1)[:, columns].sum(1)
            rows.append(odds.numpy())
        return np.concatenate(rows) if rows else np.zeros(0)

    return score
