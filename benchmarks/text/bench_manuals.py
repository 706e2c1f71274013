"""What the rules take of manuals, measured on the stored text and on the text without its markup.

    python benchmarks/text/bench_manuals.py
    python benchmarks/text/bench_manuals.py --languages en zh --show 60

Data: manual pages of packages that the samples do not use (`manual_pages.py`). Before: the text as it is stored, as if its Markdown
were content (`format: plain`), without the verdict `structure`. After: as the pipeline does it. Printed are the share that is kept, by
language, the reasons of both, and the documents whose verdict changed, with how they begin. With --peer each verdict is compared with
datatrove's on the text without markup; exit code 1 where one differs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
from bench_filters import FILTERS, peers, run_peer, shipped
from manual_pages import manual_pages

from headrace_governance.text.filters.c4 import C4
from headrace_governance.text.filters.chinese import Chinese
from headrace_governance.text.filters.fineweb import FineWeb
from headrace_governance.text.filters.gopher_quality import GopherQuality
from headrace_governance.text.filters.gopher_repetition import GopherRepetition
from headrace_governance.text.filters.structure import Structure
from headrace_governance.text.statistics.chinese_statistics import ChineseStatistics
from headrace_governance.text.statistics.prose import prose_of
from headrace_governance.text.statistics.stage import TextStatistics

PUBLISHED = (GopherRepetition, FineWeb, GopherQuality, C4)


def judged(documents: pa.Table) -> dict[str, list[str | None]]:
    """The reason of each document by verdict, None where it is kept, in the pipeline's order."""
    statistics = shipped(TextStatistics, "statistics").process(documents)
    found = {"structure": shipped(Structure).process(statistics)["reason"].to_pylist()}
    for cls in PUBLISHED:
        found[cls.name] = shipped(cls).process(documents if cls is C4 else statistics)["reason"].to_pylist()
    measured = shipped(ChineseStatistics, "chinese_statistics").process(documents)
    found["chinese"] = shipped(Chinese).process(measured)["reason"].to_pylist()
    return found


def first_reasons(found: dict[str, list[str | None]]) -> list[str | None]:
    """The first reason of each document."""
    return [next((f"{name}:{r}" for name, r in zip(found, row, strict=True) if r), None) for row in zip(*found.values(), strict=True)]


def different_from_peer(documents: pa.Table, found: dict[str, list[str | None]], language: str) -> int:
    """Print and count verdicts that are not datatrove's on the text without markup."""
    texts = prose_of(documents).texts.to_pylist()
    chosen = [i for i, t in enumerate(texts) if t.strip()]  # of nothing, two of datatrove's filters divide by zero
    theirs = run_peer({language: peers(language)}, [(language, texts[i]) for i in chosen])
    different = 0
    for name, verdicts in theirs.items():
        for i, (_, reason) in zip(chosen, verdicts, strict=True):
            if found[name][i] != reason:
                different += 1
                print(f"    {name}: ours {found[name][i]}, datatrove {reason}: {texts[i][:60]!r}")
    return different


def main() -> None:
    """Judge both ways and show what changes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", nargs="*", default=["en", "zh", "ja", "ru", "de"])
    parser.add_argument("--show", type=int, default=60, help="changed documents listed")
    parser.add_argument("--peer", action="store_true", help="compare with datatrove")
    words = parser.parse_args()
    pages = manual_pages(words.languages)
    total = different = 0
    lines: list[str] = []
    print(f"thresholds of {FILTERS}")
    for language in words.languages:
        chosen = pages.filter(pc.equal(pages["language"], language))
        n = chosen.num_rows
        documents = pa.table(
            {
                "uid": [str(i) for i in range(n)],
                "text": chosen["text"],
                "format": pa.array(["markdown"] * n, pa.string()),
                "verdict_language.language": chosen["language"],
            }
        )
        plain = documents.set_column(2, "format", pa.array(["plain"] * n, pa.string()))
        stored = judged(plain)
        stored["structure"] = [None] * n
        found = judged(documents)
        before, after = first_reasons(stored), first_reasons(found)
        kept = [sum(r is None for r in reasons) for reasons in (before, after)]
        total += n
        print(f"{language}: {n} pages, kept {kept[0]} ({kept[0] / n:.1%}) before, {kept[1]} ({kept[1] / n:.1%}) after")
        for name, reasons in (("before", before), ("after", after)):
            print(f"    {name}: " + ", ".join(f"{r} {c}" for r, c in Counter(r for r in reasons if r).most_common()))
        for i in (i for i in range(n) if (before[i] is None) != (after[i] is None)):
            row = chosen.slice(i, 1).to_pylist()[0]
            beginning = " ".join(row["text"][:220].split())
            lines.append(f"{language} {row['package']} {row['path'].rpartition('/')[2]}: {before[i]} -> {after[i]}\n      {beginning}")
        if words.peer:
            different += different_from_peer(documents, found, language)
    print(f"{total} pages, {len(lines)} changed")
    for line in lines[: words.show]:
        print("  " + line)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
