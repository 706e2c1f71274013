"""A Megatron checkpoint as a Hugging Face folder: Qwen3ForCausalLM, safetensors, no code.

Legend: L = layers, H = hidden, N = query heads, G = key/value heads, Q = N / G, D = head size, F = inside the SwiGLU.

Megatron keeps the queries, key and value of each group together ([G, Q + 2, D, H] flattened to rows) and the SwiGLU's gate above
its up projection ([2F, H]); Hugging Face has one matrix for each. Names and shapes are checked by loading them strictly into
transformers' own class, which also writes the files. tests/megatron_jobs/export/test_export_generate.py compares logits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace_jobs.model.config import ModelConfig
from headrace_lake.errors import InputError


def export(checkpoint: Path, out: Path, *, shard_size: str = "5GB") -> list[Path]:
    """Write `config.json`, `generation_config.json` and safetensors of a checkpoint into a folder.

    Args:
        checkpoint: a folder that `trainer.checkpoint.save` wrote, at any layout.
        out: made if it is not there; a tokenizer is written beside by whoever bundles.
        shard_size: largest safetensors file.

    Returns:
        the files.

    Raises:
        InputError: the checkpoint is damaged, asks to run code, or does not hold what its config promises.
    """
    from headrace_jobs.trainer.checkpoint import load_weights, read_state
    from headrace_jobs.trainer.parallel import stop

    about = read_state(checkpoint)
    try:
        weights = load_weights(checkpoint)
    finally:
        stop()  # transformers needs no process groups and none of the CPU's stand-ins
    return write_folder(weights, about.model, out, eod=about.eod, shard_size=shard_size)


def write_folder(weights: dict[str, Any], model: ModelConfig, out: Path, *, eod: int, shard_size: str = "5GB") -> list[Path]:
    """The files of a model whose weights have Megatron's names."""
    import torch
    from transformers import GenerationConfig, Qwen3ForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    tensors = convert(weights, model)
    with torch.device("meta"):
        shell = Qwen3ForCausalLM(hugging_face_config(model, eod=eod))
    problems = shell.load_state_dict(tensors, strict=False, assign=True)
    missing = [name for name in problems.missing_keys if not (model.tied and name == "lm_head.weight")]
    if missing or problems.unexpected_keys:
        raise InputError(
            f"the checkpoint does not fit model {model.name}: {(missing + problems.unexpected_keys)[0]}",
            "export it with the version of Headrace that trained it",
        )
    shell.tie_weights()
    shell.generation_config = GenerationConfig(eos_token_id=eod, pad_token_id=eod, bos_token_id=eod)  # type: ignore[no-untyped-call]
    out.mkdir(parents=True, exist_ok=True)
    shell.save_pretrained(str(out), max_shard_size=shard_size)
    return sorted(p for p in out.iterdir() if p.is_file())


def hugging_face_config(model: ModelConfig, *, eod: int) -> Any:
    """transformers' Qwen3Config of a model; the vocabulary keeps its padding rows, so no tensor is cut."""
    from transformers import Qwen3Config

    if not model.qk_norm:
        raise InputError(f"model {model.name} has no qk_norm, which Qwen3 always has", "set 'qk_norm: true' and train again")
    return Qwen3Config(
        vocab_size=model.vocabulary,
        hidden_size=model.hidden_size,
        intermediate_size=model.ffn_size,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        num_key_value_heads=model.kv_heads,
        head_dim=model.head_size,
        max_position_embeddings=model.max_positions,
        rms_norm_eps=model.norm_epsilon,
        tie_word_embeddings=model.tied,
        rope_parameters={"rope_type": "default", "rope_theta": float(model.rope_theta)},
        attention_bias=False,
        bos_token_id=eod,
        eos_token_id=eod,
        pad_token_id=eod,
        dtype="bfloat16" if model.precision == "bf16" else "float32",
    )


def convert(weights: dict[str, Any], model: ModelConfig) -> dict[str, Any]:
    """Megatron's names and layouts to Hugging Face's.

    Args:
        weights: tensors of the whole model; those of layers are stacked, [L, ...].

    Raises:
        InputError: a tensor is missing; names it.
    """

    def take(name: str) -> Any:
        if name not in weights:
            raise InputError(f"the checkpoint holds no {name}", "export it with the version of Headrace that trained it")
        return weights[name]

    out = {
        "model.embed_tokens.weight": take("embedding.word_embeddings.weight"),
        "model.norm.weight": take("decoder.final_layernorm.weight"),
    }
    if not model.tied:
        out["lm_head.weight"] = take("output_layer.weight")
    for i in range(model.layers):

        def layer(name: str, at: int = i) -> Any:
            return take(f"decoder.layers.{name}")[at]

        prefix = f"model.layers.{i}."
        q, k, v = split_qkv(layer("self_attention.linear_qkv.weight"), groups=model.kv_heads, head_size=model.head_size)
        gate, up = layer("mlp.linear_fc1.weight").chunk(2, 0)
        out |= {
            f"{prefix}self_attn.q_proj.weight": q,
            f"{prefix}self_attn.k_proj.weight": k,
            f"{prefix}self_attn.v_proj.weight": v,
            f"{prefix}self_attn.o_proj.weight": layer("self_attention.linear_proj.weight"),
            f"{prefix}self_attn.q_norm.weight": layer("self_attention.q_layernorm.weight"),
            f"{prefix}self_attn.k_norm.weight": layer("self_attention.k_layernorm.weight"),
            f"{prefix}mlp.gate_proj.weight": gate,
            f"{prefix}mlp.up_proj.weight": up,
            f"{prefix}mlp.down_proj.weight": layer("mlp.linear_fc2.weight"),
            f"{prefix}input_layernorm.weight": layer("self_attention.linear_qkv.layer_norm_weight"),
            f"{prefix}post_attention_layernorm.weight": layer("mlp.linear_fc1.layer_norm_weight"),
        }
    # Slices share storage with the stacked tensor; safetensors wants each by itself.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in out.items()}


def split_qkv(rows_RH: Any, *, groups: int, head_size: int) -> tuple[Any, Any, Any]:
    """Queries [N·D, H], keys [G·D, H] and values [G·D, H] out of Megatron's rows, G·(Q + 2)·D of them."""
    hidden = rows_RH.shape[1]
    per_group = rows_RH.view(groups, -1, head_size, hidden)
    q, k, v = per_group[:, :-2], per_group[:, -2], per_group[:, -1]
    return q.reshape(-1, hidden), k.reshape(-1, hidden), v.reshape(-1, hidden)
