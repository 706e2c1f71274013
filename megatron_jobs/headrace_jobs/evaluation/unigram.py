"""The baseline: a unigram model with add-one smoothing, fitted on the tokens that the run was trained on.

Two are fitted: one over all training tokens, one per language. Each has every id of the vocabulary, so both give a
proper distribution. A model must beat the better of the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headrace_jobs.evaluation.scoring import Ids
from headrace_jobs.mix.compile import Mix
from headrace_jobs.mix.loader import shard_reader
from headrace_jobs.mix.order import DocumentStream
from headrace_lake.lake import Lake
from headrace_tokenizers.store import ShardReader

I64 = npt.NDArray[np.int64]
GLOBAL = "*"


def training_counts(mix: Mix, lake: Lake, *, limit: int | None = None) -> dict[str, I64]:
    """How often the training visits each id: int64 [vocabulary] per language, and all together under `*`.

    Walks the same document stream as the loader, repetitions included.

    Args:
        limit: stop after so many tokens (what a run that ended early has seen).
    """
    counts = {GLOBAL: np.zeros(mix.vocabulary, dtype=np.int64)}
    opened: dict[int, ShardReader] = {}
    stream = DocumentStream(mix)
    seen = 0
    while limit is None or seen < limit:
        draw = stream.next()
        if draw is None:
            if not stream.advance():
                break
            continue
        shard, ordinal = mix.place_of(draw.bucket, draw.document)
        ids = shard_reader(lake, mix, shard, opened).tokens(ordinal)
        mine = counts.setdefault(mix.buckets[draw.bucket].language, np.zeros(mix.vocabulary, dtype=np.int64))
        np.add.at(mine, ids, 1)
        np.add.at(counts[GLOBAL], ids, 1)
        seen += len(ids)
    return counts


def unigram_nats(counts: I64, documents: Sequence[Ids]) -> npt.NDArray[np.float64]:
    """Nats of each document, float64 [documents], under add-one smoothing of `counts`."""
    nats_V = np.log(counts.sum() + len(counts)) - np.log(counts + 1.0)
    return np.array([nats_V[np.asarray(d)].sum() for d in documents], dtype=np.float64)
