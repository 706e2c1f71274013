"""`headrace what-if` against the truth: the same edit, really run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from audited_lake import texts, write_documents

from headrace_governance.audit.what_if import edited_stages, what_if
from headrace_lake.engine import Pipeline, load_pipeline, run_pipeline
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice

SLICES = [Slice("bakery", "2026-11-01"), Slice("mill", "2026-11-01"), Slice("mill", "2026-11-02")]
STAGES = ["language", "text_statistics", "gopher_repetition", "fineweb", "gopher_quality", "select", "tokenise"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> tuple[Lake, Pipeline]:
    """Three slices, judged by three filters, selected by them and the language, and tokenised."""
    folder = tmp_path_factory.mktemp("what-if")
    settings = Settings.model_validate({"base": str(checkout), "lake": {"root": str(folder / "lake")}})
    written = yaml.safe_load((checkout / "governance/pipelines/text.yaml").read_text(encoding="utf-8"))
    base = checkout / "governance/pipelines"
    for entry in written["stages"]:
        if "params_from" in entry:
            entry["params_from"] = str((base / entry["params_from"]).resolve())
        if entry["use"].endswith(":Select"):
            entry["params"] = {"verdicts": ["language", "gopher_repetition", "fineweb", "gopher_quality"]}
        if entry["use"].endswith(":GopherRepetition"):  # our sentences have few words, and repeat them
            entry["params"] = {"languages": {"en": {"top_n_grams": {2: 0.5, 3: 0.5, 4: 0.5}, "dup_n_grams": {}}}}
        if entry["use"].endswith(":Tokenise"):
            entry["params"] = {**entry.get("params", {}), "masks": {}, "cut": []}
    (folder / "text.yaml").write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
    lake, pipeline = Lake.open(settings), load_pipeline(settings, folder / "text.yaml").only(STAGES)
    for seed, slice_ in enumerate(SLICES):
        lengths = [t for n in (4, 6, 9, 14) for t in texts(10 * seed + n, originals=8)[1:]]
        trimmed = [t[: 90 + 37 * i].rstrip(" .") + "." for i, t in enumerate(lengths)]
        write_documents(lake, slice_, trimmed)
        run_pipeline(lake, pipeline, slice_)
    return lake, pipeline


def tables(lake: Lake) -> dict[str, tuple[bool, str | None]]:
    """What a verdict says of every document."""
    rows = lake.read("verdict_gopher_quality", columns=["source", "slice", "uid", "keep", "reason"]).to_pylist()
    return {f"{r['source']}/{r['slice']}/{r['uid']}": (r["keep"], r["reason"]) for r in rows}


def admitted(lake: Lake) -> dict[str, int]:
    rows = lake.read("admitted", columns=["source", "slice", "uid", "bytes"]).to_pylist()
    return {f"{r['source']}/{r['slice']}/{r['uid']}": r["bytes"] for r in rows}


@pytest.mark.parametrize(
    "sets",
    [
        ["gopher_quality.languages.en.min_doc_words=60"],
        ["gopher_quality.languages.en.min_doc_words=30", "fineweb.languages.en.char_duplicates_ratio=0.0001"],
        ["gopher_repetition.languages.en.top_n_grams.2=0.02", "gopher_quality.languages.en.min_stop_words=0"],
    ],
)
def test_the_answer_is_what_a_run_would_have_brought(house: tuple[Lake, Pipeline], sets: list[str]) -> None:
    lake, pipeline = house
    for slice_ in SLICES:
        run_pipeline(lake, pipeline, slice_)
    before, now = tables(lake), admitted(lake)
    receipts = len(lake.receipts())
    stages, notes = edited_stages(pipeline, sets)
    answer = what_if(lake, pipeline, stages, SLICES, samples=2)
    assert (notes, answer.notes) == ([], []) and len(lake.receipts()) == receipts and tables(lake) == before, "nothing is committed"

    edited = {s.name: s for s in stages}
    changed = Pipeline.of(pipeline.name, *[edited.get(s.name, s) for s in pipeline.stages])
    for slice_ in SLICES:
        run_pipeline(lake, changed, slice_)
    after, then = tables(lake), admitted(lake)

    found = {(c.source, c.rule, c.newly): c.documents for c in answer.changes if c.stage == "gopher_quality"}
    truth = Counter(
        (k.split("/")[0], after[k][1] if before[k][0] else before[k][1], "dropped" if before[k][0] else "kept")
        for k in before
        if before[k][0] != after[k][0]
    )
    assert found == truth
    gone, come = now.keys() - then.keys(), then.keys() - now.keys()
    assert gone or come
    assert (answer.totals.now[:2], answer.totals.leave[:2], answer.totals.enter[:2]) == (
        [len(now), sum(now.values())],
        [len(gone), sum(now[k] for k in gone)],
        [len(come), sum(then[k] for k in come)],
    )
    tokens = {f"{r['source']}/{r['slice']}/{r['uid']}": r["token_count"] for r in lake.read("passports").to_pylist()}
    if come:
        assert answer.totals.enter[2] == pytest.approx(sum(tokens[k] for k in come), rel=0.1), "an estimate, and a near one"
    shown = [place for c in answer.changes for place, text in c.samples if text]
    assert shown and all(c.samples == sorted(c.samples, key=lambda s: s[0][-32:]) and len(c.samples) <= 2 for c in answer.changes)


def test_of_one_source_only_its_slices_are_looked_at_and_stale_parameters_are_told(house: tuple[Lake, Pipeline]) -> None:
    lake, pipeline = house
    for slice_ in SLICES:
        run_pipeline(lake, pipeline, slice_)
    stages, _ = edited_stages(pipeline, ["gopher_quality.languages.en.min_doc_words=1000"])
    one = what_if(lake, pipeline, stages, SLICES[:1])
    two = what_if(lake, pipeline, stages, SLICES[2:])
    assert (
        one.documents == two.documents == 28
        and {c.source for c in one.changes} == {"bakery"}
        and {c.source for c in two.changes} == {"mill"}
    )
    run_pipeline(lake, Pipeline.of(pipeline.name, *[stages[0] if s.name == "gopher_quality" else s for s in pipeline.stages]), SLICES[0])
    again = what_if(lake, pipeline, stages, SLICES)
    assert again.notes == ["gopher_quality was run with other parameters than the pipeline's in 1 slices; the difference holds that too"]
    assert {c.source for c in again.changes} == {"mill"}
    with pytest.raises(InputError, match="no rows in text_statistics"):
        write_documents(lake, Slice("brewery", "1"), ["a text"])
        what_if(lake, pipeline, stages, [Slice("brewery", "1")])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("gopher_quality.languages.en.min_doc_wrods=80", "unknown key 'languages.en.min_doc_wrods'.*did you mean 'min_doc_words'"),
        ("gopher_quality.languages.en.min_doc_words=many", "field 'languages.en.min_doc_words'"),
        ("gopher_quality.default.min_doc_words.low=1", "'min_doc_words' is a value"),
        ("gopher.default.min_doc_words=1", "no stage 'gopher'.*gopher_quality"),
        ("gopher_quality=1", "not of the form"),
        ("select.verdicts=[]", "stage select is not arithmetic.*gopher_repetition, fineweb, gopher_quality"),
        ("language.default_threshold=0.9", "stage language is not arithmetic"),
    ],
)
def test_a_wrong_edit_is_named(house: tuple[Lake, Pipeline], edit: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        edited_stages(house[1], [edit])


def test_a_language_without_an_entry_is_told_of_and_a_whole_file_may_be_given(house: tuple[Lake, Pipeline], tmp_path: Path) -> None:
    _, pipeline = house
    [stage], notes = edited_stages(pipeline, ["gopher_quality.languages.eo.min_doc_words=80"])
    assert "no entry for language 'eo'" in notes[0] and stage.params.languages["eo"].min_doc_words == 80  # type: ignore[attr-defined]
    file = tmp_path / "edited.yaml"
    file.write_text("languages: {en: {min_doc_words: 7}}\n", encoding="utf-8")
    [stage], notes = edited_stages(pipeline, ["gopher_quality.languages.en.max_doc_words=9"], [f"gopher_quality={file}"])
    english: Any = stage.params.languages["en"]  # type: ignore[attr-defined]
    assert (english.min_doc_words, english.max_doc_words, notes) == (7, 9, [])
    with pytest.raises(ConfigError, match="nothing is edited"):
        edited_stages(pipeline, [])
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        edited_stages(pipeline, [], [f"fineweb={tmp_path / 'nowhere.yaml'}"])


def test_what_if_at_the_command_line(house: tuple[Lake, Pipeline], tmp_path: Path) -> None:
    lake, _ = house
    file = tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump(lake.settings.model_dump(mode="json")), encoding="utf-8")
    pipeline = Path(lake.storage.root).parent / "text.yaml"
    words = ["what-if", str(pipeline), "mill", "--set", "gopher_quality.languages.en.min_doc_words=1000", "--samples", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "headrace_cli", *words, "--settings", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "gopher_short_doc" in done.stdout and "would leave" in done.stdout and "dropped by gopher_quality" in done.stdout
