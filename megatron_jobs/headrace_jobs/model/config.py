"""What a model is: sizes read from `megatron_jobs/configs/models/*.yaml`, and how many parameters they make."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from headrace_lake.errors import ConfigError
from headrace_lake.settings import Settings
from headrace_lake.strict import StrictModel, load_yaml

MODELS = "megatron_jobs/configs/models"


class ModelConfig(StrictModel):
    """A Qwen3-like decoder: RMSNorm, SwiGLU, grouped-query attention, rotary positions, normed queries and keys, no bias.

    Attributes:
        hidden_size: width of the residual stream.
        kv_heads: key/value heads; query heads share them in groups.
        ffn_size: width inside the SwiGLU.
        vocabulary: rows of the embedding table; the vocabulary's `padded_to`.
        max_positions: longest sequence the exported model promises.
        rope_theta: base of the rotary frequencies (10^6 in Qwen3).
        tied: input and output embeddings are one table.
        z_loss: weight of log²Z in the loss (PaLM uses 1e-4); 0 switches it off.
        init_std: standard deviation of the initial weights.
        precision: dtype of parameters and activations; `auto` takes what the processor multiplies faster (`precision.py`), measured
            when a run starts.
        softmax_precision: dtype of the logits' matrix products in training, `auto` likewise. bf16 is 3 times faster on CPUs with
            AVX512-BF16 and 10 to 100 times slower on those without; scoring and export always use fp32.
    """

    name: str
    hidden_size: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_size: int = Field(gt=0)
    ffn_size: int = Field(gt=0)
    vocabulary: int = Field(default=152576, gt=0)
    max_positions: int = Field(default=4096, gt=0)
    rope_theta: int = 1_000_000
    norm_epsilon: float = 1e-6
    tied: bool = False
    qk_norm: bool = True
    z_loss: float = Field(default=0.0, ge=0)
    init_std: float = Field(default=0.02, gt=0)
    precision: Literal["fp32", "bf16", "auto"] = "bf16"
    softmax_precision: Literal["fp32", "bf16", "auto"] = "fp32"

    @model_validator(mode="after")
    def _divides(self) -> ModelConfig:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads do not divide into {self.kv_heads} groups")
        if self.head_size % 2:
            raise ValueError("head_size must be even: rotary positions turn pairs")
        if self.vocabulary % 128:
            raise ValueError(f"vocabulary {self.vocabulary} is not a multiple of 128; the next one is {-(-self.vocabulary // 128) * 128}")
        return self

    def layer_parameters(self) -> int:
        """Parameters of one layer: q, k, v, o; gate, up, down; two norms, and two more for queries and keys."""
        attention = self.hidden_size * self.head_size * 2 * (self.heads + self.kv_heads)
        return attention + 3 * self.hidden_size * self.ffn_size + 2 * self.hidden_size + 2 * self.head_size * self.qk_norm

    def num_parameters(self) -> int:
        """Parameters of the whole model, padding rows of the vocabulary included."""
        tables = self.vocabulary * self.hidden_size * (1 if self.tied else 2)
        return tables + self.layers * self.layer_parameters() + self.hidden_size

    def flops_per_token(self, sequence_length: int) -> float:
        """Training FLOPs of a token, forward and backward: 6 per weight that multiplies, and the attention scores
        (Narayanan et al. 2021, without recomputation; causal scores counted in full)."""
        matrices = self.layers * (self.layer_parameters() - 2 * self.hidden_size - 2 * self.head_size * self.qk_norm)
        return 6.0 * (matrices + self.vocabulary * self.hidden_size) + 12.0 * self.layers * self.heads * self.head_size * sequence_length


def load_model_config(settings: Settings, name: str) -> ModelConfig:
    """A model by name (in `megatron_jobs/configs/models`) or by the path of a YAML.

    Raises:
        ConfigError: no such model, or a field is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        return load_yaml(settings.resolve(name), ModelConfig)
    folder: Path = settings.resolve(MODELS)
    file = folder / f"{name}.yaml"
    if not file.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise ConfigError(f"no model '{name}' in {MODELS}", f"models: {known}; or give the path of a YAML")
    return load_yaml(file, ModelConfig)
