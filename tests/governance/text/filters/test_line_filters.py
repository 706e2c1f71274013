"""RefinedWeb's line-wise corrections: what goes equals a plain reference, and shards are cut where the verdict says."""

from __future__ import annotations

import ast
import json
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from line_rules_reference import corrected, share_removed, words
from prose_reference import prose

from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.audit.document_trace import drops, story
from headrace_governance.sources.source import Source
from headrace_governance.text.filters.refinedweb import RefinedWeb, RefinedWebParams, RefinedWebThresholds
from headrace_governance.text.pii.mask import mask_text
from headrace_governance.text.statistics.lines import LineStatistics, LineStatisticsParams
from headrace_governance.text.statistics.prose import without_markup
from headrace_lake.engine import load_pipeline, run_pipeline
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.errors import ConfigError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse
from headrace_lake.tables import TABLES

FOLDER = Path(__file__).parents[4] / "governance" / "pipelines" / "filters"
PROSE = "The canal that feeds the mill was dug by the monks, and it has been kept clean for six hundred years.\n"
MADE = [
    "", "\n\n", " \x1c\u2028", "one", PROSE * 3 + "TERMS AND CONDITIONS\n", PROSE + "3 likes\n" + PROSE, PROSE * 3 + "★ 1,234.5K  Views!",
    PROSE * 2 + "12345\n", PROSE * 2 + "٣٤٥ ٦\n", "Sign-in", "sign-in or register\n" + PROSE * 3, PROSE * 3 + "You have 3 items in cart",
    PROSE * 3 + "A story about a mill Read more...", PROSE * 3 + "A mill read more… ", "Sign-inRead more...items in cart\n" + PROSE,
    PROSE * 2 + "Read moitems in cartre...", "xitems in carty z items  in cart\n" + PROSE, "a b c d e f g h i Sign-in items in cart",
    "```\n}\nA\n```\n" + PROSE, "# TITLE\n" + PROSE, "Grüße ÄÖÜ ÉÈ\n" + PROSE * 4, "水渠\n把水引到磨坊\n" + PROSE,
    "a\x00b \x85 c\u3000d\n" + PROSE, "ſign-in\n10 liKes\n" + PROSE, "a" * 5000 + " B\n", "|\n|\n| C |\n" + PROSE,
]  # fmt: skip


def documented(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef]:
    """What may have a docstring; it stands among statements only, so that expressions need not be walked."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, field, ())


@cache
def documents() -> list[str]:
    """Docstrings of the standard library and of installed packages: prose, lists, tables, code."""
    found: set[str] = set()
    for place in ("stdlib", "purelib"):
        root = Path(sysconfig.get_paths()[place])
        names = ["."] if place == "stdlib" else ["numpy", "scipy", "sklearn"]
        for file in sorted(
            f for name in names for f in (root / name).glob("*.py" if name == "." else "**/*.py") if f.stat().st_size < 300_000
        ):
            if "tests" in file.parts:  # hardly a docstring in much code
                continue
            try:
                tree = ast.parse(file.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError):
                continue
            found |= {text for n in documented(tree) if (text := ast.get_docstring(n)) and len(text) > 300}
            if len(found) > 2500:
                break
    return sorted(found)


def run(
    texts: list[str], language: str = "en", skip_markup: bool = True, form: str = "markdown", **thresholds: Any
) -> tuple[pa.Table, pa.Table]:
    """Statistics and verdict, with the shipped parameters but for what is given."""
    params = parse(yaml.safe_load((FOLDER / "line_statistics.yaml").read_text()), LineStatisticsParams, where="line_statistics.yaml")
    stage = LineStatistics(params.model_copy(update={"skip_markup": skip_markup}))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    table = stage.process(
        pa.table(
            {
                "uid": [str(i) for i in range(len(texts))],
                "text": pa.array(texts, pa.large_string()),
                "format": [form] * len(texts),
                "verdict_language.language": pa.array([language] * len(texts), pa.string()),
            }
        )
    )
    shipped = parse(yaml.safe_load((FOLDER / "refinedweb.yaml").read_text()), RefinedWebParams, where="refinedweb.yaml")
    if thresholds:
        shipped = RefinedWebParams(languages={language: RefinedWebThresholds(**thresholds)})
    return table, RefinedWeb(shipped).process(table)


def left(text: str, row: dict[str, Any]) -> str:
    return mask_text(text.encode(), (), (), (), {}, zip(row["starts"], row["ends"], strict=True)).decode()


def prose_left(text: str, row: dict[str, Any]) -> str:
    """The text without its markup, and without what the cuts take from the stored text."""
    written, origins, stored = without_markup(pa.array([text], pa.large_string()), np.array([True]), origins=True).one(0)
    cuts = set(zip(row["starts"], row["ends"], strict=True))
    stays = np.ones(len(text.encode()), np.bool_)
    for start, end in cuts:
        stays[start:end] = False
    data = np.frombuffer(written.encode(), np.uint8)
    out, at = [], 0
    for line, (start, end, _) in zip(written.split("\n"), stored.tolist(), strict=True):
        this = slice(at, at + len(line.encode()))
        at = this.stop + 1
        if (start, end) not in cuts:
            out.append(data[this][stays[origins[this]]].tobytes().decode())
    return "\n".join(out)


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def check(texts: list[str], skip_markup: bool) -> int:
    statistics, verdict = run(texts, skip_markup=skip_markup)
    dropped = 0
    for text, facts, row in zip(texts, statistics.to_pylist(), verdict.to_pylist(), strict=True):
        assert facts["words"] == words(prose(text))
        if not prose(text).strip():
            assert row["reason"] == "empty"
            continue
        share = share_removed(text, skip_markup)
        assert row["keep"] == (share <= 0.05), (share, text[:200])
        assert row["reason"] == (None if row["keep"] else "word_removal_ratio")
        if not row["keep"]:
            assert json.loads(row["measured"]) == {"language": "en", "value": round(share, 4)}
        assert lines(prose_left(text, row)) == lines(corrected(text, skip_markup)), text[:200]
        dropped += not row["keep"]
    return dropped


@pytest.mark.parametrize("skip_markup", [True, False])
def test_2000_real_documents_lose_what_the_reference_takes_out(skip_markup: bool) -> None:
    texts = documents()
    assert len(texts) >= 2000
    assert check(texts, skip_markup) > 50


@pytest.mark.parametrize("skip_markup", [True, False])
def test_made_documents_lose_what_the_reference_takes_out(skip_markup: bool) -> None:
    assert check(MADE, skip_markup) > 3


PIECES = [
    "likes",
    "3",
    "1.5k",
    "items in cart",
    "Sign-in",
    "Read more...",
    "\n",
    "\n",
    "\n```\n",
    "# ",
    "ÄB",
    "ab",
    " ",
    "\t",
    "水",
    "٣",
    "…",
]


@given(
    st.lists(
        st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_characters="\u212a", exclude_categories=["Cs"]), max_size=4)),
        max_size=30,
    )
)
def test_any_text_loses_what_the_reference_takes_out(parts: list[str]) -> None:
    check(["".join(parts), " ".join(parts)], skip_markup=True)
    check(["".join(parts), " ".join(parts)], skip_markup=False)


def test_manuals_keep_their_titles_and_code_and_other_languages_all_their_lines() -> None:
    text = PROSE * 3 + "# ABS\n\n```\n}\nEND\n```\n"
    _, verdict = run([text])
    assert verdict["keep"].to_pylist() == [True] and verdict["starts"].to_pylist() == [[]]
    _, verdict = run(["水渠\n磨坊\n" * 20, "EIN WORT\nund\n"], language="zh")
    assert verdict["keep"].to_pylist() == [True, True] and verdict["starts"].to_pylist() == [[], []]


def test_a_line_goes_with_its_marks_and_a_phrase_is_cut_where_it_stands_in_the_stored_text() -> None:
    text = (
        PROSE * 3 + "> TERMS AND CONDITIONS\n> stay\n\n- 3 likes\n- see **the mill** of `a` Read more...\n- ONE\n\n| 3 | views |\n\n# ABS\n"
    )
    _, verdict = run([text], max_removed=1.0)
    row = verdict.to_pylist()[0]
    cut = [text.encode()[s:e].decode() for s, e in zip(row["starts"], row["ends"], strict=True)]
    assert cut == ["> TERMS AND CONDITIONS", "> stay", "- 3 likes", " Read more..."]
    assert "- see **the mill** of `a`\n" in left(text, row) and "- ONE" in left(text, row) and "| 3 | views |" in left(text, row)


def test_plain_text_has_no_headings_or_items_to_leave_alone() -> None:
    text = PROSE * 3 + "# ABS IN CAPITALS\n- ONE\n```\n}\n```\n"
    _, verdict = run([text], form="plain", max_removed=1.0)
    row = verdict.to_pylist()[0]
    assert [text[s:e] for s, e in zip(row["starts"], row["ends"], strict=True)] == ["# ABS IN CAPITALS", "- ONE", "```", "}", "```"]


def test_a_language_whose_rules_are_off_loses_no_words_to_counters_and_phrases() -> None:
    text = PROSE + "3 likes and more\n3 likes\nSign-in for the mill\n"
    facts, verdict = run([text], enabled=False, max_removed=0.0)
    assert facts["mark_kinds"].to_pylist() == [["counter", "phrase"]]
    assert verdict["keep"].to_pylist() == [True] and verdict["starts"].to_pylist() == [[]]
    _, verdict = run([text], enabled=True, max_removed=0.0)
    assert json.loads(verdict["measured"][0].as_py())["value"] == round(3 / words(text), 4)


def test_boilerplate_inside_of_a_line_that_goes_anyway_is_cut_and_counted_once() -> None:
    text = PROSE + "SIGN-IN OR REGISTER TO READ\n" + PROSE
    facts, verdict = run([text], max_removed=1.0)
    assert facts["mark_kinds"].to_pylist() == [["phrase"]]
    assert verdict["starts"].to_pylist() == [[len(PROSE)]] and verdict["ends"].to_pylist() == [[len(PROSE) + 27]]
    _, verdict = run([text], max_removed=0.0)
    assert json.loads(verdict["measured"][0].as_py())["value"] == round(5 / words(text), 4)
    # One that begins before the line's cut or ends behind it does not lie inside.
    _, verdict = run([text], max_removed=1.0, max_uppercase=1.0)
    assert verdict["ends"].to_pylist() == [[len(PROSE) + 8]]


def test_rows_without_lines_and_marks_keep_their_place_among_others() -> None:
    texts = [PROSE * 9, PROSE * 9 + "3 likes\n", "", PROSE * 9, PROSE * 9 + "word\n", PROSE * 9]
    _, verdict = run(texts)
    assert [len(s) for s in verdict["starts"].to_pylist()] == [0, 1, 0, 0, 1, 0]
    assert verdict["keep"].to_pylist() == [True, True, False, True, True, True]
    facts, _ = run(texts)
    assert len(RefinedWeb().process(facts.slice(0, 0))) == 0
    broken = facts.set_column(facts.schema.get_field_index("mark_ends"), "mark_ends", pa.array([[]] * len(texts), pa.list_(pa.int64())))
    with pytest.raises(ValueError, match="zip"):
        RefinedWeb(RefinedWebParams(languages={"en": RefinedWebThresholds()})).process(broken)


def test_a_rule_is_off_and_a_threshold_counts_without_the_text_being_read_again() -> None:
    text = PROSE * 3 + "word\nTWO WORDS\n3 likes\nRead more...\n"
    gone = [
        ({}, 4),
        ({"min_line_words": 0}, 3),
        ({"max_uppercase": 1.0}, 3),
        ({"counters": False}, 3),
        ({"max_phrase_words": 1}, 3),
        ({"enabled": False}, 0),
    ]
    for thresholds, count in gone:
        _, verdict = run([text], **{"max_removed": 1.0, **thresholds})
        assert len(verdict["starts"][0]) == count, thresholds
    assert RefinedWeb().inputs().primary == "line_statistics" and not RefinedWeb().inputs().sidecars
    assert set(RefinedWeb().inputs().columns) <= set(TABLES["line_statistics"].schema.names)


def test_a_threshold_below_what_the_statistics_keep_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"languages\.en\.max_uppercase"):
        parse({"languages": {"en": {"max_uppercase": 0.1}}}, RefinedWebParams, where="refinedweb.yaml")


def test_masks_and_cuts_go_together() -> None:
    text = b"mail a@b.c now\n3 likes a@b.c\nend"
    masked = mask_text(text, ["email", "email"], [5, 23], [10, 28], {"email": "[EMAIL]"}, [(15, 28)])
    assert masked == b"mail [EMAIL] now\nend"
    assert mask_text(text, ["email"], [5], [10], {"email": "[EMAIL]"}, [(0, 7)]) == b"[EMAIL] now\n3 likes a@b.c\nend"
    assert mask_text(b"A\n\nONE\n\nTWO\n\nB\nx\nC\n\nD", (), (), (), {}, [(3, 6), (8, 11), (15, 16)]) == b"A\n\nB\nC\n\nD"
    assert mask_text(text, ["email"], [5], [10], {}, [(0, 14), (0, 14)]) == b"3 likes a@b.c\nend"


def test_a_slice_shows_each_rule_by_document_and_by_reason_and_raises_the_alarm(settings: Settings, tmp_path: Path) -> None:
    lake, slice_ = Lake.open(settings), Slice("mill", "2026-11-01")
    # Not at the end of a page, where extraction trims short lines.
    pages = [f"{PROSE}Page number {i}.\n" + f"IN CHAPTER {i} WE LOOK AT THE MILL WHEEL\n" * (i % 2) + PROSE for i in range(60)]
    text = (
        "我们的磨坊是这样工作的：水渠把水引到磨坊，磨坊主人在冬天也要保持水闸清洁，因为水轮不能停。六百年来一直有人清理它，孩子们也来看。"
    )
    chinese = [text + f"第{i}页的说明在这里。" + "\n上\n下\n左" * (i % 2) + f"\n{text}" for i in range(60)]
    folder = tmp_path / "pages"
    folder.mkdir()
    for i, text in enumerate([*pages, *chinese]):
        body = "".join(f"<p>{line}</p>" for line in text.split("\n") if line)
        (folder / f"{i}.html").write_text(f"<html><head><meta charset='utf-8'></head><body>{body}</body></html>", encoding="utf-8")
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written for this test", "evidence": {"text": "public domain"}}
    source = Source.model_validate({"id": slice_.source, "licence": licence, "fetch": {"kind": "folder", "path": str(folder)}})
    fetch_slice(lake, source, slice_)
    names = ["extract", "language", "line_statistics", "refinedweb", "chinese_statistics", "chinese"]
    report = run_pipeline(lake, load_pipeline(settings, "text").only(names), slice_)
    notes = [note for s in report.stages if s.stage in ("refinedweb", "chinese") for note in s.receipt.notes]
    found = {(d.stage, d.reason): d.rows for d in drops(lake, samples=1)}
    assert found["refinedweb", "word_removal_ratio"] == 30 and found["chinese", "short_line_ratio"] == 30
    uids = lake.read("verdict_refinedweb", slice_, where="keep = false")["uid"].to_pylist()
    told = story(lake, uids[0])
    [verdict] = [v for v in told.verdicts if v[0] == "refinedweb"]
    assert verdict[1:3] == (False, "word_removal_ratio") and json.loads(verdict[3] or "")["language"] == "en"
    assert ("refinedweb", "word_removal_ratio", verdict[3]) in told.exclusions
    assert not notes, "25 % of the rows is no alarm"
    strict = load_pipeline(settings, "text").only(names)
    stages = [
        type(s)(RefinedWebParams(languages={"en": RefinedWebThresholds(min_line_words=4)})) if s.name == "refinedweb" else s
        for s in strict.stages
    ]
    report = run_pipeline(lake, Pipeline.of("text", *stages), slice_)
    assert {s.stage for s in report.stages if s.action == "computed"} == {"refinedweb"}
    assert any("alarm: word_removal_ratio dropped 50% of the rows" in note for s in report.stages for note in s.receipt.notes)
