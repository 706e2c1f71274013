"""The seam: everything else asks here for a model and never names Megatron's class.

A successor of GPTModel (Megatron-Core 0.19 announces HybridModel) is adopted by changing this file and `gpt.py`.
"""

from __future__ import annotations

from typing import Any

from headrace_jobs.model.config import ModelConfig
from headrace_jobs.model.layout import ParallelConfig
from headrace_lake.errors import ConfigError


def transformer_config(model: ModelConfig, parallel: ParallelConfig, *, training: bool = True) -> Any:
    """Megatron's TransformerConfig for a model and a layout."""
    import torch
    import torch.nn.functional as F
    from megatron.core.transformer import TransformerConfig

    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if model.precision == "bf16" else torch.float32
    init = _normal(model.init_std)
    return TransformerConfig(
        num_layers=model.layers,
        hidden_size=model.hidden_size,
        num_attention_heads=model.heads,
        num_query_groups=model.kv_heads,
        kv_channels=model.head_size,
        ffn_hidden_size=model.ffn_size,
        normalization="RMSNorm",
        layernorm_epsilon=model.norm_epsilon,
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        qk_layernorm=model.qk_norm,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        init_method=init,
        output_layer_init_method=_normal(model.init_std / (2.0 * model.layers) ** 0.5),
        embedding_init_method=init,
        use_cpu_initialization=not cuda,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=model.precision == "bf16",
        bias_activation_fusion=cuda,
        bias_dropout_fusion=False,
        masked_softmax_fusion=False,
        apply_rope_fusion=uses_transformer_engine(),
        gradient_accumulation_fusion=False,
        persist_layer_norm=cuda,
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        context_parallel_size=parallel.context,
        sequence_parallel=parallel.sequence and parallel.tensor > 1,
        # Freeing outputs early relies on CUDA's stream order, which gloo does not have.
        deallocate_pipeline_outputs=cuda,
        batch_p2p_comm=cuda,
        # Must be set here: set later, it halves gradients at two data-parallel ranks.
        calculate_per_token_loss=True,
    )


def build_model(model: ModelConfig, parallel: ParallelConfig, *, sequence_length: int) -> Any:
    """This rank's part of the model. Process groups must exist.

    Raises:
        ConfigError: the vocabulary or the heads do not divide by the tensor-parallel size, or a precision is still `auto`.
    """
    if "auto" in (model.precision, model.softmax_precision):
        raise ConfigError(f"model {model.name}: its precision was not chosen yet", "choose it first: headrace_jobs.model.precision")
    import torch
    from megatron.core import parallel_state

    from headrace_jobs.model.gpt import HeadraceGPT

    check_layout(model, parallel)
    config = transformer_config(model, parallel)
    built = HeadraceGPT(
        config,
        _spec(config, model),
        vocab_size=model.vocabulary,
        max_sequence_length=sequence_length,
        position_embedding_type="rope",
        rotary_base=model.rope_theta,
        share_embeddings_and_output_weights=model.tied,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
        parallel_output=True,
    )
    built.z_loss = model.z_loss
    built.softmax_dtype = torch.bfloat16 if model.softmax_precision == "bf16" else torch.float32
    return built.cuda() if torch.cuda.is_available() else built


def check_layout(model: ModelConfig, parallel: ParallelConfig) -> None:
    """What does not divide is said before a process group is made."""
    if model.vocabulary % (128 * parallel.tensor):
        wanted = -(-model.vocabulary // (128 * parallel.tensor)) * 128 * parallel.tensor
        what = f"model {model.name}: vocabulary {model.vocabulary} is not a multiple of 128 x TP {parallel.tensor}"
        raise ConfigError(what, f"use {wanted}")
    for name, count in (("heads", model.heads), ("kv_heads", model.kv_heads)):
        if count % parallel.tensor:
            what = f"model {model.name}: {count} {name} do not divide by TP {parallel.tensor}"
            raise ConfigError(what, "use a smaller 'parallel.tensor'")
    if model.layers % parallel.pipeline:
        what = f"model {model.name}: {model.layers} layers do not divide by PP {parallel.pipeline}"
        raise ConfigError(what, "change 'parallel.pipeline'")


def uses_transformer_engine() -> bool:
    """Whether layers come from Transformer Engine: CUDA, and the package is there."""
    import importlib.util

    import torch

    return torch.cuda.is_available() and importlib.util.find_spec("transformer_engine") is not None


def _spec(config: Any, model: ModelConfig) -> Any:
    if uses_transformer_engine():
        from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_with_transformer_engine_spec

        return get_gpt_layer_with_transformer_engine_spec(qk_layernorm=model.qk_norm)
    from headrace_jobs.portable.layers import portable_spec

    return portable_spec(config, qk_norm=model.qk_norm)


def _normal(std: float) -> Any:
    import torch

    def init(tensor: torch.Tensor) -> torch.Tensor:
        return torch.nn.init.normal_(tensor, mean=0.0, std=std)

    return init
