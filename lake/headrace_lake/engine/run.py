"""Running a pipeline over slices: adopt what is done, compute the rest side by side, commit, leave receipts.

Slices are independent of each other within a *layer* (`Pipeline.layers`): stages that look at other slices wait until every slice
of the command has what they look at. So the tables do not depend on the order in which slices are named or come to their end.

A layer goes in rounds. In each, every slice offers its next chain of stages; the parts of all slices are handed to the executor
together, and up to `COMMIT_TOGETHER` slices become visible in one commit. One commit for each slice and chain was most of the time
of a small lake: each rewrites the metadata of every table it touches.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from headrace_lake.engine.chain import Chain
from headrace_lake.engine.executors import Demand, Executor, ExecutorName, make_executor
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.engine.plan import Ready, files_intact, make_ready
from headrace_lake.engine.stage_code import StageCodes
from headrace_lake.engine.validator import Validator, validated
from headrace_lake.engine.worker import any_holds
from headrace_lake.errors import HeadraceError, SliceConflict
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Receipt
from headrace_lake.slices import Slice
from headrace_lake.stage_run import renewed
from headrace_lake.terminal.progress import progress

COMMIT_TOGETHER = 16
"""Slices in one commit: a killed run loses the commits of so many at most (their finished parts are recorded), and a writer
elsewhere that moves a table meanwhile has only so much repeated."""
_LOOKED_AGAIN = "looked again at other slices, with the same outcome as run "


@dataclass
class StageReport:
    """What happened to one stage: `computed`, `adopted` (nothing to do) or `restored` (committed without computing)."""

    stage: str
    action: str
    receipt: Receipt


@dataclass
class RunReport:
    """What happened to one slice."""

    slice_: Slice
    stages: list[StageReport] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """A small JSON-able summary, for logs and XCom."""
        return {
            "slice": str(self.slice_),
            "stages": [
                {
                    "stage": s.stage,
                    "action": s.action,
                    "fingerprint": s.receipt.fingerprint,
                    **{k: getattr(s.receipt.counts, k) for k in ("read", "kept", "dropped", "failed")},
                    **({"notes": list(s.receipt.notes)} if s.receipt.notes else {}),
                }
                for s in self.stages
            ],
        }


OnStage = Callable[[Slice, StageReport], None]


def run_pipeline(lake: Lake, pipeline: Pipeline, slice_: Slice, *, executor: ExecutorName = "local") -> RunReport:
    """Bring every stage of the pipeline up to date for one slice.

    Raises:
        InputError: the first stage's input was never written.
        SliceConflict: another process committed the same stage and slice with other content meanwhile.
        ExpectationError: a table fails an expectation of severity `error`; neither it nor the tables that were to be
            committed with it have become visible.
    """
    [report] = _bring_up_to_date(lake, pipeline, [slice_], make_executor(executor, lake), lambda *_: None)
    return report


def run_slices(
    lake: Lake,
    pipeline: Pipeline,
    slices: Sequence[Slice],
    *,
    executor: ExecutorName = "local",
    on_stage: OnStage = lambda *_: None,
) -> list[RunReport]:
    """Bring every stage of the pipeline up to date for several slices, side by side; one report for each, in the given order.

    The same tables as if the slices had run one after the other, each layer of stages for all of them.

    Args:
        on_stage: called after each stage of a slice, in no fixed order of the slices.

    Raises:
        HeadraceError: as `run_pipeline`. What other slices had computed by then is committed.
    """
    runner = make_executor(executor, lake)
    reports = {slice_: RunReport(slice_) for slice_ in slices}
    for layer in pipeline.layers():
        for report in _bring_up_to_date(lake, layer, list(reports), runner, on_stage):
            reports[report.slice_].stages += report.stages
    place = {stage.name: number for number, stage in enumerate(pipeline.stages)}
    for report in reports.values():
        report.stages.sort(key=lambda s: place[s.stage])
    return list(reports.values())


class _Line:
    """One slice on its way through the stages of a pipeline."""

    def __init__(self, slice_: Slice, on_stage: OnStage) -> None:
        self.report = RunReport(slice_)
        self.index = 0
        self.renewed: list[StageCommit] = []
        self._on_stage = on_stage

    @property
    def slice_(self) -> Slice:
        return self.report.slice_

    def passed(self, *stages: StageReport) -> None:
        """Note what happened to the next stages."""
        for stage in stages:
            self.report.stages.append(stage)
            self.index += 1
            self._on_stage(self.slice_, stage)


def _bring_up_to_date(lake: Lake, pipeline: Pipeline, slices: Sequence[Slice], runner: Executor, on_stage: OnStage) -> list[RunReport]:
    lines = [_Line(slice_, on_stage) for slice_ in slices]
    waiting = lines if pipeline.stages else []
    codes = StageCodes.of(lake)
    lake.refuse_incompatible([t for s in pipeline.stages for t in (*([s.output] if s.output else []), *s.also)])
    while waiting:
        _round(lake, pipeline, waiting, runner, codes)
        waiting = [line for line in waiting if line.index < len(pipeline.stages)]
    _renew(lake, lines)
    return [line.report for line in lines]


@dataclass
class _Begun:
    """A chain of a slice in a round."""

    line: _Line
    chain: Chain
    landed: bool = False


def _round(lake: Lake, pipeline: Pipeline, lines: Sequence[_Line], runner: Executor, codes: StageCodes) -> None:
    """The next chain of each slice: adopt up to it, compute it, commit it."""
    begun: dict[Slice, _Begun] = {}

    def demands() -> Iterator[Demand]:
        # Taken as workers fall free: the driver looks at a slice's inputs while the parts of earlier ones are computed.
        for line in lines:
            chain = _next_chain(lake, pipeline, line, codes)
            if chain is not None:
                begun[line.slice_] = _Begun(line, chain)
                # The largest first: a part of twenty times the size that begins last leaves every other worker idle at the end.
                tasks = sorted(chain.tasks, key=lambda task: -task.size)
                yield from (Demand(task, chain.resources, any_holds(chain.stages)) for task in tasks)

    offered = demands()
    first = next(offered, None)
    if first is None:
        _land(lake, pipeline.validator, list(begun.values()))
        return
    one = begun[Slice(first.task.source, first.task.slice)].chain
    alone = len(lines) == 1
    title = f"{one.slice_ if alone else f'{len(lines)} slices'} {one.names}"
    through = rows = 0
    with progress(title, one.rows if alone else 0, "rows") as bar:
        try:
            for task, outcome in runner.map(itertools.chain([first], offered)):
                mine = begun[Slice(task.source, task.slice)]
                mine.chain.outcomes.append(outcome)
                through += mine.chain.complete
                rows += outcome.stages[0].counts.read
                known = sum(b.chain.rows for b in begun.values())  # the rows of slices that have not begun are not known: as the others
                total = known if alone else round(known * len(lines) / len(begun))
                bar.update(rows, max(total, rows), note="" if alone else f"{through}/{len(lines)} slices")
                _land(lake, pipeline.validator, _next_to_land(begun))
        except Exception:
            with contextlib.suppress(HeadraceError):  # the first error is the one to tell
                _land(lake, pipeline.validator, [b for b in begun.values() if b.chain.complete and not b.landed])
            raise
    _land(lake, pipeline.validator, [b for b in begun.values() if not b.landed])


def _next_to_land(begun: dict[Slice, _Begun]) -> list[_Begun]:
    """A full commit's worth of complete chains: always the next ones in the order of the slices, whoever ended first."""
    waiting = [b for b in begun.values() if not b.landed]
    complete = list(itertools.takewhile(lambda b: b.chain.complete, waiting))
    return complete[:COMMIT_TOGETHER] if len(complete) >= COMMIT_TOGETHER else []


def _next_chain(lake: Lake, pipeline: Pipeline, line: _Line, codes: StageCodes) -> Chain | None:
    """What is to be computed next for a slice, after adopting and restoring what can be; None if nothing is left."""
    while line.index < len(pipeline.stages):
        history = lake.receipts(line.slice_)
        ready = make_ready(lake, pipeline.stages[line.index], line.slice_, history, codes)
        if ready.adopted:
            assert ready.current is not None
            if ready.seen_otherwise:
                line.renewed.append(_renewed(ready, pipeline))
            line.passed(StageReport(ready.stage.name, "adopted", ready.current))
        elif ready.earlier is not None and files_intact(lake, ready.earlier):
            line.passed(StageReport(ready.stage.name, "restored", _restore(lake, ready, pipeline)))
        else:
            return Chain.begin(lake, pipeline, line.index, ready, history, codes, line.slice_)
    return None


def _restore(lake: Lake, ready: Ready, pipeline: Pipeline) -> Receipt:
    """Make the outputs of an earlier run with this very fingerprint visible again."""
    assert ready.earlier is not None and ready.current is not None
    receipt = _again(ready.earlier, ready, pipeline, (f"restored from run {ready.earlier.run_id}",))
    [receipt] = validated(lake, pipeline.validator, [receipt])
    lake.commit(StageCommit(receipt, expects=ready.current.run_id))
    return receipt


def _renewed(ready: Ready, pipeline: Pipeline) -> StageCommit:
    """A new receipt for what is adopted: the stage has looked beyond its slice again and found what it had found before."""
    assert ready.current is not None
    notes = (*(n for n in ready.current.notes if not n.startswith(_LOOKED_AGAIN)), f"{_LOOKED_AGAIN}{ready.current.run_id}")
    return StageCommit(_again(ready.current, ready, pipeline, notes), expects=ready.current.run_id)


def _again(receipt: Receipt, ready: Ready, pipeline: Pipeline, notes: tuple[str, ...]) -> Receipt:
    return renewed(receipt, notes=notes, looked_at=ready.looked_at, pipeline=pipeline.reference)


def _renew(lake: Lake, lines: Sequence[_Line]) -> None:
    """Commit the receipts of what was looked at again; where somebody else has committed meanwhile, theirs say more."""
    renewed = [line.renewed for line in lines if line.renewed]
    for start in range(0, len(renewed), COMMIT_TOGETHER):
        commits = list(itertools.chain.from_iterable(renewed[start : start + COMMIT_TOGETHER]))
        try:
            lake.commit(*commits)
        except SliceConflict:
            for commit in commits:
                with contextlib.suppress(SliceConflict):
                    lake.commit(commit)
    for line in lines:
        line.renewed = []


def _land(lake: Lake, validator: Validator | None, done: Sequence[_Begun]) -> None:
    """Judge and commit complete chains; one that is refused keeps none of the others back.

    Raises:
        HeadraceError: the first refusal.
    """
    batch: list[tuple[_Begun, list[Receipt]]] = []
    refusals: list[HeadraceError] = []
    for one in done:
        one.landed = True
        if any(other.line.slice_.source == one.line.slice_.source for other, _ in batch):
            refusals += _commit(lake, batch)  # an expectation may compare a slice with earlier ones of its source
            batch = []
        try:
            batch.append((one, validated(lake, validator, one.chain.receipts())))
        except HeadraceError as exc:
            refusals.append(exc)
    refusals += _commit(lake, batch)
    if refusals:
        raise refusals[0]


def _commit(lake: Lake, batch: Sequence[tuple[_Begun, list[Receipt]]]) -> list[HeadraceError]:
    """Make the chains' outputs visible, all in one commit unless somebody else has written one of the slices."""
    if not batch:
        return []
    try:
        lake.commit(*(StageCommit(r, expects=one.chain.before(r.stage)) for one, receipts in batch for r in receipts))
    except SliceConflict as exc:
        if len(batch) > 1:
            return [error for alone in batch for error in _commit(lake, [alone])]
        [(one, receipts)] = batch
        # Somebody who computed the very same thing has won: their outputs are ours, byte for byte.
        theirs = lake.current_receipts(one.line.slice_)
        if any(r.stage not in theirs or theirs[r.stage].fingerprint != r.fingerprint for r in receipts):
            return [exc]
        one.line.passed(*(StageReport(r.stage, "adopted", theirs[r.stage]) for r in receipts))
        return []
    for one, receipts in batch:
        for task in one.chain.tasks:
            with contextlib.suppress(OSError):
                lake.storage.delete(f"work/{task.key}/{task.part:05d}.json")
        one.line.passed(*(StageReport(r.stage, "computed", r) for r in receipts))
    return []
