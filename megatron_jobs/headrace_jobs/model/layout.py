"""Layout of a model over processes: tensor, pipeline, context and sequence parallelism, and the sharded optimizer."""

from __future__ import annotations

from pydantic import Field

from headrace_lake.strict import StrictModel


class ParallelConfig(StrictModel):
    """How the model is laid over processes. Data parallelism is what is left of the world.

    Attributes:
        tensor: ranks that share each matrix (TP).
        pipeline: ranks that share the layers (PP).
        context: ranks that share each row (CP); needs a sequence length that 2 x context divides.
        sequence: also split norms and residuals over the tensor ranks (SP).
        distributed_optimizer: share optimizer state over the data ranks (ZeRO stage 1).
    """

    tensor: int = Field(default=1, ge=1)
    pipeline: int = Field(default=1, ge=1)
    context: int = Field(default=1, ge=1)
    sequence: bool = False
    distributed_optimizer: bool = True

    @property
    def model_ranks(self) -> int:
        """Processes that hold one copy of the model."""
        return self.tensor * self.pipeline * self.context
