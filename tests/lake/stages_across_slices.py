"""Stages that look at other slices, for tests of slices that run side by side: importable by workers in other processes."""

from __future__ import annotations

import pyarrow as pa

from headrace_lake.errors import StageError
from headrace_lake.slices import Slice
from headrace_lake.stage import Inputs, SliceReader, Stage


class Neighbours(Stage):
    """Writes how many documents of all slices the verdict keeps: right only if every slice has its verdicts by then."""

    name = "neighbours"
    output = "text_digests"

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid",), {"verdict_c4": ("keep",)})

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        rows = reader.read("verdict_c4", columns=["keep"])
        return {"kept": pa.table({"n": [sum(rows["keep"].to_pylist())]})}

    def begin(self, part: object, shared: object) -> None:
        self.n = shared["kept"]["n"][0].as_py()  # type: ignore[index]

    def process(self, batch: pa.Table) -> pa.Table:
        return pa.table({"uid": batch["uid"], "text_digest": [str(self.n)] * batch.num_rows})


class AfterNeighbours(Stage):
    """Looks at no other slice itself, but reads what such a stage wrote."""

    name = "after_neighbours"
    output = "paragraph_digests"

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid",), {"text_digests": ("text_digest",)})

    def process(self, batch: pa.Table) -> pa.Table:
        digests = pa.array([[]] * batch.num_rows, pa.list_(pa.int64()))
        return pa.table({"uid": batch["uid"], "bytes": pa.array([0] * batch.num_rows, pa.int64()), "digests": digests})


class RefusesOne(Stage):
    """Fails on the slices whose source is `broken`, which is not a row's fault."""

    name = "refuses_one"
    output = "text_digests"

    def inputs(self) -> Inputs:
        return Inputs("documents", ("uid",))

    def begin(self, part: object, shared: object) -> None:
        self.broken = part.source == "broken"  # type: ignore[attr-defined]

    def process(self, batch: pa.Table) -> pa.Table:
        if self.broken:
            raise StageError("this source is broken", "mend it")
        return pa.table({"uid": batch["uid"], "text_digest": ["x"] * batch.num_rows})
