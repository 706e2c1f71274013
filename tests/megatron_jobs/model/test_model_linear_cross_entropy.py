"""The fused output layer gives the losses and gradients of Megatron's own vocab-parallel cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from headrace_jobs.model.linear_cross_entropy import linear_cross_entropy
from headrace_jobs.trainer.parallel import single_process, stop

T, H, V = 70, 24, 512


@pytest.fixture
def group() -> Iterator[Any]:
    single_process()
    from megatron.core import parallel_state

    yield parallel_state.get_tensor_model_parallel_group()
    stop()


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    hidden_TH = torch.randn(T, H, generator=generator)
    weight_VH = torch.randn(V, H, generator=generator)
    labels_T = torch.randint(0, V, (T,), generator=generator)
    return hidden_TH, weight_VH, labels_T, (torch.arange(T) % 5 != 0).float()


def _losses(inputs: Any, loss: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden_TH, weight_VH = (t.clone().requires_grad_() for t in inputs[:2])
    nats_T = loss(hidden_TH, weight_VH)
    nats_T.sum().backward()
    assert hidden_TH.grad is not None and weight_VH.grad is not None
    return nats_T.detach(), hidden_TH.grad, weight_VH.grad


@pytest.mark.parametrize("chunk", [16, 1000])
def test_losses_and_gradients_equal_megatrons(group: Any, inputs: Any, chunk: int) -> None:
    from megatron.core.tensor_parallel import vocab_parallel_cross_entropy

    _, _, labels_T, mask_T = inputs
    theirs = _losses(inputs, lambda h, w: vocab_parallel_cross_entropy((h @ w.t())[:, None], labels_T[:, None])[:, 0] * mask_T)
    ours = _losses(inputs, lambda h, w: linear_cross_entropy(h, w, labels_T, mask_T, group=group, chunk=chunk)[0])
    for found, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_z_loss_adds_the_squared_log_partition_to_the_objective_only(group: Any, inputs: Any) -> None:
    hidden_TH, weight_VH, labels_T, mask_T = inputs
    log_z_T = torch.logsumexp(hidden_TH @ weight_VH.t(), 1)
    plain = _losses(inputs, lambda h, w: ((h @ w.t()).logsumexp(1) * mask_T).square() * 0.01)
    bare = _losses(inputs, lambda h, w: linear_cross_entropy(h, w, labels_T, mask_T, group=group)[0])
    both = _losses(inputs, lambda h, w: linear_cross_entropy(h, w, labels_T, mask_T, group=group, z_loss=0.01)[0])
    for part, base, whole in zip(plain, bare, both, strict=True):
        torch.testing.assert_close(part + base, whole, rtol=1e-4, atol=1e-4)
    _, nats_T = linear_cross_entropy(hidden_TH, weight_VH, labels_T, mask_T, group=group, z_loss=0.01)
    assert torch.equal(nats_T, bare[0]) and log_z_T.isfinite().all()


def test_losses_with_different_factors_are_refused(group: Any, inputs: Any) -> None:
    with pytest.raises(ValueError, match="one common factor"):
        _losses(inputs, lambda h, w: linear_cross_entropy(h, w, inputs[2], inputs[3], group=group)[0] * torch.arange(T))
