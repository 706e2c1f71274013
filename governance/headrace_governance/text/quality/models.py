"""Quality models as a stage uses them: a fastText classifier and a KenLM model, loaded once a process if the digest is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace_lake.errors import InputError
from headrace_lake.fingerprint import digest_bytes, file_digest

if TYPE_CHECKING:
    from headrace_governance.text.quality.config import ClassifierFile

GOOD, BAD = "__label__good", "__label__bad"


def train_classifier(good: Iterable[str], bad: Iterable[str], spec: ClassifierFile, folder: Path) -> Path:
    """Train on texts given as words with spaces; the same texts, in any order, and parameters give the same bytes.

    One thread, because fastText's threads write to one matrix without locks.
    """
    import floret

    lines = [f"{label} {text}" for label, texts in ((GOOD, good), (BAD, bad)) for text in texts if text]
    lines.sort(key=lambda line: digest_bytes(line.encode()))  # mixes the classes
    data, out = folder / "train.txt", folder / "model.bin"
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = floret.train_supervised(
        str(data),
        lr=spec.rate,
        dim=spec.dim,
        epoch=spec.epochs,
        wordNgrams=spec.ngrams,
        minCount=spec.min_count,
        bucket=spec.buckets,
        seed=spec.seed,
        thread=1,
        verbose=0,
    )
    model.save_model(str(out))
    return out


class Classifier:
    """Probability that a text is good."""

    def __init__(self, path: str | Path) -> None:
        import floret

        self._model = floret.load_model(str(path))

    def scores(self, texts: Sequence[str]) -> list[float | None]:
        """A score from 0 to 1 for each text of words; None for one without words."""
        asked = [i for i, t in enumerate(texts) if t]
        out: list[float | None] = [None] * len(texts)
        if asked:
            # Asked for one label: with two, floret 0.10.5 gives both the same probability.
            labels, probabilities = self._model.predict([texts[i] for i in asked], k=1)
            for i, label, p in zip(asked, labels, probabilities, strict=True):
                if label:
                    score = min(1.0, float(p[0]))
                    out[i] = score if label[0] == GOOD else 1.0 - score
        return out


class Perplexity:
    """Perplexity a word of a text under an n-gram model; ends of lines count as words."""

    def __init__(self, path: str | Path) -> None:
        import kenlm

        try:
            self._model = kenlm.Model(str(path), _silent(kenlm))
        except (OSError, RuntimeError) as exc:
            problem = " ".join(str(exc).split())[:200]
            raise InputError(f"{path}: KenLM cannot load it: {problem}", "give an ARPA file or KenLM's binary form") from exc

    @property
    def order(self) -> int:
        """Words of the longest n-gram."""
        return int(self._model.order)

    def of(self, lines: Sequence[str]) -> float | None:
        """Of a text given as lines of words; None for one without words."""
        if not lines:
            return None
        total = sum(self._model.score(line) for line in lines)
        words = sum(line.count(" ") + 2 for line in lines)
        return float(10.0 ** (-total / words))


def log_odds(score: float | None) -> float:
    """Of a score; of none, those of a half."""
    p = min(max(0.5 if score is None else score, 1e-6), 1 - 1e-6)
    return log(p / (1 - p))


def grade(score: float | None, perplexity: float | None, scales: Sequence[Sequence[float]]) -> float:
    """What tiers are cut from: the log-odds of the score, and with perplexity the sum of both, standardised.

    Args:
        scales: mean and deviation of the log-odds, and of the negative logarithm of perplexity; none where perplexity plays no part.
    """
    odds = log_odds(score)
    if not scales:
        return odds
    (mean, deviation), (other_mean, other_deviation) = scales
    fluency = other_mean if perplexity is None else -log(perplexity)
    return (odds - mean) / deviation + (fluency - other_mean) / other_deviation


def _silent(kenlm: Any) -> Any:
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    return config


def load_model(kind: str, path: str, digest: str) -> Classifier | Perplexity:
    """A model of kind `classifier` or `perplexity`.

    Raises:
        InputError: the file's bytes are not those that were recorded.
    """
    found = file_digest(path)
    if found != digest:
        raise InputError(f"{path}: its digest is {found}, the model's is {digest}", "restore the file, or train the model again")
    return Classifier(path) if kind == "classifier" else Perplexity(path)
