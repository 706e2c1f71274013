"""From a packed batch to what the model's forward takes, on either attention path.

Legend: B = micro batch, S = sequence length, s = this context-parallel rank's part of it.

Documents never see each other: Transformer Engine gets the borders as cumulative lengths (the rows of a micro batch laid
end to end), torch's attention gets a mask [B, 1, s, S]. A label belongs to its own document already. Rotary positions
are relative, so on the mask path they need not restart at a border: only distances inside a document are ever compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class ModelInputs:
    """Arguments of the model's forward; `rows` and `length` give the shape of what it returns per token."""

    tokens: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    loss_mask: torch.Tensor
    attention_mask: torch.Tensor | None
    packed: Any


def model_inputs(batch: Any, *, packed: bool = False, context_rank: int = 0, context_ranks: int = 1, device: str = "cpu") -> ModelInputs:
    """Turn a loader's `Batch` into tensors.

    Args:
        packed: borders as cumulative lengths (Transformer Engine) instead of a mask.
        context_rank, context_ranks: which zig-zag part of every row this rank holds.
    """
    tokens_BS, labels_BS, positions_BS = (torch.from_numpy(a).to(device) for a in (batch.tokens_BS, batch.labels_BS, batch.positions_BS))
    loss_mask_BS, segments_BS = torch.from_numpy(batch.loss_mask_BS).to(device), torch.from_numpy(batch.segments_BS).to(device)
    if packed:
        tokens, positions, labels, mask = (t.reshape(1, -1) for t in (tokens_BS, positions_BS, labels_BS, loss_mask_BS))
        return ModelInputs(tokens, positions, labels, mask, None, packed_params(segments_BS))
    order = zigzag_order(tokens_BS.shape[1], context_ranks).to(device)
    mine = order.chunk(context_ranks)[context_rank]
    mask = forbidden(segments_BS, queries=mine, keys=order)
    return ModelInputs(tokens_BS[:, mine], positions_BS[:, mine], labels_BS[:, mine], loss_mask_BS[:, mine], mask, None)


def forbidden(segments_BS: torch.Tensor, *, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Where a query may not look, bool [B, 1, queries, keys]: ahead of itself, or into another document.

    Padding is its own segment and may look at padding, so that no row of the softmax is empty."""
    ahead = queries[:, None] < keys[None, :]
    elsewhere = segments_BS[:, queries, None] != segments_BS[:, None, keys]
    return (ahead[None] | elsewhere)[:, None]


def zigzag_order(length: int, ranks: int) -> torch.Tensor:
    """Positions in the order in which the ranks hold them: rank r has pieces r and 2·ranks-1-r of 2·ranks equal ones, so
    that causal attention gives every rank the same work."""
    if ranks == 1:
        return torch.arange(length)
    pieces = torch.arange(length).chunk(2 * ranks)
    return torch.cat([pieces[i] for r in range(ranks) for i in (r, 2 * ranks - 1 - r)])


def packed_params(segments_BS: torch.Tensor) -> Any:
    """Megatron's PackedSeqParams: where each document (or stretch of padding) of each row begins and ends."""
    from megatron.core.packed_seq_params import PackedSeqParams

    borders = [0]
    for b, row in enumerate(segments_BS.tolist()):
        start = b * len(row)
        borders += [start + i for i in range(1, len(row)) if row[i] != row[i - 1]]
        borders.append(start + len(row))
    lengths = torch.tensor(borders, dtype=torch.int32, device=segments_BS.device)
    longest = int((lengths[1:] - lengths[:-1]).max())
    return PackedSeqParams(qkv_format="thd", cu_seqlens_q=lengths, cu_seqlens_kv=lengths, max_seqlen_q=longest, max_seqlen_kv=longest)
