"""Rows of the output table that are equal are computed once, and nothing about the loss or its gradients changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from headrace_jobs.model.equal_rows import EqualRows, equal_rows, make_equal
from headrace_jobs.model.linear_cross_entropy import linear_cross_entropy

T, H, V, USED = 90, 24, 1024, 300


def _table(seed: int = 3, *, value: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """A table whose unused rows are equal, bool [V] that marks them."""
    generator = torch.Generator().manual_seed(seed)
    weight_VH = torch.randn(V, H, generator=generator)
    unused_V = torch.ones(V, dtype=torch.bool)
    unused_V[torch.randperm(V - 1, generator=generator)[:USED]] = False
    weight_VH[unused_V] = value * torch.randn(H, generator=generator)
    return weight_VH, unused_V


def _batch(unused_V: torch.Tensor, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    used = (~unused_V).nonzero().squeeze(1)
    labels_T = used[torch.randint(0, len(used), (T,), generator=generator)]
    return torch.randn(T, H, generator=generator), labels_T, (torch.arange(T) % 4 != 0).float()


def _plain(hidden_TH: torch.Tensor, weight_VH: torch.Tensor, labels_T: torch.Tensor, mask_T: torch.Tensor, z_loss: float) -> Any:
    """The textbook's loss in fp64, all rows."""
    hidden, weight = hidden_TH.double().requires_grad_(), weight_VH.double().requires_grad_()
    logits_TV = hidden @ weight.t()
    nats_T = F.cross_entropy(logits_TV, labels_T, reduction="none") * mask_T
    (nats_T + z_loss * torch.logsumexp(logits_TV, 1).square() * mask_T).sum().backward()
    assert hidden.grad is not None and weight.grad is not None
    return nats_T.detach(), hidden.grad, weight.grad


def _ours(hidden_TH: torch.Tensor, weight_VH: torch.Tensor, labels_T: torch.Tensor, mask_T: torch.Tensor, **options: Any) -> Any:
    hidden, weight = hidden_TH.clone().requires_grad_(), weight_VH.clone().requires_grad_()
    objective_T, nats_T = linear_cross_entropy(hidden, weight, labels_T, mask_T, group=None, **options)
    objective_T.sum().backward()
    assert hidden.grad is not None and weight.grad is not None
    return nats_T, hidden.grad, weight.grad


@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("chunk", [7, 64, 1000])
@pytest.mark.parametrize("value", [0.0, 0.2, 3.0], ids=["zero rows", "small rows", "likely rows"])
def test_value_and_gradients_equal_the_textbooks_loss_over_all_rows(value: float, chunk: int, z_loss: float) -> None:
    weight_VH, unused_V = _table(value=value)
    hidden_TH, labels_T, mask_T = _batch(unused_V)
    rows = equal_rows(weight_VH, unused_V)
    assert rows is not None and rows.count > V - USED - 128
    ours = _ours(hidden_TH, weight_VH, labels_T, mask_T, rows=rows, chunk=chunk, z_loss=z_loss)
    for found, wanted in zip(ours, _plain(hidden_TH, weight_VH, labels_T, mask_T, z_loss), strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=2e-5, atol=2e-5)


def test_bf16_products_are_as_close_with_equal_rows_as_without() -> None:
    weight_VH, unused_V = _table()
    hidden_TH, labels_T, mask_T = _batch(unused_V)
    wanted = _plain(hidden_TH, weight_VH, labels_T, mask_T, 0.0)
    apart = {}
    for name, rows in (("all", None), ("once", equal_rows(weight_VH, unused_V))):
        found = _ours(hidden_TH, weight_VH, labels_T, mask_T, rows=rows, dtype=torch.bfloat16)
        apart[name] = [float((a.double() - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)]
    assert all(once < 0.02 and once < 1.5 * every + 1e-3 for once, every in zip(apart["once"], apart["all"], strict=True)), apart


def test_equal_rows_get_equal_gradients_to_the_last_bit() -> None:
    weight_VH, unused_V = _table()
    rows = equal_rows(weight_VH, unused_V)
    assert rows is not None
    _, _, grad_VH = _ours(*_with(weight_VH, unused_V), rows=rows)
    same = grad_VH[rows.column_V < 0]
    assert len(same) == rows.count and torch.equal(same, same[:1].expand_as(same)) and bool(same.abs().sum() > 0)


def test_a_label_among_the_equal_rows_is_scored_but_never_trained_on() -> None:
    weight_VH, unused_V = _table()
    hidden_TH, labels_T, mask_T = _batch(unused_V)
    labels_T[1] = int(unused_V.nonzero()[-2])
    rows = equal_rows(weight_VH, unused_V)
    with torch.no_grad():
        _, nats_T = linear_cross_entropy(hidden_TH, weight_VH, labels_T, mask_T, group=None, rows=rows)
    torch.testing.assert_close(nats_T.double(), _plain(hidden_TH, weight_VH, labels_T, mask_T, 0.0)[0], rtol=2e-5, atol=2e-5)
    with pytest.raises(ValueError, match="one of the equal rows"):
        _ours(hidden_TH, weight_VH, labels_T, mask_T, rows=rows)


def test_an_unused_row_that_differs_is_computed_by_itself() -> None:
    weight_VH, unused_V = _table()
    odd = unused_V.nonzero().squeeze(1)[[5, 400]]
    weight_VH[odd] += 1.0
    rows = equal_rows(weight_VH, unused_V)
    assert rows is not None and bool((rows.column_V[odd] >= 0).all())
    hidden_TH, labels_T, mask_T = _batch(unused_V)
    ours = _ours(hidden_TH, weight_VH, labels_T, mask_T, rows=rows)
    for found, wanted in zip(ours, _plain(hidden_TH, weight_VH, labels_T, mask_T, 0.0), strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=2e-5, atol=2e-5)


def test_rows_of_their_own_are_a_multiple_of_128_and_every_row_is_somewhere() -> None:
    weight_VH, unused_V = _table()
    rows = equal_rows(weight_VH, unused_V)
    assert rows is not None and len(rows.own_U) % 128 == 0 and len(rows.own_U) + rows.count == V
    assert torch.equal(rows.own_U, (rows.column_V >= 0).nonzero().squeeze(1)) and int(rows.column_V[rows.equal]) == -1


@pytest.mark.parametrize("unused", ["none", "all different"])
def test_where_no_rows_are_equal_nothing_is_grouped(unused: str) -> None:
    weight_VH = torch.randn(V, H, generator=torch.Generator().manual_seed(1))
    assert equal_rows(weight_VH, torch.full((V,), unused != "none")) is None


def test_what_the_optimizer_left_apart_in_the_last_bit_is_made_equal() -> None:
    weight_VH, unused_V = _table()
    rows = equal_rows(weight_VH, unused_V)
    assert isinstance(rows, EqualRows)
    before = weight_VH.clone()
    weight_VH[(rows.column_V < 0).nonzero()[3]] += 1e-7
    make_equal(weight_VH, rows)
    assert torch.equal(weight_VH, before) and equal_rows(weight_VH, unused_V) is not None


def _with(weight_VH: torch.Tensor, unused_V: torch.Tensor) -> tuple[torch.Tensor, ...]:
    hidden_TH, labels_T, mask_T = _batch(unused_V)
    return hidden_TH, weight_VH, labels_T, mask_T
