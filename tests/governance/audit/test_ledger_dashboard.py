"""The ledger's steps and estimates against the verdict tables, and the pages made of it: whole, traceable, without a request."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from imported_pages import BAKERY, ENGLISH, PAGES, bring
from markupsafe import Markup
from typer.testing import CliRunner

from headrace_governance.audit.ledger import LEVELS, SCHEMA, ledger
from headrace_governance.audit.reports.data_docs import build_data_docs
from headrace_governance.audit.reports.html import environment, page
from headrace_governance.audit.reports.ledger_dashboard import anchor, current, ledger_dashboard, made
from headrace_governance.expectations.suite import load_suites
from headrace_lake.engine import check_slice, load_pipeline, run_pipeline
from headrace_lake.errors import ConfigError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact, Receipt
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

MILL, FARM = Slice("mill", "2026-11-01"), Slice("farm", "2026-11-02")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Settings:
    return Settings.model_validate({"base": str(checkout), "lake": {"root": str(tmp_path_factory.mktemp("ledger") / "lake")}})


@pytest.fixture(scope="module")
def lake(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A slice that went all the way, and one that is admitted and not tokenised."""
    lake, pipeline, folder = Lake.open(settings), load_pipeline(settings, "text"), tmp_path_factory.mktemp("pages")
    bring(lake, folder / "mill", MILL, PAGES)
    run_pipeline(lake, pipeline, MILL)
    farm = {f"{i}.html": "".join(f"<p>{s} Number {i}.</p>" for s in (ENGLISH, BAKERY)[i][1:]) for i in range(2)}
    farm["вода.html"] = "".join(f"<p>Канал подаёт воду на мельницу {i}, и мельник держит шлюз в чистоте всю зиму.</p>" for i in range(9))
    bring(lake, folder / "farm", FARM, farm)
    run_pipeline(lake, pipeline.only([s.name for s in pipeline.stages if s.name != "tokenise"]), FARM)
    return lake


def rows(lake: Lake, **declared: int) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["source"], r["language"]): r for r in ledger(lake, declared).to_pylist()}


# -- the ledger -----------------------------------------------------------------------------------------------------------


def test_the_steps_are_those_of_the_verdict_tables(lake: Lake) -> None:
    pipeline = load_pipeline(lake.settings, "text")
    verdicts = [s.output for s in pipeline.stages if s.output is not None and s.output.startswith("verdict_")]
    found = rows(lake)
    for slice_ in (MILL, FARM):
        kept = {v: dict(zip(*lake.read(v, slice_, columns=["uid", "keep"]).to_pydict().values(), strict=True)) for v in verdicts}
        sizes = dict(zip(*lake.read("documents", slice_, columns=["uid", "bytes"]).to_pydict().values(), strict=True))
        clean = {u for u in sizes if all(kept[v][u] for v in verdicts if "duplicate" not in v)}
        unique = {u for u in clean if all(kept[v][u] for v in verdicts)}
        admitted = set(lake.read("admitted", slice_)["uid"].to_pylist())
        total = found[slice_.source, "*"]
        for level, uids in zip(LEVELS, (set(sizes), clean, unique, admitted), strict=True):
            assert (total[f"{level}_documents"], total[f"{level}_bytes"]) == (len(uids), sum(sizes[u] for u in uids)), level
        assert admitted <= unique <= clean and len(clean) < len(sizes)
    assert found["mill", "*"]["clean_documents"] > found["mill", "*"]["deduplicated_documents"]


def test_tokens_are_counted_where_there_are_any_and_estimated_from_the_languages_bytes_where_not(lake: Lake) -> None:
    found = rows(lake)
    english = found["mill", "en"]
    passports = lake.read("passports")
    mine = passports.filter(pc.equal(passports["language"], "en"))
    counted, size = pc.sum(mine["token_count"]).as_py(), pc.sum(pc.subtract(mine["byte_end"], mine["byte_start"])).as_py()
    assert english["tokens"] == counted == english["admissible_tokens"] and english["estimated_tokens"] == 0
    assert (english["bytes_per_token"], english["ratio_of"]) == (pytest.approx(size / counted), "language")
    assert english["fetched_tokens"] == counted + round((english["fetched_bytes"] - size) / (size / counted))

    farm = found["farm", "en"]
    assert (farm["tokens"], farm["ratio_of"]) == (0, "language") and farm["admissible_bytes"] > 0
    assert farm["admissible_tokens"] == farm["estimated_tokens"] == round(farm["admissible_bytes"] / (size / counted))
    whole = pc.sum(pc.subtract(passports["byte_end"], passports["byte_start"])).as_py() / pc.sum(passports["token_count"]).as_py()
    russian = found["farm", "ru"]
    assert (russian["ratio_of"], russian["bytes_per_token"]) == ("pool", pytest.approx(whole))
    assert russian["fetched_tokens"] == round(russian["fetched_bytes"] / whole)


def test_epochs_are_what_the_newest_mix_draws_from_what_there_is(lake: Lake) -> None:
    tokens = rows(lake)["mill", "*"]["tokens"]
    assert rows(lake)["mill", "*"]["effective_epochs"] is None
    for age, times in ((2, 1), (1, 6)):
        lake.record_artifact(
            Artifact(
                kind="mix", name="m", fingerprint=f"{age:032x}", created_at=datetime.now(UTC) - timedelta(hours=age),
                payload={"by_source": {"mill": {"planned_tokens": times * tokens}}},
            )
        )  # fmt: skip
    row = rows(lake, mill=9 * tokens, elsewhere=7)
    assert (row["mill", "*"]["planned_tokens"], row["mill", "*"]["effective_epochs"]) == (6 * tokens, 6.0)
    assert row["mill", "en"]["effective_epochs"] is None and row["elsewhere", "*"]["effective_epochs"] is None
    shown = Parsed(ledger_dashboard(lake, ledger(lake, {"mill": 9 * tokens, "elsewhere": 7}), now=NOW))
    assert "over 4 epochs" in shown.text and "nothing measured" in shown.text


# -- the dashboard ----------------------------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """A page, checked while it is read: every tag closed, no id twice, nothing that asks another address."""

    VOID = {"br", "hr", "input", "link", "meta"}

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.policy = ""
        self.feed(page)
        assert not self.open, self.open
        assert page.startswith("<!doctype html>") and self.policy.startswith("default-src 'none'")
        assert not re.search(r"url\(|@import|\bsrc=|https?://", page), "the page asks for something"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on"), "handlers live in the script alone"
            if name == "id":
                assert value not in self.ids, f"id {value} twice"
                self.ids.add(value or "")
            if name == "content" and (value or "").startswith("default-src"):
                self.policy = value or ""
            if name == "href":
                self.links.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"circle", "line", "rect", "path"}, "HTML knows no such form"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.words)


def test_the_dashboard_shows_the_ledgers_figures_and_every_link_leads_to_a_receipt(lake: Lake) -> None:
    table = ledger(lake, {"mill": 5000})
    html = ledger_dashboard(lake, table, now=NOW)
    shown = Parsed(html)
    assert {link.removeprefix("#") for link in shown.links} <= shown.ids
    receipts = current(lake.receipts())
    assert {anchor(r) for r in receipts} <= shown.ids
    for r in receipts:
        assert r.run_id in shown.text and r.fingerprint[:16] in shown.text
    for row in table.to_pylist():
        if row["language"] != "*":
            assert row["language"] in shown.words
        if row["fetched_tokens"] > row["tokens"]:
            assert f"~{row['fetched_tokens']:,}" in shown.words
        if row["estimated_tokens"]:
            assert f"~{row['admissible_tokens']:,}" in shown.words
    held = {r["language"] for r in table.to_pylist() if r["language"] != "*" and r["admissible_tokens"]}
    assert "en" in held and f"{len(held)} languages hold admissible tokens; the goal is 10" in shown.text
    assert "gopher_short_doc" in shown.words
    assert html == ledger_dashboard(lake, table, now=NOW), "the same lake gives the same page"


def test_an_alarm_and_a_failed_expectation_stand_on_the_page(lake: Lake) -> None:
    receipt = current(lake.receipts())[0]
    counts = {"read": 100, "kept": 60, "dropped": 40, "reasons": {"too_odd": 31, "too_<b>": 9}}
    result = {
        "table": "documents", "expectation": "column_median_to_be_between", "arguments": {"column": "characters", "max_value": 10},
        "severity": "warning", "success": False, "observed": 721.0, "rows": 100,
    }  # fmt: skip
    made = Receipt.model_validate({**receipt.model_dump(), "stage": "odd", "counts": counts, "expectations": (result,)})

    class One:
        def receipts(self) -> list[Receipt]:
            return [made]

    shown = Parsed(ledger_dashboard(One(), ledger(lake, {}).slice(0, 0), now=made.finished_at + timedelta(hours=49)))
    i = shown.words.index("too_odd")
    assert shown.words[i + 1 : i + 4] == ["31", "31.0%", "over 30%"]
    assert "too_<b>" in shown.words and shown.words[shown.words.index("too_<b>") + 3 :][0] != "over 30%"
    assert "column_median_to_be_between" in shown.words and "721" in shown.words and "2 d" in shown.words


def test_judging_again_makes_no_slice_younger(lake: Lake) -> None:
    validator = load_pipeline(lake.settings, "text").validator
    assert validator is not None
    before = {r.stage: r for r in current(lake.receipts()) if r.slice_ == FARM}
    check_slice(lake, validator, FARM, record=True)
    history = lake.receipts()
    after = {r.stage: r for r in current(history) if r.slice_ == FARM}
    times = made(history)
    for stage, r in after.items():
        assert times[r.source, r.slice, stage, r.fingerprint] <= before[stage].finished_at
    assert f"judged again after run {before['extract'].run_id}" in after["extract"].notes
    assert after["extract"].finished_at > before["extract"].finished_at and fetched_again(lake) == "adopted"


def fetched_again(lake: Lake) -> str:
    """Whether the pipeline still finds everything done."""
    pipeline = load_pipeline(lake.settings, "text")
    report = run_pipeline(lake, pipeline.only([s.name for s in pipeline.stages if s.name != "tokenise"]), FARM)
    [action] = {s.action for s in report.stages}
    return action


def test_text_is_escaped_wherever_it_comes_from() -> None:
    hostile = "<script>alert('x')</script>\"&"
    piece = environment().from_string('<p title="{{ words }}">{{ words }}{{ [words]|shown }}</p>').render(words=hostile)
    html = page(hostile, Markup(piece))
    assert html.count("<script>") == 1 and hostile not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;" in html


def test_the_command_writes_the_page_and_the_table(lake: Lake, tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    import yaml

    from headrace_governance.audit.ledger_cli import app

    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(lake.settings.model_dump(mode="json")), encoding="utf-8")
    out = tmp_path / "new" / "ledger.html"
    done = CliRunner().invoke(
        app, ["--settings", str(file), "--html", str(out), "--parquet", str(tmp_path / "l.parquet"), "--source", "mill"]
    )
    assert done.exit_code == 0, done.output
    assert "mill" in Parsed(out.read_text(encoding="utf-8")).words and "~" in done.output
    assert pq.read_table(tmp_path / "l.parquet").schema.names == SCHEMA.names


# -- data docs ----------------------------------------------------------------------------------------------------------------


def test_data_docs_lead_from_tables_to_slices_to_results(lake: Lake, tmp_path: Path, checkout: Path) -> None:
    validator = load_pipeline(lake.settings, "text").validator
    assert validator is not None
    check_slice(lake, validator, MILL, record=True)
    suites, out = load_suites(checkout / "governance" / "policies" / "expectations"), tmp_path / "docs"
    count = build_data_docs(lake, suites, out)
    files = sorted(p.relative_to(out) for p in out.rglob("*.html"))
    assert count == len(files) and {Path("index.html"), Path("tables/documents.html"), Path("slices/mill/2026-11-01.html")} <= set(files)
    pages = {f: Parsed((out / f).read_text(encoding="utf-8")) for f in files}
    for file, shown in pages.items():
        for link in shown.links:
            path, _, part = link.partition("#")
            target = (out / file.parent / path).resolve().relative_to(out.resolve())
            assert target in pages and (not part or part in pages[target].ids), (file, link)
    told = pages[Path("slices/mill/2026-11-01.html")].text
    receipts = lake.current_receipts(MILL)
    for stage in ("extract", "select", "tokenise"):
        assert receipts[stage].run_id in told and receipts[stage].fingerprint in told
        assert all(e.expectation in told for e in receipts[stage].expectations) and receipts[stage].expectations
    assert "captures" in told and "no longer expected so" not in told
    assert (
        "pass" in pages[Path("tables/documents.html")].words
        and "UTF-8 takes a byte a character at least" in told + pages[Path("tables/documents.html")].text
    )


def test_data_docs_replace_their_own_folder_and_no_other(lake: Lake, tmp_path: Path) -> None:
    out = tmp_path / "docs"
    build_data_docs(lake, [], out)
    stale = out / "slices" / "gone" / "2020-01-01.html"
    stale.parent.mkdir(parents=True)
    stale.write_text("old", encoding="utf-8")
    build_data_docs(lake, [], out)
    assert not stale.exists()
    assert "no longer expected so" in (out / "slices" / "mill" / "2026-11-01.html").read_text(encoding="utf-8")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds other files"):
        build_data_docs(lake, [], mine)
    assert (mine / "thesis.txt").exists()
