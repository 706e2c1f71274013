"""PII: check digits, spans and masks, and recall and precision on a set of people who do not exist."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pii_set import PHONE_COUNTRIES, Example, is_hit, labelled, wilson_lower

from headrace_governance.text.pii.checks import card_number, luhn, machine_readable, resident_id
from headrace_governance.text.pii.detect import KINDS, PREFILTER, candidates, find
from headrace_governance.text.pii.mask import mask_column, mask_text
from headrace_governance.text.pii.stage import Pii, PiiParams, byte_places
from headrace_lake.errors import ConfigError
from headrace_lake.strict import parse

MASKS = {kind: f"[{kind.upper()}]" for kind in KINDS}


def found_in(example: Example) -> list[tuple[str, int, int]]:
    maybe = candidates(pa.chunked_array([pa.array([example.text])]))
    kinds = tuple(k for k in KINDS if maybe[k][0].as_py())
    return [(s.kind, s.start, s.end) for s in find(example.text, example.language, kinds)]


def test_recall_and_precision_by_kind_and_language() -> None:
    examples = labelled()
    positives = [e for e in examples if e.span]
    assert len(positives) >= 2000 and len(examples) - len(positives) >= 2000 and len(PHONE_COUNTRIES) >= 10
    hits: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    missed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for example in examples:
        found = found_in(example)
        right = [f for f in found if is_hit(example, f)]
        if right:
            hits[example.kind, example.language] += 1
        elif example.span:
            missed[example.kind, example.language].append(example.text[slice(*example.span)])
        for kind, start, end in found:
            if (kind, start, end) not in right:
                wrong[kind, example.language] += 1
                missed[f"wrong {kind}", example.language].append(example.text[start:end])
    asked = Counter((e.kind, e.language) for e in positives)
    print(f"\n{'kind':12} {'language':8} {'n':>5} {'recall':>7} {'Wilson':>7} {'precision':>9}")
    for (kind, language), n in sorted(asked.items()):
        right, false = hits[kind, language], wrong[kind, language]
        print(f"{kind:12} {language:8} {n:5} {right / n:7.3f} {wilson_lower(right, n):7.3f} {right / max(1, right + false):9.3f}")
    for key, n in asked.items():
        assert wilson_lower(hits[key], n) >= 0.95, (key, hits[key], n, missed[key][:5])
        assert hits[key] / (hits[key] + wrong[key]) >= 0.80, (key, wrong[key], missed[f"wrong {key[0]}", key[1]][:5])


def test_known_numbers() -> None:
    """GB 11643's own example, a test card of the schemes, ICAO 9303's specimen."""
    assert resident_id("11010519491231002X") and not resident_id("110105194912310021") and not resident_id("11010519491331002X")
    assert luhn("79927398713") and not luhn("79927398710")
    assert card_number("4111111111111111") and not card_number("4111111111111112") and not card_number("9111111111111117")
    assert machine_readable("L898902C3", "6") and machine_readable("740812", "2") and not machine_readable("740813", "2")
    mrz = "L898902C36UTO7408122F1204159ZE184226B<<<<<10"
    assert [(s.kind, s.start, s.end) for s in find(f"read\n{mrz}\n", "en")] == [("passport", 5, 5 + len(mrz))]


@pytest.mark.parametrize(
    "text",
    ["", "x", "@", "1" * 5000, "a@" * 2000, "(" * 3000, "1 " * 3000, "+" * 2000, "号" * 3000, "1.1." * 2000, "::" * 2000, "A1 " * 2000],
)
def test_no_text_takes_long_or_is_cut_apart(text: str) -> None:
    for language in ("zh", "en", "und"):
        spans = find(text, language)
        assert all(0 <= s.start < s.end <= len(text) for s in spans)


@given(
    st.lists(st.one_of(st.text(max_size=8), st.sampled_from([e.text for e in labelled(each=3, negatives=28)])), max_size=4).map(" ".join)
)
def test_spans_never_overlap_and_masks_take_away_just_them(text: str) -> None:
    spans = find(text, "zh")
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    encoded = text.encode("utf-8", "replace")
    text = encoded.decode("utf-8")
    starts, ends = byte_places(text, spans)
    assert [encoded[a:b].decode() for a, b in zip(starts, ends, strict=True)] == [text[s.start : s.end] for s in spans]
    masked = mask_text(encoded, [s.kind for s in spans], starts, ends, MASKS)
    assert len(masked) == len(encoded) - sum(b - a for a, b in zip(starts, ends, strict=True)) + sum(len(MASKS[s.kind]) for s in spans)
    assert mask_text(encoded, [s.kind for s in spans], starts, ends, {}) == encoded


@given(st.sampled_from(labelled(each=20, negatives=280)))
def test_what_the_prefilter_lets_by_holds_nothing(example: Example) -> None:
    everywhere = [(s.kind, s.start, s.end) for s in find(example.text, example.language)]
    assert found_in(example) == everywhere
    assert set(PREFILTER) == set(KINDS)


def batch(*texts: str) -> pa.Table:
    return pa.table(
        {
            "uid": [str(i) for i in range(len(texts))],
            "text": pa.array(texts, pa.large_string()),
            "verdict_language.language": ["en"] * len(texts),
        }
    )


def test_the_stage_gives_typed_spans_in_bytes_and_drops_only_directories() -> None:
    dense = "\n".join(f"j{i}.smith@gmail.com +44 20 7946 0{i:03}" for i in range(50))
    out = Pii().process(batch("Grüße: jane.smith@gmail.com, bye.", dense, "nothing here"))
    assert out["keep"].to_pylist() == [True, False, True] and out["reason"].to_pylist() == [None, "dense", None]
    [kind], [start], [end] = (out[c][0].as_py() for c in ("kinds", "starts", "ends"))
    assert (kind, "Grüße: jane.smith@gmail.com, bye.".encode()[start:end]) == ("email", b"jane.smith@gmail.com")
    assert json.loads(out["measured"][0].as_py())["email"] == 1 and out["measured"][2].as_py() is None
    masked = mask_column(
        batch("Grüße: jane.smith@gmail.com, bye.", dense, "nothing here")["text"], (out["kinds"], out["starts"], out["ends"]), MASKS
    )
    assert masked[0].as_py() == "Grüße: [EMAIL], bye." and masked[2].as_py() == "nothing here" and "@" not in masked[1].as_py()
    only = Pii(PiiParams(kinds=("phone",))).process(batch("jane.smith@gmail.com"))
    assert only["kinds"].to_pylist() == [[]]


def test_an_unknown_kind_is_an_error_that_lists_them() -> None:
    with pytest.raises(ConfigError, match="no kind 'emial'; kinds: .*email"):
        parse({"kinds": ["emial"]}, PiiParams, where=str(Path("pii.yaml")))
