"""SimHash: bits against a slow reference, every close pair found, and its stages in a pipeline."""

from __future__ import annotations

import itertools
import random
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slices import write_documents

from headrace_governance.duplicates.near.signatures import as_binary
from headrace_governance.duplicates.near.simhash import (
    NearDuplicateSimhash,
    NearDuplicateSimhashParams,
    Simhash,
    SimhashMatcher,
    SimhashParams,
)
from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.errors import ConfigError
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

MASK = (1 << 64) - 1


def mixed(h: int) -> int:
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def reference(text: str, width: int) -> int:
    """SimHash with Python's numbers: the majority of the shingles' bits, a tie being 0."""
    units, word = [], ""
    for c in unicodedata.normalize("NFC", text) + "\n":
        if "\u4e00" <= c <= "\u9fff" or not c.isalnum():
            units += [word] if word else []
            word = ""
            units += [c] if "\u4e00" <= c <= "\u9fff" else []
        else:
            word += c.lower()
    hashes = []
    for unit in units:
        h = 0xCBF29CE484222325
        for c in unit:
            h = ((h ^ ord(c)) * 0x100000001B3) & MASK
        hashes.append(mixed(h))
    width = min(width, len(units))
    votes = [0] * 64
    for at in range(len(units) - width + 1 if units else 0):
        x = 0
        for h in hashes[at : at + width]:
            x = ((x ^ h) * 0x9E3779B97F4A7C15) & MASK
            x ^= x >> 29
        x = mixed(x)
        votes = [v + (1 if x >> bit & 1 else -1) for bit, v in enumerate(votes)]
    return sum(1 << bit for bit, v in enumerate(votes) if v > 0)


def simhash(texts: list[str], width: int = 4) -> list[int]:
    stage = Simhash(SimhashParams(width=width))
    stage.setup()
    stage.begin(None, {})  # type: ignore[arg-type]
    rows = stage.process(pa.table({"uid": [str(i) for i in range(len(texts))], "text": pa.array(texts, pa.large_string())}))
    return [h & MASK for h in rows["simhash"].to_pylist()]


@given(st.lists(st.text(st.sampled_from("abC12 .\n中文字汉"), max_size=60), min_size=1, max_size=5), st.integers(1, 6))
def test_bits_equal_the_slow_reference(texts: list[str], width: int) -> None:
    assert simhash(texts, width) == [reference(t, width) for t in texts]


@pytest.mark.parametrize(("distance", "blocks"), [(0, 1), (3, 4), (3, 6), (8, 10)])
def test_every_pair_within_the_distance_is_found_and_no_other(distance: int, blocks: int) -> None:
    rng = random.Random(distance)
    numbers = [rng.getrandbits(64) for _ in range(150)]
    for n in numbers[:100]:
        flips = rng.sample(range(64), rng.randint(0, distance + 2))
        numbers.append(n ^ sum(1 << bit for bit in flips))
    bits = np.array([[n >> bit & 1 for bit in range(64)] for n in numbers], np.uint32)
    count = len(numbers)
    rows = pa.table(
        {"uid": [f"{i:03}" for i in range(count)], "source": ["s"] * count, "slice": ["1"] * count, "shingles": [9] * count}
        | {"signature": as_binary(bits, "<u4"), "facts": as_binary(np.full((count, 2, 16), 0xFFFFFFFF, np.uint32), "<u4")}
        | {"fact_counts": as_binary(np.zeros((count, 2), np.int32), "<i4")}
    )
    found = SimhashMatcher(iter([rows]), NearDuplicateSimhashParams(max_distance=distance, blocks=blocks)).duplicates()
    expected = {}
    for (i, one), (j, other) in itertools.combinations(enumerate(numbers), 2):
        if (one ^ other).bit_count() <= distance and j not in expected:
            expected[j] = i
    pairs = zip(found["uid"].to_pylist(), found["keeper"].to_pylist(), strict=True)
    assert {int(uid): int(keeper.rpartition("/")[2]) for uid, keeper in pairs} == expected
    assert len(expected) >= 20


def test_it_stands_in_for_minhash_in_a_pipeline(tmp_path: Path) -> None:
    rng = random.Random(4)
    words = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]
    texts = {f"{i}": " ".join(rng.choices(words, k=400)) for i in range(8)}
    lake = Lake.open(Settings(lake=LakeSettings(root=str(tmp_path / "lake")), base=tmp_path))
    pipeline = Pipeline.of("t", Simhash(), NearDuplicateSimhash())
    old, new = Slice("a", "2026-11-01"), Slice("a", "2026-11-02")
    write_documents(
        lake, new, {f"copy{i}": t + " and so on" for i, t in enumerate(texts.values())} | {"own": " ".join(rng.choices(words, k=400))}
    )
    run_pipeline(lake, pipeline, new)
    write_documents(lake, old, texts)
    for slice_ in (old, new):
        run_pipeline(lake, pipeline, slice_)
    rows = lake.read("verdict_near_duplicate").to_pylist()
    dropped = {r["uid"]: r["keeper"] for r in rows if not r["keep"]}
    assert dropped == {f"copy{i}": f"a/2026-11-01/{i}" for i in range(8)}


def test_blocks_that_near_duplicates_need_not_share_are_refused() -> None:
    with pytest.raises(ConfigError, match="'blocks' must be more than 'max_distance'"):
        parse({"max_distance": 6, "blocks": 6}, NearDuplicateSimhashParams, where="near_duplicate.yaml")
