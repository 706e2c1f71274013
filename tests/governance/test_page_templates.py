"""Templates of the pages: every one compiles, a missing name is an error, and their layout never reaches a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import TemplateAssertionError, TemplateSyntaxError, UndefinedError

from headrace_governance.audit.reports import html
from headrace_governance.audit.reports.html import environment, render


def test_every_template_of_every_package_compiles(checkout: Path) -> None:
    files = sorted(checkout.glob("*/headrace_*/**/*.html.j2"))
    assert len(files) >= 26
    broken = {}
    for file in files:
        try:
            environment().compile(file.read_text(encoding="utf-8"))
        except (TemplateSyntaxError, TemplateAssertionError) as exc:
            broken[str(file)] = f"line {exc.lineno}: {exc.message}"
    assert broken == {}


def test_a_name_that_was_not_given_is_an_error_and_no_empty_place() -> None:
    with pytest.raises(UndefinedError, match="chart"):
        render("headrace_governance.audit.reports/languages.html.j2", note="two languages")


def test_layout_of_a_template_never_reaches_a_page_and_errors_name_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "<p>\n  <b>a</b>\n\n  {{ 'b' }}\n{% if true %}\n  <i>c d</i>\n{% endif %}\n</p>\n"
    (tmp_path / "good.html.j2").write_text(text, encoding="utf-8")
    (tmp_path / "bad.html.j2").write_text(f"{text}{{{{ 1 / 0 }}}}\n", encoding="utf-8")
    monkeypatch.setattr(html, "files", lambda package: tmp_path)
    assert render("anything/good.html.j2") == "<p><b>a</b>b<i>c d</i></p>"
    with pytest.raises(ZeroDivisionError) as caught:
        render("anything/bad.html.j2")
    assert caught.traceback[-1].lineno + 1 == 9
