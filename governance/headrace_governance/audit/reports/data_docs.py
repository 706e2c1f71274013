"""Data docs: a browsable folder of HTML about what tables were expected to be and what they were.

    index.html                       every table: how its expectations fared, over all slices
    tables/TABLE.html                its suites, and its slices with a mark for each expectation
    slices/SOURCE/INTERVAL.html      every result of a slice with the observed value and the receipt

Made from the receipts that are newest for each slice and stage, and from the suites as they are now; a result of an expectation
that has changed since says so. Great Expectations can write such pages too, but theirs load styles and scripts from other sites
and do not work without a network (great_expectations#8734, closed unmended). The folder is written anew: pages of slices that
are gone do not stay.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from headrace_governance.audit.reports.html import link, page, render
from headrace_governance.audit.reports.ledger_dashboard import ReceiptReader, current
from headrace_governance.expectations.suite import Expectation, Suite
from headrace_lake.errors import ConfigError
from headrace_lake.receipts import ExpectationResult, Receipt
from headrace_lake.slices import Slice
from headrace_lake.tables import TABLES

MARK = "headrace data docs"
"""What the index of a folder that may be replaced holds."""
_TEMPLATES = "headrace_governance.audit.reports/"


_Key = tuple[str, str, str]
"""Table, expectation, arguments: what makes a result and a line of a suite the same."""


@dataclass(frozen=True)
class _Result:
    receipt: Receipt
    result: ExpectationResult

    @property
    def slice_(self) -> Slice:
        return self.receipt.slice_


@dataclass(frozen=True)
class DocPage:
    """One page: its title, what stands in it, and the address of the index, which it leads back to. Addresses are relative to its name."""

    title: str
    body: Markup
    back: str = ""


class DataDocs:
    """The pages, each made when it is asked for by its name, such as `tables/documents.html`.

    Args:
        history: all receipts, oldest first.
    """

    def __init__(self, history: Sequence[Receipt], suites: Sequence[Suite]) -> None:
        self._results = [_Result(r, e) for r in current(history) for e in r.expectations]
        self._suites = suites
        found = {r.result.table for r in self._results} | {t for t in TABLES for s in suites if s.about(t)}
        self._tables = {f"tables/{t}.html": t for t in sorted(found)}
        self._slices = {f"slices/{s.source}/{s.interval}.html": found for s, found in _by_slice(self._results).items()}

    def names(self) -> list[str]:
        """Of all pages."""
        return sorted(["index.html", *self._tables, *self._slices])

    def page(self, name: str) -> DocPage:
        """One page.

        Raises:
            KeyError: there is none of that name.
        """
        if name == "index.html":
            return _index(self._results, self._suites)
        if name in self._tables:
            table_ = self._tables[name]
            mine = [r for r in self._results if r.result.table == table_]
            return _table_page(table_, mine, [s for s in self._suites if s.about(table_)])
        found = self._slices[name]
        asked = {_key_of(t, e) for t in self._tables.values() for s in self._suites if s.about(t) for e in s.expectations}
        return _slice_page(found[0].slice_, found, asked)


def build_data_docs(lake: ReceiptReader, suites: Sequence[Suite], out: Path) -> int:
    """Write the pages into a folder; returns how many.

    Raises:
        ConfigError: the folder holds something that was not written by this function.
    """
    index = out / "index.html"
    if out.exists() and any(out.iterdir()) and not (index.exists() and MARK in index.read_text(encoding="utf-8", errors="replace")):
        raise ConfigError(f"{out} holds other files", "name a folder that is empty, new, or an earlier result of this command")
    docs = DataDocs(lake.receipts(), suites)
    pages = {}
    for name in docs.names():
        doc = docs.page(name)
        pages[name] = page(doc.title, doc.body, back=link("Data docs", doc.back) if doc.back else None)
    shutil.rmtree(out, ignore_errors=True)
    for path, text in sorted(pages.items()):
        file = out / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return len(pages)


def _index(results: Sequence[_Result], suites: Sequence[Suite]) -> DocPage:
    tables = []
    for name, spec in TABLES.items():
        mine = [r for r in results if r.result.table == name]
        about = [s for s in suites if s.about(name)]
        if mine or about:
            number = sum(len(s.expectations) for s in about)
            tables.append((name, spec.doc, number, len({r.slice_ for r in mine}), _tally(r.result for r in mine)))
    slices = [(s, len({r.result.table for r in found}), _tally(r.result for r in found)) for s, found in _by_slice(results).items()]
    receipts = len({r.receipt.run_id + r.receipt.stage for r in results})
    return DocPage("Data docs", render(_TEMPLATES + "docs_index.html.j2", tables=tables, slices=slices, mark=MARK, receipts=receipts))


def _table_page(name: str, results: Sequence[_Result], suites: Sequence[Suite]) -> DocPage:
    expected = list(enumerate(((s, e) for s in suites for e in s.expectations), start=1))
    fared = []
    for slice_, found in _by_slice(results).items():
        by_key = {_key(r.result): r.result for r in found}
        fared.append((slice_, found[0], [by_key.get(_key_of(name, e)) for _, (_, e) in expected]))
    fields = [(f.name, str(f.type), _meta(f.metadata, b"unit"), _meta(f.metadata, b"doc")) for f in TABLES[name].schema]
    body = render(_TEMPLATES + "docs_table.html.j2", name=name, doc=TABLES[name].doc, expected=expected, fared=fared, fields=fields)
    return DocPage(name, body, "../index.html")


def _slice_page(slice_: Slice, results: Sequence[_Result], asked: set[_Key]) -> DocPage:
    by_table: dict[str, list[_Result]] = defaultdict(list)
    for r in results:
        by_table[r.result.table].append(r)
    ordered = sorted(by_table.items(), key=lambda item: list(TABLES).index(item[0]))
    tables = [
        (name, found[0].receipt, found[0].result.rows, [(r.result, _note(r.result, asked)) for r in found]) for name, found in ordered
    ]
    body = render(_TEMPLATES + "docs_slice.html.j2", tables=tables, tally=_tally(r.result for r in results))
    return DocPage(str(slice_), body, "../../index.html")


def _by_slice(results: Iterable[_Result]) -> dict[Slice, list[_Result]]:
    found: dict[Slice, list[_Result]] = defaultdict(list)
    for r in results:
        found[r.slice_].append(r)
    return dict(sorted(found.items()))


def _tally(results: Iterable[ExpectationResult]) -> tuple[int, int, int, int]:
    """Passed, failed warnings, failed errors, not judged."""
    counts = [0, 0, 0, 0]
    for e in results:
        counts[0 if e.success else 3 if e.success is None else 1 if e.severity == "warning" else 2] += 1
    return counts[0], counts[1], counts[2], counts[3]


def _note(e: ExpectationResult, asked: set[_Key]) -> str:
    return e.note if _key(e) in asked else f"{e.note}{'; ' if e.note else ''}no longer expected so"


def _key(e: ExpectationResult) -> _Key:
    return (e.table, e.expectation, str(sorted(e.arguments.items())))


def _key_of(name: str, e: Expectation) -> _Key:
    return (name, e.expect, str(sorted(e.arguments().items())))


def _meta(metadata: dict[bytes, bytes] | None, key: bytes) -> str:
    return (metadata or {}).get(key, b"").decode()
