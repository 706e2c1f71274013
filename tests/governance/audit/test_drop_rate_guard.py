"""The drop-rate guard: a filter that takes nearly all of a source stops the command that a DAG runs, unless somebody said why."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from audited_lake import STAGES, commit, texts, write_documents

from headrace_governance.audit.drop_rate_guard import DropRate, DropRateGuard, DropRateParams, allowed, guard_of, waive
from headrace_governance.sources.source import load_source, load_sources
from headrace_lake.engine import load_pipeline, run_guards, run_pipeline
from headrace_lake.errors import ConfigError, DropRateError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

DAY = Slice("mill", "2026-11-01")


def verdicts(lake: Lake, slice_: Slice, verdict: str, kept: str) -> None:
    """Commit a verdict: `1` keeps the document of that place, `0` drops it. Documents are named by their place, as pages by address."""
    rows: list[dict[str, Any]] = []
    for i, c in enumerate(kept):
        row: dict[str, Any] = {"uid": f"{i:032x}", "keep": c == "1", "reason": None if c == "1" else "planted"}
        rows.append(row | ({"keeper": "x/y/z", "copies": 2, "text_digest": ""} if "duplicate" in verdict else {}))
    commit(lake, slice_, verdict, f"verdict_{verdict}", rows)


def drop_rates(lake: Lake, *names: str, **params: Any) -> dict[str, tuple[int, int]]:
    guard = DropRateGuard(DropRateParams.model_validate(params))
    return {t.family: (t.pages, t.dropped) for t in guard.drop_rates(lake, "mill", names)}


def test_each_verdict_is_measured_for_itself_and_duplicates_together(settings: Settings) -> None:
    lake = Lake.open(settings)
    verdicts(lake, DAY, "fineweb", "0011")
    verdicts(lake, DAY, "c4", "1100")
    verdicts(lake, DAY, "exact_duplicate", "0111")
    verdicts(lake, DAY, "near_duplicate", "1001")
    assert drop_rates(lake, "fineweb", "c4", "near_duplicate") == {"fineweb": (4, 2), "c4": (4, 2), "duplicates": (4, 3)}
    assert drop_rates(lake, "c4", "fineweb", families={"rules": ["c4", "fineweb"]}) == {"rules": (4, 4)}
    assert drop_rates(lake, "gopher_quality") == {"gopher_quality": (0, 0)}


def test_a_page_that_is_crawled_every_day_and_never_changes_does_not_count_as_dropped(settings: Settings) -> None:
    lake = Lake.open(settings)
    verdicts(lake, DAY, "exact_duplicate", "1" * 10)
    for day in range(2, 9):
        verdicts(lake, Slice("mill", f"2026-11-{day:02}"), "exact_duplicate", "0" * 10)
    assert drop_rates(lake, "exact_duplicate") == {"duplicates": (10, 0)}, "70 of 80 rows are dropped, and nothing is lost"
    verdicts(lake, Slice("mill", "2026-11-09"), "exact_duplicate", "0" * 40)
    assert drop_rates(lake, "exact_duplicate") == {"duplicates": (40, 30)}, "thirty new pages are copies of other ones"


@pytest.mark.parametrize(
    ("pages", "dropped", "stops"), [(100, 81, True), (100, 80, False), (99, 99, False), (1000, 801, True), (1000, 800, False)]
)
def test_more_than_80_percent_of_at_least_100_pages_is_too_much(settings: Settings, pages: int, dropped: int, stops: bool) -> None:
    assert DropRateGuard(DropRateParams()).is_above(DropRate("mill", "c4", pages, dropped)) is stops


def test_a_waiver_holds_for_its_source_and_family_until_it_expires(settings: Settings) -> None:
    lake, rate, now = Lake.open(settings), DropRate("mill", "c4", 100, 90), datetime(2026, 11, 1, tzinfo=UTC)
    with pytest.raises(ConfigError, match="needs a signer and a reason"):
        waive(lake, rate, signer="Ada", reason=" ")
    waive(lake, rate, signer="Ada", reason="pages of code", hours=1, now=now)
    assert "pages of code (signed by Ada until 2026-11-01T01:00 UTC)" in allowed(lake, "mill", "c4", now=now)
    assert allowed(lake, "mill", "fineweb", now=now) == allowed(lake, "bakery", "c4", now=now) == ""
    assert allowed(lake, "mill", "c4", now=now + timedelta(hours=2)) == ""


def test_the_shipped_pipeline_has_the_guard_and_every_allowance_of_the_sample_sources_says_why(settings: Settings) -> None:
    guard, stages = guard_of(settings, "text")
    assert (guard.params.max_share, guard.params.min_documents) == (0.8, 100) and len(stages) > 10
    assert load_pipeline(settings, "text").only(["c4"]).guards
    families = {*guard.params.families, *(s.name for s in stages)}
    sources = load_sources(settings.resolve(settings.sources)).values()
    assert {f for s in sources for f in s.allow_drop_rate} <= families
    assert any(s.allow_drop_rate for s in sources) and all("allow_drop_rate" not in s.record() for s in sources)


def test_an_allowance_without_a_reason_is_refused(settings: Settings, tmp_path: Path) -> None:
    text = (settings.resolve(settings.sources) / "debian-reference-en.yaml").read_text(encoding="utf-8")
    file = tmp_path / "debian-reference-en.yaml"
    file.write_text(text + 'allow_drop_rate: {c4: " "}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="allow_drop_rate.*say why 'c4' may take nearly everything"):
        load_source(file)


def test_a_guard_that_is_none_is_refused(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    entry = {"use": "headrace_governance.duplicates.exact:TextDigests"}
    for use, said in (
        ("headrace_governance.text.select:Select", "is not a guard"),
        ("nowhere:Guard", "guard 'nowhere:Guard' cannot be imported"),
    ):
        file.write_text(yaml.safe_dump({"name": "p", "stages": [entry], "guards": [{"use": use}]}), encoding="utf-8")
        with pytest.raises(ConfigError, match=said):
            load_pipeline(settings, file)


def test_the_command_that_a_dag_runs_stops_after_all_its_slices_until_the_source_says_why(settings: Settings, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    shutil.copy(settings.resolve(settings.sources) / "debian-reference-en.yaml", sources / "mill.yaml")
    mill = (sources / "mill.yaml").read_text(encoding="utf-8").replace("id: debian-reference-en", "id: mill")
    (sources / "mill.yaml").write_text(mill, encoding="utf-8")
    conf = settings.model_copy(update={"sources": sources})
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(conf.model_dump(mode="json")), encoding="utf-8")
    lake, other = Lake.open(conf), Slice("bakery", "2026-11-01")
    write_documents(lake, DAY, texts(3, originals=12, short=108))
    write_documents(lake, other, texts(4, originals=6))
    wanted = ",".join(s for s in STAGES if "dup" not in s and s != "minhash")

    def call(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "headrace_cli", *words, "--settings", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    for _ in ("a run", "its retry"):
        code, said = call("slice", "run", "text", str(DAY), str(other), "--stages", wanted)
        assert code == 2 and "drop rate: gopher_quality took 90% of source mill (108 of 120 pages)" in said, said
        assert "allow_drop_rate: {gopher_quality: why} into mill.yaml" in said and "bakery/2026-11-01 gopher_quality: " in said
    assert lake.read("verdict_gopher_quality", other).num_rows == 6, "the other slice was done"
    assert call("audit", "drop-rate")[0] == 2 and call("audit", "drop-rate", "bakery")[0] == 0

    code, said = call("audit", "waive", "mill", "--family", "gopher_quality", "--signer", "Ada", "--reason", "a list of names")
    assert code == 0 and "let pass by Ada: a list of names" in said
    code, said = call("slice", "run", "text", str(DAY), "--stages", wanted)
    assert code == 0 and "drop rate let pass: gopher_quality took 90% of source mill" in said

    (sources / "mill.yaml").write_text(mill + "allow_drop_rate: {gopher_quality: one line a page}\n", encoding="utf-8")
    chosen = load_pipeline(conf, "text").only(["gopher_quality"])
    assert run_guards(lake, chosen, [DAY])[0].endswith("one line a page")
    (sources / "mill.yaml").unlink()
    write_documents(lake, Slice("mill", "2026-11-02"), texts(5, originals=1, short=150))
    for stage in ("language", "text_statistics", "gopher_quality"):
        run_pipeline(lake, load_pipeline(conf, "text").only([stage]), Slice("mill", "2026-11-02"))
    assert run_guards(lake, chosen, [DAY]), "the waiver still holds"
    waive(lake, DropRate("mill", "gopher_quality", 1, 1), signer="Ada", reason="over", hours=0.0)
    with pytest.raises(DropRateError, match="gopher_quality took"):
        run_guards(lake, chosen, [DAY])
