"""Where parts run: in this process, or as Ray tasks. The same parts give the same bytes on both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from headrace_lake.engine.part import PartOutcome, PartTask, run_part
from headrace_lake.engine.ray_connection import connect
from headrace_lake.engine.worker import here
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
    """A part to run, and what its worker needs.

    Attributes:
        keeps: whether one of its stages holds something from part to part (`Stage.setup`).
    """

    task: PartTask
    resources: Resources
    keeps: bool = False


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
    """Parts on a Ray cluster: as tasks, or on actors where a stage holds a model, so that each loads it once.

    A worker that dies is replaced, and its part done again; its half-written files are invisible orphans. An actor has one part at a time
    and gets the next when it has ended it: a part of twenty times the size keeps one actor busy, and no other waits for it.
    """

    def map(self, demands: Iterable[Demand]) -> Iterator[tuple[PartTask, PartOutcome]]:
        connect()
        import ray

        total = ray.cluster_resources()
        room = _PARTS_A_CPU * max(1, int(total.get("CPU", 0)))
        pools: dict[tuple[Resources, bool], _Pool] = {}
        waiting: dict[Any, tuple[PartTask, _Pool]] = {}
        source = iter(demands)
        held: Demand | None = None  # taken, but its pool has no worker free
        more = True
        try:
            while more or waiting:
                while more and len(waiting) < room:
                    demand = held if held is not None else next(source, None)
                    held = None
                    if demand is None:
                        more = False
                        break
                    kind = (demand.resources, demand.keeps)
                    if kind not in pools:
                        pools[kind] = (_Actors if demand.keeps else _Tasks)(demand.resources, total)
                    pool = pools[kind]
                    done = pool.submit(demand.task.model_dump_json())
                    if done is None:
                        held = demand
                        break
                    waiting[done] = demand.task, pool
                    if ray.wait([*waiting], num_returns=1, timeout=0)[0]:
                        break
                if not waiting:
                    return
                if not ray.wait([*waiting], num_returns=1, timeout=0)[0]:
                    for each in pools.values():
                        each.release()  # what idle workers hold may be what a part or another worker waits for
                [done], _ = ray.wait([*waiting], num_returns=1)
                task, pool = waiting.pop(done)
                pool.ended(done)
                yield task, PartOutcome.model_validate_json(ray.get(done))
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
                with suppress(ray.exceptions.RayError):
                    ray.cancel(part)
            for pool in pools.values():
                pool.close()


class _Pool(Protocol):
    """Where parts of one kind of worker run."""

    def submit(self, task: str) -> Any:
        """The reference of a part that was handed over; None if no worker is free."""
        ...

    def ended(self, done: Any) -> None:
        """A part has ended, well or not."""
        ...

    def release(self) -> None:
        """Let the workers go that have nothing to do: other parts may wait for their processors."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class _Tasks:
    """Ray tasks: one of Ray's functions for each kind of worker, for it ships a new one to the cluster every time."""

    def __init__(self, needs: Resources, total: Mapping[str, float]) -> None:
        import ray

        options = _options(needs, total)
        self._function = ray.remote(**options, max_retries=_RETRIES, name="headrace-part")(_remote_part)

    def submit(self, task: str) -> Any:
        return self._function.remote(task)

    def ended(self, done: Any) -> None:
        pass

    def release(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Actors:
    """Ray actors, as many as the cluster has room for, made as parts come; each does one part at a time."""

    def __init__(self, needs: Resources, total: Mapping[str, float]) -> None:
        import ray

        self._needs = _options(needs, total)
        self._most = room_for(needs, total)
        # A worker may die as often as it likes; a part, which is tried again on the next, may not.
        self._class = ray.remote(**self._needs, max_restarts=-1, max_task_retries=_RETRIES)(RemoteWorker)
        self._free: list[Any] = []
        self._busy: dict[Any, Any] = {}

    def submit(self, task: str) -> Any:
        if not self._free:
            if len(self._busy) >= self._most or (self._busy and not self._room()):
                return None
            self._free.append(self._class.remote())
        worker = self._free.pop()
        done = worker.run.remote(task)
        self._busy[done] = worker
        return done

    def _room(self) -> bool:
        """Whether the cluster has room for one more now: a part that is given to a worker that cannot start waits for all others."""
        import ray

        free = ray.available_resources()
        wanted = {"CPU": self._needs["num_cpus"], "GPU": self._needs["num_gpus"], "memory": self._needs["memory"] or 0}
        return all(free.get(name, 0) >= share for name, share in wanted.items())

    def ended(self, done: Any) -> None:
        self._free.append(self._busy.pop(done))

    def release(self) -> None:
        for worker in self._free:
            worker.close.remote()  # the last thing that it does: its handle goes here
        self._free = []

    def close(self) -> None:
        import ray

        for worker in self._busy.values():  # after a failure: `ray.cancel` does not end what an actor is doing
            ray.kill(worker)
        self._busy = {}
        self.release()


class RemoteWorker:
    """An actor: runs parts one after the other, with its stages set up once."""

    def run(self, task: str) -> str:
        """A part's outcome, both as JSON."""
        return _remote_part(task)

    def close(self) -> None:
        """Take the stages down."""
        here().close()


def room_for(needs: Resources, total: Mapping[str, float]) -> int:
    """Workers of a kind that a cluster has room for, at least one; one if they need neither CPU nor GPU."""
    shares = [total.get(name, 0) / share for name, share in (("CPU", needs.cpus), ("GPU", needs.gpus)) if share]
    return max(1, int(min(shares, default=1)))


def _options(needs: Resources, total: Mapping[str, float]) -> dict[str, Any]:
    """What Ray is asked for, for one worker.

    Raises:
        ConfigError: the cluster is too small.
    """
    if needs.gpus > total.get("GPU", 0) or needs.cpus > total.get("CPU", 0):
        raise ConfigError(
            f"a stage asks for {needs.cpus} CPUs and {needs.gpus} GPUs, "
            f"the Ray cluster has {total.get('CPU', 0):.0f} and {total.get('GPU', 0):.0f}",
            "start a larger cluster or lower the stage's resources",
        )
    memory = needs.memory_bytes if needs.memory_bytes <= total.get("memory", 0) else None
    return {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": memory}


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
