"""Scripts, simplified and traditional Chinese, and mixed documents, on real translations inside installed packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace_governance.text.language.paragraphs import ParagraphParams, paragraphs_of
from headrace_governance.text.language.scripts import LETTER_SCRIPTS, SCRIPT_BITS, one_sided_characters, script_table, scripts_of
from headrace_governance.text.language.stage import Language, LanguageParams
from headrace_lake.errors import ConfigError
from headrace_lake.strict import parse

FILE = Path(__file__).parents[4] / "governance" / "pipelines" / "filters" / "language.yaml"
SCRIPTS = {
    "ar": "Arab", "ca": "Latn", "de": "Latn", "el": "Grek", "en": "Latn", "es": "Latn", "fr": "Latn", "he": "Hebr", "hi": "Deva",
    "hu": "Latn", "it": "Latn", "ja": "Jpan", "ko": "Kore", "nl": "Latn", "pl": "Latn", "pt": "Latn", "ru": "Cyrl", "th": "Thai",
    "tr": "Latn", "zh-CN": "Hans", "zh-TW": "Hant",
}  # fmt: skip
ENGLISH = "The canal that feeds the mill was dug by the monks, and it has been kept clean with great care for six hundred years. "
GERMAN = "Der Kanal speist die Mühle, und der Müller hält das Wehr sauber, damit das Rad im Winter nicht stehen bleibt, wenn es friert. "


def translations(language: str) -> list[str]:
    """Airflow's interface (Apache-2.0) in one language, string by string."""
    import airflow

    def strings(value: Any) -> list[str]:
        return [s for v in value.values() for s in strings(v)] if isinstance(value, dict) else [str(value)]

    folder = Path(airflow.__file__).parent / "ui" / "dist" / "i18n" / "locales" / language
    return [s for f in sorted(folder.glob("*.json")) for s in strings(json.loads(f.read_text(encoding="utf-8")))]


def codes(texts: list[str]) -> list[str]:
    return scripts_of(pa.array(texts, pa.large_string()), script_table()).codes


def run(texts: list[str], **params: Any) -> list[dict[str, Any]]:
    data = yaml.safe_load(FILE.read_text(encoding="utf-8")) | params
    stage = Language(parse(data, LanguageParams, where="language.yaml"))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    rows: list[dict[str, Any]] = stage.process(
        pa.table({"uid": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string())})
    ).to_pylist()
    return rows


def test_real_text_in_21_languages_is_in_its_script() -> None:
    assert codes(["\n".join(translations(language)) for language in SCRIPTS]) == list(SCRIPTS.values())


def test_short_strings_are_simplified_or_traditional_as_their_translators_wrote_them() -> None:
    for language, right, wrong in (("zh-CN", "Hans", "Hant"), ("zh-TW", "Hant", "Hans")):
        strings = [s for s in translations(language) if sum("\u4e00" <= c <= "\u9fff" for c in s) >= 8]
        found = codes(strings)
        assert len(strings) >= 100 and found.count(wrong) <= 0.01 * len(found), [
            s for s, c in zip(strings, found, strict=True) if c == wrong
        ]
        assert found.count(right) >= 0.9 * len(found)


def test_converted_text_is_on_the_other_side() -> None:
    import opencc

    simplified, traditional = "\n".join(translations("zh-CN")), "\n".join(translations("zh-TW"))
    made = [opencc.OpenCC("s2t").convert(simplified), opencc.OpenCC("s2tw").convert(simplified), opencc.OpenCC("t2s").convert(traditional)]
    assert codes(made) == ["Hant", "Hant", "Hans"]
    rows = run([simplified, traditional, made[0]])
    assert rows[0]["traditional"] < 0.01 and rows[1]["traditional"] > 0.99 and rows[2]["traditional"] > 0.99


def test_characters_that_both_write_tell_nothing() -> None:
    simplified, traditional = one_sided_characters()
    assert len(simplified) > 2000 and len(traditional) > 3000 and not simplified & traditional
    assert not set("后里台干于云范斗几松出面谷征余") & (simplified | traditional)
    assert set("们这说时为国会对发过") - {"国", "会"} <= simplified and set("們這說時為對發過") <= traditional
    assert codes(["皇后在里台。", "水", "繁體中文裡引用一句简体。繁體還是這樣寫的。"]) == ["Hani", "Hani", "Hant"]
    assert run(["皇后在里台。"])[0]["traditional"] is None


def test_every_letter_has_the_script_that_unicode_gives_it() -> None:
    names = {
        "Arab": "Arabic", "Armn": "Armenian", "Beng": "Bengali", "Bopo": "Bopomofo", "Cyrl": "Cyrillic", "Deva": "Devanagari",
        "Ethi": "Ethiopic", "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi", "Hang": "Hangul",
        "Hani": "Han", "Hebr": "Hebrew", "Hira": "Hiragana", "Kana": "Katakana", "Khmr": "Khmer", "Knda": "Kannada", "Laoo": "Lao",
        "Latn": "Latin", "Mlym": "Malayalam", "Mong": "Mongolian", "Mymr": "Myanmar", "Orya": "Oriya", "Sinh": "Sinhala",
        "Taml": "Tamil", "Telu": "Telugu", "Thai": "Thai", "Tibt": "Tibetan",
    }  # fmt: skip
    table = script_table() & SCRIPT_BITS
    letters = [c for p in range(0x1F000) if (c := chr(p)).isalpha() and category(c) != "Lm"]
    every = pa.array(letters)
    for code, name in names.items():
        theirs = set(every.filter(pc.match_substring_regex(every, rf"^\p{{{name}}}$")).to_pylist())  # RE2's tables
        ours = {c for c in letters if table[ord(c)] == LETTER_SCRIPTS.index(code)}
        # A few rare letters have names that begin otherwise.
        assert len(ours ^ theirs) <= max(3, 0.04 * len(theirs)), (code, sorted(ours ^ theirs)[:20])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8))
def test_counts_equal_a_plain_loop(texts: list[str]) -> None:
    found, table = scripts_of(pa.array(texts, pa.large_string()), script_table()), script_table()
    for row, text in enumerate(texts):
        numbers = [int(table[ord(c)]) & SCRIPT_BITS for c in text]
        for i, code in enumerate(LETTER_SCRIPTS):
            if code not in ("Zyyy", "Bopo", "Hang", "Hani", "Hira", "Kana"):
                assert found.weights[row, i] == numbers.count(i)
        east = {LETTER_SCRIPTS.index(c) for c in ("Bopo", "Hang", "Hani", "Hira", "Kana")}
        assert found.weights[row, LETTER_SCRIPTS.index("Hani")] == 3 * sum(n in east for n in numbers)
        assert (found.codes[row] == "Zyyy") == (not any(numbers)) and 0 < found.shares[row] <= 1
        sides = [text_side for c in text for text_side in [table[ord(c)] & 0xC0] if text_side]
        assert np.isnan(found.traditional[row]) == (not sides)


def test_the_policy_says_which_scripts_a_language_may_be_in() -> None:
    texts = ["\n".join(translations("zh-CN")), "\n".join(translations("zh-TW"))]
    assert [r["reason"] for r in run(texts)] == [None, None]
    rows = run(texts, scripts={"zh": ["Hans", "Hani"]})
    assert [(r["language"], r["script"], r["reason"]) for r in rows] == [("zh", "Hans", None), ("zh", "Hant", "script_not_wanted")]
    assert json.loads(rows[1]["measured"])["script"] == "Hant"
    with pytest.raises(ConfigError, match="no script 'Hnas'"):
        parse({"scripts": {"zh": ["Hnas"]}}, LanguageParams, where="language.yaml")


def test_a_document_in_two_languages_is_found_by_its_paragraphs() -> None:
    half = "\n\n".join([ENGLISH + str(i) for i in range(20)] + [GERMAN * 2 + str(i) for i in range(20)])
    tail = "\n\n".join([ENGLISH * 2 + str(i) for i in range(20)] + [GERMAN * 2 + str(i) for i in range(8)])
    chinese = "\n\n".join([ENGLISH * 3] * 4 + ["水渠把河水引到磨坊，僧侣们挖了它，六百年来一直有人清理，冬天也不停。" * 3] * 2)
    rows = run([half, tail, chinese, ENGLISH * 30])
    assert [r["reason"] for r in rows[:2]] == ["mixed_languages", None]
    shares = json.loads(rows[0]["paragraph_languages"])
    assert set(shares) == {"en", "de"} and sum(shares.values()) == pytest.approx(1) and shares["de"] > 0.5
    assert json.loads(rows[1]["paragraph_languages"])["en"] > 0.6
    assert set(json.loads(rows[2]["paragraph_languages"])) == {"en", "zh"} and rows[2]["keep"]
    assert rows[3]["paragraph_languages"] is None and rows[3]["keep"]
    [row] = run([half], paragraphs={"min_share": 0.1})
    assert row["keep"] and row["paragraph_languages"] == rows[0]["paragraph_languages"]


def test_code_headings_and_tables_are_no_paragraphs_and_long_texts_give_a_sample() -> None:
    text = f"# {GERMAN}\n\n{ENGLISH}\n\n```\n{GERMAN}\n\n{GERMAN}\n```\n\n| {GERMAN} |\n\nshort\n\n{ENGLISH}\n| {GERMAN} |"
    assert [p.strip() for p in paragraphs_of(text, ParagraphParams(min_bytes=60))] == [ENGLISH.strip()] * 2
    many = paragraphs_of("\n\n".join(f"{i} {ENGLISH}" for i in range(1000)), ParagraphParams(most=10, min_bytes=60))
    assert [p.split()[0] for p in many] == [str(100 * i) for i in range(10)]
    assert paragraphs_of("```\n" + ENGLISH * 5, ParagraphParams()) == []
