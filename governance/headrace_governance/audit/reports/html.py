"""HTML pages from Jinja templates: everything is escaped, and unseen characters of foreign text are shown by their names.

    render("headrace_governance.audit.reports/slice.html.j2", receipts=receipts)

A template is named by its package and its file there. `page` puts a body into the frame that all pages share (`base.html.j2`, with
`report.css` and `report.js` inside, so that a page is one file); `parts.html.j2` holds tables, tiles and the like.

Rules of the templates: a line break before a tag or a `{`, with the indentation that follows, is layout of the template and not of the
page. `{{ value }}` shows text; `{{ value|shown }}` also gives numbers their thousands separators, so it is not for attributes.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from headrace_lake.foreign_text import html as escape

Child = str | int | float | None | Iterable["Child"]
"""What a page can show: text, HTML (`Markup`), a number, nothing, or several of them."""
_LAYOUT = re.compile(r"\n\s*(?=[<{])")


@cache
def environment() -> Environment:
    """The one environment of all pages: autoescape on, and a name that a template misses is an error."""
    made = Environment(loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, finalize=_safe, auto_reload=False)
    made.filters |= {"shown": text, "time": _time}
    made.globals |= {"asset": _asset, "link": link}
    return made


def render(template: str, /, **values: Any) -> Markup:
    """A piece of HTML.

    Args:
        template: `package/file`.
    """
    return Markup(environment().get_template(template).render(**values))


def text(children: Child) -> Markup:
    """Children as HTML, one after another; numbers with their thousands separated."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(escape(children))
    if isinstance(children, int):
        return Markup(f"{children:,}")
    if isinstance(children, float):
        return Markup(f"{children:,.4g}")
    return Markup("").join(text(c) for c in children)


def link(words: Child, href: str) -> Markup:
    """A link."""
    return Markup(f'<a href="{escape(href)}">{text(words)}</a>')


def page(title: str, *body: Child, back: Child = None, refresh: int | None = None, pictures: bool = False) -> str:
    """A whole page. Its policy forbids every request, so that whoever opens it tells nobody.

    Args:
        back: where it leads back to.
        refresh: seconds after which a browser loads the page again.
        pictures: it holds pictures (`data:` addresses).
    """
    values = {"title": title, "body": text(body), "back": text(back), "refresh": refresh, "pictures": pictures}
    return f"{render('headrace_governance.audit.reports/base.html.j2', **values)}\n"


def served_policy() -> str:
    """Content-Security-Policy header of a page that a server hands out: no request, and no script but the pages' own, by its digest."""
    digest = b64encode(hashlib.sha256(_asset("report.js").encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    )


def _source(name: str) -> str:
    """A template's text. Its layout becomes comments, so that errors still name the right line."""
    package, _, file = name.partition("/")
    written = files(package).joinpath(file).read_text(encoding="utf-8").strip()
    return _LAYOUT.sub(lambda found: "{#" + "\n" * found[0].count("\n") + "#}", written)


def _safe(value: Any) -> Any:
    """What a template writes for a value, before autoescape: nothing for None, and text without unseen characters."""
    if value is None:
        return ""
    return Markup(escape(value)) if isinstance(value, str) and not isinstance(value, Markup) else value


def _time(moment: datetime, form: str = "%Y-%m-%d %H:%M") -> str:
    return f"{moment:{form}}"


@cache
def _asset(name: str) -> Markup:
    """A style sheet or script of ours, as it is."""
    return Markup(Path(__file__).with_name(name).read_text(encoding="utf-8").strip())
