"""Build the sample site: fetch packages with apt, open them without installing, lay their pages out as a web site.

Downloads stay in a cache folder with their checksums; what is there is not fetched again, and a site whose recipe and
packages have not changed is left alone. Pages are copied byte for byte with their times; only the listing pages are ours.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from headrace_governance.acquire.samples.packages import ROBOTS, SECTIONS, Edition, Section
from headrace_governance.containers.debian import Say, fetch_packages, sha256, unpack
from headrace_lake.errors import ConfigError, InputError

PAGES_PER_LANGUAGE = 260
_LAYOUT = 3


def build_site(
    out: Path,
    *,
    cache: Path,
    languages: tuple[str, ...] = (),
    sections: tuple[str, ...] = (),
    pages_per_language: int = PAGES_PER_LANGUAGE,
    say: Say = print,
) -> Path:
    """Build the site under `out/www`, with `out/manifest.json` beside it.

    Args:
        cache: folder for downloaded packages; packages that lie there already are used.
        languages: ISO 639-1 codes; empty means all.
        sections: names of sections; empty means all.
        pages_per_language: pages per section and language at most.

    Returns:
        The manifest's path.

    Raises:
        ConfigError: unknown language or section.
        ServiceError: apt or dpkg is missing, or a package cannot be fetched.
    """
    chosen = _chosen(languages, sections)
    packages = sorted({e.package for s, editions in chosen for e in editions} | {_english(s).package for s, _ in chosen if s.ranked})
    debs = fetch_packages(packages, cache, say)
    recipe = {
        "layout": _LAYOUT,
        "packages": {p: {"file": d.name, "sha256": sha256(d)} for p, d in debs.items()},
        "editions": [e.site for _, editions in chosen for e in editions],
        "pages_per_language": pages_per_language,
        "robots": ROBOTS,
    }
    manifest = out / "manifest.json"
    if _recipe_of(manifest) == recipe:
        say(f"sample site {out} is up to date")
        return manifest
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=out) as folder:
        work = Path(folder)
        www = work / "www"
        www.mkdir()
        unpacked = {p: unpack(d, work / "packages" / p) for p, d in debs.items()}
        described = [_section(www, section, editions, unpacked, pages_per_language, say) for section, editions in chosen]
        _front(www, chosen)
        if (out / "www").exists():
            shutil.rmtree(out / "www")
        os.replace(www, out / "www")
        text = json.dumps({"recipe": recipe, "sections": described}, indent=1, ensure_ascii=False)
        (work / "manifest.json").write_text(text, encoding="utf-8")
        os.replace(work / "manifest.json", manifest)
    return manifest


def _chosen(languages: tuple[str, ...], sections: tuple[str, ...]) -> list[tuple[Section, list[Edition]]]:
    known_languages = {e.language for s in SECTIONS for e in s.editions}
    for name, given, known in (("language", languages, known_languages), ("section", sections, {s.name for s in SECTIONS})):
        for g in given:
            if g not in known:
                raise ConfigError(f"no sample {name} '{g}'", f"known: {', '.join(sorted(known))}")
    picked = [
        (s, [e for e in s.editions if not languages or e.language in languages]) for s in SECTIONS if not sections or s.name in sections
    ]
    return [(s, editions) for s, editions in picked if editions]


def _recipe_of(manifest: Path) -> Any:
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError):
        return None


# -- pages -------------------------------------------------------------------------------------------------------------


def _section(www: Path, section: Section, editions: list[Edition], unpacked: dict[str, Path], cap: int, say: Say) -> dict[str, Any]:
    order = _english_sizes(section, unpacked) if section.ranked else {}
    listed: list[dict[str, Any]] = []
    for e in editions:
        folder = unpacked[e.package] / e.folder
        if not folder.is_dir():
            raise InputError(f"package {e.package}: no folder {e.folder}", "its layout has changed; tell the maintainers")
        names = [p.relative_to(folder).as_posix() for p in folder.rglob(f"*{e.suffix}") if p.is_file() and not p.is_symlink()]
        names.sort(key=lambda n: (-order.get(n, 0), n))
        names = sorted(names[:cap])
        for n in names:
            target = www / e.site / n
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / n, target)
        _listing(www / e.site / "pages.html", f"{section.title} ({e.language})", names)
        listed.append({"language": e.language, "package": e.package, "path": f"/{e.site}/", "pages": len(names)})
        say(f"{e.site}: {len(names)} pages")
    package = editions[0].package
    copyright_file = unpacked[package] / "usr/share/doc" / package / "copyright"
    target = www / "LICENSES" / f"{section.name}.txt"
    target.parent.mkdir(exist_ok=True)
    shutil.copy2(copyright_file, target)
    return {"name": section.name, "licence": section.licence, "licence_path": f"/LICENSES/{section.name}.txt", "editions": listed}


def _english(section: Section) -> Edition:
    return next(e for e in section.editions if e.language == "en")


def _english_sizes(section: Section, unpacked: dict[str, Path]) -> dict[str, int]:
    """Page → size of its English edition: the same long pages are taken in every language, so the set is parallel."""
    english = _english(section)
    folder = unpacked[english.package] / english.folder
    # LibreOffice's options stay in although robots.txt forbids them: they must be there, and linked, for the test to mean
    # anything.
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob(f"*{english.suffix}")}


def _listing(path: Path, title: str, names: list[str]) -> None:
    """A page of links; `noindex`, so it is followed but never kept as a document."""
    items = "\n".join(f'<li><a href="{html.escape(n)}">{html.escape(n)}</a></li>' for n in names)
    head = f'<meta charset="utf-8"><meta name="robots" content="noindex"><title>{html.escape(title)}</title>'
    path.write_text(
        f"<!DOCTYPE html>\n<html><head>{head}</head>\n<body><h1>{html.escape(title)}</h1>\n<ul>\n{items}\n</ul></body></html>\n",
        encoding="utf-8",
    )


def _front(www: Path, chosen: list[tuple[Section, list[Edition]]]) -> None:
    _listing(www / "index.html", "Samples", [f"{e.site}/pages.html" for _, editions in chosen for e in editions] + ["private/index.html"])
    (www / "private").mkdir()
    _listing(www / "private" / "index.html", "Private: forbidden by robots.txt", [])
    (www / "robots.txt").write_text(ROBOTS + "\nSitemap: /sitemap.txt\n", encoding="utf-8")
    pages = sorted(p.relative_to(www).as_posix() for p in www.rglob("*.html"))
    (www / "sitemap.txt").write_text("".join(f"/{p}\n" for p in pages), encoding="utf-8")
