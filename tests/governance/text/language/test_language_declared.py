"""Languages that a source does not declare: whole documents, documents that are half translated, and what must not count as prose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from slices import write_documents

from headrace_governance.text.language.declared import DECLARED, declared_languages, language_code
from headrace_governance.text.language.paragraphs import ParagraphParams, blocks_of, cut_blocks
from headrace_governance.text.language.stage import Language, LanguageParams
from headrace_governance.text.pii.mask import mask_text
from headrace_lake.engine import run_pipeline
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.engine.plan import preview_pipeline
from headrace_lake.errors import ConfigError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

FILE = Path(__file__).parents[4] / "governance" / "pipelines" / "filters" / "language.yaml"
ENGLISH = (
    "The sluice gate is opened in the morning, before the mill begins to work, and closed again when the last sack of flour has been "
    "carried out. Whoever opens it looks first whether the water stands high enough, and writes the level down in the book of the mill."
)
CHINESE = (
    "每天早晨磨坊开工之前，看守先把水闸打开，等最后一袋面粉搬出去以后再把它关上。打开水闸的人要先看水位够不够高，并把水位记在磨坊的本子里。"
    "冬天结冰的时候，水轮要停下来，不然叶片会被冰块打坏。春天第一次放水之前，要把水渠里的泥沙清理干净。"
)
GERMAN = (
    "Das Schütz wird am Morgen geöffnet, ehe die Mühle zu arbeiten beginnt, und wieder geschlossen, wenn der letzte Sack Mehl "
    "hinausgetragen ist. Wer es öffnet, sieht zuerst nach, ob das Wasser hoch genug steht, und schreibt den Stand in das Mühlenbuch."
)
UKRAINIAN = (
    "Шлюз відчиняють уранці, перш ніж млин почне працювати, і зачиняють, коли винесуть останній мішок борошна. Той, хто його відчиняє, "
    "спершу дивиться, чи досить високо стоїть вода, і записує рівень у книгу млина."
)
RUSSIAN = (
    "Шлюз открывают утром, прежде чем мельница начнёт работать, и закрывают, когда вынесут последний мешок муки. Тот, кто его открывает, "
    "сначала смотрит, достаточно ли высоко стоит вода, и записывает уровень в книгу мельницы."
)
CROATIAN = (
    "Ustava se otvara ujutro, prije nego što mlin počne raditi, i zatvara kad se iznese posljednja vreća brašna. Onaj tko je otvara "
    "najprije pogleda je li voda dovoljno visoka, i zapisuje razinu u knjigu mlina."
)
CODE = (
    "```\n# Open the gate and wait until the water has risen to the level that the mill needs for its work today\n"
    "def open_gate(level):\n    while gate.level() < level:\n        gate.raise_by(1)\n    return gate.level()\n```"
)


def run(texts: list[str], *languages: str, own: str = "", hints: list[str | None] | None = None, **undeclared: Any) -> list[dict[str, Any]]:
    """Verdicts on texts of a source that declares these languages."""
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    data["undeclared"] |= undeclared
    stage = Language(parse(data, LanguageParams, where="language.yaml"))
    rows = [{"language": language, "undeclared": own} for language in sorted(languages)]
    stage.setup()
    stage.begin(None, {"declared_languages": pa.Table.from_pylist(rows, schema=DECLARED)} if rows else {})  # type: ignore[arg-type]
    columns: dict[str, Any] = {"uid": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string())}
    if hints is not None:
        columns["language_hint"] = pa.array(hints, pa.string())
    found: list[dict[str, Any]] = stage.process(pa.table(columns)).to_pylist()
    return found


def numbered(text: str, count: int) -> list[str]:
    """Paragraphs that are not equal."""
    return [f"{text} ({i})" for i in range(count)]


def left(text: str, row: dict[str, Any]) -> str:
    """What goes into the shards."""
    return mask_text(text.encode(), (), (), (), {}, list(zip(row["starts"], row["ends"], strict=True))).decode()


def test_a_page_in_a_language_that_its_source_does_not_declare_is_dropped_with_its_own_reason() -> None:
    english, chinese = "\n\n".join(numbered(ENGLISH, 12)), "\n\n".join(numbered(CHINESE, 12))
    rows = run([english, chinese], "zh")
    assert [(r["keep"], r["reason"], r["language"]) for r in rows] == [(False, "language_not_declared", "en"), (True, None, "zh")]
    assert json.loads(rows[0]["measured"])["undeclared"] == 1 and rows[1]["starts"] == []
    assert [r["reason"] for r in run([english, chinese])] == [None, None]
    assert [r["reason"] for r in run([english, chinese], "en", "zh")] == [None, None]
    short = "# Open the gate\n\nThe gate is opened in the morning by the miller and his two sons."
    assert run([short], "zh")[0]["reason"] == "language_not_declared"


def test_the_policy_or_the_source_may_keep_such_pages_and_says_how_much_of_them_it_is() -> None:
    english = "\n\n".join(numbered(ENGLISH, 12))
    for rows in (run([english], "zh", documents="keep"), run([english], "zh", own="keep")):
        assert rows[0]["keep"] and json.loads(rows[0]["measured"])["undeclared"] == 1 and rows[0]["starts"] == []
    assert run([english], "zh", own="drop", documents="keep")[0]["reason"] == "language_not_declared"


def test_untranslated_chapters_of_a_manual_are_cut_out_of_its_shards_with_their_headings_and_code() -> None:
    chapters = ["# 磨坊手册", CHINESE, "## 第一章", *numbered(CHINESE, 4), CODE, CHINESE + "第五段。"]
    strange = ["## Chapter 2", *numbered(ENGLISH, 2), CODE, ENGLISH, "Note"]
    text = "\n\n".join([*chapters, *strange, "## 第三章", *numbered(CHINESE, 3)])
    [row] = run([text], "zh")
    assert (row["keep"], row["language"]) == (True, "zh") and 0 < json.loads(row["measured"])["undeclared"] < 0.5
    assert left(text, row) == "\n\n".join([*chapters, "## 第三章", *numbered(CHINESE, 3)])
    assert json.loads(row["measured"])["cut_characters"] == sum(map(len, strange))
    [kept] = run([text], "zh", paragraphs="keep")
    assert kept["keep"] and kept["starts"] == [] and json.loads(kept["measured"])["undeclared"] > 0


def test_a_single_paragraph_is_cut_where_its_section_has_declared_ones() -> None:
    parts = ["# 水闸", *numbered(CHINESE, 3), ENGLISH, ENGLISH + " Twice.", *numbered(CHINESE, 2), "短句。"]
    text = "\n\n".join(parts)
    [row] = run([text], "zh")
    assert row["keep"] and left(text, row) == "\n\n".join([*parts[:4], *parts[6:]])


def test_a_document_that_is_mostly_undeclared_goes_as_a_whole_as_mixed_languages() -> None:
    mostly = "\n\n".join([*numbered(CHINESE, 3), *numbered(ENGLISH, 14)])
    hardly = "\n\n".join([*numbered(ENGLISH, 60), CHINESE])
    rows = run([mostly, hardly], "zh")
    assert [r["reason"] for r in rows] == ["mixed_languages", "language_not_declared"] and all(r["starts"] == [] for r in rows)
    assert run([mostly], "zh", min_share=0.1)[0]["keep"]


def test_code_and_quotations_in_english_are_no_english_prose() -> None:
    quoted = "\n".join(f"> {ENGLISH}" for _ in range(8))
    listing = "\n\n".join(CODE.replace("today", f"on day {i}") for i in range(12))
    texts = [
        "\n\n".join(["# 水闸的脚本", CHINESE, listing, CHINESE + "完。"]),
        "\n\n".join(["# 引文", CHINESE, quoted, CHINESE + "完。"]),
        "\n\n".join([listing, "## 说明", *numbered(CHINESE, 3)]),
    ]
    for text, row in zip(texts, run(texts, "zh", min_share=0.9), strict=True):
        assert (row["language"], row["reason"]) in (("zh", None), ("zh", "script_not_wanted")), row["measured"]
        assert left(text, row) == text


def test_two_languages_of_one_script_are_told_apart_wherever_the_other_one_stands() -> None:
    for place in (0, 6, 8, 14, 20, 27):
        parts = numbered(GERMAN, 28)
        parts[place:place] = numbered(ENGLISH, 11)
        text = "\n\n".join(parts)
        [row] = run([text], "de")
        assert row["keep"] and row["language"] == "de" and left(text, row) == "\n\n".join(numbered(GERMAN, 28)), place


def test_languages_that_cannot_be_told_apart_count_for_each_other_and_others_do_not() -> None:
    texts = ["\n\n".join(numbered(t, 10)) for t in (CROATIAN, RUSSIAN, UKRAINIAN)]
    for language in ("sr", "bs", "hr", "sh"):
        assert run(texts[:1], language)[0]["keep"]
    assert run(texts[:1], "sl")[0]["reason"] == "language_not_declared"
    assert [r["reason"] for r in run(texts[1:], "uk")] == ["language_not_declared", None]
    half = "\n\n".join([*numbered(UKRAINIAN, 9), *numbered(RUSSIAN, 4)])
    [row] = run([half], "uk")
    assert row["keep"] and left(half, row).rstrip() == "\n\n".join(numbered(UKRAINIAN, 9))


def test_a_text_without_letters_and_one_that_nothing_can_be_told_of_are_not_blamed() -> None:
    rows = run(["1 2 3\n\n4 5 6", "qx 12 zz 9 kk"], "zh")
    assert all(r["reason"] != "language_not_declared" for r in rows)


def test_what_is_cut_follows_from_the_kinds_of_blocks() -> None:
    for kinds, gone in {
        "DDUD": [2],
        "DUOUD": [1, 2, 3],
        "DUOD": [1],
        "DHUOD": [2],
        "DHUOHD": [2 - 1, 2, 3],
        "HUHUHD": [0, 1, 2, 3],
        "UU": [0, 1],
        "OOD": [],
        "": [],
    }.items():
        assert cut_blocks(kinds) == gone, kinds


def test_blocks_lie_where_they_say_and_nothing_but_white_space_lies_between() -> None:
    text = f"\n\n# A\n\n{ENGLISH}\n  \n- a\n- b\n\n{CODE}\n{GERMAN}\n| a |\n\n> q\n\n\n```\nopen"
    blocks = blocks_of(text)
    assert [text[b.start : b.end] for b in blocks] == [
        "# A", ENGLISH, "- a\n- b", CODE, f"{GERMAN}\n| a |", "> q", "```\nopen",
    ]  # fmt: skip
    assert [(b.heading, b.code) for b in blocks][:4] == [(True, False), (False, False), (False, False), (False, True)]
    outside = text
    for b in reversed(blocks):
        outside = outside[: b.start] + outside[b.end :]
    assert not outside.strip() and ParagraphParams().most == 40


def source_file(folder: Path, **fields: Any) -> None:
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written by the test", "evidence": {"text": "CC0"}}
    data = {"id": "mill", "licence": licence, "fetch": {"kind": "folder", "path": "."}, **fields}
    (folder / "mill.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


def test_editing_a_sources_languages_computes_its_language_verdicts_again_and_nothing_of_another_source(
    settings: Settings, tmp_path: Path
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    source_file(sources, languages=["zh"])
    lake = Lake.open(settings.model_copy(update={"sources": sources}))
    english, chinese = "\n\n".join(numbered(ENGLISH, 6)), "\n\n".join(numbered(CHINESE, 6))
    mill, other = Slice("mill", "2026-11-01"), Slice("other", "2026-11-01")
    for slice_ in (mill, other):
        write_documents(lake, slice_, {"e": english, "c": chinese})
    line = Pipeline.of("t", Language(parse(yaml.safe_load(FILE.read_text(encoding="utf-8")), LanguageParams, where="language.yaml")))

    def reasons(slice_: Slice) -> dict[str, str | None]:
        return {r["uid"]: r["reason"] for r in lake.read("verdict_language", slice_).to_pylist()}

    def actions() -> list[str]:
        return [preview_pipeline(lake, line, slice_)[0].action for slice_ in (mill, other)]

    for slice_ in (mill, other):
        run_pipeline(lake, line, slice_)
    assert reasons(mill) == {"e": "language_not_declared", "c": None} and set(reasons(other).values()) == {None}
    assert lake.current_receipts(mill)["language"].counts.reasons == {"language_not_declared": 1}
    assert [r["reason"] for r in lake.read("exclusions", mill).to_pylist()] == ["language_not_declared"]
    source_file(sources, languages=["zh"], title="Another title", declared_tokens=7)
    assert actions() == ["adopt", "adopt"]
    source_file(sources, languages=["zh", "en"])
    assert actions() == ["compute", "adopt"]
    run_pipeline(lake, line, mill)
    assert set(reasons(mill).values()) == {None}
    source_file(sources, languages=["zh"])
    assert actions() == ["restore", "adopt"]
    source_file(sources, languages=["mul", "zh"])
    run_pipeline(lake, line, mill)
    assert set(reasons(mill).values()) == {None} and "shared:declared_languages" not in {
        i.table for i in lake.current_receipts(mill)["language"].inputs
    }


def test_codes_are_read_as_the_classifier_writes_them_and_a_broken_source_file_is_named(settings: Settings, tmp_path: Path) -> None:
    assert [language_code(t) for t in ("zh-Hans-CN", "nb", "pt_BR", "EN", "iw")] == ["zh", "no", "pt", "en", "he"]
    lake = Lake.open(settings.model_copy(update={"sources": tmp_path}))
    assert declared_languages(lake, Slice("mill", "a")) == {}
    source_file(tmp_path, languages=["nb", "zh-Hant"], undeclared_languages="keep")
    assert declared_languages(lake, Slice("mill", "a"))["declared_languages"].to_pylist() == [
        {"language": "no", "undeclared": "keep"},
        {"language": "zh", "undeclared": "keep"},
    ]
    (tmp_path / "mill.yaml").write_text("languages: [zh", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mill\.yaml: cannot be read"):
        declared_languages(lake, Slice("mill", "a"))
