"""Evaluation sets: files that are read, slices that go stale or do not, held-out documents, common phrases, report and commands."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from decontamination_set import CHINESE, QUESTION, leaks, planted, units_of
from slices import write_documents
from typer.testing import CliRunner

from headrace_governance.decontamination.items import MAX_TEXT, Mapping, Rows, SetAbout, item_row, read_items
from headrace_governance.decontamination.report import as_html, report
from headrace_governance.decontamination.rules import DecontaminationParams
from headrace_governance.decontamination.sets import count_common, forget, held_out_rows, register
from headrace_governance.decontamination.stage import Decontamination
from headrace_governance.text.language.stage import Language
from headrace_lake.engine import Pipeline, load_pipeline, preview_pipeline, run_pipeline
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

# -- files of items ----------------------------------------------------------------------------------------------------

ABOUT = SetAbout(name="mill-questions", language="en", licence="CC0-1.0")
FIELDS = Mapping(fields={"question": ("q.text",), "answer": ("choices",)}, id="id")


def test_good_rows_are_read_and_bad_ones_named_by_number(tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": "a", "q": {"text": QUESTION}, "choices": ["twelve", ["three", None]]}),
        "{broken",
        "[1]",
        json.dumps({"id": "b", "q": {}}),
        "",
        json.dumps({"id": "a", "q": {"text": "again"}}),
        json.dumps({"id": "c", "q": {"text": 5}}),
        json.dumps({"q": {"text": "no id"}}),
        json.dumps({"id": "d", "q": {"text": "x" * (MAX_TEXT + 1)}}),
        '{"id": "e", "q": {"text": "a lone surrogate \\ud800"}}',
        "[" * 100_000,
    ]
    file = tmp_path / "set.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    rows = read_items(file, ABOUT, FIELDS)
    assert (rows.read, rows.kept) == (10, 2) and [n for n, _, _ in rows.bad] == [2, 3, 4, 6, 7, 8, 9, 11]
    assert [(i["item"], i["field"], i["text"]) for i in rows.items] == [
        ("a", "question", QUESTION), ("a", "answer", "twelve"), ("a", "answer", "three"), ("e", "question", "a lone surrogate ?"),
    ]  # fmt: skip
    assert "occurs before, in row 1" in rows.bad[3][1] and len({i["uid"] for i in rows.items}) == 4
    pq.write_table(pa.table({"id": [1, 2], "q": [{"text": QUESTION}, {"text": CHINESE}], "lang": ["en", "zh-CN"]}), tmp_path / "s.parquet")
    two = read_items(tmp_path / "s.parquet", ABOUT, FIELDS.model_copy(update={"language_column": "lang"}))
    assert [(i["item"], i["language"]) for i in two.items] == [("1", "en"), ("2", "zh")]


def test_a_file_that_cannot_be_used_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_items(tmp_path / "none.jsonl", ABOUT, FIELDS)
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1}\n' * 1000)[:60])
    with pytest.raises(InputError, match="damaged after row"):
        read_items(tmp_path / "cut.jsonl.gz", ABOUT, FIELDS)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="damaged after row 0"):
        read_items(tmp_path / "cut.parquet", ABOUT, FIELDS)
    (tmp_path / "other.jsonl").write_text('{"id": "x", "prompt": "a text"}')
    with pytest.raises(InputError, match="no usable row .first: row 1: no text in q.text, choices"):
        read_items(tmp_path / "other.jsonl", ABOUT, FIELDS)
    with pytest.raises(ConfigError, match="no field 'prompt'"):
        read_items(tmp_path / "other.jsonl", ABOUT, Mapping(fields={"prompt": ("prompt",)}))


# -- slices ------------------------------------------------------------------------------------------------------------

EN, DE = Slice("mill-en", "2026-11-01"), Slice("mill-de", "2026-11-01")
PROSE = "The canal that feeds the mill was dug by the monks, and it has been kept clean with great care for six hundred years. "
GERMAN = "Der Kanal speist die Mühle, und der Müller hält das Wehr sauber, damit das Rad im Winter nicht stehen bleibt. "
LINE = Pipeline.of("t", Language(), Decontamination())


def a_set(name: str, language: str, *texts: tuple[str, str]) -> tuple[SetAbout, Rows]:
    rows = Rows(read=len(texts), kept=len(texts))
    rows.items = [item_row(name, str(n), which, 0, text, language=language) for n, (which, text) in enumerate(texts)]
    return SetAbout(name=name, language=language, licence="CC0-1.0"), rows


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two slices, English and German, two documents of which hold something."""
    made = Lake.open(Settings(lake=LakeSettings(root=str(tmp_path / "lake")), base=tmp_path))
    write_documents(made, EN, {"en1": PROSE * 3, "en2": f"{PROSE}\n{QUESTION}\n{PROSE}", "en3": f"{PROSE} {CHINESE} {PROSE}"})
    write_documents(made, DE, {"de1": GERMAN * 3, "de2": GERMAN * 2 + QUESTION.lower()})
    return made


def run(lake: Lake) -> dict[str, str]:
    """Slice → what happened to the verdict."""
    return {str(s): run_pipeline(lake, LINE, s).stages[-1].action for s in (EN, DE)}


def verdicts(lake: Lake) -> dict[str, dict[str, Any]]:
    return {r["uid"]: r for r in lake.read("verdict_contamination").to_pylist()}


def test_without_a_set_everything_is_kept(lake: Lake) -> None:
    assert run(lake) == {str(EN): "computed", str(DE): "computed"}
    rows = verdicts(lake)
    assert len(rows) == 5 and all(r["keep"] and r["item"] is None and r["items"] == [] for r in rows.values())


def test_a_hit_is_dropped_and_attributed_with_its_place(lake: Lake) -> None:
    about, rows = a_set("quiz", "en", ("question", QUESTION), ("question", "Who dug the canal?"), ("context", PROSE))
    register(lake, about, rows)
    run(lake)
    found = verdicts(lake)
    hit = found["en2"]
    assert (hit["keep"], hit["reason"], hit["set"], hit["overlap"]) == (False, "ngram_overlap", "quiz", 1.0)
    assert hit["item"] == rows.items[0]["uid"] and hit["items"] == [rows.items[0]["uid"], rows.items[2]["uid"]]
    text = f"{PROSE}\n{QUESTION}\n{PROSE}".encode()
    assert text[hit["start"] : hit["end"]].decode() == QUESTION.rstrip("?") and hit["matched"] == len(units_of(QUESTION)) - 12
    measured = {"set": "quiz", "item": rows.items[0]["uid"], "field": "question", "overlap": 1.0, "coverage": 1.0}
    assert json.loads(hit["measured"]) == {**measured, "longest": len(units_of(QUESTION)), "items": 2}
    context = found["en1"]
    assert context["keep"] and context["item"] == rows.items[2]["uid"] and context["overlap"] == 1.0, "a context is marked and kept"
    assert not found["de2"]["keep"] and found["de1"]["item"] is None
    dropped = lake.read("exclusions", columns=["uid", "stage", "reason"]).to_pylist()
    assert {(r["uid"], r["stage"], r["reason"]) for r in dropped} >= {("en2", "decontamination", "ngram_overlap")}


def test_registering_again_changes_nothing_and_another_set_makes_stale_only_where_it_is_looked_for(lake: Lake) -> None:
    register(lake, *a_set("quiz", "en", ("question", QUESTION)))
    assert run(lake) == {str(EN): "computed", str(DE): "computed"}
    before = lake.slice_files("verdict_contamination", EN)
    first = lake.current_receipts(Slice("evaluation", "quiz"))["register"]
    assert register(lake, *a_set("quiz", "en", ("question", QUESTION))).run_id == first.run_id
    assert run(lake) == {str(EN): "adopted", str(DE): "adopted"}

    register(
        lake,
        *a_set(
            "frage", "de", ("question", "Wie viele Kubikmeter Wasser fließen an einem trockenen Tag im August über das große alte Rad?")
        ),
    )
    assert run(lake) == {str(EN): "adopted", str(DE): "computed"}, "no English slice has a German document"

    register(
        lake, *a_set("quiz2", "en", ("question", "What is the name of the second daughter of the miller who sold the house to the school?"))
    )
    preview = preview_pipeline(lake, LINE, EN)
    assert (preview[-1].action, preview[-1].why) == ("compute", "changed: input shared:items")
    assert run(lake) == {str(EN): "computed", str(DE): "computed"}
    assert lake.slice_files("verdict_contamination", EN) == before, "the verdict came out as before, so what reads it is adopted"

    forget(lake, "quiz2")
    forget(lake, "frage")
    assert run(lake) == {str(EN): "restored", str(DE): "restored"}
    forget(lake, "quiz")
    run(lake)
    assert all(r["keep"] for r in verdicts(lake).values())
    with pytest.raises(InputError, match="no evaluation set 'quiz' is registered"):
        forget(lake, "quiz")


def test_only_the_sets_that_the_rules_name_are_looked_for(lake: Lake) -> None:
    register(lake, *a_set("quiz", "en", ("question", QUESTION)))
    register(lake, *a_set("test", "zh", ("question", CHINESE)))
    params = DecontaminationParams(sets=("test",), everywhere=("zh",))
    run_pipeline(lake, Pipeline.of("t", Language(), Decontamination(params)), EN)
    assert {u: r["set"] for u, r in verdicts(lake).items() if not r["keep"]} == {"en3": "test"}


def test_verdicts_do_not_depend_on_batches_or_the_order_of_registration(tmp_path: Path) -> None:
    items, hosts = planted()
    texts = {f"{n:04}": x.text for n, x in enumerate(leaks(3, items[::9], hosts, ("verbatim", "case")))}
    tables = []
    for number, order in enumerate(((0, 1), (1, 0))):
        lake = Lake.open(Settings(lake=LakeSettings(root=str(tmp_path / str(number))), base=tmp_path))
        write_documents(lake, EN, texts)
        for half in order:
            register(lake, *a_set(f"set{half}", "en", *[("question", t) for _, t in items[half::2]]))
        stage = Decontamination()
        stage.batch_rows = 7 if number else 1024  # type: ignore[misc]
        run_pipeline(lake, Pipeline.of("t", Language(), stage), EN)
        tables.append(lake.slice_files("verdict_contamination", EN))
    assert [f.digest for f in tables[0]] == [f.digest for f in tables[1]]


def test_a_held_out_document_does_not_contaminate_itself_but_its_copy_is_found(lake: Lake) -> None:
    run(lake)
    rows = held_out_rows(lake, "held-out", [(EN, "en2")])
    register(lake, SetAbout(name="held-out", language="und", licence="as-the-documents"), rows)
    run(lake)
    found = verdicts(lake)
    assert found["en2"]["keep"] and found["en2"]["items"] == []
    assert not found["de2"]["keep"] and found["de2"]["item"] in {r["uid"] for r in rows.items}
    site = Slice("site", "2026-11-01")
    write_documents(lake, site, {f"p{n}": f"Page {n} of it.\n {PROSE}\nText of page {n}, {QUESTION}" for n in range(11)})
    texts = [r["text"] for r in held_out_rows(lake, "s", [(site, "p3"), (site, "p4")]).items]
    assert texts == ["Page 3 of it.", f"Text of page 3, {QUESTION}", "Page 4 of it.", f"Text of page 4, {QUESTION}"], (
        "no footer of the site"
    )
    with pytest.raises(InputError, match="document nobody is not in mill-en/2026-11-01"):
        held_out_rows(lake, "held-out", [(EN, "nobody")])


def test_a_phrase_that_stands_in_many_documents_is_no_evidence_once_it_is_counted(lake: Lake) -> None:
    phrase = "This program comes with absolutely no warranty to the extent that is permitted by the applicable law of the land."
    other = Slice("licences", "2026-11-01")
    names = list(itertools.islice(itertools.product("abcdefgh", repeat=2), 12))
    write_documents(lake, other, {f"l{a}{b}": f"{PROSE} Part {a} {b} of it. {phrase}" for a, b in names})
    register(lake, *a_set("quiz", "en", ("question", phrase), ("question", QUESTION)))
    run_pipeline(lake, LINE, other)
    assert not any(r["keep"] for r in lake.read("verdict_contamination", other).to_pylist())
    receipt, documents = count_common(lake, DecontaminationParams())
    assert documents == 17 and receipt.counts.kept > 0
    words = set(lake.read("common_ngrams")["words"].to_pylist())
    assert "program comes with absolutely no warranty to the" in words and not any("cubic" in w for w in words)
    run_pipeline(lake, LINE, other)
    assert all(r["keep"] for r in lake.read("verdict_contamination", other).to_pylist())
    run(lake)
    assert not verdicts(lake)["en2"]["keep"], "what is rare is still found"
    assert count_common(lake, DecontaminationParams())[0].run_id == receipt.run_id


# -- report and command line -------------------------------------------------------------------------------------------


def test_the_report_splits_a_set_into_its_clean_and_contaminated_part(lake: Lake) -> None:
    clean = "What is the name of the second daughter of the miller who sold the house to the school?"
    about, rows = a_set("quiz", "en", ("question", QUESTION), ("context", PROSE), ("question", clean), ("answer", "yes <b>"))
    register(lake, about, rows)
    run(lake)
    found = report(lake, DecontaminationParams())
    assert found.sets == [{"set": "quiz", "items": 4, "contaminated": 0, "context": 1, "removed": 1, "unsearchable": 1, "clean": 1}]
    assert found.sources == [
        {"set": "quiz", "source": "mill-de", "documents": 2, "dropped": 1, "marked": 0, "items": 1},
        {"set": "quiz", "source": "mill-en", "documents": 3, "dropped": 1, "marked": 2, "items": 2},
    ]
    assert [(i.item, i.state, len(i.found)) for i in found.items] == [("0", "removed", 2), ("1", "context", 3), ("2", "clean", 0), ("3", "unsearchable", 0)]  # fmt: skip  # noqa: E501
    kept = Pipeline.of("t", Language(), Decontamination(DecontaminationParams(drop=())))
    run_pipeline(lake, kept, EN)
    assert report(lake, DecontaminationParams(), slice_=EN).items[0].state == "contaminated", "found in a document that is trained on"
    page = as_html(found)
    assert page.startswith("<!doctype html>") and "<b>" not in page and f"{EN}/en2" in page
    assert report(lake, DecontaminationParams(), set_="none").sets == []


def test_sets_are_registered_listed_and_reported_at_the_command_line(lake: Lake, checkout: Path, tmp_path: Path) -> None:
    from headrace_governance.decontamination.cli import app

    conf = {"lake": {"root": lake.storage.root}, "pipelines": str(checkout / "governance" / "pipelines")}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(conf), encoding="utf-8")
    (tmp_path / "quiz.jsonl").write_text(json.dumps({"id": "q1", "question": QUESTION}) + "\nbroken\n", encoding="utf-8")

    def call(*words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--settings", str(tmp_path / "headrace.yaml")], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    words = ("register", str(tmp_path / "quiz.jsonl"), "--set", "quiz", "--language", "en", "--licence", "CC0-1.0", "--id", "id")
    said = call(*words, "--revision", "v2")
    assert "1 items of 2 rows" in said and "row 2: not JSON" in said
    [bad] = lake.read("quarantine").to_pylist()
    assert (bad["source"], bad["slice"], bad["stage"]) == ("evaluation", "quiz", "register") and bad["error"].startswith("row 2: not JSON")
    listed = call("sets")
    assert "quiz" in listed and "v2" in listed and "CC0-1.0" in listed
    run(lake)
    shown = call("report", "--html", str(tmp_path / "r.html"), "--json-file", str(tmp_path / "r.json"))
    assert "mill-en" in shown and "removed" in shown
    data = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert data["items"] == [{"set": "quiz", "item": "q1", "state": "removed", "found": [[f"{DE}/de2", "question", False], [f"{EN}/en2", "question", False]]}]  # fmt: skip  # noqa: E501
    assert "<h1>" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "5 documents" in call("count-common")
    call("forget", "quiz")
    assert lake.read("evaluation_items").num_rows == 0


def test_the_shipped_pipeline_decontaminates_before_it_selects(settings: Settings) -> None:
    names = [s.name for s in load_pipeline(settings, "text").stages]
    assert names.index("near_duplicate") < names.index("decontamination") < names.index("select")
