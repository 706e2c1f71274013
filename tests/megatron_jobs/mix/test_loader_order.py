"""The order of documents and their packing: bijections, shares, exact resume, and no label across a border."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_jobs.mix.compile import Mix, compile_mix
from headrace_jobs.mix.loader import Batch, PackedLoader
from headrace_jobs.mix.order import DocumentStream, permute
from headrace_jobs.mix.packing import best_fit_decreasing, cut, pack_window
from headrace_jobs.mix.recipe import Recipe
from headrace_lake.errors import ConfigError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.strict import parse

S = 64


def compiled(lake: Lake, **changes: Any) -> Mix:
    data: dict[str, Any] = {
        "name": "test",
        "licences": ["public", "share-alike"],
        "held_out": {"fraction": 0.1},
        "phases": [
            {"name": "A", "tokens": 12_000, "weights": {"language=en": 0.5, "language=zh": 0.3, "language=fr": 0.2}},
            {"name": "B", "tokens": 5_000, "weights": {"source=beta": 0.7, "rest": 0.3}},
        ],
    }
    return compile_mix(lake, parse(data | changes, Recipe, where="test"))[0]


@pytest.fixture
def mix(lake: Lake, two_sources: list[Receipt]) -> Mix:
    return compiled(lake)


def loader(mix: Mix, lake: Lake, **kw: Any) -> PackedLoader:
    return PackedLoader(mix, lake, **{"sequence_length": S, "micro_batch": 2, **kw})


def same(left: Batch, right: Batch) -> bool:
    names = ("tokens_BS", "labels_BS", "loss_mask_BS", "positions_BS", "segments_BS")
    return all(np.array_equal(getattr(left, n), getattr(right, n)) for n in names) and left.spans == right.spans


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_the_permutation_is_a_bijection(size: int, key: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, key)), np.arange(size))


def test_permutations_of_different_keys_differ() -> None:
    orders = [permute(np.arange(1000), 1000, key) for key in range(5)]
    agreement = [np.mean(a == b) for i, a in enumerate(orders) for b in orders[:i]]
    assert max(agreement) < 0.02 and abs(np.corrcoef(orders[0], np.arange(1000))[0, 1]) < 0.1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(50, 90))
def test_packing_loses_and_repeats_nothing(lengths: list[int], capacity: int) -> None:
    ordered = np.array(sorted(lengths, reverse=True), dtype=np.int64)
    rows = best_fit_decreasing(ordered, capacity)
    assert np.bincount(rows, weights=ordered).max() <= capacity
    pieces = [p for i, n in enumerate(lengths) for p in cut(0, i, n, 32)]
    packed, carried = pack_window(pieces, capacity, flush=False)
    seen = Counter((p.document, p.start, p.length) for p in [*(p for row in packed for p in row), *carried])
    assert seen == Counter((p.document, p.start, p.length) for p in pieces)


def test_every_epoch_visits_every_document_once(mix: Mix) -> None:
    stream = DocumentStream(mix)
    visits: dict[tuple[int, int], list[int]] = {}
    while (draw := stream.next()) is not None or stream.advance():
        if draw is not None:
            visits.setdefault((draw.bucket, draw.epoch), []).append(draw.document)
    for (bucket, epoch), documents in visits.items():
        assert len(set(documents)) == len(documents)
        if (bucket, epoch + 1) in visits:
            assert len(documents) == mix.buckets[bucket].documents


def test_realised_shares_stay_within_one_document_of_the_weights(mix: Mix) -> None:
    stream = DocumentStream(mix)
    longest = int(mix.documents["tokens"].to_numpy().max())
    while stream.next() is not None:
        total = stream.drawn.sum()
        assert np.abs(stream.drawn - mix.phases[0].weights * total).max() <= longest
    assert mix.phases[0].tokens <= stream.drawn.sum() < mix.phases[0].tokens + longest


def test_batches_hold_the_documents_tokens_and_no_label_crosses_a_border(mix: Mix, lake: Lake) -> None:
    batches = list(loader(mix, lake))
    eod = mix.eod
    labels = 0
    for b in batches:
        assert np.array_equal(b.segments_BS == -1, b.loss_mask_BS == 0)
        labels += int(b.loss_mask_BS.sum())
        for span in b.spans:
            at = slice(span.start, span.start + span.length)
            tokens, wanted = b.tokens_BS[span.row, at], b.labels_BS[span.row, at]
            assert np.array_equal(tokens[1:], wanted[:-1])
            assert (tokens[0] == eod) == (span.document_start == 0)
            assert np.array_equal(b.positions_BS[span.row, at], np.arange(span.length))
            assert len(set(b.segments_BS[span.row, at].tolist())) == 1
            assert eod not in wanted[:-1]
    drawn = DocumentStream(mix)
    total = 0
    while (draw := drawn.next()) is not None or drawn.advance():
        total += mix.tokens_of(draw.bucket, draw.document) if draw is not None else 0
    assert labels == total


def test_whole_documents_come_back_from_their_spans(mix: Mix, lake: Lake) -> None:
    b = next(loader(mix, lake, sequence_length=2048))
    whole = next(s for s in b.spans if s.document_start == 0)
    source, interval, *_ = whole.bucket.split("/")
    row = next(r for r in lake.read("passports").to_pylist() if r["uid"] == whole.uid)
    shard = next(i for i, s in enumerate(mix.shards) if (s.source, s.slice, s.part) == (source, interval, row["part"]))
    from headrace_jobs.mix.loader import shard_reader

    assert (
        b.labels_BS[whole.row, whole.start : whole.start + whole.length].tolist()
        == shard_reader(lake, mix, shard, {}).tokens(row["ordinal"]).tolist()
    )


def test_held_out_and_forbidden_documents_never_appear(mix: Mix, lake: Lake) -> None:
    passports = lake.read("passports").to_pylist()
    forbidden = {r["uid"] for r in passports if r["licence_class"] == "restricted"} | {u.hex() for u in mix.held_out["uid"].to_pylist()}
    seen = {s.uid for b in loader(mix, lake) for s in b.spans}
    assert seen and not seen & forbidden


def test_rows_are_full(lake: Lake, with_tokens: Callable[..., Receipt]) -> None:
    with_tokens("alpha", [("en", "public")] * 6000)
    mix = compiled(lake, phases=[{"name": "A", "tokens": 300_000, "weights": {"rest": 1.0}}])
    ours = loader(mix, lake, sequence_length=256)
    for _ in ours:
        pass
    assert ours.fill >= 0.985, ours.fill


def test_resuming_anywhere_equals_the_undisturbed_run(mix: Mix, lake: Lake) -> None:
    whole = list(loader(mix, lake))
    rng = random.Random(5)
    for stop in sorted(rng.sample(range(len(whole)), 12)):
        first = loader(mix, lake)
        head = [next(first) for _ in range(stop)]
        state = json.loads(json.dumps(first.state_dict()))
        second = loader(mix, lake)
        second.load_state_dict(state)
        rest = list(second)
        assert len(head) + len(rest) == len(whole)
        assert all(same(a, b) for a, b in zip([*head, *rest], whole, strict=True))


def _rows(batches: Iterator[Batch] | list[Batch]) -> list[bytes]:
    return [row.tobytes() for b in batches for row, mask in zip(b.labels_BS, b.loss_mask_BS, strict=True) if mask.any()]


def test_any_number_of_ranks_sees_the_same_rows_and_resume_may_change_it(mix: Mix, lake: Lake) -> None:
    alone = _rows(loader(mix, lake, micro_batch=4))
    by_rank = [list(loader(mix, lake, micro_batch=1, data_rank=r, data_ranks=4)) for r in range(4)]
    assert len({len(b) for b in by_rank}) == 1
    assert _rows([b for group in zip(*by_rank, strict=True) for b in group]) == alone
    two = loader(mix, lake, micro_batch=2, data_rank=1, data_ranks=2)
    for _ in range(7):
        next(two)
    go_on = loader(mix, lake, micro_batch=4)
    go_on.load_state_dict(two.state_dict())
    assert _rows(go_on) == alone[28:]


def test_a_new_source_and_a_new_phase_repeat_and_lose_nothing(mix: Mix, lake: Lake, with_tokens: Callable[..., Receipt]) -> None:
    old = loader(mix, lake)
    consumed = Counter((s.uid, s.document_start) for _ in range(60) for s in next(old).spans)
    with_tokens("gamma", [("en", "public")] * 100)
    later = compiled(
        lake,
        phases=[
            {"name": "A", "tokens": 12_000, "weights": {"source=gamma": 0.3, "rest": 0.7}},
            {"name": "B", "tokens": 5_000, "weights": {"source=beta": 0.7, "rest": 0.3}},
            {"name": "C", "tokens": 2_000, "weights": {"rest": 1.0}},
        ],
        caps={"epochs": 1000},
    )
    new = loader(later, lake)
    new.load_state_dict(json.loads(json.dumps(old.state_dict())))
    visits = consumed + Counter((s.uid, s.document_start) for b in new for s in b.spans)
    # Within one bucket, the visits of any two documents differ by one at most: none skipped, none repeated early.
    by_bucket: dict[str, list[int]] = {}
    for i, bucket in enumerate(later.buckets):
        by_bucket[bucket.key] = [visits[later.uid_of(i, d), 0] for d in range(bucket.documents)]
    assert any(max(v) > 0 for k, v in by_bucket.items() if k.startswith("gamma"))
    assert all(max(v) - min(v) <= 1 for v in by_bucket.values()), by_bucket


def test_another_sequence_length_is_refused(mix: Mix, lake: Lake) -> None:
    state = loader(mix, lake).state_dict()
    with pytest.raises(ConfigError, match="sequence length 64, this run has 128"):
        loader(mix, lake, sequence_length=128).load_state_dict(state)


@pytest.mark.parametrize("change", ["another content", "gone"])
def test_documents_packed_ahead_are_never_read_from_a_mix_that_holds_them_otherwise(mix: Mix, lake: Lake, change: str) -> None:
    first = loader(mix, lake)
    next(iter(first))
    state = json.loads(json.dumps(first.state_dict()))
    key = sorted(state["digests"])[0]
    if change == "gone":
        state["digests"][f"{key}-of-another-mix"] = state["digests"][key]
    else:
        state["digests"][key] = "0" * 32
    with pytest.raises(ConfigError, match="documents packed ahead belong to"):
        loader(mix, lake).load_state_dict(state)
