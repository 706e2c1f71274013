"""Toxicity: what the tiers find on the labelled set, on clean manuals and on dialects, then speed a core, beside pyahocorasick.

    python benchmarks/text/bench_toxicity.py

Data: `tests/governance/toxicity_set.yaml` (written by hand, see there), and as clean negatives the pages of the sample packages in
twelve languages (`corpus.py`): manuals, in which any finding is nearly always wrong. Peers: LDNOOBW as it stands with C4's rule (a
document with any listed word is bad; words end where letters end, and in Chinese and Japanese they match anywhere), which is
what C4 did; and pyahocorasick with the same patterns over decoded text, for speed. Findings of both automata are compared first.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from corpus import corpus

from headrace_governance.text.toxicity.automaton import Automaton, build, search
from headrace_governance.text.toxicity.policy import TIERS, LanguageRules, Rule, ToxicityParams
from headrace_governance.text.toxicity.stage import Hit, Toxicity
from headrace_governance.text.toxicity.terms import patterns_of
from headrace_lake.strict import parse

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "governance" / "pipelines" / "filters" / "toxicity.yaml"
sys.path.append(str(ROOT / "tests" / "governance"))


def worst(hits: Sequence[Hit]) -> int:
    """The tier of a document."""
    return max((h.tier for h in hits), default=0)


def raw_lists(params: ToxicityParams) -> Toxicity:
    """LDNOOBW without our rules."""
    every = Rule(category="listed", tier="severe", terms=())
    languages = {
        code: LanguageRules(lists=tuple(rules.lists or [f"ldnoobw-{code}"]), listed=every, minimum=1, spaced=rules.spaced)
        for code, rules in params.languages.items()
    }
    return staged(ToxicityParams(languages=languages))


def staged(params: ToxicityParams) -> Toxicity:
    """The stage, ready."""
    made = Toxicity(params)
    made.setup()
    made.begin(None, {})  # type: ignore[arg-type]
    return made


def table_of_tiers(ours: Toxicity, c4: Toxicity) -> None:
    """Recall and precision by tier and language."""
    from toxicity_set import labelled

    examples = labelled()
    texts, languages = pa.array([e.text for e in examples], pa.large_string()), [e.language for e in examples]
    got, raw = ([worst(h) for h in stage.hits(texts, languages)] for stage in (ours, c4))
    print(f"{'language':8} {'tier or worse':14} {'n':>4} {'recall':>7} {'precision':>9} {'exact tier':>10}   LDNOOBW recall precision")
    for language in dict.fromkeys(languages):
        rows = [(TIERS.index(e.tier), g, r) for e, g, r in zip(examples, got, raw, strict=True) if e.language == language]
        for tier in (1, 2, 3):
            asked, said = sum(t >= tier for t, _, _ in rows), sum(g >= tier for _, g, _ in rows)
            right = sum(t >= tier and g >= tier for t, g, _ in rows)
            line = f"{language:8} {TIERS[tier]:14} {asked:4} {right / asked:7.3f} {right / said:9.3f}"
            if tier == 1:
                flagged, hit = sum(r > 0 for *_, r in rows), sum(r > 0 and t > 0 for t, _, r in rows)
                line += f" {sum(t == g for t, g, _ in rows) / len(rows):10.3f}   {hit / asked:14.3f} {hit / max(flagged, 1):9.3f}"
            print(line)


def table_of_dialects(ours: Toxicity) -> None:
    """Findings in harmless sentences of dialects, and the mean score of the English classifier."""
    from toxicity_set import DIALECTS

    print(f"\n{'dialect, harmless sentences':28} {'n':>3} {'found':>5}  mean score of hatesonar (recorded only)")
    for name, some in DIALECTS.items():
        found = sum(map(bool, ours.hits(pa.array(some, pa.large_string()), [name[:2]] * len(some))))
        scores = ours._scorers["hatesonar"](some) if name.startswith("en") else None
        print(f"{name:28} {len(some):3} {found:5}  " + (f"{scores.mean():.2f}" if scores is not None else ""))


def one(table: pa.Table, language: str) -> pa.Array:
    """The texts of a language."""
    column = table.filter(pc.equal(table["language"], language))["text"].combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column


def peer_search(automaton: Automaton, column: pa.Array) -> tuple[Counter[int], float]:
    """pyahocorasick over the same patterns, without the test of boundaries: findings by pattern, seconds."""
    import ahocorasick

    peer = ahocorasick.Automaton()
    for number, p in enumerate(automaton.patterns):
        peer.add_word(p.utf8.decode("utf-8"), number)
    peer.make_automaton()
    texts = column.to_pylist()
    found: Counter[int] = Counter()
    started = time.process_time()
    for text in texts:
        for _, number in peer.iter(text.lower()):
            found[number] += 1
    return found, time.process_time() - started


def table_of_pages(ours: Toxicity, c4: Toxicity, megabytes: float) -> int:
    """Findings in manuals, and speed."""
    table = corpus(megabytes)
    heads = ("pages", "n", "MB", "marked", "dropped", "LDNOOBW", "MB/s a core", "pyahocorasick")
    print("\n{:8} {:>6} {:>6} {:>6} {:>7} {:>8} {:>11} {:>13}  found most".format(*heads))
    different = 0
    sums: dict[str, float] = defaultdict(float)
    for language in sorted(set(table["language"].to_pylist())):
        column = one(table, language)
        codes, size = [language] * len(column), pc.sum(pc.binary_length(column)).as_py() / 1e6
        ours.hits(column.slice(0, 1), codes[:1])
        started = time.process_time()
        hits = ours.hits(column, codes)
        seconds = time.process_time() - started
        automaton = build(patterns_of(language, ours.params))
        loose = build([replace(p, left=False, right=False) for p in automaton.patterns])
        theirs, slow = peer_search(loose, column)
        mine = Counter(search(loose, column)[1].tolist())
        # Of letters that have case beyond ASCII ours lists the forms, where Python's lower() folds them: those are left out here.
        written = [p.utf8.decode() for p in loose.patterns]
        caseless = [n for n, term in enumerate(written) if term.isascii() or term.upper() == term.lower()]
        different += sum(mine[n] != theirs[n] for n in caseless)
        words = pa.array([max(1, len(t.split())) for t in column.to_pylist()], pa.int64())
        uids = [str(i) for i in range(len(column))]
        columns = {"uid": uids, "text": column, "verdict_language.language": codes, "text_statistics.words": words}
        verdicts = ours.process(pa.table(columns))
        texts = column.to_pylist()
        common = Counter(texts[i].encode()[h.start : h.end].decode() for i, some in enumerate(hits) for h in some).most_common(4)
        marked, dropped = sum(map(bool, hits)), pc.sum(pc.invert(verdicts["keep"])).as_py()
        raw = sum(map(bool, c4.hits(column, codes)))
        print(
            f"{language:8} {len(column):6} {size:6.1f} {marked:6} {dropped:7} {raw:8} {size / seconds:11.0f} {size / slow:13.0f}  "
            + " ".join(f"{w} {n}" for w, n in common)
        )
        for name, value in (("n", len(column)), ("mb", size), ("marked", marked), ("raw", raw), ("s", seconds), ("peer", slow)):
            sums[name] += value
    n, marked, raw = sums["n"], sums["marked"], sums["raw"]
    print(f"all: {n:.0f} pages, {marked:.0f} marked ({100 * marked / n:.3f} %), by LDNOOBW {raw:.0f} ({100 * raw / n:.1f} %)")
    print(f"speed: {sums['mb'] / sums['s']:.0f} MB/s a core, pyahocorasick {sums['mb'] / sums['peer']:.0f}")
    return different


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=75)
    words = parser.parse_args()
    params = parse(yaml.safe_load(POLICY.read_text(encoding="utf-8")), ToxicityParams, where=str(POLICY))
    ours, c4 = staged(params), raw_lists(params)
    table_of_tiers(ours, c4)
    table_of_dialects(ours)
    different = table_of_pages(ours, c4, words.megabytes)
    print(f"{different} patterns with another count than pyahocorasick's")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
