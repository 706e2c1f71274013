"""Real pages with the main text they should give: documentation packages that ship a page and its source.

    python benchmarks/text/labelled_pages.py            # makes the set, once, and counts it

Two kinds of label, neither of them made from the page:

- *sphinx*: the package ships `_sources/PAGE.rst.txt` beside `PAGE.html`; the label is what Sphinx's own text builder writes for the
  source. Left out: pages with a directive that only the project's own build knows (its text is missing from the source), and pages
  that list chapters (`toctree`): whether a list of links is main text is a matter of taste.
- *split*: the package ships the whole book as one text; the label runs from the page's title to the next page's title.

Pages of a translation that are still in English are left out. A label must lie in its page: a page of whose label less than `FOUND`
is among all the words of the page is left out (an edition that is older than its source, a failed split).
Packages come by `apt-get download` into `var/samples/packages`, with their checksums.
"""

from __future__ import annotations

import gzip
import html
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lxml.html
import pyarrow as pa
import pyarrow.parquet as pq
from scoring import tokens

from headrace_governance.containers.debian import fetch_package, unpack
from headrace_governance.text.language.stage import load_model

CACHE = Path("var/benchmarks/labelled_pages.parquet")
PACKAGES = Path("var/samples/packages")
FOUND = 0.85
MIN_TOKENS = 60
SCHEMA = pa.schema([(name, pa.string()) for name in ("language", "package", "page", "kind", "licence", "html", "label")])


@dataclass(frozen=True)
class Edition:
    """Where one language of one document lies in its package.

    Attributes:
        folder: of the HTML pages.
        text: the one text (split), or empty (sphinx: `_sources` lies in the folder).
        suffix: how the pages' names end.
        every: takes each n-th page by name.
    """

    language: str
    package: str
    folder: str
    licence: str
    text: str = ""
    suffix: str = ".html"
    every: int = 1
    under: str = ""


def _split(language: str, package: str, folder: str, text: str, licence: str) -> Edition:
    code = text.split(".")[-3]
    return Edition(language, package, folder, licence, text, f".{code}.html")


_DOC = "usr/share/doc"
_REFERENCE, _FAQ = "usr/share/debian-reference", f"{_DOC}/debian/FAQ"
_KERNEL = f"{_DOC}/linux-doc-6.1/html"
EDITIONS = (
    *(
        Edition(lang, "linux-doc-6.1", _KERNEL, "GPL-2.0-only", under=f"translations/{folder}")
        for lang, folder in (("zh", "zh_CN"), ("zh", "zh_TW"), ("it", "it_IT"), ("ja", "ja_JP"), ("ko", "ko_KR"))
    ),
    *(
        Edition("en", "linux-doc-6.1", _KERNEL, "GPL-2.0-only", under=u, every=n)
        for u, n in (("process", 2), ("admin-guide", 5), ("filesystems", 5), ("core-api", 4), ("networking", 6), ("hwmon", 12))
    ),
    *(
        Edition("en", "python3.11-doc", f"{_DOC}/python3.11/html", "PSF-2.0", under=u, every=n)
        for u, n in (("tutorial", 1), ("howto", 1), ("faq", 1), ("whatsnew", 2), ("library", 3), ("c-api", 3), ("reference", 1))
    ),
    Edition("en", "developers-reference", "usr/share/developers-reference", "GPL-2.0-or-later"),
    Edition("en", "debian-policy", f"{_DOC}/debian-policy/policy.html", "GPL-2.0-or-later"),
    *(
        _split(c[:2], f"debian-faq{x}", f"{_FAQ}{x.replace('-', '/', 1)}", f"{_FAQ}/debian-faq.{c}.txt.gz", "LicenseRef-Debian-FAQ")
        for c, x in ((c, "" if c == "en" else f"-{c}") for c in ("en", "de", "fr", "it", "ja", "ko", "ru", "zh-cn"))
    ),
    *(
        _split(c[:2], p, f"{_DOC}/{p}/html", f"{_DOC}/{p}/maint-guide.{c}.txt.gz", "GPL-2.0-or-later")
        for c, p in ((c, f"maint-guide{'' if c == 'en' else '-' + c}") for c in ("en", "de", "es", "fr", "ja", "ru", "zh-cn"))
    ),
    *(
        _split(c[:2], "debmake-doc", f"{_DOC}/debmake-doc/html", f"{_DOC}/debmake-doc/debmake-doc.{c}.txt.gz", "MIT")
        for c in ("en", "de", "ja", "ru", "zh-cn", "zh-tw")
    ),
    *(
        _split(c[:2], f"debian-reference-{c}", _REFERENCE, f"{_REFERENCE}/debian-reference.{c}.txt.gz", "GPL-2.0-or-later")
        for c in ("en", "de", "es", "fr", "it", "ja", "pt", "zh-cn")
    ),
)  # fmt: skip


def labelled_pages() -> pa.Table:
    """All pages, from the cache or made now."""
    if CACHE.exists():
        return pq.read_table(CACHE)
    rows: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        roots: dict[str, Path] = {}
        for edition in EDITIONS:
            if edition.package not in roots:
                deb = fetch_package(edition.package, PACKAGES, print)
                roots[edition.package] = unpack(deb, Path(folder) / edition.package)
        for package, root in roots.items():
            mine = [e for e in EDITIONS if e.package == package]
            rows += [r for e in mine if e.text for r in _from_one_text(root, e)]
            rows += _from_sources(root, [e for e in mine if not e.text])
    kept, left_out = [], Counter[str]()
    for row in rows:
        reason = _unfair(row)
        if reason:
            left_out[reason] += 1
        else:
            kept.append(row)
    print(f"{len(kept)} pages labelled; left out: {dict(left_out)}")
    table = pa.Table.from_pylist(kept, schema=SCHEMA)
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, CACHE)
    return table


def _unfair(row: dict[str, str]) -> str | None:
    label = Counter(tokens(row["label"]))
    if label.total() < MIN_TOKENS:
        return "short"
    if _language(row["label"]) != row["language"]:
        return "not translated"
    tree = lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", row["html"]))
    # Joined by a space: text_content() would glue the words of neighbouring blocks.
    seen = Counter(tokens(" ".join(tree.itertext()))) | Counter(tokens(tree.text_content()))
    return "label not in page" if (label & seen).total() < FOUND * label.total() else None


def _language(text: str) -> str:
    return str(_model().predict(" ".join(text.split())[:4000])[0][0]).removeprefix("__label__")


@cache
def _model() -> Any:
    return load_model()


def _row(e: Edition, page: Path, root: Path, kind: str, label: str) -> dict[str, str]:
    name = page.relative_to(root / e.folder).as_posix()
    text = page.read_text(encoding="utf-8")
    return {"language": e.language, "package": e.package, "page": name, "kind": kind, "licence": e.licence, "html": text, "label": label}


# -- one text for the whole book ---------------------------------------------------------------------------------------


def _from_one_text(root: Path, e: Edition) -> Iterator[dict[str, str]]:
    text = gzip.decompress((root / e.text).read_bytes()).decode("utf-8")
    places = []
    for page in sorted((root / e.folder).glob(f"*{e.suffix}")):
        found = re.search(r"<title>(.*?)</title>", page.read_text(encoding="utf-8"), re.DOTALL)
        at = _heading(text, html.unescape(found[1])) if found else None
        if at is not None and not page.name.startswith("index"):
            places.append((at, page))
    places.sort()
    for (at, page), following in zip(places, [*(p for p, _ in places[1:]), len(text)], strict=True):
        yield _row(e, page, root, "split", text[at:following])


def _heading(text: str, title: str) -> int | None:
    """Where a title stands last as lines of its own; line breaks may fall anywhere in Chinese and Japanese."""
    letters = [re.escape(c) for c in title if not c.isspace()]
    found = [m.start() for m in re.finditer(r"^\s*(" + r"\s*".join(letters) + r")\s*$", text, re.MULTILINE)]
    return found[-1] if found else None


# -- Sphinx sources ----------------------------------------------------------------------------------------------------

_CONF = """
import re
import sphinx.domains.index
from docutils import nodes
from docutils.parsers.rst import roles
from sphinx.util import logging
from sphinx.writers.text import TextTranslator
project, extensions, language, highlight_language = "labels", [], {language!r}, "none"
exclude_patterns, text_secnumber_suffix, smartquotes = [], ". ", True
suppress_warnings = ["ref", "toc", "image", "misc", "download"]
def shown(name, rawtext, text, lineno, inliner, options=None, content=None):
    # what a project's own role shows: its title, or its target
    title = re.sub(r"\\s*<[^>]*>$", "", text.replace("\\x00", "")).lstrip("!")
    return [nodes.literal(rawtext, title.rpartition(".")[2] if title.startswith("~") else title)], []
def table(self, node, before=TextTranslator.visit_table):
    if getattr(self, "table", None):
        logging.getLogger(__name__).warning("nested table", location=node)
        raise nodes.SkipNode
    before(self, node)
TextTranslator.visit_table = table
sphinx.domains.index.process_index_entry = lambda *a: []
for role in "source issue gh cve cwe sup2 mod-own maintainers kernel-doc".split():
    roles.register_local_role(role, shown)
"""
_NOT_LABELS = re.compile(r"\[image[^\]]*\]|\[(?:Bild|Immagine|画像|Image|图像)[^\]]*\]")
_UNKNOWN = re.compile(
    r"^(.*?\.rst):.*(?:nested table|Unknown directive type|Unknown interpreted text role|Unable to read|not found or reading)", re.MULTILINE
)


def _from_sources(root: Path, editions: list[Edition]) -> list[dict[str, str]]:
    if not editions:
        return []
    folder = root / editions[0].folder
    every = sorted(p.relative_to(folder / "_sources") for p in (folder / "_sources").rglob("*.rst.txt"))
    chosen: dict[Path, Edition] = {}
    for e in editions:
        chosen.update(dict.fromkeys([p for p in every if p.as_posix().startswith(e.under)][:: e.every], e))
    if not chosen:
        raise SystemExit(f"{editions[0].package}: no sources under {folder / '_sources'}: its layout has changed")
    rows = []
    with tempfile.TemporaryDirectory() as work:
        sources, out = Path(work) / "source", Path(work) / "out"
        for p in every:
            target = sources / p.with_suffix("")
            # Sources that are not chosen stay there under their name for `include`, and are not documents.
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((folder / "_sources" / p).read_bytes())
        conf = _CONF.format(language={"zh": "zh_CN"}.get(editions[0].language, editions[0].language) if len(editions) == 1 else "en")
        others = [p.with_suffix("").as_posix() for p in every if p not in chosen]
        (sources / "conf.py").write_text(conf + f"exclude_patterns = {others!r}\nmaster_doc = {min(chosen).as_posix()[:-8]!r}\n", "utf-8")
        log = Path(work) / "log"
        command = [sys.executable, "-m", "sphinx", "-b", "text", "-q", "-E", "-w", str(log), str(sources), str(out)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"sphinx failed for {editions[0].package}: {done.stderr[-2000:]}")
        # Sphinx names a file by a path that may be relative to anything.
        unknown = {Path(m[1].rpartition("/source/")[2]) for m in _UNKNOWN.finditer(log.read_text("utf-8"))}
        for p, e in chosen.items():
            source, page = p.with_suffix(""), folder / p.with_suffix("").with_suffix(".html")
            text = (sources / source).read_text(encoding="utf-8")
            built = out / source.with_suffix(".txt")
            if source in unknown or re.search(r"^\s*\.\. toctree::", text, re.MULTILINE) or not page.is_file() or not built.exists():
                continue
            rows.append(_row(e, page, root, "sphinx", _NOT_LABELS.sub("", built.read_text(encoding="utf-8"))))
    return rows


def main() -> None:
    """Make the set and say what it holds."""
    table = labelled_pages()
    count = Counter(zip(*(table[c].to_pylist() for c in ("language", "package", "kind")), strict=True))
    for (language, package, kind), n in sorted(count.items()):
        print(f"{language} {package} ({kind}): {n}")
    print(dict(sorted(Counter(table["language"].to_pylist()).items())), table.num_rows)


if __name__ == "__main__":
    main()
