"""Output projection and cross-entropy in one: the logits of the whole batch never exist at once.

Legend: T = tokens, C = tokens of a chunk, H = hidden size, V = this rank's rows of the vocabulary, U = rows that are computed one by
one: all V, or fewer where rows are equal (`equal_rows`).

With 152,576 rows the logits of 4,096 tokens take 2.5 GB in fp32, and the softmax is nine tenths of a tiny model's work.
Here a chunk of logits is made, turned in place into its own gradient, and used up: three matrix products, no second
forward, 256 tokens of logits in memory. The loss and gradients are those of Megatron's vocab-parallel cross-entropy
(to 1e-5, also across tensor-parallel ranks; tests compare them), plus an optional z-loss. Equal rows change neither.

The gradient is finished in the forward pass, so every token's loss must enter the final sum with one common factor. The
loss mask is therefore an argument here; masked tokens cost nothing. `backward` checks that the factor is common.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist

from headrace_jobs.model.equal_rows import EqualRows

CHUNK_TOKENS = 256
"""Measured on 2 Zen 5 cores at H = 96: 256 is within 3 % of the best of 64..1,024, for scoring in fp32 too, and keeps 80 MB of
bf16 logits."""


def linear_cross_entropy(
    hidden_TH: torch.Tensor,
    weight_VH: torch.Tensor,
    labels_T: torch.Tensor,
    mask_T: torch.Tensor,
    *,
    group: Any,
    z_loss: float = 0.0,
    dtype: torch.dtype = torch.float32,
    chunk: int = CHUNK_TOKENS,
    rows: EqualRows | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of each token under `hidden @ weight.T`.

    Args:
        labels_T: ids over the whole vocabulary; rank r of `group` holds rows r·V .. (r+1)·V-1.
        mask_T: 1 counts, 0 does not (its loss is 0).
        dtype: of the matrix products. Maxima, sums, the labels' own logits and the one of equal rows are fp32 in any case.
        rows: which rows of `weight_VH` are equal and so computed once; no label may be one of them where a gradient is wanted.

    Returns:
        the objective (cross-entropy and z-loss) and the bare cross-entropy in nats, fp32 [T]; the second has no gradient.

    Raises:
        ValueError: in backward, losses with different factors; a label among the equal rows (its gradient would part them).
    """
    if not torch.is_grad_enabled():
        # Inside an autograd function a parameter still "needs" its gradient: without this, scoring would pay for two more products.
        hidden_TH, weight_VH = hidden_TH.detach(), weight_VH.detach()
    objective_T, nats_T = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_TH, weight_VH, labels_T, mask_T, group, z_loss, dtype, chunk, rows
    )
    return objective_T, nats_T


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_TH: torch.Tensor,
        weight_VH: torch.Tensor,
        labels_T: torch.Tensor,
        mask_T: torch.Tensor,
        group: Any,
        z_loss: float,
        dtype: torch.dtype,
        chunk: int,
        equal: EqualRows | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wants_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        first = group.rank() * weight_VH.shape[0] if group is not None else 0
        whole_VH = weight_VH.detach()
        weight_UH = (whole_VH if equal is None else whole_VH[equal.own_U]).to(dtype)
        equal_H = None if equal is None else whole_VH[equal.equal].float()
        kept = mask_T.nonzero().squeeze(1)
        objective_T = torch.zeros(labels_T.shape, dtype=torch.float32, device=hidden_TH.device)
        nats_T = torch.zeros_like(objective_T)
        grad_hidden = torch.zeros_like(hidden_TH) if wants_gradient else None
        grad_UH = torch.zeros(weight_UH.shape, dtype=torch.float32, device=weight_UH.device) if wants_gradient else None
        grad_equal_H = torch.zeros(weight_UH.shape[1], dtype=torch.float32, device=weight_UH.device)
        # One buffer for all chunks: memory that is given back and asked for again costs a page fault per 4 KiB.
        buffer_CU = torch.empty((min(chunk, len(kept)), len(weight_UH)), dtype=dtype, device=hidden_TH.device)
        product_UH = torch.empty_like(weight_UH) if wants_gradient else None
        product32_UH = torch.empty_like(weight_UH, dtype=torch.float32) if wants_gradient and dtype != torch.float32 else None
        for at in range(0, len(kept), chunk):
            rows = kept[at : at + chunk]
            hidden_CH = hidden_TH.detach()[rows]
            low_CH = hidden_CH.to(dtype)
            logits_CU = torch.mm(low_CH, weight_UH.t(), out=buffer_CU[: len(rows)])
            maximum_C = logits_CU.amax(1)
            equal_C = None
            if equal is not None and equal_H is not None:
                equal_C = hidden_CH.float() @ equal_H + math.log(equal.count)
                maximum_C = torch.maximum(maximum_C, equal_C.to(dtype))
            _reduce(maximum_C, group, dist.ReduceOp.MAX)
            logits_CU.sub_(maximum_C[:, None]).exp_()
            sum_C = _row_sums(logits_CU)
            if equal_C is not None:
                equal_C = equal_C.sub_(maximum_C.float()).exp_()
                sum_C = sum_C + equal_C
            local_C = labels_T[rows] - first
            mine_C = (local_C >= 0) & (local_C < weight_VH.shape[0])
            local_C = torch.where(mine_C, local_C, 0)
            chosen_C = (hidden_CH.float() * whole_VH[local_C].float()).sum(1) * mine_C
            if group is not None and group.size() > 1:
                both = torch.stack([sum_C, chosen_C])
                _reduce(both, group, dist.ReduceOp.SUM)
                sum_C, chosen_C = both.unbind()
            log_z_C = sum_C.log() + maximum_C.float()
            nats_C = log_z_C - chosen_C
            mask_C = mask_T[rows].float()
            nats_T[rows] = nats_C * mask_C
            objective_T[rows] = (nats_C + z_loss * log_z_C.square()) * mask_C
            if grad_hidden is None or grad_UH is None or product_UH is None:
                continue
            scale_C = mask_C * (1 + 2 * z_loss * log_z_C) / sum_C
            logits_CU.mul_(scale_C.to(dtype)[:, None])  # exp(logits) becomes the gradient of the logits
            column_C = local_C if equal is None else _columns(local_C, mine_C, equal)
            logits_CU[torch.arange(len(rows), device=rows.device), column_C] -= (mask_C * mine_C).to(dtype)
            grad_CH = logits_CU @ weight_UH
            torch.mm(logits_CU.t(), low_CH, out=product_UH)
            grad_UH += product_UH if product32_UH is None else product32_UH.copy_(product_UH)
            if equal_C is not None and equal_H is not None:
                equal_C = equal_C * scale_C
                grad_CH = grad_CH + (equal_C[:, None] * equal_H).to(dtype)
                grad_equal_H += equal_C @ hidden_CH.float()
            grad_hidden[rows] = grad_CH.to(grad_hidden.dtype)
        ctx.weight_dtype = weight_VH.dtype
        if grad_hidden is not None and grad_UH is not None:
            grad_VH = grad_UH
            if equal is not None:
                grad_VH = (grad_equal_H / equal.count).expand(weight_VH.shape).contiguous()
                grad_VH[equal.own_U] = grad_UH
            ctx.save_for_backward(grad_hidden, grad_VH)
        ctx.mark_non_differentiable(nats_T)
        return objective_T, nats_T

    @staticmethod
    def backward(ctx: Any, grad_T: torch.Tensor, _: Any) -> tuple[Any, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        factor = grad_T.flatten()[0]
        if grad_T.stride() != (0,) and not bool((grad_T == factor).all()):
            raise ValueError("linear_cross_entropy: losses must enter the sum with one common factor; weigh them through mask_T")
        if float(factor) != 1.0:
            grad_hidden, grad_weight = grad_hidden.mul_(factor), grad_weight.mul_(factor)
        return grad_hidden, grad_weight.to(ctx.weight_dtype), None, None, None, None, None, None, None


def _columns(local_C: torch.Tensor, mine_C: torch.Tensor, equal: EqualRows) -> torch.Tensor:
    """Columns of the labels among the rows that are computed one by one; 0 for another rank's labels."""
    column_C = equal.column_V[local_C]
    if bool((mine_C & (column_C < 0)).any()):
        raise ValueError("linear_cross_entropy: a label is one of the equal rows, whose gradient would part them")
    return torch.where(mine_C, column_C, 0)


def _row_sums(values_CV: torch.Tensor) -> torch.Tensor:
    """Sums of rows in fp32 [C]. bf16 values are summed in 128 parts, each in fp32 but rounded at its end (2^-9, which averages out
    to some 2^-12 of the sum): asking torch for fp32 sums makes an fp32 copy of all values first, at three times the cost."""
    if values_CV.dtype == torch.float32 or values_CV.shape[1] % 128:
        return values_CV.sum(1, dtype=torch.float32)
    return values_CV.view(len(values_CV), 128, -1).sum(2).sum(1, dtype=torch.float32)


def _reduce(value: torch.Tensor, group: Any, op: Any) -> None:
    if group is not None and group.size() > 1:
        dist.all_reduce(value, op=op, group=group)
