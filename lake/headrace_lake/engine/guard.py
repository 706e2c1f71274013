"""Guards: what a pipeline's YAML says must hold of the sources after a run; one that does not hold stops the DAG.

A guard looks at what is committed and changes nothing. It runs after all slices of a command, so one odd source never keeps the
others from being done; a retry adopts every stage and stops at the guard again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from headrace_lake.lake import Lake
from headrace_lake.slices import Slice
from headrace_lake.stage import NoParams, Stage
from headrace_lake.strict import StrictModel

if TYPE_CHECKING:
    from headrace_lake.engine.pipeline import Pipeline


class Guard(ABC):
    """Base of every guard.

    Class attributes:
        name: for messages.
        Params: pydantic model of the parameters.
    """

    name: ClassVar[str]
    Params: ClassVar[type[StrictModel]] = NoParams

    def __init__(self, params: StrictModel | None = None) -> None:
        self.params = params if params is not None else self.Params()

    @abstractmethod
    def check(self, lake: Lake, slices: Sequence[Slice], stages: Sequence[Stage]) -> list[str]:
        """Look at the sources of the slices that `stages` have just been run for.

        Returns:
            lines for people: what nearly did not hold, or was let pass and why.

        Raises:
            HeadraceError: it does not hold; the message says the way out.
        """


def run_guards(lake: Lake, pipeline: Pipeline, slices: Sequence[Slice]) -> list[str]:
    """All guards of a pipeline; what they have to say.

    Raises:
        HeadraceError: the first that does not hold.
    """
    return [line for guard in pipeline.guards for line in guard.check(lake, slices, pipeline.stages)]
