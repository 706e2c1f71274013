"""Parameters of `decontamination`: when a document holds an evaluation item, and what becomes of it then.

Sources of the defaults: n-grams of 13 words are GPT-3's (Brown et al. 2020, appendix C), half of them marin's bound for a paragraph;
runs of 8 words that cover 70 % are PaLM's (Chowdhery et al. 2022, section 8), taken over words as Llama 3 does (2024, section 5.1.4),
so that an item with one word changed is found; marin looks for short items from 3 words on as a whole.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from headrace_lake.strict import StrictModel

FIELDS = ("question", "answer", "context", "document")
"""What a text of an evaluation item can be; `document` is a paragraph of a held-out document of our own."""


class NgramRule(StrictModel):
    """When an item of at least `n` units counts as found; a unit is a word, or a character where no spaces are written.

    Attributes:
        n: length of an n-gram.
        min_overlap: share of the item's n-grams.
        seed: shortest run of units that is looked at.
        min_coverage: share of the item's units that lie in such runs; either bound suffices.
    """

    n: int = Field(ge=2, le=256)
    min_overlap: float = Field(default=0.5, gt=0, le=1)
    seed: int = Field(ge=2, le=256)
    min_coverage: float = Field(default=0.7, gt=0, le=1)

    @model_validator(mode="after")
    def _seed_fits(self) -> NgramRule:
        if self.seed > self.n:
            raise ValueError("'seed' must not be longer than 'n'")
        return self


class ShortRule(StrictModel):
    """From when an item that is shorter than an n-gram is looked for, as a whole, between word borders.

    Attributes:
        units: words, or characters of an unspaced script.
        letters: "Which of these is correct?" has 22 and is a common phrase.
        letters_a_character: what a character of an unspaced script counts as; 12 Chinese ones say as much as 30 letters.
    """

    units: int = Field(default=3, ge=3, le=256)
    letters: float = Field(default=30, ge=1)
    letters_a_character: float = Field(default=2.5, ge=1)


class DecontaminationParams(StrictModel):
    """Parameters of `decontamination`.

    Attributes:
        sets: evaluation sets to look for; empty means all that are registered.
        everywhere: languages whose items are looked for in every slice; items of others only in slices with a document in
            their language, so that a new Chinese set leaves German slices as they are.
        words, characters: rules for spaced and unspaced scripts.
        short: rule for shorter items.
        drop: fields that make a document drop; a hit of another field is only marked. A context is usually a public text
            (a Wikipedia paragraph): finding it says nothing about the question that was asked of it.
        max_items: a run of words that stands in more items than this is a template of the set and starts no match.
        max_documents: the same for a run that stands in more documents than this, among those that
            `headrace decontaminate count-common` has counted; 10 is GPT-3's bound for common phrases and legal boilerplate.
    """

    sets: tuple[str, ...] = ()
    everywhere: tuple[str, ...] = ("en", "und")
    words: NgramRule = NgramRule(n=13, seed=8)
    characters: NgramRule = NgramRule(n=20, seed=10)
    short: ShortRule = ShortRule()
    drop: tuple[str, ...] = ("question", "answer", "document")
    max_items: int = Field(default=10, ge=1)
    max_documents: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> DecontaminationParams:
        for field in self.drop:
            if field not in FIELDS:
                raise ValueError(f"no field '{field}'; fields: {', '.join(FIELDS)}")
        if self.short.units > min(self.words.seed, self.characters.seed):
            raise ValueError("'short.units' must not be more than a 'seed'")
        return self
