"""Bits per byte with bootstrap intervals.

    bits per byte = nats of all tokens (end of document included) / ln 2 / UTF-8 bytes of the documents' texts

The number does not depend on the vocabulary, so models with different tokenizers compare. Intervals are percentile
bootstrap intervals, documents resampled whole (tokens of one document are not independent). Two models are compared on
the same documents by the bootstrap of their difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace_lake.errors import ConfigError, InputError

DEFINITION = "bits-per-byte/1"
"""Changes whenever a change of definition makes numbers incomparable."""
RESAMPLES = 10_000
LEVEL = 0.95
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A ratio with its interval, in bits per byte."""

    value: float
    low: float
    high: float
    documents: int
    bytes: int


def bits_per_byte(nats: float, utf8_bytes: int) -> float:
    """The definition above, for sums over documents."""
    return nats / math.log(2) / utf8_bytes


def bootstrap(nats: F64, utf8_bytes: npt.NDArray[np.int64], *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Bits per byte of a set of documents and its 95 % interval.

    Args:
        nats, utf8_bytes: one entry a document.

    Raises:
        InputError: no document, or one without bytes only.
        ConfigError: too few resamples for a 95 % interval.
    """
    if len(nats) == 0 or int(utf8_bytes.sum()) == 0:
        raise InputError("no held-out text to score", "raise 'held_out' in the recipe, or fetch more documents")
    if resamples < 1000:
        raise ConfigError(f"{resamples} resamples are too few for a 95 % interval", "use 10,000")
    rng = np.random.default_rng(seed)
    n = len(nats)
    ratios = []
    step = max(1, 4_000_000 // n)  # at most 32 MB of counts at once
    for at in range(0, resamples, step):
        counts_RN = rng.multinomial(n, np.full(n, 1 / n), size=min(step, resamples - at)).astype(np.float64)
        ratios.append((counts_RN @ nats) / np.maximum(counts_RN @ utf8_bytes.astype(np.float64), 1.0))
    low, high = np.quantile(np.concatenate(ratios) / math.log(2), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    total = int(utf8_bytes.sum())
    return Estimate(bits_per_byte(float(nats.sum()), total), float(low), float(high), n, total)
