"""The labelled set of `toxicity_set.yaml`: every sentence in three frames, and in capitals where letters have case."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_SET: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))

DIALECTS: dict[str, tuple[str, ...]] = {name: tuple(some) for name, some in _SET["dialects"].items()}
"""Name, which begins with the language's code → harmless sentences; "standard" says the same without dialect."""


@dataclass(frozen=True)
class Labelled:
    """A text, its language and its tier (`none`, `mild`, `strong`, `severe`)."""

    language: str
    tier: str
    text: str


def labelled() -> list[Labelled]:
    """The whole set."""
    made = []
    for language, frames in _SET["frames"].items():
        sentences = [(tier, s) for tier, some in _SET["toxic"][language].items() for s in some]
        sentences += [("none", s) for s in _SET["harmless"][language]]
        for tier, sentence in sentences:
            made += [Labelled(language, tier, frame.format(sentence)) for frame in frames]
            if sentence.upper() != sentence:
                made.append(Labelled(language, tier, sentence.upper()))
    return made
