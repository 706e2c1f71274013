"""HTML elements: text is escaped and its unseen characters are shown, wherever it comes from, unless it is an element already.

el("td", "a < b", class_="n")   ->   <td class="n">a &lt; b</td>
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from headrace_lake.foreign_text import html as escape

_EMPTY = {"br", "hr", "input", "link", "meta", "circle", "line", "rect", "path", "polyline"}


class Element(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def el(tag: str, *children: Child, **attributes: str | int | float | bool | None) -> Element:
    """An element; `class_` is `class`, `_` within a name is `-`, True is an attribute without a value, None leaves it out."""
    written = "".join(_attribute(name, value) for name, value in attributes.items() if value is not None and value is not False)
    if tag in _EMPTY and not children:
        return Element(f"<{tag}{written}>" if tag in ("br", "hr", "input", "link", "meta") else f"<{tag}{written}/>")
    return Element(f"<{tag}{written}>{text(children)}</{tag}>")


def text(children: Child) -> Element:
    """Children as HTML, one after another; numbers with their thousands separated."""
    if children is None:
        return Element("")
    if isinstance(children, Element):
        return children
    if isinstance(children, str):
        return Element(escape(children))
    if isinstance(children, int):
        return Element(f"{children:,}")
    if isinstance(children, float):
        return Element(escape(f"{children:,.4g}"))
    return Element("".join(text(c) for c in children))


def prose(words: str) -> Element:
    """A paragraph under a heading; what stands between backticks is code."""
    return el("p", [el("code", part) if i % 2 else part for i, part in enumerate(words.split("`"))], class_="quiet")


def tag(kind: str, words: str) -> Element:
    """A coloured word: good, warn, bad or none."""
    return el("span", words, class_=f"tag {kind}")


def page(title: str, *body: Child, back: Child = None, refresh: int | None = None) -> str:
    """A whole page. Its policy forbids every request, so that whoever opens it tells nobody.

    Args:
        refresh: seconds after which a browser loads the page again.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", http_equiv="refresh", content=str(refresh)) if refresh else None,
        el("title", title),
        el("style", _asset("report.css")),
    )
    top = el("header", el("nav", back), el("button", "Theme", id="theme", type="button", title="light, dark, or as the system says"))
    whole = el("html", head, el("body", top, el("main", el("h1", title), *body), el("script", _asset("report.js"))), lang="en")
    return f"<!doctype html>\n{whole}\n"


def served_policy() -> str:
    """Content-Security-Policy header of a page that a server hands out: no request, and no script but the pages' own, by its digest."""
    digest = b64encode(hashlib.sha256(_asset("report.js").encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    )


def table(
    columns: Iterable[tuple[str, bool]],
    rows: Iterable[Iterable[Child]],
    *,
    name: str,
    find: bool = True,
    none: Child = "nothing yet",
) -> Element:
    """A table whose rows a reader can sort by any column and filter by words, where scripts run.

    Args:
        columns: heading, and whether it holds numbers.
        rows: cells; one made by `cell` sorts by its value.
        find: with a box to filter by, and a height of its own; without for short tables and those that go on on another page.
        none: said instead of a table without rows.
    """
    heads = list(columns)
    head = [el("th", el("button", title, type="button"), class_="n" if numeric else None, scope="col") for title, numeric in heads]
    body = [el("tr", [_cell(value, numeric) for value, (_, numeric) in zip(row, heads, strict=True)]) for row in rows]
    if not body:
        return el("p", none, class_="quiet")
    box = el("input", type="search", placeholder=f"filter {len(body):,} rows", aria_label=f"filter {name}") if find else None
    whole = el("table", el("thead", el("tr", head)), el("tbody", body))
    return el("div", box, el("div", whole, class_="scroll"), class_="data" if find else "data wide")


def facts(*rows: tuple[str, Child]) -> Element:
    """Names with their values; a name without a value is left out."""
    return el("dl", [[el("dt", name), el("dd", value)] for name, value in rows if value not in (None, "", [])], class_="facts")


def tiles(*each: tuple[Child, Child]) -> Element:
    """Figures to begin with: value and what it is."""
    return el("div", [el("div", el("b", value), el("span", what), class_="tile") for value, what in each], class_="tiles")


def when(moment: datetime | None, *, seconds: bool = False) -> Element:
    """A time in UTC, as a cell that sorts by it and does not wrap."""
    if moment is None:
        return el("td")
    shown = moment.astimezone(UTC)
    return el("td", f"{shown:%Y-%m-%d %H:%M:%S}" if seconds else f"{shown:%Y-%m-%d %H:%M}", class_="when", data_v=shown.isoformat())


def cell(shown: Child, value: float | str, **attributes: str) -> Element:
    """A cell that sorts by another value than the one that is shown."""
    return el("td", shown, data_v=f"{value}", **attributes)


def _cell(value: Child, numeric: bool) -> Element:
    if isinstance(value, Element) and value.startswith("<td"):
        return value
    if numeric and isinstance(value, int | float):
        return cell(value, value, class_="n")
    return el("td", value, class_="n" if numeric else None)


def _attribute(name: str, value: str | int | float | bool) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


@cache
def _asset(name: str) -> Element:
    return Element(Path(__file__).with_name(name).read_text(encoding="utf-8").strip())
