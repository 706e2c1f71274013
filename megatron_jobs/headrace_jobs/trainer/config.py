"""The `train:` block of a recipe: model, batch, optimizer, schedule, checkpoints and layout, each with its unit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from headrace_jobs.model.layout import ParallelConfig
from headrace_lake.strict import StrictModel, parse


class OptimizerSettings(StrictModel):
    """AdamW.

    Attributes:
        lr: peak learning rate.
        embedding_lr: peak learning rate of the embedding and output tables; `lr` where absent. A row of the table is
            touched by few tokens, so it bears a larger rate.
        min_lr: at the end of the schedule.
        beta1, beta2, eps: of Adam; 0.9, 0.95 and 1e-8 as in Llama 2.
        weight_decay: decoupled; not on vectors.
        clip_grad: largest norm of the gradient; 0 switches clipping off.
    """

    lr: float = Field(default=3e-4, gt=0)
    embedding_lr: float | None = Field(default=None, gt=0)
    min_lr: float = Field(default=0.0, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    clip_grad: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> OptimizerSettings:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr} is above lr {self.lr}")
        return self


class ScheduleSettings(StrictModel):
    """The learning rate over the tokens of all phases.

    Attributes:
        kind: `cosine`, `linear`, `constant`, or `wsd` (warm up, stay, decay: Hu et al. 2024, MiniCPM).
        warmup: share of all tokens for the linear rise from 0.
        decay: share of all tokens for the fall at the end, `wsd` only.
    """

    kind: Literal["cosine", "linear", "constant", "wsd"] = "wsd"
    warmup: float = Field(default=0.02, ge=0, lt=1)
    decay: float = Field(default=0.2, gt=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> ScheduleSettings:
        if self.kind == "wsd" and self.warmup + self.decay > 1:
            raise ValueError(f"warmup {self.warmup} and decay {self.decay} are more than all tokens")
        return self


class TrainConfig(StrictModel):
    """How a recipe is trained.

    Attributes:
        model: name in `megatron_jobs/configs/models`, or a YAML file.
        sequence_length: tokens of a row.
        micro_batch: rows of one forward pass of one data rank.
        global_batch: rows of one step, over all data ranks.
        seed: of the initial weights.
        start_from: folder of a checkpoint whose weights, moments and position in the mix a new run begins with, at any layout.
        max_steps: stop after so many steps, before the recipe's tokens are used up.
        checkpoint_every: steps between checkpoints; the last step always leaves one.
        keep: finished checkpoints that stay; older ones are deleted.
        log_every: steps between lines for people; every step goes into the metrics file.
        threads: CPU threads of a process; 0 takes the cores it may run on, shared out over the processes of this host (`threads.py`).
        share_unused_ids: ids that no training document holds share one row of the output table, which starts at zero (`vocabulary.py`). The
            softmax is as exact as without, and costs the ids in use. For small mixes: every token is read once at the start.
    """

    model: str = "tiny"
    sequence_length: int = Field(default=256, ge=2)
    micro_batch: int = Field(default=8, ge=1)
    global_batch: int = Field(default=8, ge=1)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    parallel: ParallelConfig = Field(default_factory=ParallelConfig)
    seed: int = Field(default=1, ge=0)
    start_from: str | None = None
    max_steps: int | None = Field(default=None, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    keep: int = Field(default=2, ge=1)
    log_every: int = Field(default=10, ge=1)
    threads: int = Field(default=0, ge=0)
    share_unused_ids: bool = False

    @model_validator(mode="after")
    def _divides(self) -> TrainConfig:
        if self.global_batch % self.micro_batch:
            raise ValueError(f"global_batch {self.global_batch} is not a multiple of micro_batch {self.micro_batch}")
        if self.parallel.context > 1 and self.sequence_length % (2 * self.parallel.context):
            raise ValueError(f"sequence_length {self.sequence_length} does not divide by 2 x context {self.parallel.context}")
        if self.parallel.sequence and self.sequence_length % (self.parallel.tensor * self.parallel.context):
            raise ValueError(f"sequence_length {self.sequence_length} does not divide by tensor x context ranks")
        return self

    def micro_batches(self, data_ranks: int) -> int:
        """Micro batches of a step on each data rank.

        Raises:
            ValueError: the global batch does not divide.
        """
        each, rest = divmod(self.global_batch, self.micro_batch * data_ranks)
        if rest or not each:
            raise ValueError(
                f"global_batch {self.global_batch} is not a multiple of micro_batch {self.micro_batch} x {data_ranks} data ranks"
            )
        return each

    def identity(self) -> dict[str, Any]:
        """What decides the weights but for rounding: batch, optimizer, schedule, seed. Not the layout over processes, nor how far a launch
        goes or how often it logs and saves: those may change within a run, and stand in its segments (`segment.py`)."""
        left_out = {"parallel", "micro_batch", "threads", "max_steps", "checkpoint_every", "keep", "log_every"}
        # The optimizer's state has another form on disk with and without it.
        kept = {"distributed_optimizer": self.parallel.distributed_optimizer}
        return self.model_dump(mode="json", exclude=left_out) | kept


def train_config(block: dict[str, Any], *, recipe: str) -> TrainConfig:
    """The checked `train:` block of a recipe.

    Raises:
        ConfigError: an unknown key or a wrong value; names recipe and field.
    """
    return parse(block, TrainConfig, where=f"recipe {recipe}, train")
