"""Where parts run: in this process, or as Ray tasks. The same parts give the same bytes on both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from headrace_lake.engine.part import PartOutcome, PartTask, run_part
from headrace_lake.errors import ConfigError, StageError
from headrace_lake.garbage import collect_rarely
from headrace_lake.lake import Lake
from headrace_lake.stage import Resources

ExecutorName = Literal["local", "ray"]
_RETRIES = 3


class Executor(Protocol):
    """Runs parts and yields their outcomes as they finish, in any order."""

    def map(self, tasks: Sequence[PartTask], resources: Resources) -> Iterator[PartOutcome]: ...


class LocalExecutor:
    """One part after the other in this process."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def map(self, tasks: Sequence[PartTask], resources: Resources) -> Iterator[PartOutcome]:
        for task in tasks:
            yield run_part(task, self.lake)


class RayExecutor:
    """One Ray task a part. A worker that dies is retried by Ray; its half-written files are invisible orphans."""

    def map(self, tasks: Sequence[PartTask], resources: Resources) -> Iterator[PartOutcome]:
        import ray

        if not ray.is_initialized():
            # The address comes from Ray's own job environment, or a local head's session.
            ray.init(address="auto", log_to_driver=False, configure_logging=False)
        remote = ray.remote(
            num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=_RETRIES, memory=resources.memory_bytes, name="headrace-part"
        )(_remote_part)
        total = ray.cluster_resources()
        if resources.gpus > total.get("GPU", 0) or resources.cpus > total.get("CPU", 0):
            raise ConfigError(
                f"a stage asks for {resources.cpus} CPUs and {resources.gpus} GPUs, "
                f"the Ray cluster has {total.get('CPU', 0):.0f} and {total.get('GPU', 0):.0f}",
                "start a larger cluster or lower the stage's resources",
            )
        if resources.memory_bytes > total.get("memory", 0):
            remote = remote.options(memory=None)
        waiting = [remote.remote(t.model_dump_json()) for t in tasks]
        try:
            while waiting:
                done, waiting = ray.wait(waiting, num_returns=1)
                yield PartOutcome.model_validate_json(ray.get(done[0]))
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


def _remote_part(task: str) -> str:
    collect_rarely()  # the worker is ours: Ray keeps it for the next part
    return run_part(PartTask.model_validate_json(task)).model_dump_json()


def make_executor(name: ExecutorName, lake: Lake) -> Executor:
    """The executor of a name."""
    if name == "ray":
        return RayExecutor()
    if name == "local":
        return LocalExecutor(lake)
    raise ConfigError(f"no executor '{name}'", "use local or ray")
