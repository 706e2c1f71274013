"""The hook through which a pipeline's tables are judged before they are committed.

The lake knows no suites and no library that judges: a pipeline's file names a `Validator`, as it names its stages. The
engine hands it the files that a run is about to commit, in one call for all stages that are committed together, because
a validator may cost much to start and little to use. Neither the validator nor its suites enter a fingerprint: changing an
expectation recomputes nothing. `check_slice` judges again what is committed already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from headrace_lake.errors import ExpectationError, InputError
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import ExpectationResult, Receipt, ShardFile
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.stage import NoParams
from headrace_lake.stage_run import renewed
from headrace_lake.strict import StrictModel

NOTE = "expectation: "
"""How a receipt's note about a failed expectation begins."""
_AGAIN = "judged again after run "
_BESIDE = ("exclusions", "quarantine")
"""Tables that many stages write into; a suite is about a table of one."""
_SHOWN = 5


class Validator(ABC):
    """Judges tables of a slice. Class attribute `Params`: pydantic model of its parameters in the pipeline's file."""

    Params: ClassVar[type[StrictModel]] = NoParams

    def __init__(self, settings: Settings, params: StrictModel | None = None) -> None:
        self.settings = settings
        self.params = params if params is not None else self.Params()

    @abstractmethod
    def validate(self, lake: Lake, slice_: Slice, tables: Mapping[str, Sequence[ShardFile]]) -> Mapping[str, tuple[ExpectationResult, ...]]:
        """Results by table. The files are written but may not be visible yet; a table without a file has no row."""


def validated(lake: Lake, validator: Validator | None, receipts: list[Receipt]) -> list[Receipt]:
    """The receipts with what their tables' suites say, failed warnings among the notes.

    Raises:
        ExpectationError: an expectation of severity `error` failed; names it with the measured value.
    """
    if validator is None:
        return receipts
    judged = _judge(lake, validator, receipts)
    failed = [e for r in judged for e in r.expectations if e.success is False and e.severity == "error"]
    if failed:
        more = f" (and {len(failed) - _SHOWN} more)" if len(failed) > _SHOWN else ""
        stages = ", ".join(r.stage for r in judged if any(e in failed for e in r.expectations))
        raise ExpectationError(
            f"slice {receipts[0].slice_}, stage {stages}: not committed, expectations failed: "
            + "; ".join(e.line for e in failed[:_SHOWN])
            + more,
            "mend the stage or its input; or, if the expectation is wrong, its suite: a second run reuses what was computed",
        )
    return judged


def check_slice(lake: Lake, validator: Validator, slice_: Slice, *, record: bool = False) -> list[Receipt]:
    """Judge every committed table of a slice again, whatever stage wrote it; nothing is computed or moved.

    Args:
        record: leave the results in a new receipt of each run, which otherwise equals the one that is current.

    Raises:
        InputError: the slice has no receipt.
    """
    current = list(lake.current_receipts(slice_).values())
    if not current:
        raise InputError(f"slice {slice_} has no receipt", "'headrace slice status' lists the slices that have")
    judged = [r for r in _judge(lake, validator, current) if r.expectations]
    if record:
        before = {r.stage: r.run_id for r in current}
        judged = [_again(r) for r in judged]
        lake.commit(*(StageCommit(r, expects=before[r.stage]) for r in judged))
    return judged


def _again(receipt: Receipt) -> Receipt:
    """A receipt of its own for a second judgement; the fingerprint tells when the data themselves were made."""
    notes = (*(n for n in receipt.notes if not n.startswith(_AGAIN)), f"{_AGAIN}{receipt.run_id}")
    return renewed(receipt, notes=notes)


def _judge(lake: Lake, validator: Validator, receipts: Sequence[Receipt]) -> list[Receipt]:
    owned = {r.stage: [t for t in _tables(r) if t not in _BESIDE] for r in receipts}
    files = {t: r.outputs_of(t) for r in receipts for t in owned[r.stage]}
    results = validator.validate(lake, receipts[0].slice_, files)
    judged = []
    for r in receipts:
        mine = tuple(e for t in owned[r.stage] for e in results.get(t, ()))
        notes = (
            *(n for n in r.notes if not n.startswith(NOTE)),
            *(f"{NOTE}{e.severity} {e.line}" for e in mine if e.success is False),
        )
        judged.append(r.model_copy(update={"expectations": mine, "notes": notes}))
    return judged


def _tables(receipt: Receipt) -> list[str]:
    """The tables that a run owns; receipts of a crawl name them by their outputs alone."""
    return list(dict.fromkeys([*receipt.tables, *(o.table for o in receipt.outputs)]))
