"""Main text of pages: ours beside trafilatura (default and without its fallbacks) and resiliparse, scored against labels, then timed.

    python benchmarks/text/bench_extraction.py                       # the labelled pages of `labelled_pages.py`
    python benchmarks/text/bench_extraction.py --articles FOLDER     # a checkout of scrapinghub's article-extraction-benchmark instead
    python benchmarks/text/bench_extraction.py --trafilatura FOLDER  # a checkout of trafilatura: its own evaluation set and metric
    python benchmarks/text/bench_extraction.py --worst 5             # and each extractor's worst pages

Our rules were chosen while these pages were looked at, so the figure is one of a development set; documentation has less boilerplate
than the open web (see `all text`), and is where `--articles` comes in. Scores: see `scoring.py` (bags of tokens, a page, averaged over
pages; bags of four tokens in a row beside them). `all text` is every text of the page outside of scripts: what a label leaves to gain.
Times are of the processor, in this one process, each extractor over all pages after a first run over a few; ours twice, without and
with the fallback to trafilatura where its confidence is low. Peak memory is of a process of its own an extractor.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labelled_pages import labelled_pages
from scoring import Score, score, tokens
from snippet_pages import Counts, SnippetPage, count, snippet_pages

WARM = 20
Extractor = Callable[[str], str]
Rows = list[dict[str, str]]


def headrace(markup: str) -> str:
    from headrace_governance.text.html.markdown import read_page

    return read_page(markup).text


def headrace_alone(markup: str) -> str:
    from headrace_governance.text.html.markdown import read_page

    return read_page(markup, fallback=False).text


def trafilatura_default(markup: str) -> str:
    import trafilatura

    return trafilatura.extract(markup, include_comments=False) or ""


def trafilatura_fast(markup: str) -> str:
    import trafilatura

    # `fast=True` of later releases.
    return trafilatura.extract(markup, include_comments=False, no_fallback=True) or ""


def resiliparse(markup: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(markup, main_content=True, alt_texts=False, links=False)


def all_text(markup: str) -> str:
    from lxml import etree

    tree = etree.fromstring(markup.encode(), etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True))
    etree.strip_elements(tree, "script", "style", "noscript", with_tail=False)
    return " ".join(tree.itertext())


EXTRACTORS: dict[str, Extractor] = {
    "headrace": headrace,
    "headrace, no fallback": headrace_alone,
    "trafilatura": trafilatura_default,
    "trafilatura fast": trafilatura_fast,
    "resiliparse": resiliparse,
    "all text": all_text,
}


def articles(folder: Path) -> Rows:
    """scrapinghub's benchmark: English news and blog pages, their text marked by hand."""
    truth = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    return [
        {
            "language": "en", "page": key, "label": entry["articleBody"],
            "html": gzip.decompress((folder / "html" / f"{key}.html.gz").read_bytes()).decode("utf-8"),
        }
        for key, entry in sorted(truth.items())
    ]  # fmt: skip


def _run(extractor: Extractor, rows: Rows) -> tuple[list[str], float]:
    for row in rows[:WARM]:
        extractor(row["html"])
    started = time.process_time()
    texts = [extractor(row["html"]) for row in rows]
    return texts, time.process_time() - started


def _peak(name: str, folder: str | None) -> float:
    """MiB at most beyond what the process holds with the pages and the extractor loaded."""
    rows = articles(Path(folder)) if folder else labelled_pages().to_pylist()
    for row in rows[:WARM]:
        EXTRACTORS[name](row["html"])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew here
    before = _status("VmRSS")
    for row in rows:
        EXTRACTORS[name](row["html"])
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1])


def _snippets(folder: Path, worst: int) -> None:
    """Score and time on trafilatura's set; ours from bytes, since trafilatura's reading begins there."""
    from headrace_governance.encoding.decode import decode

    pages = snippet_pages(folder)
    size = sum(len(p.body) for p in pages) / 1e6
    print(f"{len(pages)} pages, {size:.1f} MB of HTML, {sum(p.looked_at for p in pages)} of them looked at while rules were chosen")
    print(f"trafilatura {version('trafilatura')}, resiliparse {version('resiliparse')}")
    seconds: dict[str, float] = {}
    for name, extractor in EXTRACTORS.items():
        for page in pages[:WARM]:
            extractor(decode(page.body, None, html=True).text)
        started = time.process_time()
        texts = [extractor(decode(page.body, None, html=True).text) for page in pages]
        seconds[name] = time.process_time() - started
        print(_counted(name, pages, texts))
        for missed, page in sorted(((_wrong(p, t), p) for p, t in zip(pages, texts, strict=True)), key=lambda x: -x[0])[:worst]:
            print(f"    {missed} snippets wrong: {page.address}")
    for name, spent in seconds.items():
        print(f"{name:22} {len(pages) / spent:,.0f} pages/s, {seconds['trafilatura'] / spent:.1f} times trafilatura")


def _counted(name: str, pages: list[SnippetPage], texts: list[str]) -> str:
    every, looked, unseen = Counts(), Counts(), Counts()
    for page, text in zip(pages, texts, strict=True):
        counts = count(page, text)
        every.add(counts)
        (looked if page.looked_at else unseen).add(counts)
    return (
        f"{name:22} F1 {every.f1:.4f}  precision {every.precision:.4f}  recall {every.recall:.4f}"
        f"  F1 of the half looked at {looked.f1:.4f}, of the other {unseen.f1:.4f}"
    )


def _wrong(page: SnippetPage, text: str) -> int:
    counts = count(page, text)
    return counts.false_positives + counts.false_negatives


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _line(name: str, scores: list[Score], shingles: list[Score]) -> str:
    f1, precision, recall = (_mean([getattr(s, k) for s in scores]) for k in ("f1", "precision", "recall"))
    return f"{name:22} F1 {f1:.4f}  precision {precision:.4f}  recall {recall:.4f}  F1 of shingles {_mean([s.f1 for s in shingles]):.4f}"


def main() -> None:
    """Score, time, and show the worst pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=Path)
    parser.add_argument("--trafilatura", type=Path)
    parser.add_argument("--worst", type=int, default=0)
    words = parser.parse_args()
    if words.trafilatura:
        _snippets(words.trafilatura, words.worst)
        return
    rows: Rows = articles(words.articles) if words.articles else labelled_pages().to_pylist()
    size = sum(len(r["html"].encode()) for r in rows) / 1e6
    languages = sorted({r["language"] for r in rows})
    print(f"{len(rows)} pages in {len(languages)} languages, {size:.1f} MB of HTML")
    print(f"trafilatura {version('trafilatura')}, resiliparse {version('resiliparse')}")
    labels = [tokens(r["label"]) for r in rows]
    seconds: dict[str, float] = {}
    by_language: dict[str, dict[str, str]] = {}
    trafilatura_default(rows[0]["html"])  # its import belongs to nobody's time
    for name, extractor in EXTRACTORS.items():
        texts, seconds[name] = _run(extractor, rows)
        found = [tokens(t) for t in texts]
        scores = [score(a, b) for a, b in zip(found, labels, strict=True)]
        shingles = [score(a, b, 4) for a, b in zip(found, labels, strict=True)]
        print(_line(name, scores, shingles))
        by_language[name] = {
            lang: f"{_mean([s.f1 for s, r in zip(scores, rows, strict=True) if r['language'] == lang]):.3f}" for lang in languages
        }
        for s, r in sorted(zip(scores, rows, strict=True), key=lambda pair: pair[0].f1)[: words.worst]:
            print(f"    {s.f1:.3f} (precision {s.precision:.3f}, recall {s.recall:.3f}) {r.get('package', '')} {r['page']}")
    print("F1 by language:")
    for name, values in by_language.items():
        print(f"    {name:22} " + "  ".join(f"{lang} {v}" for lang, v in values.items()))
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = dict(
            zip(EXTRACTORS, pool.starmap(_peak, [(n, str(words.articles or "") or None) for n in EXTRACTORS], chunksize=1), strict=True)
        )
    for name, spent in seconds.items():
        speed = f"{len(rows) / spent:,.0f} pages/s, {size / spent:.1f} MB/s a core"
        print(f"{name:22} {speed}, {seconds['trafilatura'] / spent:.1f} times trafilatura, peak memory +{peaks[name]:.0f} MiB")
    print(f"read again by trafilatura: {_unsure(rows)} of {len(rows)} pages")


def _unsure(rows: list[dict[str, Any]]) -> int:
    from headrace_governance.text.html.markdown import CONFIDENT, read_page

    return sum(read_page(r["html"], fallback=False).confidence < CONFIDENT for r in rows)


if __name__ == "__main__":
    main()
