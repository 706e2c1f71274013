"""One optimizer step: the global batch through Megatron's schedule, gradients finished, weights moved.

The loss of a step is the sum of nats over the unmasked tokens of the global batch, divided by their number: neither
how rows fall into micro batches nor how ranks share them changes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from headrace_jobs.model.build import uses_transformer_engine
from headrace_jobs.model.inputs import model_inputs
from headrace_jobs.trainer.state import TrainState, learning_rate


@dataclass(frozen=True)
class StepResult:
    """What a step measured, the same on every rank.

    Attributes:
        loss: nats per token.
        lr: the rate that the step used.
        grad_norm: before clipping; None when clipping is off.
        tokens: unmasked labels in the global batch.
    """

    loss: float
    lr: float
    grad_norm: float | None
    tokens: int


def train_step(state: TrainState, batches: list[Any]) -> StepResult:
    """Run one step over this rank's micro batches and advance the schedule."""
    import torch
    import torch.distributed as dist
    from megatron.core import parallel_state
    from megatron.core.pipeline_parallel import get_forward_backward_func

    lr = learning_rate(state)
    state.model.train()
    state.model.zero_grad_buffer()
    state.optimizer.zero_grad()
    totals = get_forward_backward_func()(
        forward_step_func=forward_step,
        data_iterator=iter(batches),
        model=state.model,
        num_microbatches=len(batches),
        seq_length=state.config.sequence_length,
        micro_batch_size=state.config.micro_batch,
        forward_only=False,
    )
    sums = torch.zeros(2, dtype=torch.float64)
    for micro in totals:  # filled on the last pipeline stage only
        sums += micro["nats_and_tokens"].double().cpu()
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    sums = sums.to(device)
    dist.all_reduce(sums, group=parallel_state.get_data_parallel_group(with_context_parallel=True))
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        dist.broadcast(
            sums, parallel_state.get_pipeline_model_parallel_last_rank(), group=parallel_state.get_pipeline_model_parallel_group()
        )
    nats, tokens = (float(x) for x in sums.tolist())
    _, grad_norm, _ = state.optimizer.step()
    state.scheduler.step(increment=int(tokens))
    state.steps += 1
    state.tokens += int(tokens)
    return StepResult(nats / max(1.0, tokens), lr, None if grad_norm is None else float(grad_norm), int(tokens))


def forward_step(batches: Iterator[Any], model: Any) -> tuple[Any, Any]:
    """Megatron's forward step: the next micro batch through the model, and what makes a loss of its output."""
    import torch
    from megatron.core import parallel_state

    inputs = model_inputs(
        next(batches),
        packed=uses_transformer_engine(),
        context_rank=parallel_state.get_context_parallel_rank(),
        context_ranks=parallel_state.get_context_parallel_world_size(),
        device="cuda" if torch.cuda.is_available() else "cpu",
    )
    out = model(
        inputs.tokens,
        inputs.positions,
        inputs.attention_mask,
        labels=inputs.labels,
        loss_mask=inputs.loss_mask,
        packed_seq_params=inputs.packed,
    )
    return out, partial(_loss, inputs.loss_mask)


def _loss(mask_BS: Any, out_2BS: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Sum of the objective, tokens, and what is reported. Megatron divides by the tokens of all micro batches and ranks."""
    import torch

    tokens = mask_BS.sum()
    reported = torch.stack([out_2BS[1].detach().double().sum(), tokens.double()])
    return out_2BS[0].sum(), tokens.to(torch.int), {"nats_and_tokens": reported}
