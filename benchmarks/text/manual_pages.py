"""Manual pages of packages that the samples do not use, in en, zh, ja, ru and de, extracted once and kept.

Pages are read from the packages and never committed; of a package at most `MOST`, chosen by the digest of their path.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_governance.acquire.samples.packages import SECTIONS
from headrace_governance.containers.debian import fetch_package
from headrace_governance.text.html.markdown import page_text

CACHE = Path("var/benchmarks/manual-pages")
PACKAGES = Path("var/samples/packages")
MOST = 130
_LANGUAGES = ("en", "zh", "ja", "ru", "de")
_CODES = {"zh": "zh-cn"}
SETS = {
    language: [
        *(f"{name}-{_CODES.get(language, language)}" for name in ("gimp-help", "aptitude-doc", "debian-faq", "maint-guide")),
        f"developers-reference-{_CODES.get(language, language)}",
    ]
    for language in _LANGUAGES
}
_ENGLISH = {"debian-faq-en": "debian-faq", "maint-guide-en": "maint-guide", "developers-reference-en": "developers-reference"}
_NONE = {"aptitude-doc-zh-cn", "aptitude-doc-de", "developers-reference-zh-cn"}
"""Editions that Debian does not have."""


def manual_pages(languages: Sequence[str] = _LANGUAGES) -> pa.Table:
    """`language`, `package`, `path`, `text`, of at least 200 characters each."""
    CACHE.mkdir(parents=True, exist_ok=True)
    used = {e.package for section in SECTIONS for e in section.editions}
    tables = []
    for language in languages:
        for package in (_ENGLISH.get(p, p) for p in SETS[language] if p not in _NONE):
            assert package not in used, package
            tables.append(_pages_of(package, language))
        if language != "ru":  # one guide has all its languages in one package
            tables.append(_pages_of("debmake-doc", language))
    return pa.concat_tables(tables)


def _pages_of(package: str, language: str) -> pa.Table:
    deb = fetch_package(package, PACKAGES, print)
    cached = CACHE / f"{deb.stem}-{language}-{MOST}-{_extraction()}.parquet"
    if cached.exists():
        return pq.read_table(cached)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", str(deb), folder], check=True)
        root = Path(folder)
        files = [p for p in root.rglob("*.html") if p.is_file() and not p.is_symlink() and _is_in(p.name, package, language)]
        files.sort(key=lambda f: hashlib.sha256(str(f.relative_to(root)).encode()).digest())
        names = sorted(str(f.relative_to(root)) for f in files[:MOST])
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            texts = pool.map(_text, [(root / n).read_bytes() for n in names], chunksize=16)
    rows = [(n, t) for n, t in zip(names, texts, strict=True) if len(t) >= 200]
    table = pa.table(
        {
            "language": pa.array([language] * len(rows), pa.string()),
            "package": pa.array([package] * len(rows), pa.string()),
            "path": pa.array([n for n, _ in rows], pa.string()),
            "text": pa.array([t for _, t in rows], pa.large_string()),
        }
    )
    pq.write_table(table, cached)
    return table


def _is_in(name: str, package: str, language: str) -> bool:
    """Whether a page is in a language, where a package has several."""
    if package not in ("debmake-doc", "debian-faq"):
        return True
    return name.endswith(f".{_CODES.get(language, language)}.html")


def _extraction() -> str:
    """Digest of the code that reads pages, so that a change reads them again."""
    folder = Path(page_text.__code__.co_filename).parent
    code = b"".join(f.read_bytes() for f in sorted([*folder.glob("html_*.py"), *folder.glob("main_*.py"), folder / "markdown.py"]))
    return hashlib.sha256(code).hexdigest()[:8]


def _text(data: bytes) -> str:
    return page_text(data.decode("utf-8", "replace"))[0]
