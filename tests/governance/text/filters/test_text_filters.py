"""Our verdicts are datatrove's verdicts, document by document, and the thresholds are the YAML files'."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import pkgutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prose_reference import prose

from headrace_governance.text.filters.c4 import C4
from headrace_governance.text.filters.fineweb import FineWeb
from headrace_governance.text.filters.gopher_quality import GopherQuality
from headrace_governance.text.filters.gopher_repetition import GopherRepetition
from headrace_governance.text.statistics import words as words_module
from headrace_governance.text.statistics.measure import COLUMNS
from headrace_governance.text.statistics.stage import TextStatistics
from headrace_governance.text.statistics.tokenisers import tokenizer_for, words_of
from headrace_lake.engine.pipeline import load_pipeline
from headrace_lake.errors import ConfigError
from headrace_lake.settings import Settings
from headrace_lake.stage import Stage
from headrace_lake.strict import parse
from headrace_lake.tables import TABLES

FOLDER = Path(__file__).parents[4] / "governance" / "pipelines" / "filters"
FILTERS: list[type[Stage]] = [GopherQuality, GopherRepetition, C4, FineWeb]
LANGUAGES = "zh de es fr ja ru ar ko hi pt it nl pl cs sv tr uk id da fi no hu el ro fa".split()
KOREAN = "수로는 물레방아에 물을 대고 방앗간 주인은 겨울에도 바퀴가 멈추지 않도록 수문을 깨끗하게 관리한다."
HINDI = "नहर चक्की को पानी देती है और चक्की का मालिक फाटक को साफ रखता है ताकि पहिया सर्दी में भी न रुके।"


@cache
def documents() -> list[tuple[str, str]]:
    """(language, text): documentation inside Python's standard library, and spaCy's example sentences in 25 languages."""
    found: list[tuple[str, str]] = []
    for module in sorted(sys.stdlib_module_names - {"antigravity", "this", "idlelib"}):
        try:
            loaded = importlib.import_module(module)
        except ImportError:
            continue
        found += [
            ("en", text)
            for m in [loaded, *vars(loaded).values()]
            if inspect.ismodule(m) or inspect.isclass(m)
            for text in [inspect.getdoc(m)]
            if text and len(text) > 150
        ]
    found = sorted(set(found))[::2][:210]
    import spacy.lang

    known = {m.name for m in pkgutil.iter_modules(spacy.lang.__path__)}
    for language in LANGUAGES:
        package = {"no": "nb"}.get(language, language)
        try:
            sentences = importlib.import_module(f"spacy.lang.{package}.examples").sentences if package in known else []
        except ImportError:
            sentences = []
        sentences = list(sentences) or [{"ko": KOREAN}.get(language, HINDI)]
        long = list(itertools.islice(itertools.cycle(sentences), 12))
        found += [
            (language, "\n".join(long)),
            (language, " ".join(sentences)),
            (language, "- " + "\n- ".join(long)),
            (language, " ".join(long) + "..."),
        ]
    return found


@cache
def shipped(file: str) -> dict[str, Any]:
    """What a YAML file of filters says; not to be changed, since it is remembered."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{file}.yaml").read_text())
    return found


def stage_of(cls: type[Stage], file: str = "") -> Any:
    stage = cls(parse(shipped(file or cls.name), cls.Params, where=cls.name))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    return stage


def verdicts_of(classes: list[type[Stage]], texts: list[tuple[str, str]], form: str = "plain") -> list[list[dict[str, Any]]]:
    """Rows of each verdict over (language, text), through the statistics, made once, where the verdict reads them.

    Args:
        form: of the texts (`documents.format`).
    """
    documents = pa.table(
        {
            "uid": [str(i) for i in range(len(texts))],
            "text": pa.array([t for _, t in texts], pa.large_string()),
            "format": [form] * len(texts),
            "verdict_language.language": pa.array([lang for lang, _ in texts], pa.string()),
        }
    )
    stages = [stage_of(cls) for cls in classes]
    tables = {"documents": documents}
    if any(stage.inputs().primary == "text_statistics" for stage in stages):
        tables["text_statistics"] = stage_of(TextStatistics, "statistics").process(documents)
    return [stage.process(tables[stage.inputs().primary]).to_pylist() for stage in stages]


def verdicts(cls: type[Stage], texts: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Rows of one verdict over plain texts."""
    return verdicts_of([cls], texts)[0]


@cache
def tokeniser(language: str) -> Any:
    """Our tokeniser, seen to be just what datatrove has under the language's name; each is built once, which takes a second.

    Korean has the model that ships, since datatrove's own default ships no more.
    """
    ours = tokenizer_for(language)
    from datatrove.utils.word_tokenizers import KiwiTokenizer, load_word_tokenizer

    fineweb2 = {"zh": "cmn_Hani", "ar": "arb_Arab", "hi": "hin_Deva", "no": "nob_Latn"}
    named = KiwiTokenizer("cong") if language == "ko" else load_word_tokenizer(fineweb2.get(language, language))
    assert type(ours) is type(named), language
    assert vars(ours) | {"_tokenizer": None} == vars(named) | {"_tokenizer": None}, language
    return ours


@cache
def direct(cls: type[Stage], language: str) -> Any:
    """datatrove's filter built from the YAML by hand."""
    from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

    data, structure = shipped(cls.name), shipped("statistics")
    values = dict(data["languages"].get(language, data["default"]))
    if cls is GopherQuality:
        values["stop_words"] = structure["stop_words"].get(language, structure["stop_words"]["default"])
    if cls is FineWeb:
        values["short_line_length"] = structure["short_line"]
    name = tokeniser(language)
    if cls is C4:
        return C4QualityFilter(**values, language=name) if values.pop("enabled", True) else None
    if cls is GopherRepetition:
        values |= {k: tuple(values[k].items()) for k in ("top_n_grams", "dup_n_grams") if k in values}
        return GopherRepetitionFilter(**values, language=name)
    return (GopherQualityFilter if cls is GopherQuality else FineWebQualityFilter)(**values, language=name)


def datatroves(cls: type[Stage], language: str, text: str) -> tuple[bool, str | None]:
    """Whether datatrove keeps a text, and why not. Ask for all filters before the next text: it remembers the words of the last ones."""
    from datatrove.data import Document

    peer = direct(cls, language)
    result = True if peer is None else peer.filter(Document(text=text, id=""))
    return result if isinstance(result, tuple) else (result, None)


def test_verdicts_equal_datatroves_on_more_than_300_documents_in_26_languages() -> None:
    texts = documents()
    assert len(texts) >= 300 and len({language for language, _ in texts}) >= 25
    dropped = 0
    for (language, text), *rows in zip(texts, *verdicts_of(FILTERS, texts), strict=True):
        for cls, row in zip(FILTERS, rows, strict=True):
            kept, reason = datatroves(cls, language, text)
            assert (row["keep"], row["reason"]) == (kept, reason), (cls.name, language, text[:80])
            dropped += not kept
    assert dropped > 100


def as_markdown(text: str) -> str:
    """The text with headings, a table, code, inline marks, and every third line a list item."""
    lines = [f"- **{line}** in `a_b`" if k % 3 == 1 and line.strip() else line for k, line in enumerate(text.split("\n"))]
    return "# A title\n\n" + "\n".join(lines) + "\n\n| key | value |\n| --- | --- |\n| a | - |\n\n```c\nint f() { return 0; }\n```\n"


def test_verdicts_on_markdown_equal_datatroves_on_the_text_without_its_markup() -> None:
    texts = [(language, as_markdown(text)) for language, text in documents()]
    verdicts, stored = verdicts_of(FILTERS, texts, "markdown"), verdicts_of(FILTERS, texts)
    changed = 0
    for k, (language, text) in enumerate(texts):
        for cls, rows, before in zip(FILTERS, verdicts, stored, strict=True):
            kept, reason = datatroves(cls, language, prose(text))
            assert (rows[k]["keep"], rows[k]["reason"]) == (kept, reason), (cls.name, language, text[:80])
            changed += rows[k]["reason"] != before[k]["reason"]
    assert changed > 50


PROSE = "the mill and the wheel have to be kept with the canal that feeds it. " * 2
MADE = [
    "word " * 20, "a b c the and " * 40, "# # # the and to be " * 30, "- the and to be x\n" * 40, "the and to be ...\n" * 60,
    PROSE * 10, "{" + PROSE, "", "\n\n", "\x1c\u2028 ", "…" * 70, "a" * 1200 + " " + PROSE, "Read [12] this[edit]. " + PROSE,
    "One.  Two!\tThree?) Four", "EE. UU. y más de la cuenta en el año, que no se sabe. " * 9, "lorem ipsum dolor sit",
    "Javascript is off.\n" + PROSE, "»Was?« — »Nein!« " * 20, "no line feeds but \x0b and \x85 and \u2028 here " * 12,
    "a\n\n\na\n\nb\n" * 9, " lead and trail " * 30, "x" * 40 + "\n" + "x" * 40, "12 34 56 " * 40,
]  # fmt: skip

LINE = "the mill and the wheel have to be kept with that"
AT_THRESHOLDS = [  # a value that is just its threshold: datatrove's `>` and `<` keep it
    f"- {LINE}\n" * 9 + f"{LINE}\n", f"{LINE}...\n" * 3 + f"{LINE}.\n" * 7, f"{LINE} have #\n" * 9, f"{LINE} #\n" * 10,
    "the and have with that " * 10, "the and have with that " * 9 + "the and have that", "the and " * 30, "abcdefghij " * 60,
    "the and to be of 12 34 56 78 90 " * 8, f"{LINE}\n" * 7 + "x y\n" * 3, "a " * 10 + f"{LINE}. " * 5,
]  # fmt: skip


def test_verdicts_equal_datatroves_on_texts_that_provoke_them_and_at_their_thresholds() -> None:
    made = [*MADE, *AT_THRESHOLDS]
    for language in ("en", "es", "zh", "ru"):
        for text, *rows in zip(made, *verdicts_of(FILTERS, [(language, t) for t in made]), strict=True):
            for cls, row in zip(FILTERS, rows, strict=True):
                if not text.strip():
                    assert (row["keep"], row["reason"]) == (False, "empty")  # two of datatrove's filters divide by zero here
                    continue
                assert (row["keep"], row["reason"]) == datatroves(cls, language, text), (cls.name, language, text[:60])


SENTENCE = "The mill and the wheel are kept with the canal."
C4_LINES = [
    "Read our privacy policy and the terms of use before you go on.", "This site needs Javascript and a cookie policy.",
    "x" * 1001 + " is a word.",
    "two words.", "one of three words", "the mill [12] is kept [edit].", "the mill is kept [12]", "the mill goes on...",
    "No end mark on this line",
    "It holds { a bracket.", "lorem ipsum dolor sit amet.", "Ist das alles?", 'He said "it is kept."',
]  # fmt: skip
C4_RULES: list[dict[str, Any]] = [
    {},
    *({name: False} for name in ("filter_no_terminal_punct", "filter_lorem_ipsum", "filter_javascript", "filter_curly_bracket")),
    *({name: False} for name in ("filter_policy", "remove_citations")),
    *({"min_num_sentences": n} for n in (-1, 1, 4, 6)),
    *({"min_words_per_line": n} for n in (-1, 2, 4, 9)),
    *({"max_word_length": n} for n in (-1, 4, 1001)),
]


@pytest.mark.parametrize("rules", C4_RULES, ids=str)
def test_every_rule_of_c4_decides_as_datatroves_does_whether_it_is_on_or_off(rules: dict[str, Any]) -> None:
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter

    stage = C4(parse({"default": {"enabled": False}, "languages": {"en": rules}}, C4.Params, where="c4"))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    peer = C4QualityFilter(**rules, language="en")
    # Four sentences that count, so that one line more or less decides; then each odd line five times by itself.
    texts = ["\n".join([*[SENTENCE] * n, line]) for line in C4_LINES for n in (3, 4, 5)] + ["\n".join([line] * 5) for line in C4_LINES]
    batch = pa.table(
        {
            "uid": [str(i) for i in range(len(texts))],
            "text": pa.array(texts, pa.large_string()),
            "format": ["plain"] * len(texts),
            "verdict_language.language": ["en"] * len(texts),
        }
    )
    for row, text in zip(stage.process(batch).to_pylist(), texts, strict=True):
        result = peer.filter(Document(text=text, id=""))
        kept, reason = result if isinstance(result, tuple) else (result, None)
        assert (row["keep"], row["reason"]) == (kept, reason), text[-120:]


@pytest.mark.parametrize("cls", FILTERS)
def test_every_measured_value_of_a_drop_is_kept(cls: type[Stage]) -> None:
    for row in verdicts(cls, [("en", t) for t in MADE]):
        assert row["keep"] == (row["reason"] is None)
        if row["reason"] not in (None, "empty"):
            assert json.loads(row["measured"])["language"] == "en" and json.loads(row["measured"])["value"] is not None, row["reason"]


_PIECES = [
    *(":", ")", "(", "-", "'", "s", "'s", ":)", "):", ":-)", ":'(", "=", "/", "8", "D", '"', "...", "x"),
    *("don't", "Don't", "we", "'ll", "can", "not", "o'clock", "U.S.", "etc.", "e.g.", "7pm", "http://a.b/c"),
    *("Wort", "l'", "est-ce", "日本", "です。", "か", "т.д."),
]


@given(
    st.lists(
        st.one_of(
            st.text(max_size=12), st.sampled_from(["the", "of", "a.", "EE. UU.", "д-р ист. наук", "\n", "\n\n", "…", "x" * 9, "水渠"])
        ),
        max_size=60,
    )
)
def test_statistics_equal_datatroves_functions_on_any_text(parts: list[str]) -> None:
    from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate, find_duplicates, find_top_duplicate, get_n_grams

    text = " ".join(parts)
    for language in ("en", "es", "ru"):
        words = tokenizer_for(language).word_tokenize(text)
        row = dict(zip(COLUMNS, stage_of(TextStatistics, "statistics").measure(text, language), strict=True))
        assert row["words"] == len(words) and row["alpha_words"] == sum(any(c.isalpha() for c in w) for w in words)
        for n in (2, 3, 4):
            grams = get_n_grams(words, n)
            assert row[f"top_{n}_gram_characters"] == (find_top_duplicate(grams) if grams else 0)
        for n in range(5, 11):
            assert row[f"duplicate_{n}_gram_characters"] == find_all_duplicate(words, n)
        full = [line for line in text.split("\n") if line.strip()]
        assert row["duplicate_full_line_characters"] == find_duplicates(full)[1]
        for line in full:
            assert words_of(language).sentences(line.strip()) == len(tokenizer_for(language).sent_tokenize(line.strip()))


@hypothesis_settings(max_examples=400, deadline=None)
@given(st.sampled_from(["en", "de", "fr", "ja", "ru"]), st.lists(st.sampled_from(_PIECES), max_size=14), st.data())
def test_words_are_datatroves_where_exceptions_meet_across_spaces(language: str, pieces: list[str], data: st.DataObject) -> None:
    text = "".join(p + data.draw(st.sampled_from(["", " ", "  ", "\n", "\u3000"])) for p in pieces)
    words = words_of(language)
    numbers = words.of(text).tolist()
    assert numbers == [words.number(w) for w in tokenizer_for(language).word_tokenize(text)]


def test_a_new_threshold_reads_no_text(settings: Settings) -> None:
    pipeline = load_pipeline(settings, "text")
    for stage in pipeline.stages:
        if stage.name in ("gopher_quality", "gopher_repetition", "fineweb"):
            wanted = stage.inputs()
            assert wanted.primary == "text_statistics" and "text" not in wanted.columns and not wanted.sidecars
            assert set(wanted.columns) <= set(TABLES["text_statistics"].schema.names)


def test_the_table_of_statistics_has_a_column_for_each_of_them_and_no_other() -> None:
    counted_beside = {"blank", "item_lines", "licence_words", "plain_words", "code_characters"}
    identity = {"uid", "source", "slice", "part", "language"}
    assert set(TABLES["text_statistics"].schema.names) == identity | counted_beside | set(COLUMNS)


def test_the_memory_of_words_may_be_emptied_at_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = verdicts(GopherRepetition, documents()[:40])
    monkeypatch.setattr(words_module, "MOST_WORDS", 5)
    assert verdicts(GopherRepetition, documents()[:40]) == rows


def test_an_unlisted_or_unknown_language_gets_the_default_thresholds_and_a_neutral_tokeniser() -> None:
    stage = stage_of(GopherQuality)
    assert stage.thresholds_for("xx") == stage.params.default
    for language in ("und", "vi", "th", "eo"):
        assert tokenizer_for(language).word_tokenize("una frazo kun vortoj") == ["una", "frazo", "kun", "vortoj"]
    assert all(v["keep"] for v in verdicts(GopherQuality, [(lang, "kelkaj vortoj " * 40) for lang in ("und", "eo", "xx")]))


def test_chinese_japanese_and_korean_are_split_into_words_without_spaces() -> None:
    assert {"水渠", "磨坊", "，"} < set(tokenizer_for("zh").word_tokenize("水渠把水引到磨坊，不停。"))
    assert len(tokenizer_for("ja").word_tokenize("水路は水車に水を送る。")) > 5
    assert len(tokenizer_for("ko").word_tokenize(KOREAN)) > 15 and len(tokenizer_for("hi").word_tokenize(HINDI)) > 15


def test_an_n_gram_that_is_not_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="no statistic of 11-grams; measured are 5, 6"):
        parse({"languages": {"en": {"dup_n_grams": {11: 0.1}}}}, GopherRepetition.Params, where="gopher_repetition.yaml")


def test_a_misspelt_threshold_names_the_file_and_the_right_key() -> None:
    with pytest.raises(ConfigError, match=r"languages\.en\.min_doc_wrods.*min_doc_words"):
        parse({"languages": {"en": {"min_doc_wrods": 3}}}, GopherQuality.Params, where="gopher_quality.yaml")


def test_the_shipped_pipeline_loads_with_chinese_at_fineweb_2s_values(settings: Settings) -> None:
    pipeline = load_pipeline(settings, "text")
    stages = {s.name: s for s in pipeline.stages}
    quality: Any = stages["gopher_quality"].params
    repetition: Any = stages["gopher_repetition"].params
    fineweb: Any = stages["fineweb"].params
    language: Any = stages["language"].params
    zh = quality.languages["zh"]
    assert (zh.min_avg_word_length, zh.max_avg_word_length, zh.max_non_alpha_words_ratio) == (1, 5, 0.735)
    statistics: Any = stages["text_statistics"].params
    assert len(statistics.stop_words["zh"]) == 22 and len(statistics.stop_words["default"]) == 8
    assert repetition.languages["zh"].top_n_grams == {2: 0.256, 3: 0.201, 4: 0.171}
    assert (fineweb.languages["zh"].line_punct_thr, fineweb.languages["zh"].new_line_ratio) == (0.106, 0.178)
    assert (language.thresholds["en"], language.thresholds["zh"]) == (0.65, 0.692)
    assert not stages["c4"].params.default.enabled and list(stages["c4"].params.languages) == ["en"]  # type: ignore[attr-defined]
