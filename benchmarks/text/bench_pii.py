"""PII: recall and precision by kind and language with Wilson's bounds, on planted and on real pages, then speed and names.

    python benchmarks/text/bench_pii.py [--part planted|real|speed]

Planted: the labelled sets of the tests (`pii_set.py`, `names_set.py`: people made up by Faker; rules were not tuned on the sentences of
the second). Real: pages of Debian packages (`real_pages.py`) joined with the verdicts that were given by hand on findings there
(`tests/governance/text/pii/pii_verdicts.tsv.gz`; what counts as true is said in `tests/governance/README.md`). Some rules were changed
after false findings on these pages, so precision on others may be lower; recall on them is not known. Speed: pages of the sample
packages (`corpus.py`). Columns `low` are the lower ends of Wilson's 95 % interval. No peer: presidio does 21 documents/s here and has no
Chinese kinds.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from corpus import corpus
from real_pages import real_pages

from headrace_governance.text.language.stage import Language, LanguageParams
from headrace_governance.text.pii.names import recogniser
from headrace_governance.text.pii.stage import Pii, PiiParams
from headrace_lake.strict import parse

ROOT = Path(__file__).parents[2]
VERDICTS = ROOT / "tests" / "governance" / "pii_verdicts.tsv.gz"
POLICY = ROOT / "governance" / "pipelines" / "filters" / "pii.yaml"
sys.path.append(str(ROOT / "tests" / "governance"))


def found(stage: Pii, texts: list[str], languages: list[str]) -> Iterable[list[tuple[str, int, int]]]:
    """(kind, start, end) in characters, by text."""
    table = pa.table(
        {"uid": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string()), "verdict_language.language": languages}
    )
    out = stage.process(table)
    for text, kinds, starts, ends in zip(texts, *(out[c].to_pylist() for c in ("kinds", "starts", "ends")), strict=True):
        data = text.encode("utf-8")
        yield [(k, len(data[:a].decode()), len(data[:b].decode())) for k, a, b in zip(kinds, starts, ends, strict=True)]


def table_of_kinds(stage: Pii) -> bool:
    """Print the table; whether every row reaches recall 0.95 (lower bound) and precision 0.80."""
    from names_set import names_in_text
    from pii_set import labelled
    from test_pii import is_hit, wilson_lower

    hits: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    asked: Counter[tuple[str, str]] = Counter()
    negatives = 0
    for name, examples in (("", labelled()), (" in text", names_in_text())):
        spans = found(stage, [e.text for e in examples], [e.language[:2] for e in examples])
        for example, some in zip(examples, spans, strict=True):
            right = [f for f in some if is_hit(example, f)]
            negatives += example.span is None
            if example.span:
                asked[example.kind + name, example.language] += 1
                hits[example.kind + name, example.language] += bool(right)
            for f in some:
                if f not in right:
                    wrong[f[0] + (name if f[0] == "name" else ""), example.language] += 1
    print(f"{'kind':14} {'language':8} {'n':>5} {'recall':>7} {'low':>6} {'precision':>9} {'low':>6}")
    good = True
    for (kind, language), n in sorted(asked.items()):
        right, false = hits[kind, language], wrong[kind, language]
        low, precision = wilson_lower(right, n), right / max(1, right + false)
        reached = low >= 0.95 and precision >= 0.80
        good &= reached
        line = f"{kind:14} {language:8} {n:5} {right / n:7.3f} {low:6.3f} {precision:9.3f} {wilson_lower(right, right + false):6.3f}"
        print(line + ("" if reached else "  short of 0.95 / 0.80"))
    print(f"{sum(asked.values()):,} positives, {negatives:,} texts with none")
    return good


def verdict_key(path: str, kind: str, text: str) -> tuple[str, str, str]:
    """What a verdict is stored under: no text of a page."""
    return path, kind, hashlib.sha256(f"{path}\t{text}".encode()).hexdigest()[:16]


def read_verdicts() -> dict[tuple[str, str, str], bool]:
    """Verdicts by key: whether the finding is what its kind says."""
    with gzip.open(VERDICTS, "rt", encoding="utf-8", newline="") as f:
        return {(r["path"], r["kind"], r["digest"]): r["true"] == "1" for r in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE)}


def table_of_real_pages(stage: Pii) -> bool:
    """Print precision on real pages by kind and language; whether each kind reaches 0.90."""
    pages = real_pages()
    language = Language(LanguageParams())
    language.setup()
    language.begin(None, {})  # type: ignore[arg-type]
    texts = pages["text"].to_pylist()
    languages = [language.detect(text)[0] for text in texts]
    verdicts = read_verdicts()
    counts: dict[tuple[str, str], Counter[str]] = {}
    seen: set[tuple[str, str, str]] = set()
    for at in range(0, len(texts), 256):
        part = slice(at, at + 256)
        for path, code, text, some in zip(
            pages["path"].to_pylist()[part], languages[part], texts[part], found(stage, texts[part], languages[part]), strict=True
        ):
            for kind, start, end in some:
                key = verdict_key(path, kind, text[start:end])
                row = counts.setdefault((kind, code), Counter())
                row["found"] += 1
                if key not in seen and key in verdicts:
                    row["right" if verdicts[key] else "wrong"] += 1
                row["unjudged"] += key not in verdicts
                seen.add(key)
    known = sum(not right for right in verdicts.values())
    again = sum(not right and key in seen for key, right in verdicts.items())
    print(f"\n{len(texts):,} real pages, {len(set(languages))} languages; of {known:,} false findings on record {again} are still found")
    print(f"{'kind':12} {'language':8} {'found':>7} {'unjudged':>8} {'right':>6} {'wrong':>6} {'precision':>9} {'low':>6}")
    good = True
    for kind in sorted({k for k, _ in counts}):
        total: Counter[str] = Counter()
        for (k, code), row in sorted(counts.items()):
            if k == kind:
                total.update(row)
                print(_line(kind, code, row))
        print(_line(kind, "all", total))
        good &= total["right"] >= 0.90 * (total["right"] + total["wrong"])
    for kind in sorted(set(stage.params.kinds) - {k for k, _ in counts}):
        print(f"{kind:12} all            0: none found in these pages")
    return good


def _line(kind: str, language: str, row: Counter[str]) -> str:
    right, judged = row["right"], row["right"] + row["wrong"]
    share = f"{right / judged:9.3f} {wilson(right, judged):6.3f}" if judged else f"{'-':>9} {'-':>6}"
    return f"{kind:12} {language:8} {row['found']:7,} {row['unjudged']:8,} {right:6,} {row['wrong']:6,} {share}"


def wilson(hits: int, n: int) -> float:
    """Lower end of Wilson's 95 % interval."""
    from test_pii import wilson_lower

    return wilson_lower(hits, n)


def table_of_speed(megabytes: float) -> None:
    """Documents and megabytes a second and core, names off and on, and what names are found in manuals."""
    table = corpus(megabytes)
    heads = ("pages", "n", "MB", "off, docs/s", "MB/s", "on, docs/s", "MB/s", "times", "asked", "names/page")
    print("\n{:6} {:>5} {:>5} {:>11} {:>7} {:>10} {:>7} {:>6} {:>6} {:>10}  found most".format(*heads))
    for language in sorted(set(table["language"].to_pylist())):
        rows = table.filter(pc.equal(table["language"], language))
        size = pc.sum(pc.binary_length(rows["text"])).as_py() / 1e6
        batch = pa.table({"uid": [str(i) for i in range(len(rows))], "text": rows["text"], "verdict_language.language": rows["language"]})
        seconds, names = {}, Counter()
        for on in (False, True):
            stage = Pii(PiiParams(names=on))
            stage.process(batch.slice(0, 4))
            started = time.process_time()
            outs = [stage.process(batch.slice(at, 512)) for at in range(0, len(batch), 512)]
            seconds[on] = time.process_time() - started
        texts = rows["text"].to_pylist()
        for i, row in enumerate(row for out in outs for row in out.select(["kinds", "starts", "ends"]).to_pylist()):
            data = texts[i].encode()
            names.update(data[a:b].decode() for k, a, b in zip(row["kinds"], row["starts"], row["ends"], strict=True) if k == "name")
        share = 0.0
        if language in ("en", "zh"):
            share = sum(len(s.encode()) for t in texts for _, s in recogniser(language).candidates(t)) / size / 1e6
        n, off, on_ = len(rows), seconds[False], seconds[True]
        speed = f"{n / off:11,.0f} {size / off:7.2f} {n / on_:10,.0f} {size / on_:7.2f} {on_ / off:6.1f}"
        common = ", ".join(f"{w!r} {c}" for w, c in names.most_common(3))
        print(f"{language:6} {n:5} {size:5.1f} {speed} {share:6.1%} {names.total() / n:10.3f}  {common}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("planted", "real", "speed"), help="one table alone")
    parser.add_argument("--megabytes", type=float, default=8)
    words = parser.parse_args()
    params = parse(yaml.safe_load(POLICY.read_text(encoding="utf-8")), PiiParams, where=str(POLICY))
    good = True
    if words.part in (None, "planted"):
        good &= table_of_kinds(Pii(params.model_copy(update={"names": True})))
    if words.part in (None, "real"):
        good &= table_of_real_pages(Pii(params))
    if words.part in (None, "speed"):
        table_of_speed(words.megabytes)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
