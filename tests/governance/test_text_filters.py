"""Our verdicts are datatrove's verdicts, document by document, and the thresholds are the YAML files'."""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from headrace_governance.text.filters.c4 import C4
from headrace_governance.text.filters.datatrove_verdict import DatatroveVerdict
from headrace_governance.text.filters.fineweb import FineWeb
from headrace_governance.text.filters.gopher_quality import GopherQuality
from headrace_governance.text.filters.gopher_repetition import GopherRepetition
from headrace_governance.text.filters.words import tokenizer_for
from headrace_lake.engine.pipeline import load_pipeline
from headrace_lake.errors import ConfigError
from headrace_lake.settings import Settings
from headrace_lake.strict import parse

FOLDER = Path(__file__).parents[2] / "governance" / "pipelines" / "filters"
FILTERS: list[type[DatatroveVerdict]] = [GopherQuality, GopherRepetition, C4, FineWeb]
LANGUAGES = [
    "zh",
    "de",
    "es",
    "fr",
    "ja",
    "ru",
    "ar",
    "ko",
    "hi",
    "pt",
    "it",
    "nl",
    "pl",
    "cs",
    "sv",
    "tr",
    "uk",
    "id",
    "da",
    "fi",
    "no",
    "hu",
    "el",
    "ro",
    "fa",
]
KOREAN = "수로는 물레방아에 물을 대고 방앗간 주인은 겨울에도 바퀴가 멈추지 않도록 수문을 깨끗하게 관리한다."
HINDI = "नहर चक्की को पानी देती है और चक्की का मालिक फाटक को साफ रखता है ताकि पहिया सर्दी में भी न रुके।"


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


def stage_of(cls: type[DatatroveVerdict]) -> DatatroveVerdict:
    data = yaml.safe_load((FOLDER / f"{cls.name}.yaml").read_text())
    stage = cls(parse(data, cls.Params, where=cls.name))
    stage.begin(None, {})  # type: ignore[arg-type]
    return stage


def direct(cls: type[DatatroveVerdict], language: str) -> Any:
    """datatrove's filter built from the YAML by hand, with the language's name in place of our tokeniser."""
    from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import KiwiTokenizer

    data = yaml.safe_load((FOLDER / f"{cls.name}.yaml").read_text())
    values = dict(data["languages"].get(language, data["default"]))
    # FineWeb-2's names; for Korean the model that ships, since datatrove's own default ships no more.
    name: Any = (
        KiwiTokenizer("cong")
        if language == "ko"
        else {"zh": "cmn_Hani", "ar": "arb_Arab", "hi": "hin_Deva", "no": "nob_Latn"}.get(language, language)
    )
    if cls is C4:
        return C4QualityFilter(**values, language=name) if values.pop("enabled", True) else None
    if cls is GopherRepetition:
        values |= {k: tuple(values[k].items()) for k in ("top_n_grams", "dup_n_grams") if k in values}
        return GopherRepetitionFilter(**values, language=name)
    return (GopherQualityFilter if cls is GopherQuality else FineWebQualityFilter)(**values, language=name)


def test_verdicts_equal_datatroves_on_more_than_300_documents_in_26_languages() -> None:
    from datatrove.data import Document

    texts = documents()
    assert len(texts) >= 300 and len({language for language, _ in texts}) >= 25
    batch = pa.table(
        {
            "uid": [str(i) for i in range(len(texts))],
            "text": [t for _, t in texts],
            "verdict_language.language": [lang for lang, _ in texts],
        }
    )
    dropped = 0
    for cls in FILTERS:
        rows = stage_of(cls).process(batch).to_pylist()
        filters = {language: direct(cls, language) for language in {lang for lang, _ in texts}}
        for row, (language, text) in zip(rows, texts, strict=True):
            result = True if filters[language] is None else filters[language].filter(Document(text=text, id=""))
            kept, reason = result if isinstance(result, tuple) else (result, None)
            assert (row["keep"], row["reason"]) == (kept, reason), (cls.name, language, text[:80])
            dropped += not kept
    assert dropped > 100


@pytest.mark.parametrize("cls", FILTERS)
def test_every_measured_value_of_a_drop_is_beyond_its_threshold(cls: type[DatatroveVerdict]) -> None:
    stage = stage_of(cls)
    prose = "the mill and the wheel have to be kept with the canal that feeds it. " * 2
    for text in (
        "word " * 20,
        "a b c the and " * 40,
        "# # # the and to be " * 30,
        "- the and to be x\n" * 40,
        "the and to be ...\n" * 60,
        prose * 10,
        "{" + prose,
        "",
        "\n\n",
    ):
        reason, detail = stage.judge(text, "en")
        if reason not in (None, "empty", "too_few_sentences"):
            assert detail is not None and '"value": null' not in detail, reason


def test_an_unlisted_or_unknown_language_gets_the_default_thresholds_and_a_neutral_tokeniser() -> None:
    stage = stage_of(GopherQuality)
    assert stage.thresholds_for("xx") == stage.params.default  # type: ignore[attr-defined]
    for language in ("und", "vi", "th", "eo"):
        assert tokenizer_for(language).word_tokenize("una frazo kun vortoj") == ["una", "frazo", "kun", "vortoj"]
        stage.judge("kelkaj vortoj " * 40, language)


def test_chinese_japanese_and_korean_are_split_into_words_without_spaces() -> None:
    assert {"水渠", "磨坊", "，"} < set(tokenizer_for("zh").word_tokenize("水渠把水引到磨坊，不停。"))
    assert len(tokenizer_for("ja").word_tokenize("水路は水車に水を送る。")) > 5
    assert len(tokenizer_for("ko").word_tokenize(KOREAN)) > 15 and len(tokenizer_for("hi").word_tokenize(HINDI)) > 15


def test_the_word_memory_never_changes_the_words() -> None:
    tokenizer = tokenizer_for("en")
    for text in ("Don't split: twice.", "a \ue000 b", "", "…"):
        assert tokenizer.word_tokenize(text) == tokenizer.word_tokenize(text)
    assert tokenizer.word_tokenize("a \ue000 b") == ["a", "\ue000", "b"]


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
    assert (zh.min_avg_word_length, zh.max_avg_word_length, zh.max_non_alpha_words_ratio, len(zh.stop_words)) == (1, 5, 0.735, 22)
    assert repetition.languages["zh"].top_n_grams == {2: 0.256, 3: 0.201, 4: 0.171}
    assert (fineweb.languages["zh"].line_punct_thr, fineweb.languages["zh"].new_line_ratio) == (0.106, 0.178)
    assert (language.thresholds["en"], language.thresholds["zh"]) == (0.65, 0.692)
    assert not stages["c4"].params.default.enabled and list(stages["c4"].params.languages) == ["en"]  # type: ignore[attr-defined]
