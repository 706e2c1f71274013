"""Toxicity: tiers on a labelled set in eight languages, manuals and dialects that stay clean, places, drops, the operator's rules."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import unicodedata
from pathlib import Path
from typing import Any

import ahocorasick
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from toxicity_set import DIALECTS, labelled

from headrace_governance.text.toxicity.automaton import build, search
from headrace_governance.text.toxicity.policy import TIERS, Dense, LanguageRules, Rule, ToxicityParams
from headrace_governance.text.toxicity.stage import Hit, Toxicity, resolve
from headrace_governance.text.toxicity.terms import Pattern, word_list
from headrace_lake.errors import ConfigError
from headrace_lake.strict import parse
from headrace_lake.tables import table_spec

POLICY = Path(__file__).parents[4] / "governance" / "pipelines" / "filters" / "toxicity.yaml"
MODULES = (
    "os signal subprocess multiprocessing.process multiprocessing.pool threading asyncio.subprocess asyncio.tasks pty socket ssl "
    "email.message tarfile zipfile logging unittest.case argparse shutil tempfile pathlib http.client urllib.request concurrent.futures "
    "sqlite3 xml.dom"
).split()
"""Of the standard library: processes that are killed, children that die, masters and slaves of terminals."""


@pytest.fixture(scope="module")
def shipped() -> Toxicity:
    made = Toxicity(parse(yaml.safe_load(POLICY.read_text(encoding="utf-8")), ToxicityParams, where=str(POLICY)))
    made.setup()
    made.begin(None, {})  # type: ignore[arg-type]
    return made


def tiers_of(stage: Toxicity, texts: list[str], languages: list[str]) -> list[int]:
    found = stage.hits(pa.array(texts, pa.large_string()), languages)
    return [max((h.tier for h in hits), default=0) for hits in found]


def staged(*rules: Rule, **params: Any) -> Toxicity:
    made = Toxicity(ToxicityParams(languages={"en": LanguageRules(rules=rules)}, **params))
    made.setup()
    made.begin(None, {})  # type: ignore[arg-type]
    return made


def batch(*texts: str, language: str = "en", words: int | None = None) -> pa.Table:
    return pa.table(
        {
            "uid": [f"{i:032x}" for i in range(len(texts))],
            "text": pa.array(texts, pa.large_string()),
            "verdict_language.language": [language] * len(texts),
            "text_statistics.words": pa.array([len(t.split()) if words is None else words for t in texts], pa.int64()),
        }
    )


def test_precision_and_recall_by_tier_and_language(shipped: Toxicity) -> None:
    examples = labelled()
    got = tiers_of(shipped, [e.text for e in examples], [e.language for e in examples])
    print(f"\n{'language':8} {'tier or worse':14} {'n':>4} {'recall':>7} {'precision':>9}")
    for language in dict.fromkeys(e.language for e in examples):
        for tier in (1, 2, 3):
            pairs = [(TIERS.index(e.tier) >= tier, g >= tier) for e, g in zip(examples, got, strict=True) if e.language == language]
            asked, said, right = sum(a for a, _ in pairs), sum(b for _, b in pairs), sum(a and b for a, b in pairs)
            print(f"{language:8} {TIERS[tier]:14} {asked:4} {right / asked:7.3f} {right / said:9.3f}")
            assert right / asked >= 0.93 and right / said >= 0.88, (language, TIERS[tier])
    assert len({e.language for e in examples}) >= 5


def test_manuals_stay_clean(shipped: Toxicity) -> None:
    """Docstrings of the standard library speak of killing, dying, slaves and aborting."""
    texts = set()
    for module in map(importlib.import_module, MODULES):
        for thing in [module, *vars(module).values(), *(v for c in vars(module).values() if inspect.isclass(c) for v in vars(c).values())]:
            doc = inspect.getdoc(thing) if callable(thing) or inspect.ismodule(thing) else None
            if doc and len(doc) > 40:
                texts.add(doc)
    chosen = sorted(texts)
    assert len(chosen) > 700 and sum("kill" in t or "abort" in t or "slave" in t for t in chosen) >= 5
    wrong = [t[:60] for t, tier in zip(chosen, tiers_of(shipped, chosen, ["en"] * len(chosen)), strict=True) if tier]
    assert not wrong


def test_dialects_are_no_more_toxic_than_the_standard(shipped: Toxicity) -> None:
    for name, sentences in DIALECTS.items():
        assert tiers_of(shipped, list(sentences), [name[:2]] * len(sentences)) == [0] * len(sentences), name


@pytest.mark.parametrize(
    ("language", "text", "tier"),
    [
        ("en", "ＦＵＣＫ this", "strong"),
        ("en", "a scuttling fucker", "strong"),
        ("en", "snigger, Scunthorpe, assassin, class", "none"),
        ("en", "f_fuck_f and x2fuck", "none"),
        ("zh", "這個賤人還敢回來", "strong"),
        ("zh", "这个贱人还敢回来 shit", "strong"),
        ("zh", "bullshit一派胡言", "mild"),
        ("zh", "一句bitch而已", "mild"),
        ("zh", "一句snobbitche而已", "none"),
        ("zh", "what a bullshit 一派胡言", "mild"),
        ("ru", "ПИЗДЕЦ какой", "strong"),
        ("ru", "Пиздец какой", "strong"),
        ("ru", "рассуки", "none"),
        ("de", "SCHEISSE", "mild"),
        ("de", "scheisse und scheiße", "mild"),
        ("ar", "والشرموطة", "strong"),
        ("ko", "개새끼들아", "strong"),
        ("xx", "fuck", "none"),
        ("en", "", "none"),
    ],
)
def test_written_forms(shipped: Toxicity, language: str, text: str, tier: str) -> None:
    assert TIERS[tiers_of(shipped, [text], [language])[0]] == tier


# -- the automaton ---------------------------------------------------------------------------------------------------------

_ALPHABET = st.text(alphabet="abA é猫ü_ß", min_size=1, max_size=4)


@given(st.sets(_ALPHABET, min_size=1, max_size=12), st.lists(st.text(alphabet="abcA é猫ü_ß.", max_size=40), min_size=1, max_size=4))
def test_it_finds_what_pyahocorasick_finds(terms: set[str], texts: list[str]) -> None:
    keys = sorted({t.encode().lower() for t in terms})
    flags = list(itertools.islice(itertools.cycle([(False, False), (True, False), (False, True), (True, True)]), len(keys)))
    ours = build([Pattern(k, left, right, 1, "") for k, (left, right) in zip(keys, flags, strict=True)])
    peer = ahocorasick.Automaton()
    for number, key in enumerate(keys):
        peer.add_word(key.decode("latin-1"), number)
    peer.make_automaton()
    expected = set()
    for row, text in enumerate(texts):
        data = text.encode()
        for last, number in peer.iter(data.lower().decode("latin-1")):
            end = last + 1
            start = end - len(keys[number])
            if bounded(data, start, end, *flags[number]):
                expected.add((row, number, start, end))
    found = list(zip(*(a.tolist() for a in search(ours, pa.array(texts, pa.large_string()))), strict=True))
    assert set(found) == expected and len(found) == len(expected)


def bounded(data: bytes, start: int, end: int, left: bool, right: bool) -> bool:
    before, after = data[:start].decode(errors="ignore")[-1:], data[end:].decode(errors="ignore")[:1]
    return not (left and before and letter(before)) and not (right and after and letter(after))


def letter(c: str) -> bool:
    return c == "_" or (c.isalnum() and c != "猫") or unicodedata.category(c)[0] == "M"


def test_more_findings_than_the_first_buffer_holds() -> None:
    found = search(build([Pattern(b"ab", False, False, 1, "")]), pa.array(["ab" * 5000, "", "xab"], pa.large_string()))
    assert [len(a) for a in found] == [5001] * 4 and found[0][-1] == 2 and found[2][-1] == 1


def test_a_slice_of_a_column_has_its_own_places() -> None:
    column = pa.array(["ab", "猫ab", "b"], pa.large_string()).slice(1)
    assert [a.tolist() for a in search(build([Pattern(b"ab", False, False, 1, "")]), column)] == [[0], [0], [3], [5]]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.integers(0, 3)), max_size=30))
def test_what_is_chosen_never_overlaps_nor_lies_in_an_allowed_phrase(raw: list[tuple[int, int, int]]) -> None:
    hits = [Hit(s, s + n, tier, "c") for s, n, tier in raw]
    chosen = resolve(hits)
    assert all(a.end <= b.start for a, b in itertools.pairwise(chosen)) and all(h.tier for h in chosen)
    allowed = [h for h in hits if not h.tier]
    assert not any(a.start <= h.start and h.end <= a.end for a in allowed for h in chosen)
    free = [h for h in hits if h.tier and not any(a.start <= h.start and h.end <= a.end for a in allowed)]
    assert all(any(h.start < c.end and c.start < h.end and c.tier >= h.tier for c in chosen) for h in free)


# -- the stage -------------------------------------------------------------------------------------------------------------

_BAD = Rule(category="hate", tier="severe", terms=("zork",))
_MILD = Rule(category="profanity", tier="mild", terms=("drat*",))


def test_places_are_bytes_and_only_dense_severe_documents_go() -> None:
    stage = staged(_BAD, _MILD)
    rare = "zork " * 3 + "word " * 1000
    out = stage.process(batch("Grüße, dratted thing", "zork zork zork", rare, "clean", "zork"))
    assert out["tier"].to_pylist() == ["mild", "severe", "severe", "none", "severe"]
    assert out["keep"].to_pylist() == [True, False, True, True, True] and out["reason"].to_pylist() == [None, "toxic", None, None, None]
    start, end = out["starts"][0][0].as_py(), out["ends"][0][0].as_py()
    assert "Grüße, dratted thing".encode()[start:end] == b"drat"
    assert out["categories"].to_pylist()[:2] == [["profanity"], ["hate"]] and out["per_thousand"][1].as_py() == 1000.0
    assert json.loads(out["measured"][1].as_py()) == {"severe": 3, "words": 3} and out["measured"][3].as_py() is None
    spec = table_spec("verdict_toxicity").schema
    assert {f.name for f in spec} - {"source", "slice", "part"} <= set(out.column_names)
    assert all(out.schema.field(f.name).type == f.type for f in spec if f.name in out.column_names and f.name != "uid")


def test_what_goes_is_a_matter_of_the_policy() -> None:
    out = staged(_BAD, _MILD, drop=Dense(tier="mild", hits=1, per_thousand=0)).process(batch("drat", "well"))
    assert out["keep"].to_pylist() == [False, True]


def test_a_document_without_statistics_is_no_document_with_zero_words() -> None:
    table = batch("zork")
    table = table.set_column(table.column_names.index("text_statistics.words"), "text_statistics.words", pa.array([None], pa.int64()))
    with pytest.raises(ValueError, match="text_statistics"):
        staged(_BAD).process(table)


def test_languages_of_a_batch_are_kept_apart_and_their_order_does_not_matter(shipped: Toxicity) -> None:
    examples = labelled()[::7]
    together = tiers_of(shipped, [e.text for e in examples], [e.language for e in examples])
    alone = [tiers_of(shipped, [e.text], [e.language])[0] for e in examples]
    assert together == alone


def test_the_operators_own_terms_hold_in_every_language_or_in_one() -> None:
    everywhere, chinese = (
        Rule(category="restricted", tier="mild", terms=("Blue Umbrella",)),
        Rule(category="restricted", tier="strong", terms=("蓝伞会",)),
    )
    stage = Toxicity(ToxicityParams(languages={"zh": LanguageRules(spaced=False)}, restricted={"*": (everywhere,), "zh": (chinese,)}))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    assert tiers_of(stage, ["a blue umbrella", "他参加了藍傘會活动", "他参加了蓝伞会活动"], ["fr", "zh", "fr"]) == [1, 2, 0]
    assert ToxicityParams.model_validate(yaml.safe_load(POLICY.read_text(encoding="utf-8"))).restricted == {}


def test_allowed_phrases_win_and_of_two_readings_the_worse() -> None:
    rules = LanguageRules(allow=("zork bridge",), rules=(_BAD, Rule(category="sexual", tier="mild", terms=("zork hall",))))
    stage = Toxicity(ToxicityParams(languages={"en": rules}))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    assert tiers_of(stage, ["zork bridge", "zork hall", "Zork. Bridge", "zork bridges"], ["en"] * 4) == [0, 3, 3, 3]


def test_lists_come_from_the_installed_package() -> None:
    assert len(word_list("ldnoobw-zh")) > 300 and not any(w.startswith("#") for w in word_list("ldnoobw-en"))
    for wrong in ("ldnoobw-xx", "../../__init__"):
        with pytest.raises(ConfigError, match="no word list"):
            word_list(wrong)


def test_a_rule_for_a_language_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="borrow: 'en' has no rules"):
        parse({"languages": {"ja": {"borrow": "en"}}}, ToxicityParams, where="toxicity.yaml")
