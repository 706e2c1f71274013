"""Ids that a mix uses, and one common row for all others: the time of a small run must not be its vocabulary.

With `share_unused_ids` the rows of ids that no training document holds start at zero. They get equal gradients, stay equal, and are
computed once (`model/equal_rows.py`): the loss is that of the full softmax over a model whose unused rows are one row.

Cost: every token of the mix is read once, at 4 bytes (1 GB/s and more from a warm disk); meant for mixes up to some 10^9 tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_jobs.mix.compile import Mix
from headrace_jobs.mix.loader import shard_reader
from headrace_jobs.model.equal_rows import equal_rows, make_equal
from headrace_lake.lake import Lake
from headrace_tokenizers.store import ShardReader


def used_ids(mix: Mix, lake: Lake, *, vocabulary: int) -> npt.NDArray[np.bool_]:
    """Which ids are an input or a label in some training document, bool [vocabulary]; held-out documents do not count."""
    used = np.zeros(vocabulary, dtype=np.bool_)
    used[mix.eod] = True
    readers: dict[int, ShardReader] = {}
    for number, bucket in enumerate(mix.buckets):
        for document in range(bucket.documents):
            shard, ordinal = mix.place_of(number, document)
            used[shard_reader(lake, mix, shard, readers).tokens(ordinal)] = True
    return used


def clear_unused(bare: Any, used: npt.NDArray[np.bool_]) -> None:
    """Zero the rows of unused ids in a fresh model, in every table that makes logits."""
    import torch

    weight = _table(bare)
    if weight is not None:
        with torch.no_grad():
            weight.data[_mine(bare, weight, ~used)] = 0


def set_rows(bare: Any, used: npt.NDArray[np.bool_]) -> str:
    """Find which rows are equal now and tell the model; returns a line for people, empty on stages without the table."""
    weight = _table(bare)
    if weight is None:
        return ""
    bare.rows = equal_rows(weight, _mine(bare, weight, ~used))
    alone = len(weight) if bare.rows is None else len(bare.rows.own_U) + 1
    return f"softmax: {len(weight):,} ids, {alone:,} products a token (ids that no training document holds share one)"


def settle_rows(bare: Any) -> None:
    """Before a checkpoint: equal rows to the last bit, on every stage that holds the table."""
    if bare.rows is not None:
        make_equal(_table(bare), bare.rows)


def _table(bare: Any) -> Any:
    """The rows that make logits, or their copy where they are tied; None where this stage has neither."""
    if bare.post_process:
        return bare.output_table()
    return bare.embedding.word_embeddings.weight if bare.pre_process and bare.share_embeddings_and_output_weights else None


def _mine(bare: Any, weight: Any, marked: npt.NDArray[np.bool_]) -> Any:
    """This tensor-parallel rank's part of marks over the vocabulary."""
    import torch

    rank = bare.pg_collection.tp.rank()
    return torch.from_numpy(marked[rank * len(weight) : (rank + 1) * len(weight)]).to(weight.device)
