"""Nats of whole documents under a model with a bounded context.

Legend: B = windows in a batch, S = places in this batch: the window's input tokens, and the last label.

A text is scored as a run would meet it: the end-of-document token first, then its tokens; every token of the text is scored
exactly once. A text longer than a window is read in several: each scores `stride` further tokens (the last one what is left) and
sees the `window` tokens before its last label. So no token is without at least `window - stride + 1` tokens of context, except at
the text's own start. These are the rolling windows of the Language Model Evaluation Harness, with its `max_length` = `window` and
its `context_len` = `window - stride + 1`, which is 1 for the stride that it uses and that is the default here: the window itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from headrace_lake.errors import ConfigError, InputError

Ids = npt.NDArray[np.int32] | npt.NDArray[np.int64]


class Scorer(Protocol):
    """A model that gives the nats of each next token; entry [b, i] is -ln p(token i+1 | tokens up to i)."""

    def nll(
        self, tokens_BS: npt.NDArray[np.int64], positions_BS: npt.NDArray[np.int64], segments_BS: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Window:
    """Labels `first`..`last` (exclusive) of a text, seen from token `start` of `eod + text`."""

    document: int
    start: int
    first: int
    last: int


def windows(document: int, tokens: int, length: int, stride: int) -> Iterator[Window]:
    """Windows of a text of `tokens` labels; each has at most `length` input tokens, and as many labels."""
    last = 0
    while last < tokens:
        first, last = last, min(tokens, last + (stride if last else length))
        yield Window(document, max(0, last - length), first, last)


def document_nats(
    scorer: Scorer, documents: Sequence[Ids], *, eod: int, window: int, stride: int, batch: int = 8
) -> npt.NDArray[np.float64]:
    """Nats of each text, float64 [documents].

    Args:
        documents: the texts' tokens, without the end-of-document token that closes them in a shard.
        window: input tokens that the model sees at once.
        stride: tokens that a window scores, after a text's first.

    Raises:
        ConfigError: a stride outside 1..window would leave tokens unscored.
        InputError: the model gave a value that is not finite; names the document's number.
    """
    if window < 1 or not 1 <= stride <= window:
        raise ConfigError(f"evaluation: window {window}, stride {stride}", "give a window of at least 1 and a stride from 1 to the window")
    nats = np.zeros(len(documents), dtype=np.float64)
    waiting = [w for i, d in enumerate(documents) for w in windows(i, len(d), window, stride)]
    waiting.sort(key=lambda w: w.last - w.start)  # windows of like length share a batch: less padding
    for at in range(0, len(waiting), batch):
        group = waiting[at : at + batch]
        width = max(w.last - w.start for w in group) + 1
        tokens_BS = np.full((len(group), width), eod, dtype=np.int64)
        segments_BS = np.full((len(group), width), -1, dtype=np.int32)
        positions_BS = np.tile(np.arange(width, dtype=np.int64), (len(group), 1))
        for b, w in enumerate(group):
            end = w.last - w.start + 1
            ids = documents[w.document]
            tokens_BS[b, 0] = ids[w.start - 1] if w.start else eod
            tokens_BS[b, 1:end] = ids[w.start : w.last]
            segments_BS[b, :end] = 0
        nll_BS = np.asarray(scorer.nll(tokens_BS, positions_BS, segments_BS), dtype=np.float64)
        for b, w in enumerate(group):
            value = nll_BS[b, w.first - w.start : w.last - w.start].sum()
            if not np.isfinite(value):
                raise InputError(f"the model's loss on held-out document {w.document} is {value}", "look at the training run")
            nats[w.document] += value
    return nats
