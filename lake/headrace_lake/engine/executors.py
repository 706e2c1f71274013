"""Where parts run: in this process, or as Ray tasks. The same parts give the same bytes on both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from headrace_lake.engine.part import PartOutcome, PartTask, run_part
from headrace_lake.engine.ray_connection import connect
from headrace_lake.errors import ConfigError, StageError
from headrace_lake.garbage import collect_rarely
from headrace_lake.lake import Lake
from headrace_lake.stage import Resources

ExecutorName = Literal["local", "ray"]
_RETRIES = 3
_PARTS_A_CPU = 6
"""Parts that wait in Ray for each CPU: enough that no worker falls idle, few enough that the driver is not ahead by hours."""


@dataclass(frozen=True)
class Demand:
    """A part to run, and what its worker needs."""

    task: PartTask
    resources: Resources


class Executor(Protocol):
    """Runs parts and yields each with its outcome as they finish, in any order.

    Demands are taken as there is room for them: making one may take the caller some time, in which the others run.
    """

    def map(self, demands: Iterable[Demand]) -> Iterator[tuple[PartTask, PartOutcome]]: ...


class LocalExecutor:
    """One part after the other in this process."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def map(self, demands: Iterable[Demand]) -> Iterator[tuple[PartTask, PartOutcome]]:
        for demand in demands:
            yield demand.task, run_part(demand.task, self.lake)


class RayExecutor:
    """One Ray task a part. A worker that dies is retried by Ray; its half-written files are invisible orphans."""

    def map(self, demands: Iterable[Demand]) -> Iterator[tuple[PartTask, PartOutcome]]:
        connect()
        import ray

        total = ray.cluster_resources()
        room = _PARTS_A_CPU * max(1, int(total.get("CPU", 0)))
        waiting: dict[Any, PartTask] = {}
        functions: dict[Resources, Any] = {}  # one of Ray's for each kind of worker: it ships a new one to the cluster every time
        source = iter(demands)
        more = True
        try:
            while more or waiting:
                while more and len(waiting) < room:
                    demand = next(source, None)
                    if demand is None:
                        more = False
                        break
                    if demand.resources not in functions:
                        functions[demand.resources] = self._function(demand.resources, total)
                    waiting[functions[demand.resources].remote(demand.task.model_dump_json())] = demand.task
                    if ray.wait([*waiting], num_returns=1, timeout=0)[0]:
                        break
                if not waiting:
                    return
                [done], _ = ray.wait([*waiting], num_returns=1)
                outcome = PartOutcome.model_validate_json(ray.get(done))
                yield waiting.pop(done), outcome
        except ray.exceptions.RayTaskError as exc:
            cause = exc.cause if getattr(exc, "cause", None) is not None else exc
            raise cause from None
        except ray.exceptions.RayError as exc:
            raise StageError(
                f"a Ray worker died {_RETRIES + 1} times on one part ({type(exc).__name__})",
                "see the worker's log; smaller parts need less memory ('lake.parts' in the settings, then fetch the slice with --refresh)",
            ) from exc
        finally:
            # After a failure the other parts would go on computing for nobody; what they finished so far is recorded.
            for part in waiting:
                ray.cancel(part)

    @staticmethod
    def _function(needs: Resources, total: Mapping[str, float]) -> Any:
        import ray

        if needs.gpus > total.get("GPU", 0) or needs.cpus > total.get("CPU", 0):
            raise ConfigError(
                f"a stage asks for {needs.cpus} CPUs and {needs.gpus} GPUs, "
                f"the Ray cluster has {total.get('CPU', 0):.0f} and {total.get('GPU', 0):.0f}",
                "start a larger cluster or lower the stage's resources",
            )
        memory = needs.memory_bytes if needs.memory_bytes <= total.get("memory", 0) else None
        remote = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus, max_retries=_RETRIES, memory=memory, name="headrace-part")
        return remote(_remote_part)


def _remote_part(task: str) -> str:
    collect_rarely()  # the worker is ours: Ray keeps it for the next part
    return run_part(PartTask.model_validate_json(task)).model_dump_json()


def make_executor(name: str, lake: Lake) -> Executor:
    """The executor of a name."""
    if name == "ray":
        return RayExecutor()
    if name == "local":
        return LocalExecutor(lake)
    raise ConfigError(f"no executor '{name}'", "use local or ray")
