"""Where parts run: in this process, or as Ray tasks. The same parts give the same bytes on both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
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
_HELD = 2048
"""Parts that wait in this process for a worker of their kind, at most."""
_Kind = tuple[Resources, bool]
"""What the workers of a pool have in common: their resources, and whether they keep stages from part to part."""


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

    A worker that dies is replaced, and its part done again; its half-written files are invisible orphans. No part waits for one that needs
    another kind of worker. Of those that wait for the same kind the largest begins first, so that a part of twenty times the size is under
    way while the others are done, not begun when they are (longest processing time first, Graham 1969).

    A part is never split: its shards are written as one, and how large a part may be is decided where it is made (`lake.parts`).
    """

    def map(self, demands: Iterable[Demand]) -> Iterator[tuple[PartTask, PartOutcome]]:
        connect()
        import ray

        parts = _Parts(ray.cluster_resources())
        source = iter(demands)
        more = True
        try:
            while True:
                begun = parts.begin_one()
                if not begun and more and parts.want_more():
                    demand = next(source, None)
                    if demand is None:
                        more = False
                    else:
                        parts.hold(demand)
                    begun = True
                ended = bool(parts.running) and bool(ray.wait([*parts.running], num_returns=1, timeout=0)[0])
                if begun and not ended:
                    continue  # as long as nothing has ended, there may be room for more
                if not parts.running:
                    return
                if not ended:
                    parts.release()  # what idle workers hold may be what a part or another worker waits for
                [done], _ = ray.wait([*parts.running], num_returns=1)
                task = parts.ended(done)
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
            parts.close()


class _Parts:
    """Parts that wait for a worker, by kind of worker, and those that workers have.

    Attributes:
        running: Ray's reference of a part that a worker has → the part and its pool.
    """

    def __init__(self, total: Mapping[str, float]) -> None:
        self._total = total
        self._room = _PARTS_A_CPU * max(1, int(total.get("CPU", 0)))
        self._pools: dict[_Kind, _Pool] = {}
        self._waiting: dict[_Kind, list[tuple[int, int, PartTask]]] = {}
        self._taken = self._held = 0
        self.running: dict[Any, tuple[PartTask, _Pool]] = {}

    def want_more(self) -> bool:
        """Whether to take another part: to keep workers busy, or to find one for a CPU or GPU that nothing taken so far can use."""
        import ray

        if self._held + len(self.running) < self._room:
            return True
        if self._held >= _HELD:
            return False
        free = ray.available_resources()
        return any(free.get(name, 0) >= 1 for name in ("CPU", "GPU"))

    def hold(self, demand: Demand) -> None:
        """Let a part wait for a worker of its kind.

        Raises:
            ConfigError: the cluster has no room for such a worker.
        """
        kind = (demand.resources, demand.keeps)
        if kind not in self._pools:
            self._pools[kind] = _Actors(kind[0], self._total) if demand.keeps else _Tasks(kind[0], self._total, self._room)
            self._waiting[kind] = []
        self._taken += 1
        self._held += 1
        heappush(self._waiting[kind], (-demand.task.size, self._taken, demand.task))

    def begin_one(self) -> bool:
        """Give the largest part of some kind to a worker; False if no worker is free for any that waits."""
        for kind, waiting in self._waiting.items():
            pool = self._pools[kind]
            if waiting and pool.has_room():
                task = heappop(waiting)[2]
                self._held -= 1
                self.running[pool.submit(task.model_dump_json())] = task, pool
                return True
        return False

    def ended(self, done: Any) -> PartTask:
        """Note that a part has ended, well or not; which it was."""
        task, pool = self.running.pop(done)
        pool.ended(done)
        return task

    def release(self) -> None:
        """Let the workers go that have nothing to do."""
        for pool in self._pools.values():
            pool.release()

    def close(self) -> None:
        """Stop what is still running: after a failure nobody would wait for it, and what has ended so far is recorded."""
        import ray

        for part in self.running:
            with suppress(ray.exceptions.RayError):
                ray.cancel(part)
        for pool in self._pools.values():
            pool.close()


class _Pool(Protocol):
    """Where parts of one kind of worker run."""

    def has_room(self) -> bool:
        """Whether it can be given another part now."""
        ...

    def submit(self, task: str) -> Any:
        """Hand a part over; its reference."""
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
    """Ray tasks: one of Ray's functions for each kind of worker, for it ships a new one to the cluster every time.

    Args:
        room: parts that are handed to Ray before their turn, at most.
    """

    def __init__(self, needs: Resources, total: Mapping[str, float], room: int) -> None:
        import ray

        options = _options(needs, total)
        self._function = ray.remote(**options, max_retries=_RETRIES, name="headrace-part")(_remote_part)
        self._room = room

    def has_room(self) -> bool:
        return self._room > 0

    def submit(self, task: str) -> Any:
        self._room -= 1
        return self._function.remote(task)

    def ended(self, done: Any) -> None:
        self._room += 1

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

    def has_room(self) -> bool:
        return bool(self._free) or (len(self._busy) < self._most and (not self._busy or self._fits()))

    def submit(self, task: str) -> Any:
        worker = self._free.pop() if self._free else self._class.remote()
        done = worker.run.remote(task)
        self._busy[done] = worker
        return done

    def _fits(self) -> bool:
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
