"""The removal audit's page in a real browser: judged by keyboard, no script of a document runs, no request leaves, the file loads back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from audited_lake import audited_lake
from playwright.sync_api import Page, sync_playwright

from headrace_governance.audit.removals.judgements import read_judgements
from headrace_governance.audit.removals.removals import slices_named
from headrace_governance.audit.removals.review import page, shown_cases
from headrace_governance.audit.removals.sample import Sample, draw_sample
from headrace_lake.settings import Settings

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture
def audit(settings: Settings, tmp_path: Path) -> tuple[Sample, Path]:
    """A sample and its page."""
    lake = audited_lake(settings)
    sample = draw_sample(lake, slices_named(lake, ["mill"]))[0]
    file = tmp_path / "page.html"
    file.write_text(page(sample, shown_cases(lake, sample.cases, 6000)), encoding="utf-8")
    return sample, file


@pytest.fixture
def browser_page(tmp_path: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page of a headless Chromium, and what it asked for, printed or raised."""
    named = os.environ.get("HEADRACE_CHROMIUM")
    found = [path for path in map(shutil.which, [named] if named else CHROMIUM) if path]
    assert found, "no Chromium here: run `scripts/setup --tests` or set HEADRACE_CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        opened = browser.new_context(accept_downloads=True, viewport={"width": 1400, "height": 1000}).new_page()
        seen: list[str] = []
        opened.on("request", lambda r: seen.append(f"request {r.url}"))
        opened.on("console", lambda m: seen.append(f"console {m.text}"))
        opened.on("pageerror", lambda e: seen.append(f"error {e}"))
        yield opened, seen
        browser.close()


def test_cases_are_judged_by_keyboard_and_the_saved_file_is_taken(
    audit: tuple[Sample, Path], browser_page: tuple[Page, list[str]], tmp_path: Path
) -> None:
    sample, file = audit
    opened, seen = browser_page
    opened.goto(file.as_uri())
    order = [c.case for c in sample.cases]
    opened.keyboard.press("s")
    assert "name first" in opened.inner_text("#message")
    opened.keyboard.type("Ada r 1")  # goes into the field that has the focus, and judges nothing
    assert opened.input_value("#judge") == "Ada r 1"
    opened.locator("#judge").fill("Ada")
    opened.locator("#judge").blur()
    for key in "12j3k0w":  # right, wrong, passed over, unsure, back to it, cleared, wrong
        opened.keyboard.press(key)
    progress = opened.inner_text("#progress")
    assert f"3 of {len(order)} judged" in progress
    with opened.expect_download() as download:
        opened.keyboard.press("s")
    saved = tmp_path / "judgements.jsonl"
    download.value.save_as(saved)
    found = {j.case: (j.judge, j.label) for j in read_judgements(saved, sample)}
    assert found == {order[0]: ("Ada", "right"), order[1]: ("Ada", "wrong"), order[3]: ("Ada", "wrong")}

    # The browser remembers; a fresh one takes the file back.
    opened.reload()
    assert opened.inner_text("#progress").endswith(f"3 of {len(order)} judged") and opened.input_value("#judge") == "Ada"
    opened.evaluate("localStorage.clear()")
    opened.reload()
    assert f"0 of {len(order)} judged" in opened.inner_text("#progress")
    opened.set_input_files("#load", saved)
    opened.wait_for_function("document.getElementById('message').textContent.includes('3 judgements loaded')")
    opened.check("#open")
    assert f"of {len(order) - 3} shown" in opened.inner_text("#progress")
    assert [s for s in seen if not s.startswith(f"request {file.as_uri()}") and "blob:" not in s] == []


def test_hostile_documents_are_shown_as_text_and_differences_are_marked(
    audit: tuple[Sample, Path], browser_page: tuple[Page, list[str]]
) -> None:
    sample, file = audit
    opened, seen = browser_page
    opened.goto(file.as_uri())
    opened.select_option("#stratum", "verdict near_duplicate")
    near = [c for c in sample.cases if c.verdict == "near_duplicate"]
    assert f"1 of {len(near)} shown" in opened.inner_text("#progress")
    hostile, marked = 0, 0
    for _ in near:
        removed, kept = opened.inner_text("#removed"), opened.inner_text("#kept")
        hostile += "<script>window.pwned = 1</script>" in removed and "U+202E" in removed
        inserted, deleted = (opened.locator(s).all_inner_texts() for s in ("#kept ins", "#removed del"))
        marked += bool(inserted or deleted)
        assert (removed == kept) == (not inserted and not deleted)
        assert all(part in removed for part in deleted) and all(part in kept for part in inserted)
        opened.keyboard.press("j")
    assert hostile >= 2 and marked >= 10
    assert opened.evaluate("[typeof window.pwned, document.querySelectorAll('iframe, img, svg').length, document.scripts.length]") == [
        "undefined",
        0,
        2,
    ]
    # The policy itself holds: even a script that got in would not run, and nothing can be fetched.
    opened.evaluate("() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 9'; document.body.append(s); }")
    refused = opened.evaluate("() => fetch('data:text/plain,x').then(() => 'fetched', () => 'refused')")
    assert refused == "refused" and opened.evaluate("typeof window.pwned") == "undefined"
    assert sum("Content Security Policy" in s for s in seen) >= 2


def test_the_data_block_is_the_sample(audit: tuple[Sample, Path], browser_page: tuple[Page, list[str]]) -> None:
    sample, file = audit
    opened, _ = browser_page
    opened.goto(file.as_uri())
    data = json.loads(opened.evaluate("document.getElementById('data').textContent"))
    assert data["sample"] == sample.fingerprint and [c["case"] for c in data["cases"]] == [c.case for c in sample.cases]
