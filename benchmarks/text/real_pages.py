"""Real pages with real contact data: manuals, FAQs, licences and change logs inside Debian packages, in a dozen languages.

    python benchmarks/text/real_pages.py

Pages are rebuilt from the packages and never committed. Web pages go through the platform's own extraction, plain texts are taken as
they are; a long one is cut at blank lines into parts of about `PART` characters (`path#1`, `path#2`, ...). `bench_pii.py` joins the
findings on them with verdicts that were given by hand.
"""

from __future__ import annotations

import gzip
import hashlib
import multiprocessing
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_governance.containers.debian import fetch_package
from headrace_governance.text.html.markdown import page_text

CACHE = Path("var/benchmarks/real-pages")
PACKAGES = Path("var/samples/packages")
PART = 20_000
"""Characters of a part of a long plain text, about."""
MOST_PARTS = 60
_DOCUMENTS = ("copyright", "readme", "authors", "credits", "changelog", "news", "thanks", "faq", "todo", "history")
"""How names of plain texts in `usr/share/doc` begin."""


@dataclass(frozen=True)
class Pages:
    """The pages of one package.

    Attributes:
        under: folder inside the package.
        most: pages, chosen evenly by the digest of their path.
        plain: every file there is plain text; otherwise web pages, and plain texts whose names begin as `_DOCUMENTS` say.
    """

    package: str
    under: str = "usr/share/doc"
    most: int = 80
    plain: bool = False


_MANY = 400
SETS = (
    *(Pages(f"debian-faq-{code}") for code in ("de", "fr", "ja", "ru", "zh-cn")),
    *(Pages(f"developers-reference-{code}") for code in ("de", "fr", "it", "ja", "ru")),
    *(Pages(f"maint-guide-{code}") for code in ("de", "es", "fr", "it", "ja", "ru", "zh-cn")),
    *(Pages(f"debian-reference-{code}", "usr/share") for code in ("de", "en", "es", "fr", "it", "ja", "pt", "zh-cn")),
    *(Pages(f"libreoffice-help-{code}", "usr/share", 40) for code in ("de", "fr", "hi", "it", "ja", "ko", "ru", "zh-cn")),
    Pages("debian-handbook", "usr/share/doc", _MANY),
    Pages("installation-guide-amd64", "usr/share/doc", 200),
    Pages("apache2-doc", "usr/share/doc", 300),
    Pages("harden-doc", "usr/share/doc", 300),
    Pages("linux-doc-6.1", "usr/share/doc", 500),
    *(Pages(f"aptitude-doc-{code}", "usr/share/doc", 40) for code in ("es", "ja", "ru")),
    Pages("shorewall-doc", "usr/share/doc", 120),
    Pages("postgresql-doc-15", "usr/share/doc", 200),
    Pages("exim4-doc-html"),
    Pages("bind9-doc"),
    Pages("tor"),
    Pages("anarchism", "usr/share/doc", 60),
    Pages("debian-policy"),
    Pages("debmake-doc"),
    Pages("sqlite3-doc", "usr/share/doc", 120),
    Pages("doc-debian", "usr/share/doc/debian", plain=True),
    Pages("miscfiles", "usr/share/misc", plain=True),
    Pages("dict-foldoc", "usr/share/dictd", plain=True),
    *(Pages(f"fortunes-{code}", "usr/share/games/fortunes", 40, plain=True) for code in ("br", "de", "es", "it", "pl", "ru", "zh")),
    Pages("calendar", "usr/share/calendar", plain=True),
    Pages("dict-jargon", "usr/share/dictd", plain=True),
    Pages("hunspell-it"),
    *(Pages(name) for name in ("apt-doc", "debian-history", "gammu-doc", "hylafax-client", "mgetty-docs", "sendmail-doc", "tkgate-doc")),
    *(Pages(name) for name in ("exim4-base", "fetchmail", "gcc-12-base", "iso-codes", "libjpeg62-turbo", "libncurses6", "libsasl2-2")),
    *(Pages(name) for name in ("edict", "kanjidic", "minicom", "mutt", "netpbm", "tzdata")),
)


def real_pages() -> pa.Table:
    """`package`, `path`, `text` of every page, from the cache or made now with two processes."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return pa.concat_tables([_pages_of(pages) for pages in SETS])


def _pages_of(pages: Pages) -> pa.Table:
    deb = fetch_package(pages.package, PACKAGES, print)
    recipe = hashlib.sha256(repr((pages, PART, MOST_PARTS, deb.name)).encode()).hexdigest()[:12]
    cached = CACHE / f"{pages.package}-{recipe}.parquet"
    if cached.exists():
        return pq.read_table(cached)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", str(deb), folder], check=True)
        files = _files(Path(folder), pages)
    print(f"{pages.package}: reading {len(files):,} files, once", flush=True)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = [part for found in pool.map(_texts, files, chunksize=8) for part in found]
    paths, texts = [path for path, _ in parts], [text for _, text in parts]
    columns = {
        "package": pa.array([pages.package] * len(parts), pa.string()),
        "path": pa.array(paths, pa.string()),
        "text": pa.array(texts, pa.large_string()),
    }
    pq.write_table(pa.table(columns), cached)
    return pa.table(columns)


def _files(root: Path, pages: Pages) -> list[tuple[str, bytes]]:
    found = []
    for file in sorted(p for p in (root / pages.under).rglob("*") if p.is_file() and not p.is_symlink()):
        name = file.name.lower().removesuffix(".gz").removesuffix(".dz")
        web = name.endswith((".html", ".htm"))
        text = name.startswith(_DOCUMENTS) if not pages.plain else not name.endswith((".dat", ".index"))
        if file.stat().st_size <= 8_000_000 and (web or text):
            found.append(file)
    found.sort(key=lambda f: hashlib.sha256(str(f.relative_to(root)).encode()).digest())
    return [(str(f.relative_to(root)), f.read_bytes()) for f in sorted(found[: pages.most])]


def _texts(job: tuple[str, bytes]) -> list[tuple[str, str]]:
    """(path, text) of a file's parts."""
    path, data = job
    if path.endswith((".gz", ".dz")):
        data = gzip.decompress(data)
    if b"\0" in data[:1000]:
        return []
    text = data.decode("utf-8", errors="replace")
    if path.endswith((".html", ".htm", ".html.gz", ".htm.gz")):
        text = page_text(text)[0]
        return [(path, text)] if len(text) >= 200 else []
    if len(text) <= PART:
        return [(path, text)] if len(text) >= 200 else []
    parts, at = [], 0
    while at < len(text) and len(parts) < MOST_PARTS:
        end = text.find("\n\n", at + PART)
        end = len(text) if end < 0 else end
        parts.append((f"{path}#{len(parts) + 1}", text[at:end]))
        at = end
    return parts


def main() -> None:
    """Make the pages and say how many each package has."""
    table = real_pages()
    counts = table.group_by("package").aggregate([("path", "count")]).sort_by("package").to_pylist()
    for row in counts:
        print(f"{row['package']}: {row['path_count']:,} pages")
    print(f"{table.num_rows:,} pages, {table['text'].nbytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
