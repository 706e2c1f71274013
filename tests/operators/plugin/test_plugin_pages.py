"""The pages in Airflow: every link leads somewhere, foreign text stays text, strangers are refused, and errors say the way out."""

from __future__ import annotations

import html as html_library
import os
import re
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from lake_of_pages import (
    BEGAN,
    DROPPED,
    HOSTILE,
    RIVER,
    RUN_ID,
    TEXT,
    build,
    capture,
    commit,
    span,
    uid_of,
    write_metrics,
)
from patience import PATIENCE_S

from headrace_governance.audit.document_trace import Span
from headrace_governance.audit.reports.charts import thinned, ticks
from headrace_governance.audit.reports.document_page import marked
from headrace_governance.audit.reports.foreign import shown
from headrace_governance.audit.reports.html import text
from headrace_lake.lake import Lake
from headrace_lake.settings import load_settings
from headrace_lake.slices import Slice
from headrace_operators.assets import event_extra
from headrace_operators.operator_env import SETTINGS_ENV
from headrace_operators.plugin import view as view_module
from headrace_operators.plugin.app import app
from headrace_operators.plugin.plugin import HeadracePlugin
from headrace_operators.staleness import Known, Late, Staleness

Get = Callable[[str], Any]
PIPELINE = {
    "name": "text",
    "stages": [{"use": "headrace_governance.duplicates.exact:TextDigests"}],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """A folder with a lake and its settings; nothing listens at the address of its Ray."""
    folder = tmp_path_factory.mktemp("pages")
    written = {
        "base": str(checkout),
        "lake": {"root": str(folder / "lake")},
        "runs": str(folder / "runs"),
        "ray": {"address": "http://127.0.0.1:9", "token_file": str(folder / "token")},
        "pipelines": str(folder / "pipelines"),
    }
    (folder / "token").write_text("0" * 32, encoding="ascii")
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "text.yaml").write_text(yaml.safe_dump(PIPELINE), encoding="utf-8")
    (folder / "headrace.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    build(load_settings(folder / "headrace.yaml"))
    return folder


@pytest.fixture(scope="module")
def lake(place: Path) -> Lake:
    return Lake.open(load_settings(place / "headrace.yaml"))


@pytest.fixture
def client(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A signed-in user's client; the pages are mounted where Airflow mounts them."""
    from airflow.api_fastapi.core_api.security import get_user

    monkeypatch.setenv(SETTINGS_ENV, str(place / "headrace.yaml"))
    app.dependency_overrides[get_user] = object
    yield TestClient(_mounted(), raise_server_exceptions=False)
    app.dependency_overrides.clear()


@pytest.fixture
def get(client: TestClient) -> Get:
    """The page at an address below the plugin's root, which must be there."""

    def page(path: str) -> str:
        answer = client.get(f"/headrace{path}")
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[-800:]}"
        return answer.text

    return page


def _mounted() -> FastAPI:
    outer = FastAPI()
    outer.mount("/headrace", app)
    return outer


class Links(HTMLParser):
    """Where a page's links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


# -- who may read, and what leaves the page ---------------------------------------------------------------------------------


def test_every_route_refuses_a_request_without_a_user() -> None:
    stranger = TestClient(_mounted())
    routes = [r.path for r in app.routes if hasattr(r, "endpoint")]
    assert len(routes) > 12
    for path in routes:
        answer = stranger.get("/headrace" + re.sub(r"\{[^}]+\}", "x", path))
        assert answer.status_code == 401, path


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/oauth2-redirect", "/redoc", "/openapi.json"])
def test_no_description_of_the_routes_is_open_to_strangers(path: str) -> None:
    """FastAPI serves three pages about an app to everybody unless they are turned off; `/headrace/docs` is a page of ours."""
    for each in HeadracePlugin.fastapi_apps:
        answer = TestClient(each["app"], raise_server_exceptions=False).get(path)
        assert answer.status_code in (401, 404), (each["url_prefix"], path)


def test_pages_take_no_writing_request(client: TestClient) -> None:
    for method in ("post", "put", "delete", "patch"):
        assert getattr(client, method)("/headrace/lake").status_code == 405


def test_a_page_may_ask_for_nothing_and_run_nothing_but_its_own_script(client: TestClient) -> None:
    answer = client.get("/headrace/lake")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "script-src 'sha256-" in policy
    assert "script-src 'unsafe-inline'" not in policy and "frame-ancestors 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)


# -- links ----------------------------------------------------------------------------------------------------------------


def test_every_link_leads_to_a_page_and_all_kinds_of_pages_are_reached(client: TestClient) -> None:
    waiting, seen = ["/headrace/lake"], set()
    kinds: set[str] = set()
    while waiting:
        address = waiting.pop()
        if address in seen or "/lineage" in address:
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code == 200, f"{address}: {answer.text[-500:]}"
        path = urlsplit(address).path.removeprefix("/headrace/")
        kinds.add("/".join(path.split("/")[i] for i in (0, 3) if i < len(path.split("/"))))
        for href in Links(answer.text).found:
            target = urljoin(address, href)
            if not href.startswith("#") and not ("/documents/" in target and sum("/documents/" in s for s in seen) > 6):
                waiting.append(target)
    assert {"lake", "ledger", "slices", "training", "stale", "docs", "slices/receipts", "slices/drops", "slices/documents"} <= kinds


def test_a_document_leads_to_what_was_made_of_it(get: Get) -> None:
    page = get(f"/slices/{RIVER}/documents/{uid_of(RIVER, DROPPED)}")
    assert "tokenised: 9 tokens" in page and "/lineage" in page
    told = get(f"/slices/{RIVER}/documents/{uid_of(RIVER, DROPPED)}/lineage")
    assert "tokens 0..9 of part 0" in told


# -- foreign text ---------------------------------------------------------------------------------------------------------


def test_foreign_text_stays_text_and_what_cannot_be_seen_is_shown(get: Get) -> None:
    for path in (f"/slices/{HOSTILE}/documents/{uid_of(HOSTILE, 0)}", f"/slices/{HOSTILE}/drops", f"/slices/{HOSTILE}", "/lake"):
        page = get(path)
        assert page.count("<script>") == 1, path  # the pages' own
        assert "\u202e" not in page and "\x00" not in page, path
    page = get(f"/slices/{HOSTILE}/documents/{uid_of(HOSTILE, 0)}")
    assert "&lt;script&gt;alert" in page and ">U+202E</span>" in page and ">NUL</span>" in page and "RIGHT-TO-LEFT OVERRIDE" in page


def test_a_long_text_is_shown_by_stretches_that_together_are_the_whole_text(get: Get) -> None:
    at, shown_texts = 0, []
    while True:
        page = get(f"/slices/{HOSTILE}/documents/{uid_of(HOSTILE, 0)}?at={at}")
        assert len(page) < 200_000
        shown_texts.append(_plain(page.partition('<pre class="text" dir="auto">')[2].partition("</pre>")[0]))
        later = re.search(r"at=(\d+)\">later", page)
        if later is None:
            break
        at = int(later[1])
    assert len(shown_texts) > 1 and "".join(shown_texts) == TEXT.replace("\x00", "NUL").replace("\u202e", "U+202E")


def test_cut_and_masked_places_are_marked_where_they_stand_in_the_text(get: Get) -> None:
    page = get(f"/slices/{HOSTILE}/documents/{uid_of(HOSTILE, 0)}")
    masked = re.search(r'<mark class="masked" title="([^"]*)">(.*?)</mark>', page[page.index("<pre") :])
    assert masked is not None and _plain(masked[2]) == "löwe@example.org" and "pii (email): replaced" in masked[1]
    cut = re.search(r'<mark class="cut" title="([^"]*)">(.*?)</mark>', page[page.index("<pre") :])
    assert cut is not None and _plain(cut[2]) == "und U+202E rückwärts."


@pytest.mark.parametrize("at", [0, 5, 40])
def test_places_that_lie_over_each_other_lose_no_character(at: int) -> None:
    start, end = span("löwe@example.org")
    spans = [Span(start, end, "pii", "email"), Span(start + 3, end + 9, "refinedweb"), Span(0, len(TEXT.encode()), "exact_substring")]
    until = TEXT.index("Eine")
    assert _plain(text(marked(TEXT, spans, at, until))) == _plain(shown(TEXT[at:until]))


def _plain(html: str) -> str:
    """The words of a piece of HTML."""
    return html_library.unescape(re.sub(r"<[^>]+>", "", html))


# -- figures --------------------------------------------------------------------------------------------------------------


def test_dropped_documents_are_listed_by_pages_and_each_once(get: Get) -> None:
    path = f"/slices/{RIVER}/drops?stage=gopher_quality&reason=short_doc"
    first, second = get(path), get(f"{path}&page=2")
    found = [re.findall(r"documents/([0-9a-f]{32})", page) for page in (first, second)]
    assert [len(f) for f in found] == [50, DROPPED - 50]
    assert set(found[0]) | set(found[1]) == {uid_of(RIVER, i) for i in range(DROPPED)}
    assert "1 to 50 of 73" in first and "51 to 73 of 73" in second and "words 6" in first


def test_a_receipt_names_what_it_was_made_from_and_for_whom(get: Get) -> None:
    page = get(f"/slices/{RIVER}/receipts/gopher_quality")
    for words in ("short_doc", "min_words", "&lt;b&gt;", "visible now", "verdict_gopher_quality", RUN_ID, "task tokens of DAG ingest_text"):
        assert words in page, words
    assert "73" in page and "91.2%" in page


def test_an_earlier_receipt_can_still_be_read_and_says_that_it_was_replaced(place: Path, lake: Lake, get: Get) -> None:
    slice_ = Slice("twice", "1")
    commit(lake, slice_, "crawl", {"captures": [capture(slice_, 0)]}, minutes=20)
    commit(lake, slice_, "crawl", {"captures": [{**capture(slice_, 0), "status": 201}]}, minutes=21)
    first, second = lake.receipts(slice_)
    assert "Earlier receipts" in get(f"/slices/{slice_}")
    assert "replaced by a later run" in get(f"/slices/{slice_}/receipts/crawl?run={first.run_id}") or first.run_id == second.run_id
    assert "visible now" in get(f"/slices/{slice_}/receipts/crawl")


def test_hundreds_of_slices_come_by_pages_and_can_be_found_by_name(place: Path, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [
        {
            "source": f"source-{i:03d}",
            "slice": "1",
            "stage": "crawl",
            "committed_at": BEGAN,
            "read": 1,
            "kept": 1,
            "dropped": 0,
            "failed": 0,
        }
        for i in range(420)
    ]
    monkeypatch.setattr(view_module.LakeView, "counts", lambda self: many)
    pages = [get(f"/slices?page={n}") for n in (1, 9)]
    assert "1 to 50 of 420" in pages[0] and "401 to 420 of 420" in pages[1]
    assert re.findall(r">(source-\d+)/1<", get("/slices?q=source-41")) == [f"source-{i}" for i in range(410, 420)]


def test_a_commit_is_seen_by_the_next_page(lake: Lake, get: Get) -> None:
    before = get("/slices")
    slice_ = Slice("late", "1")
    commit(lake, slice_, "crawl", {"captures": [capture(slice_, 0)]}, minutes=30)
    assert "late/1" not in before and "late/1" in get("/slices")


# -- runs -----------------------------------------------------------------------------------------------------------------


def test_the_tab_of_a_run_shows_the_receipts_of_that_run_alone_also_without_ray(get: Get) -> None:
    page = get(f"/runs/{RUN_ID}?dag_id=ingest_text")
    assert re.findall(r"receipts/(\w+)\?run", page) == ["gopher_quality", "extract", "crawl"]
    assert "does not answer" in page and "crawl</td>" in page
    assert "No receipt names this run" in get(f"/runs/{RUN_ID}?dag_id=release") and "No receipt names this run" in get("/runs/other")


def test_a_finished_run_shows_its_curve_launches_phases_and_evaluations(get: Get) -> None:
    page = get("/training/tiny-0123456789abcdef")
    curve = max(re.findall(r'points="([^"]+)"', page), key=len)
    assert len(curve.split()) == 120
    for words in ("launch 2", "phase anneal", "ln 1,000", "1.2500", "1.2000 to 1.3000", "120", "12,000", "AVX2"):
        assert words in page, words
    assert page != get("/training/tiny-0123456789abcdef?by=steps")
    assert "finished" in get("/training") and "1.250" in get("/training")


def test_a_run_that_goes_on_shows_the_time_left_and_one_that_is_silent_does_not(place: Path, get: Get) -> None:
    file = write_metrics(place / "runs" / "train" / "tiny-fedcba9876543210", 30)
    with open(file, "a", encoding="utf-8") as f:
        f.write('{"step": 31, "loss": ')  # a kill, or a step that is being written
    page = get("/training/tiny-fedcba9876543210")
    assert "running, " in page and " left" in page and 'http-equiv="refresh"' in page
    os.utime(file, (time.time() - 7200, time.time() - 7200))
    assert "stopped 2 h ago" in get("/training/tiny-fedcba9876543210") or "stopped 120 min ago" in get("/training/tiny-fedcba9876543210")
    file.unlink()


def test_thinning_a_curve_keeps_its_spikes() -> None:
    points = [(float(i), 1.0) for i in range(10_000)]
    points[4321] = (4321.0, 99.0)
    kept = thinned(points, 500)
    assert len(kept) <= 520 and (4321.0, 99.0) in kept and kept == sorted(kept)


@pytest.mark.parametrize(("low", "high"), [(2.1, 11.9), (0.0, 1.0), (3.0, 3.0), (1e-6, 2e-6), (120.0, 1_999_872.0)])
def test_the_ticks_of_an_axis_are_few_and_enclose_the_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low and high <= found[-1] + 1e-9 and 2 <= len(found) <= 9


# -- what is stale --------------------------------------------------------------------------------------------------------


def test_what_is_out_of_date_is_worked_out_beside_the_page_and_named_with_its_cause(place: Path, lake: Lake, get: Get) -> None:
    commit(lake, RIVER, "text_digests", {"text_digests": [{"uid": uid_of(RIVER, 0), "text_digest": "0" * 32}]}, minutes=40)
    page, deadline = get("/stale"), time.monotonic() + PATIENCE_S
    assert "Being worked out" in page and 'http-equiv="refresh"' in page
    while "Being worked out" in page:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        page = get("/stale")
    assert "text_digests" in page and "changed: code" in page and f"headrace slice run text {RIVER}" in page
    assert "look</span>" in get("/lake")


def test_a_fault_while_looking_for_what_is_stale_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "headrace.yaml"
    broken.write_text("lake: {rot: x}\n", encoding="utf-8")
    monkeypatch.setenv(SETTINGS_ENV, str(broken))
    known, staleness = Known(working=True), Staleness()
    deadline = time.monotonic() + PATIENCE_S
    while not known.at and time.monotonic() < deadline:
        known = staleness.known("v")
        time.sleep(0.2)
    assert "rot" in known.error and known.late == ()


def test_a_long_list_of_stale_slices_comes_by_pages() -> None:
    from headrace_governance.audit.reports.links import Links as Addresses
    from headrace_operators.plugin.pages import stale_body

    late = tuple(Late(f"s{i:03d}", "1", stage, ("changed: code",)) for i in range(120) for stage in ("a", "b"))
    page = text(stale_body(Known(late, at=1.0), 200, Addresses("/h"), page_=2))
    assert "120 of 200 slices are out of date" in page and "s050/1" in page and "s049/1" not in page and "51 to 100 of 120" in page


# -- errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/slices/nothing/here", 404, "is not in the lake at"),
        ("/slices/UPPER/x", 503, "is not valid"),
        (f"/slices/{RIVER}/receipts/nothing", 404, "no receipt of stage"),
        (f"/slices/{RIVER}/documents/{'0' * 32}", 404, "no document"),
        (f"/slices/{RIVER}/documents/<b>", 404, "document id"),
        ("/docs/../../../../etc/passwd", 404, "Not Found"),
        ("/docs/..%2f..%2f..%2fetc%2fpasswd", 404, "the data docs have no page"),
        ("/docs/tables/nothing.html", 404, "the data docs have no page"),
        ("/training/..%2f..%2fetc", 404, ""),
        ("/training/nothing", 404, "no training run"),
        ("/slices?page=x", 400, "the address is wrong"),
    ],
)
def test_what_is_not_there_is_said_with_a_way_out_and_no_traceback(client: TestClient, path: str, status: int, words: str) -> None:
    answer = client.get(f"/headrace{path}")
    assert answer.status_code == status and words in answer.text
    assert "Traceback" not in answer.text and "root:x" not in answer.text and "<b>" not in answer.text.partition("<main>")[2]


def test_a_lake_that_is_not_there_is_said_and_not_made(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"lake": {"root": str(tmp_path / "nowhere")}}), encoding="utf-8")
    monkeypatch.setenv(SETTINGS_ENV, str(file))
    for path in ("/lake", "/ledger", "/slices", "/training", "/docs/index.html", "/stale", "/runs/x"):
        answer = client.get(f"/headrace{path}")
        assert answer.status_code == 404 and str(tmp_path / "nowhere") in answer.text and "headrace poc" in answer.text, path
    assert not (tmp_path / "nowhere").exists()


def test_settings_that_cannot_be_read_and_a_damaged_lake_are_told(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "headrace.yaml"
    monkeypatch.setenv(SETTINGS_ENV, str(file))
    file.write_text("lake: {rot: x}\n", encoding="utf-8")
    answer = client.get("/headrace/lake")
    assert answer.status_code == 503 and "rot" in answer.text and str(file) in answer.text
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "catalog.db").write_text("this is no database " * 100, encoding="utf-8")
    file.write_text(yaml.safe_dump({"lake": {"root": str(tmp_path / "lake")}}), encoding="utf-8")
    answer = client.get("/headrace/lake")
    assert answer.status_code in (500, 503) and "Not to be shown" in answer.text and "Traceback" not in answer.text


# -- asset events ---------------------------------------------------------------------------------------------------------


def test_an_asset_event_carries_plain_counts_and_no_list() -> None:
    result = {
        "slices": [{"slice": "a/1", "stages": [{"stage": "x"}] * 500}],
        "slice_count": 1,
        "tokens": 63,
        "documents": 7,
        "overall": {"bits_per_byte": 1.25, "deeper": {"x": 1}},
        "page": "/somewhere/run.html",
        "fingerprint": "f" * 32,
        "note": "",
        "better": True,
    }
    assert event_extra(result) == {
        "slice_count": 1,
        "tokens": 63,
        "documents": 7,
        "overall.bits_per_byte": 1.25,
        "fingerprint": "f" * 32,
        "better": True,
    }
