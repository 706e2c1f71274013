"""Base class of verdict stages: a subclass returns reason and measured value of each row, the base writes the table's columns.

A verdict table has one row a document, dropped ones too: `uid`, `keep`, `reason`, `measured`, then what its declaration adds
(`headrace_lake.tables.fields.verdict`). It never deletes; what drops a document is a join with it.

Like all of `headrace_lake`, this module belongs to no code digest: a change here that changes what is written raises `fingerprint.ENGINE`.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from headrace_lake.errors import ConfigError, StageError
from headrace_lake.stage import DROP_DETAIL, DROP_REASON, Stage
from headrace_lake.tables import table_spec
from headrace_lake.tables.fields import VERDICT, TableSpec

_CONTRACT = frozenset(f.name for f in VERDICT)
"""Columns that the base and the engine write; a stage gives the others."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on the rows of a batch, in the order of the rows.

    Attributes:
        reasons: why a row is dropped; None keeps it.
        measured: the values behind each verdict, JSON-able (most often a mapping); None where there is nothing to tell.
        columns: the table's further columns: Python values, which take the types that the table declares, or Arrow arrays.
    """

    reasons: Sequence[str | None]
    measured: Sequence[Any]
    columns: Mapping[str, Any] = field(default_factory=dict)


class VerdictStage(Stage):
    """Base of every stage whose output is a verdict table. It writes `judge(batch) -> Verdicts` in place of `process`."""

    output: ClassVar[str]

    @abstractmethod
    def judge(self, batch: pa.Table) -> Verdicts:
        """Reason and measured value of every row. An exception is bisected down to the failing rows, as for `process`."""

    def process(self, batch: pa.Table) -> pa.Table:
        found = self.judge(batch)
        spec = _declared(self)
        further = [name for name in spec.schema.names if name not in _CONTRACT]
        for name in found.columns:
            if name not in further:
                raise StageError(
                    f"stage {self.name}: table {spec.name} has no column '{name}' for a stage to fill",
                    f"declare it there; columns beside the verdict's own: {', '.join(further) or 'none'}",
                )
        for what, values in (("reasons", found.reasons), ("measured values", found.measured), *found.columns.items()):
            if len(values) != batch.num_rows:
                raise StageError(
                    f"stage {self.name}: {len(values)} {what} for {batch.num_rows} rows",
                    "return one for each row, in the order of the rows",
                )
        reasons = pa.array(found.reasons, pa.string())
        measured = pa.array([None if value is None else json.dumps(value) for value in found.measured], pa.string())
        return pa.table(
            {
                "uid": batch["uid"],
                "keep": pc.is_null(reasons),
                "reason": reasons,
                "measured": measured,
                **{name: _typed(values, spec.schema.field(name).type) for name, values in found.columns.items()},
                DROP_REASON: reasons,
                DROP_DETAIL: measured,
            }
        )


def _declared(stage: VerdictStage) -> TableSpec:
    """The declaration of a stage's output table: the stage's own, or a component's. (A function: subclasses name attributes as they like.)

    Raises:
        ConfigError: it is not declared, or is not a verdict table.
    """
    spec = next((t for t in stage.tables if t.name == stage.output), None) or table_spec(stage.output)
    if not _CONTRACT.issubset(spec.schema.names):
        raise ConfigError(
            f"stage {stage.name}: table {spec.name} is not a verdict table", "declare it with headrace_lake.tables.fields.verdict"
        )
    return spec


def _typed(values: Any, type_: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, type_)
