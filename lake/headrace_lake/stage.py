"""The stage contract: what a stage declares, and the one function it writes.

A stage is a named, versioned, deterministic function from the tables of one slice to new tables of that
slice. It writes `process(batch) -> table` and nothing else; the engine reads, batches, counts,
quarantines, writes, commits and leaves the receipt (`headrace_lake.engine`).

This module is imported by every stage: keep it small and stable. Like all of `headrace_lake` it belongs to no code digest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import pyarrow as pa

from headrace_lake.slices import Slice
from headrace_lake.strict import StrictModel
from headrace_lake.tables.fields import TableSpec

DROP_REASON = "_drop_reason"
"""Reserved output column (string, nullable): a non-null value sends the row to the exclusion table."""
DROP_DETAIL = "_drop_detail"
"""Reserved output column (string, nullable): the measured value behind the reason."""


class NoParams(StrictModel):
    """Parameters of a stage that has none."""


@dataclass(frozen=True)
class Inputs:
    """What a stage reads for each part of its slice.

    Attributes:
        primary: the table whose rows are counted (read = kept + dropped + failed).
        columns: columns of the primary table to read; empty means all.
        sidecars: table → columns, joined to the primary rows by (part, uid) as `table.column`
            (null where the sidecar has no row).
    """

    primary: str
    columns: Sequence[str] = ()
    sidecars: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Resources:
    """What one worker of the stage needs; `memory_bytes` is the declared cap."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int = 2 << 30


class SliceReader(Protocol):
    """What `Stage.prepare` may ask of the lake (implemented by `headrace_lake.lake.Lake`)."""

    def read(self, table: str, slice_: Slice | None = None, *, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """Rows of a table: of one slice, or of all slices that match `where`."""
        ...

    def stream(self, table: str, *, columns: Sequence[str], where: str) -> Iterator[pa.Table]:
        """Rows of the slices that match `where` (over `source` and `slice` alone), one file at a time, in a fixed order."""
        ...


class PartWriter(Protocol):
    """Where a stage puts immutable objects that are not table rows (token files, media)."""

    source: str
    slice: str
    part: int

    def put_file(self, local_path: str, *, kind: str, suffix: str) -> str:
        """Store a file under its content digest, return its path relative to the lake's root."""
        ...

    def local_path(self, relative: str) -> str:
        """A readable local path for a lake object (downloaded if the lake is remote)."""
        ...


class Stage(ABC):
    """Base of every stage.

    Class attributes:
        name: the stage's name, unique in a pipeline; also the `stage` column of exclusions.
        version: raised by hand when the meaning changes; the code digest notices every other edit.
        output: table that holds the rows `process` returns (`None`: the stage emits only in `finish`).
        also: further tables the stage may emit rows for in `finish`.
        tables: declarations of its tables that no component declares; known as soon as a pipeline with the stage is read.
        Params: pydantic model of the parameters.
        batch_rows, batch_bytes: rows and bytes of a batch at most; a single row may be larger.

    A worker's life: `setup` once, then for each of its parts `begin`, `process` for every batch, `finish`; `teardown` at its end. What
    `setup` makes must depend on the parameters alone, and a part must leave no trace in it.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    output: ClassVar[str | None]
    also: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[tuple[TableSpec, ...]] = ()
    Params: ClassVar[type[StrictModel]] = NoParams
    resources: ClassVar[Resources] = Resources()
    batch_rows: ClassVar[int] = 256
    batch_bytes: ClassVar[int] = 256 << 20

    def __init__(self, params: StrictModel | None = None) -> None:
        self.params = params if params is not None else self.Params()

    @abstractmethod
    def inputs(self) -> Inputs:
        """What the stage reads; may depend on its parameters."""

    def prepare(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """Tables from beyond this slice that the verdict depends on (for instance better-ranked duplicates
        elsewhere). Runs on the driver; the tables' content enters the fingerprint, so keep them minimal and
        in a deterministic order. Workers receive them through `begin`."""
        return {}

    def about(self, reader: SliceReader, slice_: Slice) -> dict[str, pa.Table]:
        """Tables about this slice alone that lie outside the lake, such as what the file of its source declares.
        Their content enters the fingerprint like that of `prepare`, and workers receive them through `begin` too, but the
        stage waits for no other slice."""
        return {}

    def setup(self) -> None:  # noqa: B027 - optional hook
        """Called once in each worker process before its first part: load models and vocabularies here, never at import.

        A stage that overrides this runs in workers that go on from part to part, so that what it loads is loaded once in each.
        """

    def teardown(self) -> None:  # noqa: B027 - optional hook
        """Called when a worker process ends, or keeps the stage no longer; not after a kill."""

    def begin(self, part: PartWriter, shared: Mapping[str, pa.Table]) -> None:  # noqa: B027 - optional hook
        """Called once per part before its first batch."""

    @abstractmethod
    def process(self, batch: pa.Table) -> pa.Table:
        """Turn a batch of input rows into output rows.

        A stage whose output is a verdict table derives from `headrace_lake.verdict_stage.VerdictStage` and writes `judge` instead.
        Every input `uid` must appear in the output at least once, in `uid` (one-to-one) or in `parent_uid`
        (one-to-many). Rows with a non-null `_drop_reason` go to the exclusion table; other columns of a dropped
        row are still written if the output schema is a verdict (it has a `keep` column). An exception is
        bisected down to the failing rows, which are quarantined with its text.
        Columns `source`, `slice` and `part` are added by the engine.
        """

    def finish(self, part: PartWriter) -> dict[str, pa.Table]:
        """Called once per part after its last batch: rows for the tables in `also`."""
        return {}


StageFactory = Callable[[], Stage]
