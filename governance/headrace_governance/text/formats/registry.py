"""Which reader answers to which `fetch.kind` of a foreign format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace_governance.containers.item import Item
from headrace_governance.sources.import_options import (
    GutenbergFetch,
    JatsFetch,
    LatexFetch,
    LegalFetch,
    NewsFetch,
    RecordsFetch,
    StackexchangeFetch,
    WikipediaFetch,
)
from headrace_governance.text.formats.gutenberg.read import read_gutenberg
from headrace_governance.text.formats.jats.read import read_jats
from headrace_governance.text.formats.latex.read import read_latex
from headrace_governance.text.formats.legal.read import read_legal
from headrace_governance.text.formats.news.read import read_news
from headrace_governance.text.formats.stackexchange.read import read_stackexchange
from headrace_governance.text.formats.wikipedia.read import read_wikipedia
from headrace_lake.errors import ConfigError


def read_records(fetch: RecordsFetch, files: list[Path], base: Path) -> Iterator[Item]:
    """The items of an import; `base` is where relative paths of further files count from.

    Raises:
        InputError: a file is damaged or of another format.
    """
    match fetch:
        case WikipediaFetch():
            return read_wikipedia(fetch, files)
        case JatsFetch():
            return read_jats(fetch, files)
        case LatexFetch():
            return read_latex(fetch, files, base)
        case GutenbergFetch():
            return read_gutenberg(fetch, files)
        case StackexchangeFetch():
            return read_stackexchange(fetch, files)
        case LegalFetch():
            return read_legal(fetch, files)
        case NewsFetch():
            return read_news(fetch, files)
    raise ConfigError(f"no importer of '{type(fetch).__name__}'", "name a kind of docs/add-a-source.md")
