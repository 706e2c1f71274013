"""Rows of the output table that are equal, which the softmax computes once.

Legend: H = hidden size, V = this rank's rows of the vocabulary, U = rows computed one by one.

A small mix uses few of the vocabulary's ids: `make poc` 35,286 of 152,576. The rows of ids that never occur get the same gradient
in every step (the probability the model gives them times the hidden states), so rows that start equal stay equal. n equal rows
with the logit l add n·exp(l) to the partition function, that is one row with the logit l + ln n. The loss and all gradients are those
of the full softmax; the work is that of U + 1 rows. Nothing is sampled and nothing is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

ALIGN = 128
"""Rows computed one by one are filled up to a multiple of this, as matrix products and blocked sums like it."""


@dataclass(frozen=True)
class EqualRows:
    """How this rank's part of the table falls into rows of their own and equal ones.

    Attributes:
        own_U: int64, rising: rows computed one by one.
        column_V: int64: where in `own_U` a row is; -1 for the equal ones.
        equal: one of the equal rows.
        count: how many equal rows there are.
    """

    own_U: torch.Tensor
    column_V: torch.Tensor
    equal: int
    count: int


def equal_rows(weight_VH: torch.Tensor, unused_V: torch.Tensor) -> EqualRows | None:
    """The equal rows among those that may be.

    Args:
        unused_V: bool, rows whose id is neither an input nor a label; in scoring, where nothing changes, all rows.

    Returns:
        None where fewer than two rows are equal, so that nothing is gained. A row among `unused_V` that differs from most is computed
        by itself: the result is exact whatever the table holds.
    """
    weight = weight_VH.detach()
    candidates = unused_V.nonzero().squeeze(1)
    if len(candidates) < 2:
        return None
    # The last row is padding of the vocabulary, which no id of a tokenizer reaches: where rows are equal it is one of them.
    equal = int(candidates[-1])
    candidates = candidates[weight[candidates, 0] == weight[equal, 0]]
    same_V = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
    same_V[candidates] = (weight[candidates] == weight[equal]).all(1)
    spare = -int((~same_V).sum()) % ALIGN
    same_V[same_V.nonzero().squeeze(1)[:spare]] = False
    count = int(same_V.sum())
    if count < 2:
        return None
    own_U = (~same_V).nonzero().squeeze(1)
    column_V = torch.full((len(weight),), -1, dtype=torch.int64, device=weight.device)
    column_V[own_U] = torch.arange(len(own_U), device=weight.device)
    return EqualRows(own_U, column_V, int(same_V.nonzero()[-1]), count)


def make_equal(weight_VH: Any, rows: EqualRows) -> None:
    """Give all equal rows the value of one of them, in place.

    The optimizer moves them alike but for the last bit: its kernel rounds differently in vectors and in what is left at a vector's end.
    Only the one row is ever read in training, so this changes no step; it is done before a checkpoint, for whoever reads all of it.
    """
    with torch.no_grad():
        weight_VH.data[rows.column_V < 0] = weight_VH.data[rows.equal].clone()
