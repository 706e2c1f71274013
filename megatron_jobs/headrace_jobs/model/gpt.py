"""Megatron's GPTModel with our output path: fused, masked, with z-loss, and nats beside the objective.

Legend: S = local sequence, B = micro batch, H = hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import copy_to_tensor_model_parallel_region, gather_from_sequence_parallel_region

from headrace_jobs.model.equal_rows import EqualRows
from headrace_jobs.model.linear_cross_entropy import linear_cross_entropy


class HeadraceGPT(GPTModel):  # type: ignore[misc]
    """Called with `labels` and `loss_mask`, the last pipeline stage returns [2, B, S]: the objective and the nats of each
    token, both 0 where the mask is 0. Without labels it returns logits, as GPTModel does.

    Attributes:
        rows: rows of the output table that are equal and so computed once; whoever changes the table sets them.
    """

    z_loss: float = 0.0
    softmax_dtype: torch.dtype = torch.float32
    rows: EqualRows | None = None

    def output_table(self) -> torch.Tensor:
        """The rows whose products with the hidden states are the logits [V, H]; last pipeline stage only."""
        tied = self.share_embeddings_and_output_weights
        return self.shared_embedding_or_output_weight() if tied else self.output_layer.weight  # type: ignore[no-any-return]

    def _postprocess(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        labels_BS, mask_BS = kwargs.get("labels"), kwargs.get("loss_mask")
        if not self.post_process or labels_BS is None or mask_BS is None:
            return super()._postprocess(hidden_states, *args, **kwargs)  # type: ignore[no-any-return]
        # The gradient of the hidden states is partial on each tensor-parallel rank; these two sum it in backward.
        if self.config.sequence_parallel:
            hidden_SBH = gather_from_sequence_parallel_region(hidden_states, tensor_parallel_output_grad=True)
        else:
            hidden_SBH = copy_to_tensor_model_parallel_region(hidden_states)
        s, b, h = hidden_SBH.shape
        objective_T, nats_T = linear_cross_entropy(
            hidden_SBH.reshape(s * b, h),
            self.output_table(),
            labels_BS.t().reshape(-1),
            mask_BS.t().reshape(-1),
            group=self.pg_collection.tp,
            z_loss=self.z_loss if self.training else 0.0,
            dtype=self.softmax_dtype if self.training else torch.float32,
            rows=self.rows,
        )
        return torch.stack([objective_T.view(s, b).t(), nats_T.view(s, b).t()])
