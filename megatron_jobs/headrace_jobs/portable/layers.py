"""Portable layers, plugged into Megatron through its own ModuleSpec: no Transformer Engine, no Apex, no CUDA.

Legend: S = local sequence, B = micro batch, N = query heads, G = key/value heads, D = head size, K = all keys.

`PortableNorm` supports sequence parallelism (Megatron's torch norm refuses it). `PortableAttention` supports context
parallelism (keys and values gathered over the group, zig-zag order) and any mask, where Megatron's own refuses both.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.process_groups_config import ProcessGroupCollection
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build


class PortableNorm(torch.nn.RMSNorm):
    """RMSNorm (Zhang & Sennrich 2019) whose gradient is summed over the tensor-parallel group under sequence parallelism."""

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps, dtype=config.params_dtype)
        # finalize_model_grads looks for this mark.
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]


class _GatherKeys(torch.autograd.Function):
    """All keys of the context-parallel group; backward sums what every rank asked of ours."""

    @staticmethod
    def forward(ctx: Any, x_SBGD: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        parts = [torch.empty_like(x_SBGD) for _ in range(group.size())]
        dist.all_gather(parts, x_SBGD.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad_KBGD: torch.Tensor) -> tuple[torch.Tensor, None]:
        grad_KBGD = grad_KBGD.contiguous()
        dist.all_reduce(grad_KBGD, group=ctx.group)
        return grad_KBGD.chunk(ctx.group.size())[ctx.group.rank()], None


class PortableAttention(MegatronModule):  # type: ignore[misc]
    """Core attention on torch's scaled-dot-product kernel.

    `attention_mask` is a bool tensor [B, 1, S, K], True where a query may NOT look (Megatron's convention); it carries
    causality and document borders, and its K follows the order in which the context-parallel ranks hold the sequence.
    """

    def __init__(
        self,
        config: Any,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        cp_comm_type: str | None = None,
        pg_collection: Any = None,
        **_: Any,
    ) -> None:
        super().__init__(config=config)
        groups = pg_collection or ProcessGroupCollection.use_mpu_process_groups(required_pgs=["tp", "cp"])
        self.cp_group = groups.cp
        self.scale = softmax_scale
        self.dropout = config.attention_dropout if attention_dropout is None else attention_dropout

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor,
        attn_mask_type: Any = None,
        attention_bias: Any = None,
        packed_seq_params: Any = None,
    ) -> torch.Tensor:
        """query [S, B, N, D], key and value [S, B, G, D] → [S, B, N·D]."""
        if self.cp_group is not None and self.cp_group.size() > 1:
            key = _GatherKeys.apply(key, self.cp_group)  # type: ignore[no-untyped-call]
            value = _GatherKeys.apply(value, self.cp_group)  # type: ignore[no-untyped-call]
        q_BNSD, k_BGKD, v_BGKD = (t.permute(1, 2, 0, 3) for t in (query, key, value))
        out_BNSD = F.scaled_dot_product_attention(
            q_BNSD,
            k_BGKD,
            v_BGKD,
            attn_mask=~attention_mask,
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
            enable_gqa=q_BNSD.shape[1] != k_BGKD.shape[1],
        )
        s, b = query.shape[:2]
        return out_BNSD.permute(2, 0, 1, 3).reshape(s, b, -1)

    def sharded_state_dict(self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None) -> dict[str, Any]:
        """Attention has no state."""
        return {}


def portable_spec(config: Any, *, qk_norm: bool, vp_stage: int | None = None) -> TransformerBlockSubmodules:
    """The layers of this pipeline stage, made of portable modules."""
    layer: ModuleSpec = get_gpt_layer_local_spec(qk_layernorm=qk_norm, normalization="RMSNorm")
    layer.submodules.input_layernorm = PortableNorm
    layer.submodules.pre_mlp_layernorm = PortableNorm
    attention = layer.submodules.self_attention.submodules
    attention.core_attention = PortableAttention
    if qk_norm:
        attention.q_layernorm = PortableNorm
        attention.k_layernorm = PortableNorm
    layers = get_num_layers_to_build(config, vp_stage=vp_stage)
    return TransformerBlockSubmodules(layer_specs=[layer] * layers, layer_norm=PortableNorm)
