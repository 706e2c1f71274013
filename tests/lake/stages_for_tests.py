"""Small real stages for engine tests: importable by workers in other processes through `use`."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from headrace_lake.errors import StageError
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Inputs, PartWriter, Resources, SliceReader, Stage
from headrace_lake.strict import StrictModel


class LengthParams(StrictModel):
    minimum: int = 3
    poison: str = ""
    pause_seconds: float = 0.0


class Length(Stage):
    """A verdict by length; raises on poisoned texts."""

    name = "length"
    output = "verdict_c4"
    Params = LengthParams
    batch_rows = 16

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text", "characters"))

    def process(self, batch: pa.Table) -> pa.Table:
        assert isinstance(self.params, LengthParams)
        if self.params.pause_seconds:
            time.sleep(self.params.pause_seconds)
        if self.params.poison and any(self.params.poison in t for t in batch["text"].to_pylist()):
            raise ValueError(f"poison {self.params.poison}")
        short = [n < self.params.minimum for n in batch["characters"].to_pylist()]
        reasons = ["too_short" if s else None for s in short]
        return pa.table(
            {
                "uid": batch["uid"],
                "keep": [not s for s in short],
                "reason": pa.array(reasons, pa.string()),
                "measured": batch["characters"].cast(pa.string()),
                DROP_REASON: pa.array(reasons, pa.string()),
                DROP_DETAIL: batch["characters"].cast(pa.string()),
            }
        )


class ModelParams(LengthParams):
    marks: str = ""
    megabytes: int = 1
    long_part: int = -1


class Model(Length):
    """The verdict by length, with a model of so many megabytes; leaves a mark for each load and each part."""

    name = "length"
    Params = ModelParams
    resources = Resources(cpus=1, memory_bytes=1 << 30)

    def setup(self) -> None:
        assert isinstance(self.params, ModelParams)
        self.weights = np.ones(self.params.megabytes << 17)
        self._mark("loaded")

    def teardown(self) -> None:
        self._mark("left")

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        assert isinstance(self.params, ModelParams)
        self.part = part.part
        self._mark(f"part-{part.part}")
        self.pause = self.params.pause_seconds * (20 if part.part == self.params.long_part else 1)

    def process(self, batch: pa.Table) -> pa.Table:
        assert self.weights[-1] == 1
        time.sleep(self.pause)
        return Length(LengthParams(minimum=self.params.minimum)).process(batch)  # type: ignore[attr-defined]

    def _mark(self, what: str) -> None:
        assert isinstance(self.params, ModelParams)
        if self.params.marks:
            with open(f"{self.params.marks}/{os.getpid()}", "a", encoding="ascii") as out:
                out.write(f"{what}@{time.monotonic()}\n")


class GpuModel(Model):
    """The same on a GPU of its own."""

    resources = Resources(cpus=0, gpus=1, memory_bytes=1 << 30)


class HeldParams(LengthParams):
    marks: str = ""
    until: dict[str, tuple[str, ...]] = {}


def note(file: str, mark: str) -> None:
    """Append a line to a file that processes share: the lines come in the order in which things happened."""
    if file:
        with open(file, "a", encoding="ascii") as out:
            out.write(f"{mark}\n")


class Held(Length):
    """The verdict by length. A part (`source:part`) does not end before all marks that `until` names for it are there."""

    name = "length"
    Params = HeldParams

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        assert isinstance(self.params, HeldParams)
        note(self.params.marks, f"begun:{part.source}:{part.part}")

    def finish(self, part: PartWriter) -> dict[str, pa.Table]:
        assert isinstance(self.params, HeldParams)
        deadline = time.monotonic() + 300
        wanted = set(self.params.until.get(f"{part.source}:{part.part}", ()))
        while wanted:
            with open(self.params.marks, encoding="ascii") as there:
                missing = wanted - set(there.read().split())
            if not missing:
                break
            if time.monotonic() > deadline:
                raise StageError(f"part {part.part} of {part.source} was never passed by {', '.join(sorted(missing))}", "")
            time.sleep(0.02)
        note(self.params.marks, f"ended:{part.source}:{part.part}")
        return {}


class HeldModel(Held):
    """The same in workers that keep something."""

    def setup(self) -> None:
        self.weights = np.ones(1 << 10)


class HeldGpuModel(HeldModel):
    """The same on a GPU of its own."""

    resources = Resources(cpus=0, gpus=1, memory_bytes=1 << 30)


class Admit(Stage):
    """Keeps what the verdict keeps."""

    name = "admit"
    output = "admitted"

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "bytes", "licence", "licence_class"), {"verdict_c4": ("keep",)})

    def process(self, batch: pa.Table) -> pa.Table:
        keep = batch["verdict_c4.keep"].to_pylist()
        return pa.table(
            {
                "uid": batch["uid"],
                "language": ["en"] * batch.num_rows,
                "licence": batch["licence"],
                "licence_class": batch["licence_class"],
                "bytes": batch["bytes"],
                DROP_REASON: pa.array([None if k else "verdict_c4" for k in keep], pa.string()),
            }
        )


class AdmitParams(StrictModel):
    marks: str = ""


class NotedAdmit(Admit):
    """The same, with a mark for each part."""

    Params = AdmitParams

    def finish(self, part: PartWriter) -> dict[str, pa.Table]:
        assert isinstance(self.params, AdmitParams)
        note(self.params.marks, f"admitted:{part.source}:{part.part}")
        return {}


class Loser(Stage):
    """Breaks the contract: forgets a row."""

    name = "loser"
    output = "admitted"

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "bytes", "licence", "licence_class"))

    def process(self, batch: pa.Table) -> pa.Table:
        return pa.table({"uid": batch["uid"].slice(1)})


class Elsewhere(Stage):
    """Depends on the other slices through `prepare`."""

    name = "elsewhere"
    output = "text_digests"

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid",))

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        rows = reader.read("documents", columns=["uid", "slice"])
        return {"count": pa.table({"n": [rows.num_rows]})}

    def begin(self, part: object, shared: object) -> None:
        self.n = shared["count"]["n"][0].as_py()  # type: ignore[index]

    def process(self, batch: pa.Table) -> pa.Table:
        return pa.table({"uid": batch["uid"], "text_digest": [str(self.n)] * batch.num_rows})


class FullDisk(Length):
    """Finds no space on the device, which is not a row's fault."""

    name = "full_disk"

    def process(self, batch: pa.Table) -> pa.Table:
        raise OSError(errno.ENOSPC, "No space left on device")


class PoisonedPart(Length):
    """Raises on every row of part 1."""

    name = "poisoned_part"

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:
        self.poisoned = part.part == 1

    def process(self, batch: pa.Table) -> pa.Table:
        if self.poisoned:
            raise ValueError("poison")
        return super().process(batch)


class Echo(Stage):
    """A row for each verdict."""

    name = "echo"
    output = "text_digests"

    def inputs(self) -> Inputs:
        return Inputs("verdict_c4", ("uid",))

    def process(self, batch: pa.Table) -> pa.Table:
        return pa.table({"uid": batch["uid"], "text_digest": ["x"] * batch.num_rows})


class Halves(Stage):
    """One to many: each text in two halves; a half that is too short is dropped."""

    name = "halves"
    output = "text_digests"

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid", "text"))

    def process(self, batch: pa.Table) -> pa.Table:
        rows = [(uid, half) for uid, t in zip(*batch.to_pydict().values(), strict=True) for half in (t[: len(t) // 2], t[len(t) // 2 :])]
        return pa.table(
            {
                "parent_uid": [uid for uid, _ in rows],
                "uid": [f"{uid[:31]}{i % 2}" for i, (uid, _) in enumerate(rows)],
                "text_digest": [half for _, half in rows],
                DROP_REASON: pa.array([None if len(half) > 2 else f"short_{len(half)}" for _, half in rows], pa.string()),
            }
        )
