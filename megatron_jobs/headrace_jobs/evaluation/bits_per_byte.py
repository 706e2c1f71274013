"""Bits per byte with bootstrap intervals.

    bits per byte = nats of the text's tokens / ln 2 / UTF-8 bytes of the encoded text

The encoded text is what the tokenizer was given: a document's text with personal data masked and passages cut, before NFC
(`passports.encoded_bytes`). The first token is predicted from the end-of-document token; the closing end-of-document token is no
part of the text and is not counted. That is `bits_per_byte` of the Language Model Evaluation Harness (`lm_eval`, task type
`loglikelihood_rolling`), and `tests/megatron_jobs/evaluation/test_bits_per_byte_lm_eval.py` holds the two equal.

The number does not depend on the vocabulary, so models with different tokenizers compare. Intervals are percentile
bootstrap intervals, documents resampled whole (tokens of one document are not independent). Two models are compared on
the same documents by the bootstrap of their difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_lake.errors import ConfigError, InputError

DEFINITION = "bits-per-byte/2"
"""Changes whenever a change of definition makes numbers incomparable.

1: bytes of the text before masking and cutting, and the closing end-of-document token counted.
2: bytes of the encoded text, the text's tokens alone.
"""
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


def not_comparable(result: Mapping[str, Any]) -> str:
    """Why a recorded evaluation must not stand beside one of today's definition, in words; empty where it may."""
    found = result.get("definition") or "an unknown definition"
    return "" if found == DEFINITION else f"measured by {found}, not comparable with {DEFINITION}"


def require_comparable(result: Mapping[str, Any], recipe: str) -> None:
    """Refuse to judge or release by a number of another definition.

    Raises:
        InputError: the evaluation was made by another definition; says how to make it again.
    """
    problem = not_comparable(result)
    if problem:
        raise InputError(f"the evaluation of recipe '{recipe}' was {problem}", f"run 'headrace eval run {recipe}'")


def definition_line(result: Mapping[str, Any]) -> str:
    """What a page says above a table of scores: definition, windows, how to measure the same elsewhere."""
    problem = not_comparable(result)
    if problem:
        return f"{problem[0].upper()}{problem[1:]}."
    params = result["params"]
    window, stride = params["window"], params["stride"] or params["window"]
    elsewhere = f"lm_eval's with max_length={window}" if stride == window else "nobody else's: lm_eval has no overlapping windows"
    return (
        f"Definition {DEFINITION}: nats of the text's tokens / ln 2 / UTF-8 bytes of the encoded text (masked and cut, before NFC); "
        f"windows of {window} tokens, stride {stride} ({elsewhere})."
    )


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
