"""The shipped text pipeline over real slices of a real lake, and the ledger that is read from it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from imported_pages import PAGES, bring

from headrace_governance.audit.document_trace import drops, story
from headrace_governance.audit.ledger import SCHEMA, ledger
from headrace_governance.text.select import SelectParams
from headrace_lake.engine import load_pipeline, preview_pipeline, run_pipeline
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_tokenizers.store import Passports, ShardReader
from headrace_tokenizers.text.tokenise import TokeniseParams
from headrace_tokenizers.text.vocabulary import vocabulary


def reasons(lake: Lake, slice_: Slice) -> Counter[tuple[str, str]]:
    rows = lake.read("exclusions", slice_, columns=["stage", "reason"])
    return Counter((r["stage"], r["reason"]) for r in rows.to_pylist())


def changed(pipeline: Pipeline, stage: str, **update: object) -> Pipeline:
    """The pipeline with other parameters for one stage."""
    stages = [type(s)(s.params.model_copy(update=update)) if s.name == stage else s for s in pipeline.stages]
    return Pipeline.of(pipeline.name, *stages)


def test_a_slice_goes_from_pages_to_tokens_and_every_drop_has_its_reason(settings: Settings, tmp_path: Path) -> None:
    lake, pipeline, slice_ = Lake.open(settings), load_pipeline(settings, "text"), Slice("mill", "2026-11-01")
    bring(lake, tmp_path / "pages", slice_, PAGES)
    report = run_pipeline(lake, pipeline, slice_)
    for stage in report.stages:
        counts = stage.receipt.counts
        assert counts.read == counts.kept + counts.dropped + counts.failed and counts.failed == 0
    found = reasons(lake, slice_)
    assert found["extract", "no_text"] == 1
    assert found["select", "exact_duplicate:exact_duplicate"] == 1
    assert found["select", "c4:curly_bracket"] == 1
    assert found["gopher_quality", "gopher_short_doc"] == 1
    admitted = lake.read("admitted", slice_)
    urls = {r["uid"]: r["url"].removeprefix("file:") for r in lake.read("documents", slice_, columns=["uid", "url"]).to_pylist()}
    kept = {urls[u] for u in admitted["uid"].to_pylist()}
    assert (
        len(kept & {"canal.html", "copy.html"}) == 1
        and {"wheel.html", "letter.html"} <= kept
        and not kept & {"code.html", "short.html", "empty.html"}
    )

    [shard] = lake.read("token_shards", slice_).to_pylist()
    passports = lake.read("passports", slice_)
    reader = ShardReader(lake.storage.local_path(shard["bin_path"]), lake.storage.local_path(shard["idx_path"]))
    texts = dict(zip(*[lake.read("documents", slice_)[c].to_pylist() for c in ("uid", "text")], strict=True))
    spec = next(s.params for s in pipeline.stages if s.name == "tokenise")
    assert isinstance(spec, TokeniseParams)
    finder = Passports(passports)
    assert len(finder) == len(reader) == admitted.num_rows
    cuts = lake.read("verdict_duplicate_paragraph", slice_, columns=["uid", "starts", "ends"]).to_pylist()
    spans = {r["uid"]: list(zip(r["starts"], r["ends"], strict=True)) for r in cuts}
    for row in passports.to_pylist():
        text = texts[row["uid"]].encode()
        for start, end in reversed(spans[row["uid"]]):  # said before, in the document of the smallest uid; with the blank line behind it
            text = text[:start] + text[end:].removeprefix(b"\n\n")
        shown = (
            text.decode()
            .replace("jane.miller@millhouse.co.uk", "[EMAIL]")
            .replace("+44 20 7946 0018", "[PHONE]")
            .replace("21 likes\n\n", "")
        )
        assert reader.tokens(row["ordinal"]).tolist() == vocabulary(spec.vocabulary_spec()).encode(shown, eod=True)
        assert finder.uid_at(row["token_start"] + row["token_count"] - 1) == row["uid"]


def test_the_second_run_adopts_all_and_one_threshold_recomputes_its_verdict_and_what_hangs_on_it(
    settings: Settings, tmp_path: Path
) -> None:
    lake, pipeline, slice_ = Lake.open(settings), load_pipeline(settings, "text"), Slice("mill", "2026-11-01")
    bring(lake, tmp_path / "pages", slice_, PAGES)
    run_pipeline(lake, pipeline, slice_)
    assert {s.action for s in run_pipeline(lake, pipeline, slice_).stages} == {"adopted"}
    params = next(s.params for s in pipeline.stages if s.name == "c4")
    languages = {"en": params.languages["en"].model_copy(update={"filter_curly_bracket": False})}  # type: ignore[attr-defined]
    edited = changed(pipeline, "c4", languages=languages)
    assert preview_pipeline(lake, edited, slice_)
    actions = {s.stage: s.action for s in run_pipeline(lake, edited, slice_).stages}
    assert {s for s, a in actions.items() if a == "computed"} == {"c4", "select", "tokenise"}
    assert ("select", "c4:curly_bracket") not in reasons(lake, slice_)


def test_a_later_slice_yields_its_duplicates_to_an_earlier_one_that_ran_after_it(settings: Settings, tmp_path: Path) -> None:
    lake, pipeline = Lake.open(settings), load_pipeline(settings, "text").only(["extract", "text_digests", "exact_duplicate"])
    early, late = Slice("b-source", "2026-11-01"), Slice("a-source", "2026-11-02")

    def kept(slice_: Slice) -> int:
        return int(pc.sum(lake.read("verdict_exact_duplicate", slice_)["keep"].cast(pa.int64())).as_py())

    page = {"canal.html": PAGES["canal.html"]}
    for slice_ in (late, early):
        bring(lake, tmp_path / slice_.source, slice_, page)
        run_pipeline(lake, pipeline, slice_)
    assert (kept(early), kept(late)) == (1, 1)  # the later one ran before there was anything to yield to
    actions = {s.stage: s.action for s in run_pipeline(lake, pipeline, late).stages}
    assert actions == {"extract": "adopted", "text_digests": "adopted", "exact_duplicate": "computed"} and kept(late) == 0
    assert {s.action for s in run_pipeline(lake, pipeline, early).stages} == {"adopted"} and kept(early) == 1


def test_the_ledger_adds_up_by_source_and_language(settings: Settings, tmp_path: Path) -> None:
    lake, pipeline, slice_ = Lake.open(settings), load_pipeline(settings, "text"), Slice("mill", "2026-11-01")
    assert ledger(lake, {}).num_rows == 0
    bring(lake, tmp_path / "pages", slice_, PAGES)
    run_pipeline(lake, pipeline, slice_)
    table = ledger(lake, {"mill": 5000, "only-declared": 7})
    assert table.schema.equals(SCHEMA)
    rows = {(r["source"], r["language"]): r for r in table.to_pylist()}
    total = rows["mill", "*"]
    assert (total["declared_tokens"], total["captures"], total["fetched_documents"]) == (5000, 8, 7)
    assert total["admissible_documents"] == lake.read("admitted", slice_).num_rows
    assert total["tokens"] == pc.sum(lake.read("passports", slice_)["token_count"]).as_py() > 0
    for name in ("fetched_documents", "clean_bytes", "deduplicated_documents", "admissible_documents", "admissible_tokens", "tokens"):
        assert total[name] == sum(r[name] for (s, lang), r in rows.items() if s == "mill" and lang != "*")
    assert rows["mill", "de"]["fetched_documents"] == 1 and rows["mill", "de"]["captures"] is None
    assert rows["only-declared", "*"]["declared_tokens"] == 7 and rows["only-declared", "*"]["tokens"] == 0


def test_the_ledger_command_prints_and_writes_what_the_tables_hold(tmp_path: Path, checkout: Path) -> None:
    import pyarrow.parquet as pq
    import yaml
    from typer.testing import CliRunner

    from headrace_governance.audit.ledger_cli import app
    from headrace_lake.settings import load_settings

    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"lake": {"root": str(tmp_path / "lake")}, "sources": str(checkout / "governance" / "sources")}))
    assert Lake.open(load_settings(file)).catalog.made()
    result = CliRunner().invoke(app, ["--settings", str(file), "--source", "debian-handbook-en", "--parquet", str(tmp_path / "l.parquet")])
    assert result.exit_code == 0, result.output
    assert "debian-handbook-en" in result.output and pq.read_table(tmp_path / "l.parquet").num_rows == 1


def test_the_story_of_a_document_and_what_every_rule_took(settings: Settings, tmp_path: Path) -> None:
    lake, pipeline, slice_ = Lake.open(settings), load_pipeline(settings, "text"), Slice("mill", "2026-11-01")
    bring(lake, tmp_path / "pages", slice_, PAGES)
    run_pipeline(lake, pipeline, slice_)
    urls = lake.read("captures", slice_, columns=["uid", "url"]).to_pylist()
    ids = {r["url"].removeprefix("file:"): r["uid"] for r in urls}

    told = story(lake, ids["code.html"])
    assert told.slice_ == slice_ and told.outcome == "dropped: c4:curly_bracket" and told.passport is None
    verdicts = {v: (keep, reason) for v, keep, reason, _ in told.verdicts}
    assert verdicts["c4"] == (False, "curly_bracket") and verdicts["language"][0] and set(verdicts) == set(SelectParams().verdicts)
    assert story(lake, ids["empty.html"], slice_).outcome == "dropped by extract: no_text"
    kept = story(lake, ids["wheel.html"])
    assert kept.outcome.startswith("tokenised: ") and kept.passport is not None
    for wrong, message in (("' or 1=1", "is not a document id"), ("0" * 32, "no document 0+ in the lake")):
        with pytest.raises(InputError, match=message):
            story(lake, wrong)

    found = {(d.stage, d.reason): d for d in drops(lake, samples=1)}
    assert Counter({k: d.rows for k, d in found.items()}) == reasons(lake, slice_)
    short = found["gopher_quality", "gopher_short_doc"]
    assert short.share == 1 / 7 and short.samples[0][:2] == ("mill/2026-11-01", ids["short.html"]) and "closed today" in short.samples[0][3]
    assert drops(lake, slice_, stage="text_digests") == [], "it has run and dropped nothing"
    [one] = drops(lake, slice_, stage="select", reason="c4:curly_bracket")
    assert one.samples == () and one.rows == 1


def test_doc_and_drops_at_the_command_line(settings: Settings, tmp_path: Path) -> None:
    lake, pipeline, slice_ = Lake.open(settings), load_pipeline(settings, "text"), Slice("mill", "2026-11-01")
    bring(lake, tmp_path / "pages", slice_, PAGES)
    run_pipeline(lake, pipeline, slice_)
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    uid = lake.read("exclusions", slice_, where="reason = 'c4:curly_bracket'")["uid"][0].as_py()

    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "headrace_cli", *words, "--settings", str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = call("doc", uid, "--text", "40")
    assert f"document {uid} of {slice_}: dropped: c4:curly_bracket" in shown and "The baker who took" in shown and "value 1" in shown
    assert "gopher_short_doc" in call("drops", "--stage", "gopher_quality", "--samples", "1")
