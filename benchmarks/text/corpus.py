"""The corpus of the text benchmarks: the pages of the sample packages in twelve languages, extracted once and kept.

    python benchmarks/text/corpus.py --megabytes 200

Documents of all languages are dealt out in turn, so that any size holds all of them. When the pages are used up, they are
taken again with every line's words turned round by one more place: other documents with words of the same kind.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_governance.acquire.samples.build import build_site
from headrace_governance.text.html.markdown import page_text

FOLDER = Path("var/benchmarks")
SITE_LANGUAGES = {"en-US": "en", "zh-CN": "zh", "zh_CN": "zh", "zh-cn": "zh", "pt-BR": "pt", "ar-MA": "ar"}
_FOLDERS = ("debian-handbook", "libreoffice-help", "debian-reference", "installation-guide", "sqlite-documentation")
_SCHEMA = pa.schema([("language", pa.string()), ("text", pa.large_string())])


def corpus(megabytes: float) -> pa.Table:
    """Documents of at least this many megabytes of UTF-8 together: `language`, `text`."""
    every = _documents()
    texts, languages = every["text"].to_pylist(), every["language"].to_pylist()
    by_language: dict[str, list[str]] = {}
    for text, language in zip(texts, languages, strict=True):
        by_language.setdefault(language, []).append(text)
    rows: list[tuple[str, str]] = []
    size = 0.0
    for language, text in _in_turn(by_language):
        rows.append((language, text))
        size += len(text.encode("utf-8"))
        if size >= megabytes * 1e6:
            break
    return pa.table({"language": [r[0] for r in rows], "text": [r[1] for r in rows]}, schema=_SCHEMA)


def _in_turn(by_language: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    for again in itertools.count():
        for place in range(max(map(len, by_language.values()))):
            for language in sorted(by_language):
                if place < len(by_language[language]):
                    yield language, _turned(by_language[language][place], again)


def _turned(text: str, by: int) -> str:
    if not by:
        return text
    lines = [line.split(" ") for line in text.split("\n")]
    return "\n".join(" ".join(words[by % len(words) :] + words[: by % len(words)]) for words in lines)


def _documents() -> pa.Table:
    """All pages with at least 200 characters of text, from the cache or extracted now with two processes."""
    cached = FOLDER / "documents.parquet"
    if cached.exists():
        return pq.read_table(cached)
    site = FOLDER / "site"
    build_site(site, cache=Path("var/samples/packages"), pages_per_language=1_000_000)
    files = sorted(f for folder in _FOLDERS for f in (site / "www" / folder).rglob("*.html") if f.name != "pages.html")
    print(f"extracting {len(files)} pages, once", flush=True)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        texts = pool.map(_text, files, chunksize=64)
    rows = [(language_of(f, site / "www"), t) for f, t in zip(files, texts, strict=True) if len(t) >= 200]
    table = pa.table({"language": [r[0] for r in rows], "text": [r[1] for r in rows]}, schema=_SCHEMA)
    pq.write_table(table, cached)
    return table


def language_of(file: Path, www: Path) -> str:
    folder = file.relative_to(www).parts[1]
    return SITE_LANGUAGES.get(folder, folder.partition("-")[0])


def _text(file: Path) -> str:
    if file.stat().st_size > 4_000_000:
        return ""
    return page_text(file.read_text(encoding="utf-8", errors="replace"))[0]


def main() -> None:
    """Make the corpus and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=200)
    table = corpus(parser.parse_args().megabytes)
    sizes: dict[str, list[int]] = {}
    for language, text in zip(table["language"].to_pylist(), table["text"].to_pylist(), strict=True):
        sizes.setdefault(language, []).append(len(text.encode("utf-8")))
    for language, found in sorted(sizes.items()):
        print(f"{language}: {len(found):,} documents, {sum(found) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
