"""Near duplicates, sign to verdict: ours beside datatrove's MinHash, as it comes and with a cheap tokenizer.

    python benchmarks/text/bench_near_duplicates.py --documents 10000
    python benchmarks/text/bench_near_duplicates.py --scale 100000 1000000
    python benchmarks/text/bench_near_duplicates.py --residual 20000

Data: pages of the sample packages in languages with spaces, and planted pairs (tests/governance/near_duplicates_set.py): lightly
edited, framed, re-spaced, re-cased and cut texts, and hard negatives: letters, change logs, contracts of one form with other facts.
datatrove runs its four steps in this process with its own defaults (14 x 8, 5-grams, English), from documents in memory to the
filter's verdicts; ours runs `minhash` and `near_duplicate`, from an Arrow column to the verdict table. What ours does beyond: every
pair is confirmed by the whole signature and by facts, which costs time and saves forms; what it does not: files between the steps,
which the engine writes for every stage alike.

`--scale` makes documents from the pages' sentences at random, 15 % of them near duplicates, and shows time a document and peak
memory as their number grows, a fresh process each.

`--residual` looks for what was missed: of the pages that stay, every pair of exact Jaccard similarity 0.8 or more over 5-grams, by an
index of all shingles and no signatures. Pairs that were told apart by their facts (numbers, names) are counted beside the others.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_governance.duplicates.near.signatures import MinhashParams, Signer
from headrace_governance.duplicates.near.verdict import Matcher, NearDuplicateParams

if TYPE_CHECKING:
    from near_duplicates_set import Pair

SPACED = ("en", "de", "es", "fr", "it", "pt", "ru")
PLANTED = 1000
SIGN_AT_ONCE = 1024


def ours(texts: pa.Array, signer: Signer) -> dict[int, int]:
    """Dropped document → the one that stays."""
    parts = [signer.sign(texts.slice(at, SIGN_AT_ONCE)) for at in range(0, len(texts), SIGN_AT_ONCE)]
    columns = {name: pa.chunked_array([p[name] for p in parts]) for name in parts[0]}
    n = len(texts)
    own = pa.table({"uid": [f"{i:010}" for i in range(n)], "source": ["bench"] * n, "slice": ["1"] * n, **columns})
    rows = Matcher([own], NearDuplicateParams()).duplicates()
    keepers = (k.rpartition("/")[2] for k in rows["keeper"].to_pylist())
    return {int(uid): int(keeper) for uid, keeper in zip(rows["uid"].to_pylist(), keepers, strict=True)}


class Spaces:
    """The cheap tokenizer."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()


def theirs(texts: list[str], *, cheap: bool) -> set[int]:
    """Documents that datatrove drops."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    def documents() -> Any:
        return (Document(text=t, id=str(i)) for i, t in enumerate(texts))

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        config = MinhashConfig()
        signing = MinhashDedupSignature(f"{folder}/signatures", config)
        if cheap:
            signing.word_tokenizer = Spaces()
        signing.run(documents(), 0, 1)
        for bucket in range(config.num_buckets):
            MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config).run(None, bucket, config.num_buckets)
        MinhashDedupCluster(f"{folder}/buckets", f"{folder}/clusters", config=config).run(None, 0, 1)
        kept = {int(d.id) for d in MinhashDedupFilter(f"{folder}/clusters").run(documents(), 0, 1)}
    return set(range(len(texts))) - kept


def judged(name: str, dropped: set[int], planted: list[Pair], first: int) -> None:
    """Print recall of planted near duplicates and false merges of hard negatives."""
    near = [i for i, p in enumerate(planted) if p.near]
    hard = [i for i, p in enumerate(planted) if not p.near]
    # Which of a pair goes is each system's own affair.
    found = sum(bool({first + 2 * i, first + 2 * i + 1} & dropped) for i in near)
    merged = sum(bool({first + 2 * i, first + 2 * i + 1} & dropped) for i in hard)
    recall = f"recall {found / len(near):.4f} of {len(near)} planted"
    print(f"{name}: {recall}, {merged} of {len(hard)} hard negatives merged, {len(dropped)} dropped in all")


def compare(documents: int, rounds: int) -> None:
    """Verdicts first, then times in turn."""
    from corpus import corpus

    sys.path.append(str(Path(__file__).parents[2] / "tests" / "governance"))
    from near_duplicates_set import pairs

    table = corpus(documents * 0.006)
    pages = [t for t, lang in zip(table["text"].to_pylist(), table["language"].to_pylist(), strict=True) if lang in SPACED][:documents]
    planted = [p for p in pairs(7, 2 * PLANTED, 2 * PLANTED) if "zh_CN" not in p.kind and "ja_JP" not in p.kind and p.kind != "record"]
    texts = pages + [t for p in planted for t in (p.one, p.other)]
    size = sum(len(t.encode("utf-8")) for t in texts) / 1e6
    print(f"{len(pages):,} pages and {len(planted):,} planted pairs, {size:.1f} MB")
    column = pa.array(texts, pa.large_string())
    signer = Signer(MinhashParams())
    ours(column.slice(0, 8), signer)
    mine = ours(column, signer)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    judged("headrace", set(mine), planted, len(pages))
    runs: dict[str, Any] = {"headrace": lambda: ours(column, signer)}
    for name, cheap in ((f"datatrove {version('datatrove')}", False), ("datatrove with a cheap tokenizer", True)):
        runs[name] = lambda cheap=cheap: theirs(texts, cheap=cheap)
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name, run in runs.items():
            started = time.process_time()
            dropped = run()
            speeds[name].append(len(texts) / (time.process_time() - started))
            if turn == 0 and name != "headrace":
                judged(name, dropped, planted, len(pages))
    middle = {name: sorted(found)[len(found) // 2] for name, found in speeds.items()}
    for name, found in middle.items():
        ratio = middle["headrace"] / found
        print(f"{name}: {found:,.0f} documents/s, {found * size / len(texts):.1f} MB/s a core, ours is {ratio:.1f} times as fast")
    print(f"peak memory when ours alone had run: {peak:.0f} MiB")


def grow(sizes: list[int]) -> None:
    """Each size in a process of its own, whose memory holds no corpus."""
    from corpus import corpus

    sentences = sorted({s for t in corpus(20)["text"].to_pylist() for s in t.split("\n") if 60 < len(s) < 300})
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write("\n".join(sentences[::4]))
        file.flush()
        for n in sizes:
            subprocess.run([sys.executable, __file__, "--one", str(n), "--sentences", file.name], check=True)


def one_size(n: int, sentences_file: Path) -> None:
    """Sign and match n documents; made batch by batch, read file by file, as the engine does."""
    rng = random.Random(n)
    sentences = sentences_file.read_text(encoding="utf-8").split("\n")
    signer = Signer(MinhashParams())
    signer.sign(pa.array(["compiled now"]))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    earlier: list[str] = []
    signing = 0.0
    folder = tempfile.TemporaryDirectory()
    for at in range(0, n, SIGN_AT_ONCE):
        batch = []
        for _ in range(min(SIGN_AT_ONCE, n - at)):
            if earlier and rng.random() < 0.15:
                batch.append(rng.choice(earlier) + "\nA line that was added.")
            else:
                batch.append("\n".join(rng.choices(sentences, k=rng.randint(4, 16))))
        earlier = (earlier + batch)[-5_000:]
        started = time.process_time()
        signed = pa.table(signer.sign(pa.array(batch, pa.large_string())))
        signing += time.process_time() - started
        names = [f"{at + i:010}" for i in range(len(batch))]
        here = {"source": pa.repeat("bench", len(names)), "slice": pa.repeat("1", len(names))}
        pq.write_table(pa.table({"uid": names, **here, **{c: signed[c] for c in signed.column_names}}), f"{folder.name}/{at:010}.parquet")
    started = time.process_time()

    def files() -> Iterator[pa.Table]:
        for file in sorted(Path(folder.name).iterdir()):
            yield pq.read_table(file, use_threads=False)

    dropped = Matcher(files(), NearDuplicateParams()).duplicates().num_rows
    matching = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = (signing + matching) / n * 1e6
    print(
        f"{n:,} documents: {each:.1f} us a document ({signing / n * 1e6:.1f} sign, {matching / n * 1e6:.1f} match), "
        f"{dropped:,} dropped, peak memory {peak:,.0f} MiB ({base:,.0f} before)",
        flush=True,
    )


def residual(documents: int) -> None:
    """Share of the documents that stay which have a near duplicate among them, with the upper end of Wilson's 95 % interval."""
    from corpus import corpus

    texts = corpus(documents * 0.006)["text"].slice(0, documents)
    dropped = set(ours(texts.combine_chunks(), Signer(MinhashParams())))
    told_apart = set(ours_without_facts(texts.combine_chunks())) - dropped
    stay = [i for i in range(len(texts)) if i not in dropped]
    grams = {i: shingles(texts[i].as_py()) for i in stay}
    holders: dict[int, list[int]] = {}
    for i, found in grams.items():
        for gram in found:
            holders.setdefault(gram, []).append(i)
    left: set[int] = set()
    rest: set[int] = set()
    for i, found in grams.items():
        near: Counter[int] = Counter()
        for gram in found:
            if len(holders[gram]) <= MOST_HOLDERS:
                near.update(holders[gram])
        for j, _ in near.most_common(20):
            if j != i and len(found & grams[j]) >= 0.8 * len(found | grams[j]):
                left |= {i, j}
                rest |= set() if {i, j} & told_apart else {i, j}
    for name, counted in (("all of them", left), ("without pairs told apart by facts", rest)):
        n, k = len(stay), len(counted)
        z = 1.959964
        upper = (k / n + z * z / (2 * n) + z * ((k / n * (1 - k / n) + z * z / (4 * n)) / n) ** 0.5) / (1 + z * z / n)
        print(f"residual near duplicates, {name}: {k:,} of {n:,} that stay ({len(texts):,} pages), {k / n:.2%}, upper bound {upper:.2%}")


MOST_HOLDERS = 200
"""Shingles of more documents point to no pair; those of real near duplicates have rarer ones too."""


def ours_without_facts(texts: pa.Array) -> dict[int, int]:
    """`ours`, with signatures alone deciding."""
    signer = Signer(MinhashParams())
    parts = [signer.sign(texts.slice(at, SIGN_AT_ONCE)) for at in range(0, len(texts), SIGN_AT_ONCE)]
    columns = {name: pa.chunked_array([p[name] for p in parts]) for name in parts[0]}
    n = len(texts)
    own = pa.table({"uid": [f"{i:010}" for i in range(n)], "source": ["bench"] * n, "slice": ["1"] * n, **columns})
    rows = Matcher([own], NearDuplicateParams(min_fact_similarity=0)).duplicates()
    return {int(uid): 0 for uid in rows["uid"].to_pylist()}


_UNITS = re.compile(r"[\u3041-\u30ff\u3400-\u9fff]|[^\W_]+")


def shingles(text: str) -> set[int]:
    """Hashes of the text's 5-grams of words, or of characters where there are no spaces."""
    units = _UNITS.findall(text.lower())
    width = min(5, len(units))
    return {hash(tuple(units[i : i + width])) for i in range(len(units) - width + 1)} if units else set()


def main() -> None:
    """Compare with the peer, grow, or look for what was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, nargs="+")
    parser.add_argument("--residual", type=int)
    parser.add_argument("--one", type=int)
    parser.add_argument("--sentences", type=Path)
    words = parser.parse_args()
    if words.one:
        one_size(words.one, words.sentences)
    elif words.residual:
        residual(words.residual)
    elif words.scale:
        grow(words.scale)
    else:
        compare(words.documents, words.rounds)


if __name__ == "__main__":
    main()
