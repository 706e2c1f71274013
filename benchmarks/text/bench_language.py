"""Language and script of documents: accuracy of simplified and traditional Chinese, and documents a second a core.

    python benchmarks/text/bench_language.py --pages 600

Accuracy: pages of the same manuals in two editions (Debian packages libreoffice-help-zh-cn and -zh-tw, MPL-2.0; debian-reference-zh-cn
and -zh-tw, GPL-2.0-or-later). Pages that nobody translated are left out: those with less than a tenth of Chinese characters.
Speed: pages in twelve languages (`corpus.py`), as the pipeline runs them, and the classifier alone.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import yaml
from corpus import corpus

from headrace_governance.containers.debian import fetch_package
from headrace_governance.text.html.markdown import page_text
from headrace_governance.text.language.scripts import script_table, scripts_of
from headrace_governance.text.language.stage import Language, LanguageParams
from headrace_lake.strict import parse

FILE = Path(__file__).parents[2] / "governance" / "pipelines" / "filters" / "language.yaml"
EDITIONS = {
    ("libreoffice-help", "Hans"): ("libreoffice-help-zh-cn", "usr/share/libreoffice/help/zh-CN", ".html"),
    ("libreoffice-help", "Hant"): ("libreoffice-help-zh-tw", "usr/share/libreoffice/help/zh-TW", ".html"),
    ("debian-reference", "Hans"): ("debian-reference-zh-cn", "usr/share/debian-reference", ".zh-cn.html"),
    ("debian-reference", "Hant"): ("debian-reference-zh-tw", "usr/share/debian-reference", ".zh-tw.html"),
}
BATCH = 1024


def pages(package: str, folder: str, suffix: str, most: int) -> list[str]:
    """Texts of translated pages, the longest files first."""
    deb = fetch_package(package, Path("var/samples/packages"), print)
    found: list[str] = []
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["dpkg-deb", "-x", str(deb), work], check=True)
        files = [f for f in (Path(work) / folder).rglob(f"*{suffix}") if 2_000 < f.stat().st_size < 2_000_000]
        for file in sorted(files, key=lambda f: (-f.stat().st_size, str(f))):
            text = page_text(file.read_text(encoding="utf-8", errors="replace"))[0]
            if sum("\u4e00" <= c <= "\u9fff" for c in text) >= max(30, 0.1 * len(text)):
                found.append(text)
            if len(found) == most:
                break
    return found


def accuracy(most: int) -> bool:
    """Print the verdicts on both editions; whether precision is at least 0.99 on 200 pages each."""
    verdicts: Counter[tuple[str, str]] = Counter()
    for (manual, truth), edition in EDITIONS.items():
        texts = pages(*edition, most)
        codes = Counter(scripts_of(pa.array(texts, pa.large_string()), script_table()).codes)
        print(f"{manual}, {truth}: {len(texts)} pages, {dict(sorted(codes.items()))}")
        for code, n in codes.items():
            verdicts[truth, code] += n
    good = True
    for code, other in (("Hans", "Hant"), ("Hant", "Hans")):
        right, wrong = verdicts[code, code], verdicts[other, code]
        every = sum(n for (truth, _), n in verdicts.items() if truth == code)
        print(
            f"{code}: precision {right / (right + wrong):.4f} ({right} of {right + wrong}), recall among all verdicts {right / every:.4f}"
        )
        good &= right + wrong >= 200 and right / (right + wrong) >= 0.99
    return good


def speed(megabytes: float) -> None:
    """Print documents a second of the stage, of the classifier alone and of the scripts alone."""
    table = corpus(megabytes)
    stage = Language(parse(yaml.safe_load(FILE.read_text(encoding="utf-8")), LanguageParams, where="language.yaml"))
    started = time.process_time()
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    print(f"tables and model: {time.process_time() - started:.1f} s, once a process")
    documents = pa.table({"uid": [str(i) for i in range(table.num_rows)], "text": table["text"]})
    stage.process(documents.slice(0, 10))
    started = time.process_time()
    out = pa.concat_tables([stage.process(documents.slice(i, BATCH)) for i in range(0, table.num_rows, BATCH)])
    whole = time.process_time() - started
    started = time.process_time()
    for text in table["text"].to_pylist():
        stage.detect(text)
    alone = time.process_time() - started
    started = time.process_time()
    scripts_of(table["text"].combine_chunks(), script_table())
    scripts = time.process_time() - started
    looked = table.num_rows - out["paragraph_languages"].null_count
    n, size = table.num_rows, table["text"].nbytes / 1e6
    print(f"{n:,} documents, {size:.1f} MB; paragraphs of {looked:,} were told")
    print(f"stage {n / whole:,.0f} documents/s a core, classifier alone {n / alone:,.0f}, scripts {size / scripts:,.0f} MB/s")
    by_language: dict[str, Counter[str]] = {}
    for language, reason in zip(table["language"].to_pylist(), out["reason"].to_pylist(), strict=True):
        by_language.setdefault(language, Counter())[reason or "kept"] += 1
    for language, found in sorted(by_language.items()):
        print(f"    {language}: {', '.join(f'{reason} {count / found.total():.1%}' for reason, count in sorted(found.items()))}")


def main() -> None:
    """Accuracy first, then speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=600, help="of each edition, at most")
    parser.add_argument("--megabytes", type=float, default=20)
    words = parser.parse_args()
    good = accuracy(words.pages)
    speed(words.megabytes)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
