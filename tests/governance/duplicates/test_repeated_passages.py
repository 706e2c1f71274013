"""Repeated paragraphs and passages: against slow references, across slices in any order, and cut from shards."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slices import write_documents

from headrace_governance.duplicates.near.characters import fold_table
from headrace_governance.duplicates.passages import kernels
from headrace_governance.duplicates.passages.paragraphs import DuplicateParagraph, ParagraphDigests, ParagraphDigestsParams
from headrace_governance.duplicates.passages.spans import Spans
from headrace_governance.duplicates.passages.substrings import ExactSubstring, PassageFingerprints, PassageFingerprintsParams
from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

FOLD = fold_table()
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "r", "st", "ll")]
HAN = [chr(0x4E00 + i) for i in range(300)]


def units_of(text: str) -> list[tuple[int, int, int]]:
    """Start and end in bytes, and weight, of each unit: slow."""
    found: list[tuple[int, int, int]] = []
    at, inside = 0, False
    for c in text:
        size = len(c.encode())
        if "\u4e00" <= c <= "\u9fff":
            found.append((at, at + size, 1))
            inside = False
        elif c.isalnum():
            if inside:
                found[-1] = (found[-1][0], at + size, 2)
            else:
                found.append((at, at + size, 2))
            inside = True
        else:
            inside = False
        at += size
    return found


def repeated_bytes(text: str, earlier: list[str], least: int) -> set[int]:
    """Bytes of a text in runs of whole units, of this weight at least, that an earlier text has too: every alignment is tried."""
    one, units, found = text.encode(), units_of(text), set()
    for other in (e.encode() for e in earlier):
        for shift in range(-len(other), len(one)):
            low, high = max(0, shift), min(len(one), len(other) + shift)
            if high - low < least:
                continue
            same = np.frombuffer(one[low:high], np.uint8) == np.frombuffer(other[low - shift : high - shift], np.uint8)
            if np.count_nonzero(same) < least - 1:  # most alignments: too few bytes are equal for any run
                continue
            edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
            for first, last in zip(edges[::2] + low, edges[1::2] + low, strict=True):
                if last - first < least - 1:  # a unit of weight 2 takes a byte and a space
                    continue
                whole = [u for u in units if u[0] >= first and u[1] <= last]
                if sum(u[2] for u in whole) >= least:
                    found |= set(range(whole[0][0], whole[-1][1]))
    return found


@st.composite
def families(draw: st.DrawFn) -> list[str]:
    """A few texts that share runs of words or Han characters of lengths around the bar."""
    rng = random.Random(draw(st.integers(0, 10**6)))

    def run(n: int) -> str:
        return "".join(rng.choices(HAN, k=n)) if rng.random() < 0.4 else " ".join(rng.choices(WORDS, k=n)) + " "

    shared = [run(rng.choice([20, 48, 49, 50, 51, 60, 99, 100, 101, 130])) for _ in range(3)]
    texts = []
    for _ in range(3):
        parts = [run(rng.randint(1, 40)) if rng.random() < 0.6 else rng.choice(shared) for _ in range(rng.randint(2, 6))]
        texts.append(rng.choice(["", "\n", ". "]).join(parts))
    return texts


def lake_at(folder: Path) -> Lake:
    return Lake.open(Settings(lake=LakeSettings(root=str(folder)), base=folder.parent))


def verdicts(lake: Lake, table: str) -> dict[str, dict[str, Any]]:
    return {r["uid"]: r for r in lake.read(table).to_pylist()}


@settings(max_examples=12)
@given(texts=families())
def test_fingerprints_never_miss_a_shared_run_of_fifty_units(texts: list[str]) -> None:
    """What winnowing promises, on random families of texts."""
    prints = []
    for text in texts:
        data = np.frombuffer(text.encode(), np.uint8)
        hashes, places = np.empty(len(data), np.uint64), np.empty(len(data), np.int64)
        n = kernels.fingerprints(data, 0, len(data), FOLD, hashes, places, 0)
        prints.append(set(hashes[:n].tolist()))
        assert (np.diff(places[:n]) > 0).all()
    for (a, one), (b, other) in itertools.combinations(enumerate(texts), 2):
        if longest_shared(one, other) >= 50:
            assert prints[a] & prints[b]


def longest_shared(one: str, other: str) -> int:
    """Units of the longest run of whole units that both texts have, with the bytes between them."""
    x, y, units = one.encode(), other.encode(), units_of(one)
    best = 0
    for shift in range(-len(y), len(x)):
        low, high = max(0, shift), min(len(x), len(y) + shift)
        if high - low < 50:
            continue
        same = np.frombuffer(x[low:high], np.uint8) == np.frombuffer(y[low - shift : high - shift], np.uint8)
        if np.count_nonzero(same) < 50:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
        for first, last in zip(edges[::2] + low, edges[1::2] + low, strict=True):
            if last - first >= 50:
                best = max(best, sum(1 for u in units if u[0] >= first and u[1] <= last))
    return best


def test_passages_are_those_that_a_search_of_every_alignment_finds(tmp_path: Path) -> None:
    rng = random.Random(5)
    shared = [" ".join(rng.choices(WORDS, k=k)) for k in (49, 50, 51, 80, 140)] + ["".join(rng.choices(HAN, k=k)) for k in (99, 100, 150)]
    texts = {}
    for i in range(24):
        parts = [rng.choice(shared) if rng.random() < 0.5 else " ".join(rng.choices(WORDS, k=rng.randint(2, 60))) for _ in range(4)]
        texts[f"{i:02}"] = rng.choice([" ", "\n", "; "]).join(parts)
    lake, slice_ = lake_at(tmp_path / "lake"), Slice("books", "2026-11-01")
    write_documents(lake, slice_, texts)
    run_pipeline(lake, Pipeline.of("t", PassageFingerprints(), ExactSubstring()), slice_)
    rows = verdicts(lake, "verdict_exact_substring")
    touched = 0
    for i, (uid, text) in enumerate(texts.items()):
        found = {b for a, z in zip(rows[uid]["starts"], rows[uid]["ends"], strict=True) for b in range(a, z)}
        # Inside one document: what occurs before it in the same text.
        across = repeated_bytes(text, list(texts.values())[:i], 100)
        assert across <= found, uid
        for b in found - across:
            assert text.encode()[b : b + 1] and any(text.count(s) > 1 for s in shared), uid
        touched += bool(found)
    assert touched >= 12


def test_a_passage_inside_one_document_is_cut_once_and_its_first_copy_stays(tmp_path: Path) -> None:
    rng = random.Random(9)
    passage = " ".join(rng.choices(WORDS, k=70))
    text = f"Begin. {passage}\nBetween these words. {passage}\nEnd of {passage}"
    period = " ".join(["left", "right"] * 200)
    lake, slice_ = lake_at(tmp_path / "lake"), Slice("books", "2026-11-01")
    write_documents(lake, slice_, {"a": text, "b": period})
    run_pipeline(lake, Pipeline.of("t", PassageFingerprints(), ExactSubstring()), slice_)
    rows = verdicts(lake, "verdict_exact_substring")
    raw = text.encode()
    assert [raw[a:z].decode() for a, z in zip(rows["a"]["starts"], rows["a"]["ends"], strict=True)] == [passage, passage]
    assert rows["a"]["starts"][0] > 7 + len(passage) and rows["a"]["keep"]
    left = len(period) - sum(z - a for a, z in zip(rows["b"]["starts"], rows["b"]["ends"], strict=True))
    assert 0 < left < len(period), "something of it stays"


@pytest.mark.parametrize(
    ("stages", "table"),
    [
        ((ParagraphDigests, DuplicateParagraph), "verdict_duplicate_paragraph"),
        ((PassageFingerprints, ExactSubstring), "verdict_exact_substring"),
    ],
)
def test_slices_run_in_any_order_cut_the_same_passages(tmp_path: Path, stages: Any, table: str) -> None:
    rng = random.Random(3)
    shared = [" ".join(rng.choices(WORDS, k=60)) for _ in range(4)]
    slices = [Slice("a", "2026-11-01"), Slice("b", "2026-11-01"), Slice("a", "2026-11-02"), Slice("b", "2026-11-03")]
    content = {
        s: {f"{n}{i}": "\n".join([" ".join(rng.choices(WORDS, k=40)), rng.choice(shared), rng.choice(shared)]) for i in range(4)}
        for n, s in enumerate(slices)
    }
    seen = []
    for number, order in enumerate(itertools.islice(itertools.permutations(slices), 0, 24, 8)):
        lake = lake_at(tmp_path / str(number))
        pipeline = Pipeline.of("t", *(s() for s in stages))
        for slice_ in order:
            write_documents(lake, slice_, content[slice_])
            run_pipeline(lake, pipeline, slice_)
        for slice_ in order:
            assert run_pipeline(lake, pipeline, slice_).stages[0].action == "adopted", "made once"
        rows = verdicts(lake, table)
        seen.append({uid: {k: r[k] for k in ("keep", "starts", "ends", "keeper", "measured")} for uid, r in rows.items()})
    assert seen[0] == seen[1] == seen[2]
    cut = [r for r in seen[0].values() if r["starts"]]
    assert len(cut) >= 10
    # Of every shared run exactly one copy stays, whichever slice it lies in.
    for passage in shared:
        copies = [(uid, t.encode().index(passage.encode())) for s in slices for uid, t in content[s].items() if passage in t]
        stay = [
            (u, a)
            for u, a in copies
            if not any(x <= a and a + len(passage) <= y for x, y in zip(seen[0][u]["starts"], seen[0][u]["ends"], strict=True))
        ]
        assert len(stay) == 1 if copies else not stay


def paragraph_reference(text: str, least: int) -> list[tuple[str, int, int]]:
    """Normal form and place of each long paragraph, slowly."""
    found, at = [], 0
    for line in text.split("\n"):
        end = at + len(line.encode()) + 1
        letters = sum(w for _, _, w in ((0, 0, 2 if "\u4e00" <= c <= "\u9fff" else 1) for c in line if c.isalnum()))
        if letters >= least:
            found.append((" ".join(line.split(" ")).strip(" "), at, end - 1))
        at = end
    return found


@given(st.lists(st.text(st.sampled_from("ab1 é中文.\t"), max_size=12), max_size=8))
def test_paragraphs_are_digested_by_their_normal_form(lines: list[str]) -> None:
    text = "\n".join(lines)
    table = pa.table({"uid": ["x"], "text": pa.array([text], pa.large_string())})
    stage = ParagraphDigests(ParagraphDigestsParams(min_letters=3))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    row = stage.process(table).to_pylist()[0]
    expected = paragraph_reference(text, 3)
    assert [(a, z) for a, z in zip(row["starts"], row["ends"], strict=True)] == [(a, z) for _, a, z in expected]
    normal = [" ".join(form.split()) for form, _, _ in expected]
    for (one, x), (other, y) in itertools.combinations(zip(normal, row["digests"], strict=True), 2):
        assert (one == other) == (x == y)


def test_sources_that_are_no_books_have_no_fingerprints(tmp_path: Path) -> None:
    lake = lake_at(tmp_path / "lake")
    pipeline = Pipeline.of("t", PassageFingerprints(PassageFingerprintsParams(sources=("*book*",))), ExactSubstring())
    text = " ".join(random.Random(2).choices(WORDS, k=200))
    for source in ("handbook-en", "web"):
        write_documents(lake, Slice(source, "2026-11-01"), {f"{source}1": text, f"{source}2": text})
        run_pipeline(lake, pipeline, Slice(source, "2026-11-01"))
    rows = verdicts(lake, "verdict_exact_substring")
    assert {uid: bool(r["starts"]) for uid, r in rows.items()} == {
        "handbook-en1": False,
        "handbook-en2": True,
        "web1": False,
        "web2": False,
    }


def test_touching_spans_are_one() -> None:
    spans = Spans()
    for first, last in ((0, 10), (10, 20), (15, 18), (30, 40)):
        spans.add(first, last, ("2026", "a", str(first)))
    assert (spans.starts, spans.ends, spans.keeper[2]) == ([0, 30], [20, 40], "0")


def test_a_document_of_nothing_but_repeated_paragraphs_is_dropped(tmp_path: Path) -> None:
    rng = random.Random(1)
    old = [" ".join(rng.choices(WORDS, k=40)) for _ in range(3)]
    lake, slice_ = lake_at(tmp_path / "lake"), Slice("a", "2026-11-01")
    write_documents(
        lake, slice_, {"1": "\n".join(old), "2": "\n".join(reversed(old)), "3": old[0] + "\n" + " ".join(rng.choices(WORDS, k=90))}
    )
    result = run_pipeline(lake, Pipeline.of("t", ParagraphDigests(), DuplicateParagraph()), slice_)
    rows = verdicts(lake, "verdict_duplicate_paragraph")
    assert [rows[u]["keep"] for u in "123"] == [True, False, True]
    assert rows["2"]["reason"] == "duplicate_paragraphs" and rows["2"]["keeper"].endswith("/1")
    assert rows["3"]["starts"] == [0]
    counts = result.stages[1].receipt.counts
    assert (counts.read, counts.kept, counts.dropped, counts.failed) == (3, 2, 1, 0)
