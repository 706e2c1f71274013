"""Gopher quality, Gopher repetition, FineWeb and C4: our statistics and joins beside datatrove's filters; RefinedWeb's lines and the
rules for Chinese beside plain references (tests/governance), which are written for reading and not for speed.

    python benchmarks/text/bench_filters.py --documents 50000

Data: pages of the sample packages in twelve languages (`corpus.py`; about 28,000 pages, the rest are made of them). Both sides use the
shipped thresholds of each language and the same tokenisers. datatrove's filters are called one after the other on documents in memory, as
its pipelines do, each splitting words anew. Ours runs `text_statistics` and the four verdict stages over Arrow tables of 256 documents. The
pages are Markdown, and measured without their markup: datatrove gets the same text without it, made beforehand. Every verdict and reason is
compared; differences are shown. Times are of the processor, in this one process, language by language. Ours runs twice: with words that it
meets for the first time, and with all of them known.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from corpus import corpus

from headrace_governance.text.filters.c4 import C4
from headrace_governance.text.filters.chinese import Chinese
from headrace_governance.text.filters.fineweb import FineWeb
from headrace_governance.text.filters.gopher_quality import GopherQuality
from headrace_governance.text.filters.gopher_repetition import GopherRepetition
from headrace_governance.text.filters.refinedweb import RefinedWeb
from headrace_governance.text.statistics.chinese_statistics import ChineseStatistics
from headrace_governance.text.statistics.lines import LineStatistics
from headrace_governance.text.statistics.prose import prose_of
from headrace_governance.text.statistics.stage import TextStatistics
from headrace_governance.text.statistics.tokenisers import tokenizer_for
from headrace_lake.stage import Stage
from headrace_lake.strict import parse

FILTERS = Path(__file__).parents[2] / "governance" / "pipelines" / "filters"
BATCH = 256
POOL = {"en": 0.5, "zh": 0.4}
"""Shares of the pool that the tutorial plans (chapter 3: English 50 %, Chinese 40 %); the other languages share the rest equally."""
Verdict = tuple[bool, str | None]


def shipped(cls: type[Stage], file: str = "") -> Stage:
    """A stage with its shipped parameters."""
    name = file or cls.name
    stage = cls(parse(yaml.safe_load((FILTERS / f"{name}.yaml").read_text(encoding="utf-8")), cls.Params, where=name))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    return stage


def ours() -> dict[str, Stage]:
    """The stages that datatrove has too."""
    return {
        "statistics": shipped(TextStatistics, "statistics"),
        **{c.name: shipped(c) for c in (GopherQuality, GopherRepetition, FineWeb, C4)},
    }


def run_ours(stages: dict[str, Stage], table: pa.Table) -> dict[str, list[Verdict]]:
    """Verdicts by family."""
    found: dict[str, list[Verdict]] = {name: [] for name in stages if name != "statistics"}
    for start in range(0, table.num_rows, BATCH):
        batch = table.slice(start, BATCH)
        statistics = stages["statistics"].process(batch)
        for name in found:
            rows = stages[name].process(batch if name == "c4" else statistics)
            found[name] += zip(rows["keep"].to_pylist(), rows["reason"].to_pylist(), strict=True)
    return found


def peers(language: str) -> dict[str, Any]:
    """datatrove's filters for one language, from the same files; None where a family is switched off."""
    from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

    def values(name: str) -> dict[str, Any]:
        data = yaml.safe_load((FILTERS / f"{name}.yaml").read_text(encoding="utf-8"))
        return dict(data["languages"].get(language, data["default"]))

    structure = yaml.safe_load((FILTERS / "statistics.yaml").read_text(encoding="utf-8"))
    stop_words = structure["stop_words"].get(language, structure["stop_words"]["default"])
    grams = {k: tuple(v.items()) if isinstance(v, dict) else v for k, v in values("gopher_repetition").items()}
    tokenizer, c4 = tokenizer_for(language), values("c4")
    return {
        "gopher_quality": GopherQualityFilter(**values("gopher_quality"), stop_words=stop_words, language=tokenizer),
        "gopher_repetition": GopherRepetitionFilter(**grams, language=tokenizer),
        "fineweb": FineWebQualityFilter(**values("fineweb"), short_line_length=structure["short_line"], language=tokenizer),
        "c4": C4QualityFilter(**c4, language=tokenizer) if c4.pop("enabled", True) else None,
    }


def run_peer(filters: dict[str, dict[str, Any]], rows: list[tuple[str, str]]) -> dict[str, list[Verdict]]:
    """datatrove's verdicts by family."""
    from datatrove.data import Document

    found: dict[str, list[Verdict]] = {name: [] for name in next(iter(filters.values()))}
    for language, text in rows:
        for name, chosen in filters[language].items():
            result = True if chosen is None else chosen.filter(Document(text=text, id=""))
            kept, reason = result if isinstance(result, tuple) else (result, None)
            found[name].append((bool(kept), None if kept else reason))
    return found


def compare(mine: dict[str, list[Verdict]], theirs: dict[str, list[Verdict]], rows: list[tuple[str, str]]) -> int:
    """Print agreement by family and the first differences; returns their number."""
    different = 0
    for name, verdicts in mine.items():
        wrong = [i for i, (a, b) in enumerate(zip(verdicts, theirs[name], strict=True)) if a != b]
        dropped = sum(not keep for keep, _ in verdicts)
        print(f"{name}: {len(verdicts) - len(wrong):,} of {len(verdicts):,} verdicts equal, {dropped:,} dropped")
        for i in wrong[:5]:
            print(f"    {rows[i][0]}: ours {verdicts[i]}, datatrove {theirs[name][i]}: {rows[i][1][:80]!r}")
        different += len(wrong)
    return different


def report(seconds: dict[str, tuple[float, float, float]], rows: list[tuple[str, str]]) -> None:
    """Print speeds and ratios by language, for equal bytes of each, and for the shares of the pool."""
    sizes: Counter[str] = Counter()
    for language, text in rows:
        sizes[language] += len(text.encode("utf-8"))
    print(f"MB/s a core: headrace, headrace with the words known, datatrove {version('datatrove')}; ratios to datatrove")
    each = {}
    for language, taken in seconds.items():
        each[language] = [t / (sizes[language] / 1e6) for t in taken]
        print(f"    {language}: {line(each[language])}")
    others = [language for language in each if language not in POOL]
    shares = POOL | {language: (1 - sum(POOL.values())) / len(others) for language in others}
    for name, weights in (("equal bytes of each language", dict.fromkeys(each, 1 / len(each))), ("the pool's shares", shares)):
        print(f"{name}: {line([sum(weights[k] * each[k][i] for k in each) for i in range(3)])}")


def line(seconds: list[float]) -> str:
    """Speeds and ratios from seconds a megabyte."""
    ours_, known, peer = seconds
    return f"{1 / ours_:6.2f} {1 / known:6.2f} {1 / peer:6.3f} MB/s, {peer / ours_:5.1f} and {peer / known:5.1f} times"


def against_references(documents: pa.Table) -> int:
    """RefinedWeb's lines over the English documents and the rules for Chinese over the Chinese ones; returns differences."""
    sys.path.append(str(Path(__file__).parents[2] / "tests" / "governance"))
    from chinese_rules_reference import statistics as chinese_reference
    from line_rules_reference import share_removed

    different = 0
    for language, measuring, joining in (("en", LineStatistics, RefinedWeb), ("zh", ChineseStatistics, Chinese)):
        chosen = documents.filter(pa.compute.equal(documents["verdict_language.language"], language))
        texts = chosen["text"].to_pylist()
        without = prose_of(chosen).texts.to_pylist()
        size = sum(len(t.encode("utf-8")) for t in texts) / 1e6
        first, second = shipped(measuring), shipped(joining)
        first.process(chosen.slice(0, BATCH))
        started = time.process_time()
        measured = [first.process(chosen.slice(i, BATCH)) for i in range(0, len(texts), BATCH)]
        between = time.process_time()
        verdict = second.process(pa.concat_tables(measured))
        done = time.process_time()
        rows = pa.concat_tables(measured).to_pylist()
        started_peer = time.process_time()
        if language == "en":
            expected = [share_removed(t, skip_markup=True) <= 0.05 for t in texts]
            wrong = sum(a != b for a, b in zip(verdict["keep"].to_pylist(), expected, strict=True))
        else:
            answers = [chinese_reference(t) for t in without]
            wrong = sum(any(abs(row[k] - v) > 1e-9 for k, v in a.items()) for row, a in zip(rows, answers, strict=True))
        peer = time.process_time() - started_peer
        dropped = Counter(r for r in verdict["reason"].to_pylist() if r)
        taken = ", ".join(f"{reason} {n / len(texts):.1%}" for reason, n in sorted(dropped.items())) or "nothing"
        print(f"{joining.name}: {len(texts) - wrong:,} of {len(texts):,} {language} documents equal; drops {taken}")
        speed = f"statistics {size / (between - started):.0f} MB/s, verdict {size / (done - between):.0f} MB/s a core"
        print(f"    {speed}; the reference {size / peer:.1f} MB/s")
        different += wrong
    return different


def main() -> None:
    """Compare every verdict, then time both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    words = parser.parse_args()
    table = corpus(words.documents * 0.0035).slice(0, words.documents)
    languages, texts = table["language"].to_pylist(), table["text"].to_pylist()
    rows = list(zip(languages, texts, strict=True))
    size = sum(len(t.encode("utf-8")) for t in texts) / 1e6
    print(f"{len(rows):,} documents in {len(set(languages))} languages, {size:.1f} MB")
    documents = pa.table(
        {
            "uid": [str(i) for i in range(len(rows))],
            "text": table["text"],
            "format": pa.array(["markdown"] * len(rows), pa.string()),
            "verdict_language.language": table["language"],
        }
    )
    # A document of nothing but code has no text to judge: ours says "empty", and two of datatrove's filters divide by zero.
    without = prose_of(documents).texts.to_pylist()
    documents = documents.filter(pa.array([bool(t.strip()) for t in without]))
    rows = [(language, t) for language, t in zip(languages, without, strict=True) if t.strip()]
    stages = ours()
    filters = {language: peers(language) for language in sorted(set(languages))}
    run_ours(stages, documents.slice(0, 2 * BATCH))
    run_peer(filters, rows[:50])

    mine: dict[str, list[Verdict]] = {}
    theirs: dict[str, list[Verdict]] = {}
    order: list[tuple[str, str]] = []
    seconds: dict[str, tuple[float, float, float]] = {}
    for language in sorted(filters):
        chosen = documents.filter(pa.compute.equal(documents["verdict_language.language"], language))
        own = [r for r in rows if r[0] == language]
        started = time.process_time()
        found = run_ours(stages, chosen)
        first = time.process_time() - started
        started = time.process_time()
        run_ours(stages, chosen)
        again = time.process_time() - started
        started = time.process_time()
        expected = run_peer(filters, own)
        seconds[language] = first, again, time.process_time() - started
        order += own
        for name in found:
            mine.setdefault(name, []).extend(found[name])
            theirs.setdefault(name, []).extend(expected[name])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    different = compare(mine, theirs, order)
    report(seconds, rows)
    different += against_references(documents)
    print(f"peak memory of both in one process: {peak:.0f} MiB")
    sys.exit(1 if different > len(rows) * len(mine) / 1000 else 0)


if __name__ == "__main__":
    main()
