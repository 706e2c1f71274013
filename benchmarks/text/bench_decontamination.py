"""Decontamination: injected leaks found, false hits on documents of the same subject, and speed, beside datatrove's n-gram filter.

    python benchmarks/text/bench_decontamination.py --items 1500 --documents 4000

Items: sentences of the sample packages' pages (corpus.py) of 13 to 60 words, 20 to 150 characters in Chinese and Japanese, asked as
questions; every tenth page gives items and is not a document. A sentence that stands in any other page is not an item. Leaks: each item in
a page of its language, in seven kinds (tests/governance/decontamination_set.py). Negatives: the other pages without a leak; they are
the same handbooks and help pages, full of sentences that differ in a word, so every hit on one counts as false.

datatrove's `NGramsDecontFilter` runs with its own 12-grams, its own tokenizer for each language, and an index of the same items that
its indexer's `compute_hashes` makes (the indexer's `run` needs lighteval, which would fetch sets from the network). Its verdict is
one shared 12-gram; it names the task, not the item. What ours does beyond: which item, how much of it, where; short items; edits.
Times are CPU seconds of one process; ours from an Arrow column to hits, datatrove's from documents in memory to verdicts.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import sys
import time
from collections import Counter, defaultdict
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from corpus import corpus

from headrace_governance.decontamination.index import Index
from headrace_governance.decontamination.rules import DecontaminationParams, NgramRule

if TYPE_CHECKING:
    from decontamination_set import Leak

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ru", "ar", "hi", "ko", "zh", "ja")
UNSPACED = ("zh", "ja")
PEER_LANGUAGES = {"zh": "cmn", **{x: x for x in ("en", "de", "fr", "es", "it", "pt", "ru", "ja")}}
"""datatrove's names. For `zh` it would take spaCy's multilingual tokenizer; for Arabic and Hindi it wants Stanza's downloads, for
Korean a model of Kiwi's that its package does not hold."""
PEER_KINDS = ("verbatim", "case", "punctuation", "lines", "edited")
_NO_LETTER = re.compile(r"[\W_]+")
_WORD, _CHINESE = re.compile(r"[^\W_]+"), re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")
_SENTENCE = re.compile(r"(?<=[.!?。！？।؟])\s*")


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def sentences(text: str, language: str) -> list[str]:
    """Sentences of the length of an item."""
    low, high = (20, 150) if language in UNSPACED else (13, 60)
    found = []
    for line in text.split("\n"):
        for sentence in _SENTENCE.split(line.strip("#*-|> \t")):
            words = [w for w in sentence.split() if any(c.isalnum() for c in w)]
            size = len(_CHINESE.findall(sentence)) if language in UNSPACED else len(words)
            if low <= size <= high:
                found.append(sentence.rstrip(".。।") + "?")
    return found


def data(n_items: int, n_documents: int) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Items, and documents by language."""
    table = corpus(1e3 if n_documents > 20_000 else n_documents * 0.01)
    rng = random.Random(20261125)
    givers: dict[str, list[str]] = defaultdict(list)
    documents: dict[str, list[str]] = defaultdict(list)
    for n, (language, text) in enumerate(zip(table["language"].to_pylist(), table["text"].to_pylist(), strict=True)):
        if language in LANGUAGES:
            (givers if (n // 12) % 10 == 0 else documents)[language].append(text)
    each = n_documents // len(LANGUAGES)
    documents = {language: texts[:each] for language, texts in documents.items()}
    items: list[tuple[str, str]] = []
    known = "\n".join(_NO_LETTER.sub("", t).lower() for texts in documents.values() for t in texts)
    for language in LANGUAGES:
        pool = sorted({s for t in givers[language] for s in sentences(t, language)})
        rng.shuffle(pool)
        unique = (s for s in pool if _NO_LETTER.sub("", s).lower() not in known)
        items += [(language, s) for s, _ in zip(unique, range(n_items // len(LANGUAGES)), strict=False)]
    return items, documents


class Peer:
    """datatrove's filter for one language, with the items of that language."""

    def __init__(self, language: str, items: list[str], tokenizer: Any = None) -> None:
        from datatrove.data import Document
        from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer

        # Without __init__, which asks for lighteval: compute_hashes needs no more than these.
        indexer = object.__new__(NGramsDecontIndexer)
        self.filter = NGramsDecontFilter("/nonexistent", NGramsDecontConfig(), language=PEER_LANGUAGES[language])
        self.filter.tokenizer = tokenizer or self.filter.tokenizer
        indexer.config, indexer.tokenizer, indexer.hash_func = self.filter.config, self.filter.tokenizer, self.filter.hash_func
        self.filter._index_hashes = {h: "items" for item in items for h in indexer.compute_hashes(item)}
        self._document = Document

    def hit(self, text: str) -> bool:
        """Whether the filter would drop the text."""
        return self.filter.filter(self._document(text=text, id="x")) is not True


def found_by_ours(index: Index, found: list[Leak]) -> list[bool]:
    """Whether each leak's own item was found."""
    hits = index.find(pa.array([x.text for x in found], pa.large_string()))
    pairs = set(zip(hits.document.tolist(), hits.item.tolist(), strict=True))
    return [(n, x.item) in pairs for n, x in enumerate(found)]


def recall(found: list[Leak], ours: list[bool], theirs: dict[int, bool]) -> None:
    """Print recall by kind and by language, and where the two differ."""
    from decontamination_set import KINDS

    print(f"\n{'kind':12} {'n':>6} {'recall':>7}  Wilson 95 %        datatrove (n)")
    for kind in (*KINDS, "all but edited"):
        mine = [n for n, x in enumerate(found) if x.kind == kind or (kind == "all but edited" and x.kind != "edited")]
        low, high = wilson(sum(ours[n] for n in mine), len(mine))
        both = [n for n in mine if n in theirs]
        peer = f"{sum(theirs[n] for n in both) / len(both):.4f} ({len(both)})" if both else ""
        print(f"{kind:14} {len(mine):6} {sum(ours[n] for n in mine) / len(mine):7.4f}  {low:.4f} to {high:.4f}  {peer}")
    print(f"\n{'language':9} {'items':>6} " + " ".join(f"{k:>12}" for k in KINDS))
    for language in LANGUAGES:
        rates = []
        for kind in KINDS:
            mine = [n for n, x in enumerate(found) if x.kind == kind and x.language == language]
            rates.append(f"{sum(ours[n] for n in mine) / len(mine):12.4f}")
        print(f"{language:9} {len(mine):6} " + " ".join(rates))
    only_ours = Counter((found[n].kind, found[n].language) for n, hit in theirs.items() if ours[n] and not hit)
    only_theirs = Counter((found[n].kind, found[n].language) for n, hit in theirs.items() if hit and not ours[n])
    print(f"\nonly ours: {dict(only_ours.most_common(12))}\nonly datatrove: {dict(only_theirs.most_common(12))}")


class Spaces:
    """The cheapest tokenizer that datatrove could have."""

    def word_tokenize(self, text: str) -> list[str]:
        """Words between spaces."""
        return text.split()


def by_size(documents: dict[str, list[str]], column: pa.Array, size: float) -> None:
    """Print speed and memory as the index grows; its items are the documents' words in another order, so nothing is found."""
    rng = random.Random(1)
    words = [w for lang in LANGUAGES if lang not in UNSPACED for t in documents[lang] for w in _WORD.findall(t)]
    for units in (100_000, 1_000_000, 4_000_000):
        texts = pa.array([" ".join(rng.choices(words, k=50)) for _ in range(units // 50)], pa.large_string())
        started = time.process_time()
        index = Index(texts, DecontaminationParams())
        built = time.process_time() - started
        started = time.process_time()
        found = len(index.find(column).item)
        rate = size / (time.process_time() - started)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  index of {index.units.sum():,} units: built in {built:.1f} s, {rate:.0f} MB/s, {found} hits, peak memory {peak:.0f} MiB")


def looser(items: list[tuple[str, str]], found: list[Leak], column: pa.Array) -> None:
    """Print what other bounds would find, and what they would take."""
    edited = [x for x in found if x.kind == "edited"]
    texts = pa.array([t for _, t in items], pa.large_string())
    print("\nruns of words (characters), cover   edited found   documents hit falsely")
    for words, characters, cover in ((13, 20, 1.0), (8, 10, 0.8), (8, 10, 0.7), (8, 10, 0.6), (6, 8, 0.7), (6, 8, 0.6), (5, 7, 0.6)):
        rules = {
            "words": NgramRule(n=13, seed=words, min_coverage=cover),
            "characters": NgramRule(n=20, seed=characters, min_coverage=cover),
        }
        index = Index(texts, DecontaminationParams(**rules))
        rate = sum(found_by_ours(index, edited)) / len(edited)
        print(
            f"{words:8} ({characters:2}) {cover:14.0%} {rate:14.4f} {len(set(index.find(column).document.tolist())):14} of {len(column):,}"
        )


def main() -> None:
    """Outputs first, then times in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--peer-leaks", type=int, default=600, help="leaks that datatrove sees")
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[2] / "tests" / "governance"))
    from decontamination_set import leaks

    items, documents = data(words.items, words.documents)
    negatives = [(language, t) for language in LANGUAGES for t in documents[language]]
    size = sum(len(t.encode()) for _, t in negatives) / 1e6
    print(f"{len(items):,} items in {len(LANGUAGES)} languages; {len(negatives):,} documents without a leak, {size:.1f} MB")
    started = time.process_time()
    index = Index(pa.array([t for _, t in items], pa.large_string()), DecontaminationParams())
    print(f"index: {index.units.sum():,} units, {len(index.seeds):,} seeds, {time.process_time() - started:.2f} s (compiling included)")
    found = leaks(11, items, documents)
    ours = found_by_ours(index, found)
    column = pa.array([t for _, t in negatives], pa.large_string())
    hits = index.find(column)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    peers = {language: Peer(language, [t for lang, t in items if lang == language]) for language in PEER_LANGUAGES}
    chosen = [n for n, x in enumerate(found) if x.kind in PEER_KINDS and x.language in PEER_LANGUAGES]
    random.Random(3).shuffle(chosen)
    theirs = {n: peers[found[n].language].hit(found[n].text) for n in sorted(chosen[: words.peer_leaks])}
    recall(found, ours, theirs)

    false = sorted(set(hits.document.tolist()))
    sample = [x for x in negatives[:: max(1, len(negatives) // 600)] if x[0] in PEER_LANGUAGES]
    peer_false = sum(peers[language].hit(t) for language, t in sample)
    true = sum(ours)
    print(f"\nfalse hits: ours {len(false)} of {len(negatives):,} documents, datatrove {peer_false} of {len(sample)}")
    print(f"precision with {len(found):,} leaks among them: {true / (true + len(false)):.4f}")
    for d in false[:10]:
        h = int(np.flatnonzero(hits.document == d)[0])
        place = negatives[d][1].encode()[int(hits.start[h]) : int(hits.end[h])].decode(errors="replace")
        print(f"  {negatives[d][0]}: item {items[int(hits.item[h])][1]!r}\n      stands as {place!r}")

    looser(items, found, column)
    runs: dict[str, Any] = {"headrace": lambda: index.find(column)}
    short = [x for x in sample if x[0] not in UNSPACED]
    runs[f"datatrove {version('datatrove')} (spaced languages)"] = lambda: [peers[language].hit(t) for language, t in short]
    cheap = {language: Peer(language, [t for lang, t in items if lang == language], Spaces()) for language in PEER_LANGUAGES}
    runs["datatrove with a cheap tokenizer"] = lambda: [cheap[language].hit(t) for language, t in short]
    sizes = {"headrace": size}
    speeds: dict[str, list[float]] = defaultdict(list)
    for _ in range(words.rounds):
        for name, run in runs.items():
            started = time.process_time()
            run()
            mb = sizes.get(name, sum(len(t.encode()) for _, t in short) / 1e6)
            speeds[name].append(mb / (time.process_time() - started))
    print()
    for name, rates in speeds.items():
        middle = sorted(rates)[len(rates) // 2]
        print(f"{name}: {middle:.1f} MB/s a core (from {min(rates):.1f} to {max(rates):.1f})")
    for language in LANGUAGES:
        part = pa.array(documents[language], pa.large_string())
        mb = sum(len(t.encode()) for t in documents[language]) / 1e6
        best = 0.0
        for _ in range(words.rounds):
            started = time.process_time()
            index.find(part)
            best = max(best, mb / (time.process_time() - started))
        print(f"  {language}: {best:.0f} MB/s")
    print(f"peak memory before datatrove was loaded: {peak:.0f} MiB")
    by_size(documents, column, size)


if __name__ == "__main__":
    main()
