"""Which packages the sample site is made of: where their pages lie, their licences, and what robots.txt forbids."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edition:
    """One language of one section: package, folder inside it and on the site, files to take.

    Attributes:
        language: ISO 639-1 code.
        folder: path inside the unpacked package.
        site: path on the site.
        suffix: how the file names end.
    """

    language: str
    package: str
    folder: str
    site: str
    suffix: str = ".html"


@dataclass(frozen=True)
class Section:
    """One section of the site: editions in several languages under one licence.

    Attributes:
        licence: SPDX expression of the package's copyright file.
        ranked: whether pages are taken by size of the English edition, so that every language has the same long pages
            (else by name).
        shared: packages that every edition needs (style sheets, images).
    """

    name: str
    title: str
    licence: str
    editions: tuple[Edition, ...]
    ranked: bool = False
    shared: tuple[str, ...] = ()


_HANDBOOK = {
    "ar": "ar-MA", "de": "de-DE", "en": "en-US", "es": "es-ES", "fr": "fr-FR", "it": "it-IT",
    "ja": "ja-JP", "ko": "ko-KR", "pt": "pt-BR", "ru": "ru-RU", "zh": "zh-CN",
}  # fmt: skip
_HELP = {
    "de": "de", "en": "en-US", "es": "es", "fr": "fr", "hi": "hi", "it": "it",
    "ja": "ja", "ko": "ko", "pt": "pt", "ru": "ru", "zh": "zh-CN",
}  # fmt: skip
_INSTALLATION = {"de": "de", "en": "en", "es": "es", "fr": "fr", "it": "it", "ja": "ja", "ko": "ko", "pt": "pt", "ru": "ru", "zh": "zh_CN"}
_REFERENCE = {"de": "de", "en": "en", "es": "es", "fr": "fr", "it": "it", "ja": "ja", "pt": "pt", "zh": "zh-cn"}

SECTIONS: tuple[Section, ...] = (
    Section(
        "debian-handbook",
        "The Debian Administrator's Handbook",
        "GPL-2.0-or-later OR CC-BY-SA-3.0",
        tuple(
            Edition(lang, "debian-handbook", f"usr/share/doc/debian-handbook/html/{folder}", f"debian-handbook/{folder}")
            for lang, folder in _HANDBOOK.items()
        ),
    ),
    Section(
        "libreoffice-help",
        "LibreOffice Help",
        "MPL-2.0",
        tuple(
            Edition(lang, f"libreoffice-help-{folder.lower()}", f"usr/share/libreoffice/help/{folder}", f"libreoffice-help/{folder}")
            for lang, folder in _HELP.items()
        ),
        ranked=True,
    ),
    Section(
        "debian-reference",
        "Debian Reference",
        "GPL-2.0-or-later",
        tuple(
            Edition(lang, f"debian-reference-{code}", "usr/share/debian-reference", f"debian-reference/{code}", f".{code}.html")
            for lang, code in _REFERENCE.items()
        ),
    ),
    Section(
        "installation-guide",
        "Debian GNU/Linux Installation Guide",
        "GPL-2.0-only",
        tuple(
            Edition(
                lang,
                "installation-guide-amd64",
                f"usr/share/doc/installation-guide-amd64/{folder}",
                f"installation-guide/{folder}",
            )
            for lang, folder in _INSTALLATION.items()
        ),
    ),
    Section(
        "sqlite-documentation",
        "SQLite Documentation",
        "Public-Domain",
        (Edition("en", "sqlite3-doc", "usr/share/doc/sqlite3", "sqlite-documentation/en"),),
        ranked=True,
    ),
)

ROBOTS = """\
# The sample site's rules. The forbidden paths exist and are linked, so a crawler that ignores this file is found out.
User-agent: *
Disallow: /libreoffice-help/*/text/shared/optionen/
Allow: /libreoffice-help/*/text/shared/optionen/01010
Disallow: /debian-handbook/*/sect.how-to-migrate.html$
Disallow: /debian-reference/*/apa.
Disallow: /installation-guide/*/apas0
Disallow: /private/
Crawl-delay: 0

User-agent: HeadraceBot-Reference
Disallow: /private/
Disallow: /debian-reference/*/apa.
Crawl-delay: 0.5
"""
