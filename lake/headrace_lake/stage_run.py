"""Builder of receipts: one stage run over one slice, from its beginning to the receipt that it leaves.

Times, host, process, orchestrator's task, code and columns are filled in here, and the counts are checked against each other, against
the input and against the files that hold what was dropped and what failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from headrace_lake.errors import StageError
from headrace_lake.fingerprint import ENGINE, digest_of
from headrace_lake.receipts import Counts, InputRef, LookedAt, Receipt, ShardFile, here, new_run_id
from headrace_lake.slices import Slice


@dataclass(frozen=True)
class StageRun:
    """One run of a stage over a slice.

    Attributes:
        code: digest of the code that decides the outcome.
        params: the checked parameters, JSON-able.
        columns: digest of the columns of the stage's own tables, if it is a stage of a pipeline.
        pipeline: where the stage is declared, if it is.
    """

    slice_: Slice
    stage: str
    version: str
    code: str
    params: Mapping[str, Any]
    columns: str = ""
    pipeline: str = ""
    run_id: str = field(default_factory=new_run_id)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def receipt(
        self,
        fingerprint: str,
        *,
        outputs: Sequence[ShardFile],
        tables: Sequence[str],
        read: int,
        kept: int,
        reasons: Mapping[str, int] | None = None,
        failed: int = 0,
        inputs: Sequence[InputRef] = (),
        notes: Sequence[str] = (),
        looked_at: Sequence[LookedAt] | None = None,
    ) -> Receipt:
        """The receipt of the run, which ends now.

        Args:
            reasons: reason → rows that it dropped.
            inputs: what was read; the first is the one whose rows are counted.

        Raises:
            StageError: the counts do not add up; says which.
        """
        dropped = dict(sorted((reasons or {}).items()))
        self._check(outputs, read, kept, sum(dropped.values()), failed, inputs)
        return Receipt(
            run_id=self.run_id,
            stage=self.stage,
            version=self.version,
            source=self.slice_.source,
            slice=self.slice_.interval,
            fingerprint=fingerprint,
            code=self.code,
            engine=ENGINE,
            columns=self.columns,
            params=dict(self.params),
            params_digest=digest_of(dict(self.params)),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            tables=tuple(tables),
            counts=Counts(read=read, kept=kept, dropped=sum(dropped.values()), failed=failed, reasons=dropped),
            started_at=self.started,
            finished_at=datetime.now(UTC),
            notes=tuple(notes),
            looked_at=None if looked_at is None else tuple(looked_at),
            pipeline=self.pipeline,
            **here(),
        )

    def _check(self, outputs: Sequence[ShardFile], read: int, kept: int, dropped: int, failed: int, inputs: Sequence[InputRef]) -> None:
        where = f"stage {self.stage}, slice {self.slice_}"
        if inputs and read != inputs[0].rows:
            raise StageError(f"{where}: {read} rows processed of {inputs[0].rows}", "the input changed meanwhile; run again")
        rows = {table: sum(o.rows for o in outputs if o.table == table) for table in ("exclusions", "quarantine")}
        wrong = []
        if read != kept + dropped + failed:
            wrong.append(f"read {read}, but kept {kept} + dropped {dropped} + failed {failed} = {kept + dropped + failed}")
        if rows["exclusions"] < dropped:  # more than that where one row becomes several
            wrong.append(f"dropped {dropped}, but exclusions hold {rows['exclusions']} rows")
        if rows["quarantine"] != failed:
            wrong.append(f"failed {failed}, but quarantine holds {rows['quarantine']} rows")
        if wrong:
            raise StageError(f"{where}: counts do not add up: {'; '.join(wrong)}", "nothing was committed; this is a fault of the stage")


def renewed(receipt: Receipt, *, notes: Sequence[str], **changed: Any) -> Receipt:
    """The same results under a receipt of its own: of now, of this process; the fingerprint tells when they were made."""
    now = datetime.now(UTC)
    return receipt.model_copy(
        update={"run_id": new_run_id(), "started_at": now, "finished_at": now, "notes": tuple(notes), **here(), **changed}
    )
