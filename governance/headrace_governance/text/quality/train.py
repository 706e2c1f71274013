"""`headrace quality train`: from a model's file to an artifact of the lake with its card.

The artifact is of kind `quality-model`; its path is the model file, stored under its digest, its payload the card. The fingerprint is made
of the file's fields, the digests of all texts and this code, so what was trained once is adopted. Nothing is random but by seed and
no clock is read: the same data give the same bytes.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_governance.text.quality.config import ClassifierFile, ExternalNgramFile, NgramFile, QualityFile
from headrace_governance.text.quality.data import Document, Gathered, Place, gather, passages, split, without_near_duplicates
from headrace_governance.text.quality.evaluate import auc, operating_table, tier_cuts
from headrace_governance.text.quality.models import Classifier, Perplexity, grade, load_model, log_odds, train_classifier
from headrace_governance.text.quality.ngram import estimate, write_arpa
from headrace_governance.text.quality.tokens import TOKENS, tokens_of
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import code_digest, digest_of, file_digest
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact
from headrace_lake.settings import Settings
from headrace_lake.strict import load_yaml

KIND = "quality-model"
_Floats = npt.NDArray[np.float64]


def quality_file(settings: Settings, name: str) -> QualityFile:
    """Read a model's file by name (in `pipelines/quality/`) or by path.

    Raises:
        ConfigError: no such file, or a field is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        return load_yaml(settings.resolve(name), QualityFile)
    folder = settings.resolve(settings.pipelines) / "quality"
    file = folder / f"{name}.yaml"
    if not file.exists():
        raise ConfigError(
            f"no quality model '{name}' in {folder}", f"models: {', '.join(sorted(p.stem for p in folder.glob('*.yaml'))) or 'none'}"
        )
    return load_yaml(file, QualityFile)


def make_model(lake: Lake, file: QualityFile, *, cache: Path) -> tuple[Artifact, str]:
    """Make the model of a file, or adopt it.

    Args:
        cache: folder of downloaded packages.

    Returns:
        the artifact, and `adopted` or `computed`.

    Raises:
        InputError: data that the file names are missing or too few.
    """
    spec = file.model
    place = Place(lake, cache, spec.language)
    with tempfile.TemporaryDirectory(prefix="headrace-quality-") as folder:
        if isinstance(spec, ClassifierFile):
            return _classifier(lake, spec, place, Path(folder))
        if isinstance(spec, NgramFile):
            return _ngram(lake, spec, place, Path(folder))
        return _external(lake, spec, place, Path(folder))


# -- classifier --------------------------------------------------------------------------------------------------------


def _classifier(lake: Lake, spec: ClassifierFile, place: Place, folder: Path) -> tuple[Artifact, str]:
    sides = _sides(spec, place)
    artifact = _named(lake, spec.perplexity) if spec.perplexity else None
    identity = _identity(spec, sides, "floret", artifact.digest if artifact is not None else "")
    if (found := _stored(lake, identity)) is not None:
        return found, "adopted"
    perplexity: Any = None
    if artifact is not None:
        perplexity = load_model("perplexity", str(lake.storage.local_path(artifact.path)), artifact.digest)
    # Trials first: of two near duplicates the training document goes, and a set that people judged stays whole.
    names = [n for n in sides if n not in ("positive", "negative", "reference")] + ["positive", "negative"]
    left = dict(zip(names, without_near_duplicates([sides[n].documents for n in names]), strict=True))
    (good, good_held), (bad, bad_held) = split(left["positive"], spec.held_out), split(left["negative"], spec.held_out)
    for what, documents in (("positive", good), ("negative", bad), ("held-out positive", good_held), ("held-out negative", bad_held)):
        if len(documents) < 2:
            raise InputError(f"model {spec.name}: {len(documents)} {what} documents are left", "name more data")
    file = train_classifier(_training(good, spec), _training(bad, spec), spec, folder)
    judge = Judge(Classifier(file), perplexity, spec)
    judge.scale(sides["reference"].documents if spec.reference else [*good_held, *bad_held])
    above, below = judge.grades(good_held), judge.grades(bad_held)
    cuts = tier_cuts(judge.grades(sides["reference"].documents) if spec.reference else np.concatenate([above, below]), spec.tiers)
    trials = {
        name: {"labels": trial.labels, **_judged(judge, left[f"{name}/positive"], left[f"{name}/negative"])}
        for name, trial in spec.trials.items()
    }
    card = {
        "role": "classifier",
        "data": {name: side.entries for name, side in sides.items()},
        "documents": {"training": [len(good), len(bad)], "held_out": [len(good_held), len(bad_held)]},
        "held_out": {"labels": spec.labels, **_judged(judge, good_held, bad_held)},
        "trials": trials,
        "graded_by": "classifier and perplexity" if artifact is not None else "classifier",
        "perplexity": artifact.digest if artifact is not None else "",
        "scales": judge.scales,
        "cuts": [[tier, cut] for tier, cut in cuts.items()],
        "reference": "entries under `reference`" if spec.reference else "the held-out documents",
        "operating": operating_table(above, below, cuts),
    }
    return _record(lake, spec, identity, file, ".bin", card, sides), "computed"


class Judge:
    """Grades documents as the stage will: by their first characters, with the classifier and perhaps perplexity.

    Attributes:
        scales: see `models.grade`; none until `scale` is called, and none without perplexity.
    """

    def __init__(self, classifier: Classifier, perplexity: Perplexity | None, spec: ClassifierFile) -> None:
        self._classifier, self._perplexity, self._spec = classifier, perplexity, spec
        self.scales: list[list[float]] = []

    def measure(self, documents: list[Document]) -> list[tuple[float | None, float | None]]:
        """Score and perplexity of each document."""
        tokens = tokens_of(self._spec.language)
        lines = [tokens.lines(d.text[: self._spec.characters]) for d in documents]
        scores = self._classifier.scores([" ".join(x) for x in lines])
        return [(s, self._perplexity.of(x) if self._perplexity is not None else None) for s, x in zip(scores, lines, strict=True)]

    def scale(self, reference: list[Document]) -> None:
        """Take mean and deviation of both measures from a reference."""
        if self._perplexity is not None:
            measured = self.measure(reference)
            columns = ([log_odds(s) for s, _ in measured], [-log(p) for _, p in measured if p is not None])
            self.scales = [[float(np.mean(c)), max(1e-9, float(np.std(c)))] for c in columns]

    def grades(self, documents: list[Document]) -> _Floats:
        """What tiers are cut from."""
        return np.array([grade(s, p, self.scales) for s, p in self.measure(documents)])


def _sides(spec: ClassifierFile, place: Place) -> dict[str, Gathered]:
    positive = gather(spec.positive, place)
    sides = {"positive": positive, "negative": gather(spec.negative, place, positive.documents)}
    for name, trial in spec.trials.items():
        good = sides[f"{name}/positive"] = gather(trial.positive, place)
        sides[f"{name}/negative"] = gather(trial.negative, place, good.documents)
    if spec.reference:
        sides["reference"] = gather(spec.reference, place)
    return sides


def _training(documents: list[Document], spec: ClassifierFile) -> list[str]:
    tokens = tokens_of(spec.language)
    return [" ".join(tokens.lines(p)) for d in documents for p in passages(d, spec.passages)]


def _judged(judge: Judge, good: list[Document], bad: list[Document]) -> dict[str, Any]:
    """AUC of the grade, of each measure alone, of each positive entry against all bad texts, and of each negative one against all good."""
    if not good or not bad:
        raise InputError("a trial has no text left that training does not have", "name other data")
    measured = [judge.measure(side) for side in (good, bad)]
    above, below = (np.array([grade(s, p, judge.scales) for s, p in side]) for side in measured)
    alone = {"classifier": auc(*(np.array([log_odds(s) for s, _ in side]) for side in measured))}
    if judge.scales:
        alone["perplexity"] = auc(*(np.array([-log(p) if p is not None else -99.0 for _, p in side]) for side in measured))
    by_entry = {}
    for documents, own, other, is_good in ((good, above, below, True), (bad, below, above, False)):
        for entry in dict.fromkeys(d.entry for d in documents):
            chosen = own[[d.entry == entry for d in documents]]
            by_entry[f"{'good' if is_good else 'bad'}: {entry}"] = auc(chosen, other) if is_good else auc(other, chosen)
    return {**auc(above, below), "alone": alone, "by_entry": by_entry}


# -- n-gram models -----------------------------------------------------------------------------------------------------


def _ngram(lake: Lake, spec: NgramFile, place: Place, folder: Path) -> tuple[Artifact, str]:
    side = gather(spec.data, place)
    identity = _identity(spec, {"data": side}, "kenlm")
    if (found := _stored(lake, identity)) is not None:
        return found, "adopted"
    [documents] = without_near_duplicates([side.documents])
    training, held = split(documents, spec.held_out)
    tokens = tokens_of(spec.language)
    model = estimate((line for d in training for line in tokens.lines(d.text)), order=spec.order, prune=spec.prune)
    file = folder / "model.arpa"
    write_arpa(model, file)
    scorer = Perplexity(file)
    found_out = [p for d in held if (p := scorer.of(tokens.lines(d.text[: spec.characters]))) is not None]
    card = {
        "role": "perplexity",
        "data": {"data": side.entries},
        "documents": {"training": len(training), "held_out": len(held)},
        "order": spec.order,
        "ngrams": model.sizes,
        "perplexity": {f"p{q}": round(float(np.percentile(found_out, q)), 1) for q in (10, 50, 90)} if found_out else {},
    }
    return _record(lake, spec, identity, file, ".arpa", card, {"data": side}), "computed"


def _external(lake: Lake, spec: ExternalNgramFile, place: Place, folder: Path) -> tuple[Artifact, str]:
    if spec.package:
        from headrace_governance.containers.debian import fetch_package, unpack

        file = unpack(fetch_package(spec.package, place.cache, lambda _: None), folder / spec.package) / spec.file
    else:
        file = lake.settings.resolve(spec.file)
    if not file.is_file() or file.is_symlink():
        raise InputError(
            f"model {spec.name}: no file {spec.file}" + (f" in package {spec.package}" if spec.package else ""), "check 'file'"
        )
    if (digest := file_digest(file)) != spec.digest:
        raise InputError(
            f"model {spec.name}: the digest of {spec.file} is {digest}, not {spec.digest}",
            "take the file that was meant, or change 'digest'",
        )
    identity = _identity(spec, {}, "kenlm")
    if (found := _stored(lake, identity)) is not None:
        return found, "adopted"
    card = {"role": "perplexity", "order": Perplexity(file).order, "origin": f"{spec.package} {spec.file}".strip(), "licence": spec.licence}
    return _record(lake, spec, identity, file, ".lm", card, {}), "computed"


# -- artifacts ---------------------------------------------------------------------------------------------------------


def _named(lake: Lake, name: str) -> Artifact:
    found = lake.find_artifact(KIND, name=name)
    if found is None or found.payload["role"] != "perplexity":
        raise InputError(f"the lake has no n-gram model '{name}'", f"run 'headrace quality train {name}' first")
    return found


def _identity(spec: ClassifierFile | NgramFile | ExternalNgramFile, sides: dict[str, Gathered], library: str, beside: str = "") -> str:
    data = {name: [e["digest"] for e in side.entries] for name, side in sides.items()}
    return digest_of(
        {
            "kind": KIND,
            "params": spec.model_dump(mode="json"),
            "data": data,
            "beside": beside,
            "library": [library, version(library)],
            "code": code_digest(__name__),
        }
    )


def _stored(lake: Lake, fingerprint: str) -> Artifact | None:
    found = lake.find_artifact(KIND, fingerprint=fingerprint)
    return found if found is not None and lake.storage.exists(found.path) else None


def _record(
    lake: Lake,
    spec: ClassifierFile | NgramFile | ExternalNgramFile,
    fingerprint: str,
    file: Path,
    suffix: str,
    card: dict[str, Any],
    sides: dict[str, Gathered],
) -> Artifact:
    library = "floret" if isinstance(spec, ClassifierFile) else "kenlm"
    payload = {
        "name": spec.name,
        "language": spec.language,
        "tokens": TOKENS,
        "characters": spec.characters,
        "library": f"{library} {version(library)}",
        "digest": file_digest(file),
        "bytes": file.stat().st_size,
        "params": spec.model_dump(mode="json", exclude={"positive", "negative", "trials", "reference", "data", "name", "language"}),
        **card,
    }
    artifact = Artifact(
        kind=KIND,
        name=spec.name,
        fingerprint=fingerprint,
        digest=payload["digest"],
        path=lake.put_object(file, kind=KIND, suffix=suffix),
        parents=tuple(sorted({p for side in sides.values() for p in side.parents})),
        payload=payload,
    )
    lake.record_artifact(artifact)
    return artifact
