"""Decontamination: the search against a slow oracle, injected leaks, rules, registration, and slices that go stale or do not."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from decontamination_set import KINDS, leaks
from hypothesis import given
from hypothesis import strategies as st
from near_duplicates_set import Planter
from test_near_duplicates import write
from typer.testing import CliRunner

from headrace_governance.text.decontamination.index import Index
from headrace_governance.text.decontamination.items import MAX_TEXT, Mapping, Rows, SetAbout, item_row, read_items
from headrace_governance.text.decontamination.report import as_html, report
from headrace_governance.text.decontamination.rules import DecontaminationParams, NgramRule, ShortRule
from headrace_governance.text.decontamination.sets import count_common, forget, held_out_rows, register
from headrace_governance.text.decontamination.stage import Decontamination
from headrace_governance.text.language import Language
from headrace_lake.engine import Pipeline, load_pipeline, preview_pipeline, run_pipeline
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

SMALL = DecontaminationParams(
    words=NgramRule(n=6, seed=4, min_overlap=0.5, min_coverage=0.7),
    characters=NgramRule(n=6, seed=4, min_overlap=0.5, min_coverage=0.7),
    short=ShortRule(units=3, letters=7, letters_a_character=2),
    max_items=2,
)


# -- the oracle: the same definition in plain Python -------------------------------------------------------------------


def units_of(text: str) -> list[str]:
    """Words, and single characters of unspaced scripts, folded."""
    units: list[str] = []
    word = ""
    for c in text + "\n":
        if 0x300 <= ord(c) < 0x370 or c in "'’\u00ad\u200b":
            continue
        folded = [d for d in unicodedata.normalize("NFKD", c) if not 0x300 <= ord(d) < 0x370] or [c]
        lower = {"ß": "ss", "ς": "σ"}.get(folded[0].lower(), folded[0].lower())
        alone = unicodedata.name(c, "").startswith(("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER")) and c.isalpha()
        separator = unicodedata.category(c)[0] not in "LNM"
        if word and (alone or separator):
            units.append(word)
            word = ""
        if alone:
            units.append(lower)
        elif not separator:
            word += lower
    return units


def unspaced(unit: str) -> bool:
    return len(unit) == 1 and unicodedata.name(unit, "").startswith(("CJK", "HIRAGANA", "KATAKANA"))


def plan(items: list[list[str]], p: DecontaminationParams) -> list[tuple[int, int, str]]:
    """N-gram length or 0, seed length or 0, and kind of seed of each item."""
    out = []
    for units in items:
        alone = sum(map(unspaced, units))
        kind = "characters" if 2 * alone >= max(1, len(units)) else "words"
        rule = getattr(p, kind)
        letters = len("".join(units)) + (p.short.letters_a_character - 1) * alone
        whole = len(units) < rule.n
        if whole and (len(units) < p.short.units or letters < p.short.letters):
            out.append((0, 0, kind))
        elif len(units) < rule.seed:
            out.append((0, p.short.units, "short"))
        else:
            out.append((0 if whole else rule.n, rule.seed, kind))
    return out


def oracle(items: list[str], document: str, p: DecontaminationParams) -> dict[int, tuple[int, int, int]]:
    """Item → (n-grams found, units covered, longest run)."""
    split = [units_of(i) for i in items]
    plans = plan(split, p)
    doc = units_of(document)

    def seeds(i: int) -> dict[int, tuple[str, ...]]:
        length = plans[i][1]
        found = {at: tuple(split[i][at : at + length]) for at in range(len(split[i]) - length + 1)} if length else {}
        return {at: s for at, s in found.items() if len(set(s)) >= (2 if plans[i][2] == "short" else 3)}

    in_items = Counter((plans[i][2], s) for i in range(len(items)) for s in set(seeds(i).values()))
    found = {}
    for i, units in enumerate(split):
        n, length, kind = plans[i]
        good = {at for at, s in seeds(i).items() if in_items[kind, s] <= p.max_items}
        if not good:
            continue
        runs = [r for r in common_runs(units, doc) if any(r[0] <= g and g + length <= r[1] for g in good)]
        if n == 0:
            if (0, len(units)) in runs:
                found[i] = (0, len(units), len(units))
            continue
        covered = {at for a, b in runs for at in range(a, b)}
        grams = {at for a, b in runs for at in range(a, b - n + 1)}
        rule = getattr(p, kind)
        if len(grams) >= rule.min_overlap * (len(units) - n + 1) or len(covered) >= rule.min_coverage * len(units):
            found[i] = (len(grams), len(covered), max(b - a for a, b in runs))
    return found


def common_runs(one: list[str], other: list[str]) -> list[tuple[int, int]]:
    """Places in `one` of every run that both share and that cannot be longer."""
    runs = []
    for shift in range(-len(one), len(other)):
        at = max(0, -shift)
        while at < len(one) and at + shift < len(other):
            end = at
            while end < len(one) and end + shift < len(other) and one[end] == other[end + shift]:
                end += 1
            if end > at:
                runs.append((at, end))
            at = end + 1
    return runs


WORD = st.sampled_from(["the", "mill", "Mill", "wheel's", "wheels", "Straße", "STRASSE", "corn,", "a", "b-c", "水", "渠", "と", "é", "ς"])
TEXT = st.lists(WORD, max_size=14).map(" ".join)


@given(st.lists(TEXT, min_size=1, max_size=4), st.data())
def test_the_search_equals_the_oracle(items: list[str], data: st.DataObject) -> None:
    piece = st.one_of(TEXT, st.sampled_from(items), st.sampled_from(items).flatmap(lambda t: st.integers(0, len(t)).map(lambda n: t[n:])))
    documents = data.draw(st.lists(st.lists(piece, max_size=4).map(" x ".join), min_size=1, max_size=4))
    hits = Index(pa.array(items, pa.large_string()), SMALL).find(pa.array(documents, pa.large_string()))
    got: dict[int, dict[int, tuple[int, int, int]]] = {}
    for d, i, g, c, run in zip(*(x.tolist() for x in (hits.document, hits.item, hits.ngrams, hits.covered, hits.longest)), strict=True):
        got.setdefault(d, {})[i] = (g, c, run)
    assert got == {n: want for n, d in enumerate(documents) if (want := oracle(items, d, SMALL))}


def test_a_text_that_repeats_itself_is_searched_in_time_and_found_once() -> None:
    item = "one two three four five six seven eight " * 60 + "and then the end of it"
    document = "one two three four five six seven eight " * 20_000
    index = Index(pa.array([item, "word " * 500], pa.large_string()), DecontaminationParams())
    hits = index.find(pa.array([document, "word " * 100_000, document + item], pa.large_string()))
    assert hits.document.tolist() == [0, 2] and hits.item.tolist() == [0, 0] and hits.longest.tolist() == [480, 486]
    assert index.searched.tolist() == [True, False]


def test_hashes_that_are_equal_by_chance_are_no_hit() -> None:
    words = [f"word{i}" for i in range(40)]
    index = Index(pa.array([" ".join(words[:20])], pa.large_string()), DecontaminationParams())
    other = pa.array([" ".join(words[20:])], pa.large_string())
    assert len(index.find(other).item) == 0
    index._hashes[:] = Index(other, DecontaminationParams())._hashes  # every unit of the item now hashes as the document's
    keys = Index(other, DecontaminationParams())
    for name in ("_keys", "_values", "_bits", "_bit_firsts", "_postings", "_posting_items", "_posting_places"):
        setattr(index, name, getattr(keys, name))
    assert len(index.find(other).item) == 0


# -- injected leaks ----------------------------------------------------------------------------------------------------

LOCALES = {"en": "en_US", "de": "de_DE", "fr": "fr_FR", "ru": "ru_RU", "zh": "zh_CN", "ja": "ja_JP"}


def planted() -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Items of 13 words (20 characters) and more, and documents of the same languages."""
    planter, rng = Planter(20261125), random.Random(5)
    items, hosts = [], {}
    for language, locale in LOCALES.items():
        texts = [planter.prose(locale) for _ in range(40)]
        hosts[language] = texts[20:]
        for text in texts[:20]:
            joint = "" if language in ("zh", "ja") else " "
            units = [c for c in text if c != "\n"] if not joint else text.split()
            third = len(units) // 3
            for n in range(3):
                size = min(third, rng.randint(24, 90) if not joint else rng.randint(13, 50))
                at = n * third + rng.randint(0, third - size)
                items.append((language, joint.join(units[at : at + size])))
    return [i for i in items if len(units_of(i[1])) >= (20 if i[0] in ("zh", "ja") else 13)], hosts


def test_injected_leaks_are_found_attributed_and_placed_and_nothing_else_is() -> None:
    items, hosts = planted()
    assert len(items) >= 300
    index = Index(pa.array([t for _, t in items], pa.large_string()), DecontaminationParams())
    found = leaks(7, items, hosts)
    hits = index.find(pa.array([x.text for x in found], pa.large_string()))
    by_document: dict[int, list[int]] = {}
    for h, d in enumerate(hits.document.tolist()):
        by_document.setdefault(d, []).append(h)
    asked, right = Counter[str](), Counter[str]()
    wrong = 0
    for n, leak in enumerate(found):
        asked[leak.kind] += 1
        for h in by_document.get(n, []):
            if int(hits.item[h]) != leak.item:
                wrong += 1
                continue
            right[leak.kind] += 1
            raw = leak.text.encode()
            low, high = len(raw[: int(hits.start[h])].decode()), len(raw[: int(hits.end[h])].decode())
            assert min(high, leak.end) - max(low, leak.start) >= 0.5 * (leak.end - leak.start), "the place is not that of the leak"
            assert high - low <= 2.5 * (leak.end - leak.start)
    print({k: round(right[k] / asked[k], 4) for k in KINDS}, "wrong", wrong)
    for kind in KINDS[:-1]:
        assert right[kind] >= 0.98 * asked[kind], kind
    assert right["edited"] >= 0.7 * asked["edited"]
    assert wrong == 0
    clean = index.find(pa.array([t for texts in hosts.values() for t in texts], pa.large_string()))
    assert len(clean.item) == 0


# -- rules -------------------------------------------------------------------------------------------------------------


def find(items: list[str], document: str, params: DecontaminationParams | None = None) -> list[int]:
    hits = Index(pa.array(items, pa.large_string()), params or DecontaminationParams()).find(pa.array([document], pa.large_string()))
    return hits.item.tolist()


QUESTION = "How many cubic metres of water pass the great wheel of the old mill on a dry day in August?"
CHINESE = "磨坊的大水车在八月干旱的一天里能够通过多少立方米的水？"


def test_forms_of_one_text_are_the_same_and_other_texts_are_not() -> None:
    assert find([QUESTION], f"He asked: «{QUESTION.upper()}»") == [0]
    assert find([QUESTION], QUESTION.replace(" ", "\n")) == [0]
    assert find([QUESTION], QUESTION.replace("wheel", "whe\u00adel")) == [0]
    assert find([CHINESE], "题目：" + "\n".join(CHINESE) + "答案") == [0]
    assert find(["Wie heißt die größte Straße in der Stadt, in der die Mühle des alten Müllers steht?"] , "WIE HEISST DIE GRÖSSTE STRASSE IN DER STADT, IN DER DIE MÜHLE DES ALTEN MÜLLERS STEHT") == [0]  # fmt: skip  # noqa: E501
    assert find([QUESTION], QUESTION.replace("wheel", "stone")) == [0], "one word changed: runs of eight words cover it"
    assert find([QUESTION], "How many cubic metres of water pass the great lock of the canal on a wet day in March?") == []
    assert find([QUESTION], " ".join(reversed(QUESTION.split()))) == []
    assert find([CHINESE], CHINESE[::-1]) == []


def test_a_short_item_counts_as_a_whole_between_word_borders_and_only_if_it_is_no_common_phrase() -> None:
    item = "Which mineral hardens Portland cement?"
    assert find([item], f"Ask: {item.lower()} Nobody knew.") == [0]
    assert find([item], "Which mineral hardens Portland cements?") == [] == find([item], "Sandwhich mineral hardens Portland cement")
    assert find([item], "which mineral hardens Portland concrete") == []
    assert find(["What is correct?", "yes", "东西都是什么"], "What is correct? yes 东西都是什么") == [], (
        "too short to be told from a phrase"
    )
    assert find(["水力磨坊用什么木材做水轮"], "问：水力磨坊用什么木材做水轮？") == [0]
    assert find([item] * 11, item) == [], "what stands in more than ten items is the set's template"
    assert find([item] * 10, item) == list(range(10))


def test_a_template_starts_no_match_but_the_question_behind_it_does() -> None:
    head = "Read the following passage with care and then choose the one answer that fits it best from the list below."
    items = [f"{head} {w} stone number {n} of the {w} bridge near the {w} road was laid by whom?" for n, w in enumerate("abcdefghijklmnop")]
    assert find(items, f"Exam rules. {head} Good luck.") == []
    assert find(items, f"Leak: {items[5]}") == [5]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"drop": ["quesion"]}, "no field 'quesion'; fields: question, answer, context, document"),
        ({"words": {"n": 5, "seed": 8}}, "'seed' must not be longer than 'n'"),
        ({"short": {"units": 9}}, "'short.units' must not be more than a 'seed'"),
        ({"worlds": {}}, "did you mean 'words'"),
    ],
)
def test_wrong_rules_are_refused_by_name(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(data, DecontaminationParams, where="decontamination.yaml")


def test_the_shipped_rules_are_the_defaults(checkout: Path) -> None:
    data = yaml.safe_load((checkout / "governance/pipelines/filters/decontamination.yaml").read_text(encoding="utf-8"))
    assert parse(data, DecontaminationParams, where="x") == DecontaminationParams() and set(data) == set(DecontaminationParams.model_fields) - {"sets"}  # fmt: skip  # noqa: E501


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
    write(made, EN, {"en1": PROSE * 3, "en2": f"{PROSE}\n{QUESTION}\n{PROSE}", "en3": f"{PROSE} {CHINESE} {PROSE}"})
    write(made, DE, {"de1": GERMAN * 3, "de2": GERMAN * 2 + QUESTION.lower()})
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
        write(lake, EN, texts)
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
    write(lake, site, {f"p{n}": f"Page {n} of it.\n {PROSE}\nText of page {n}, {QUESTION}" for n in range(11)})
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
    write(lake, other, {f"l{a}{b}": f"{PROSE} Part {a} {b} of it. {phrase}" for a, b in names})
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
    from headrace_governance.decontamination_cli import app

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
    shown = call("report", "--html", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json"))
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
