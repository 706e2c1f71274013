"""Decontamination: the search against a slow oracle, injected leaks and the rules."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from decontamination_set import CHINESE, KINDS, QUESTION, leaks, planted, units_of
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from headrace_governance.decontamination.index import Index
from headrace_governance.decontamination.rules import DecontaminationParams, NgramRule, ShortRule
from headrace_lake.errors import ConfigError
from headrace_lake.strict import parse

SMALL = DecontaminationParams(
    words=NgramRule(n=6, seed=4, min_overlap=0.5, min_coverage=0.7),
    characters=NgramRule(n=6, seed=4, min_overlap=0.5, min_coverage=0.7),
    short=ShortRule(units=3, letters=7, letters_a_character=2),
    max_items=2,
)


# -- the oracle: the same definition in plain Python -------------------------------------------------------------------


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


@hypothesis_settings(max_examples=300)
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
