"""Running a pipeline over one slice: adopt what is done, fuse what is not, commit, leave receipts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headrace_lake.engine.executors import Executor, ExecutorName, make_executor
from headrace_lake.engine.part import PartOutcome, PartTask, StageOutcome, store_shared
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.engine.plan import Ready, files_intact, fingerprint_of, make_ready, same_recipe, table_digest
from headrace_lake.engine.validator import Validator, validated
from headrace_lake.errors import SliceConflict, StageError
from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.lake import Lake, StageCommit, content_digest
from headrace_lake.progress import progress
from headrace_lake.receipts import Counts, InputRef, Receipt, ShardFile, alarms, here, new_run_id
from headrace_lake.slices import Slice
from headrace_lake.stage import Resources, Stage


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


def run_pipeline(lake: Lake, pipeline: Pipeline, slice_: Slice, *, executor: ExecutorName = "local") -> RunReport:
    """Bring every stage of the pipeline up to date for one slice.

    Raises:
        InputError: the first stage's input was never written.
        SliceConflict: another process committed the same stage and slice with other content meanwhile.
        ExpectationError: a table fails an expectation of severity `error`; neither it nor the tables that were to be
            committed with it have become visible.
    """
    report = RunReport(slice_)
    runner = make_executor(executor, lake)
    index = 0
    while index < len(pipeline.stages):
        history = lake.receipts(slice_)
        ready = make_ready(lake, pipeline.stages[index], slice_, history)
        if ready.adopted:
            assert ready.current is not None
            report.stages.append(StageReport(ready.stage.name, "adopted", ready.current))
            index += 1
        elif ready.earlier is not None and files_intact(lake, ready.earlier):
            report.stages.append(StageReport(ready.stage.name, "restored", _restore(lake, ready, pipeline.validator)))
            index += 1
        else:
            chain = _fuse(pipeline.stages[index:], history)
            specs = pipeline.specs[index : index + len(chain)]
            done = _compute(lake, ready, chain, specs, slice_, history, runner, pipeline.validator)
            report.stages += done
            index += len(chain)
    return report


def _fuse(stages: Sequence[Stage], history: list[Receipt]) -> list[Stage]:
    """The stages to run in one pass, starting with the first.

    A stage joins if it reads only what its predecessors or earlier runs wrote for the same parts, needs nothing from
    beyond the slice, and could not be adopted anyway once its input turns out unchanged.
    """
    chain = [stages[0]]
    for stage in stages[1:]:
        overrides_prepare = type(stage).prepare is not Stage.prepare
        last = next((r for r in reversed(history) if r.stage == stage.name), None)
        if overrides_prepare or same_recipe(stage, last) or stage.resources.gpus != chain[0].resources.gpus:
            break
        chain.append(stage)
    return chain


def _restore(lake: Lake, ready: Ready, validator: Validator | None) -> Receipt:
    """Make the outputs of an earlier run with this very fingerprint visible again."""
    assert ready.earlier is not None and ready.current is not None
    now = datetime.now(UTC)
    receipt = ready.earlier.model_copy(
        update={
            "run_id": new_run_id(),
            "started_at": now,
            "finished_at": now,
            **here(),
            "notes": (f"restored from run {ready.earlier.run_id}",),
        }
    )
    [receipt] = validated(lake, validator, [receipt])
    lake.commit(StageCommit(receipt, expects=ready.current.run_id))
    return receipt


def _compute(
    lake: Lake,
    ready: Ready,
    chain: list[Stage],
    specs: list[tuple[str, dict[str, object]]],
    slice_: Slice,
    history: list[Receipt],
    runner: Executor,
    validator: Validator | None,
) -> list[StageReport]:
    started = datetime.now(UTC)
    run_id = new_run_id()
    files = _files(lake, ready, chain, slice_)
    tasks = _tasks(lake, ready, chain, specs, slice_, files)
    resources = Resources(
        cpus=max(s.resources.cpus for s in chain), gpus=chain[0].resources.gpus, memory_bytes=max(s.resources.memory_bytes for s in chain)
    )
    outcomes: list[PartOutcome] = []
    rows = ready.inputs[0].rows
    with progress(f"{slice_} {'+'.join(s.name for s in chain)}", rows, "rows") as bar:
        for outcome in runner.map(tasks, resources):
            outcomes.append(outcome)
            bar.advance(outcome.stages[0].counts.read)
    outcomes.sort(key=lambda o: o.part)
    receipts = _receipts(ready, chain, slice_, outcomes, files, history, run_id, started)
    if receipts[0].counts.read != rows:
        raise StageError(
            f"stage {chain[0].name}, slice {slice_}: {receipts[0].counts.read} rows processed of {rows}",
            "the input changed meanwhile; run again",
        )
    receipts = validated(lake, validator, receipts)
    before = {r.stage: r.run_id for r in history}
    try:
        lake.commit(*(StageCommit(r, expects=before.get(r.stage, "")) for r in receipts))
    except SliceConflict:
        # Somebody who computed the very same thing has won: their outputs are ours, byte for byte.
        theirs = lake.current_receipts(slice_)
        if any(s.name not in theirs or theirs[s.name].fingerprint != r.fingerprint for s, r in zip(chain, receipts, strict=True)):
            raise
        return [StageReport(s.name, "adopted", theirs[s.name]) for s in chain]
    for task in tasks:
        with contextlib.suppress(OSError):
            lake.storage.delete(f"work/{task.key}/{task.part:05d}.json")
    return [StageReport(s.name, "computed", r) for s, r in zip(chain, receipts, strict=True)]


def _files(lake: Lake, ready: Ready, chain: list[Stage], slice_: Slice) -> dict[str, list[ShardFile]]:
    """The committed files that the chain reads, by table: listed once, so that receipts name what the parts were made from."""
    files = dict(ready.files)
    made: set[str] = set()
    for stage in chain:
        wanted = stage.inputs()
        for table in (wanted.primary, *wanted.sidecars):
            if table not in files and table not in made:
                files[table] = lake.slice_files(table, slice_)
        made |= {*stage.also, *([stage.output] if stage.output else [])}
    return files


def _tasks(
    lake: Lake,
    ready: Ready,
    chain: list[Stage],
    specs: list[tuple[str, dict[str, object]]],
    slice_: Slice,
    files: dict[str, list[ShardFile]],
) -> list[PartTask]:
    """One task for each part of the primary input of the first stage."""
    shared = {ready.stage.name: {name: store_shared(lake, t, table_digest(t)) for name, t in ready.shared.items()}}
    # The record of a finished part may only be taken by a run that would do the very same thing to the very same input.
    key = digest_of(
        [
            ready.fingerprint,
            *[[s.name, s.params.model_dump(mode="json"), code_digest(type(s))] for s in chain],
            sorted((t, content_digest(f)) for t, f in files.items()),
        ]
    )
    parts = sorted({f.part for f in files[chain[0].inputs().primary]})
    return [
        PartTask(
            settings=lake.settings,
            source=slice_.source,
            slice=slice_.interval,
            part=part,
            stages=tuple(specs),
            files={t: tuple(f for f in fs if f.part == part) for t, fs in files.items()},
            shared=shared,
            key=key,
        )
        for part in parts
    ]


def _receipts(
    ready: Ready,
    chain: list[Stage],
    slice_: Slice,
    outcomes: list[PartOutcome],
    files: dict[str, list[ShardFile]],
    history: list[Receipt],
    run_id: str,
    started: datetime,
) -> list[Receipt]:
    files = dict(files)
    producers: dict[str, str] = {}
    receipts: list[Receipt] = []
    for i, stage in enumerate(chain):
        mine: list[StageOutcome] = [o.stages[i] for o in outcomes]
        outputs = tuple(f for o in mine for f in o.outputs)
        counts = sum((o.counts for o in mine), Counts())
        tables = ("exclusions", "quarantine", *stage.also, *([stage.output] if stage.output else []))
        inputs = ready.inputs if i == 0 else _inputs(stage, files, producers, history)
        fingerprint = ready.fingerprint if i == 0 else fingerprint_of(stage, slice_, inputs)
        for table in (*stage.also, *([stage.output] if stage.output else [])):
            files[table] = [f for f in outputs if f.table == table]
            producers[table] = fingerprint
        params = stage.params.model_dump(mode="json")
        receipts.append(
            Receipt(
                run_id=run_id,
                stage=stage.name,
                version=stage.version,
                source=slice_.source,
                slice=slice_.interval,
                fingerprint=fingerprint,
                code=code_digest(type(stage)),
                params=params,
                params_digest=digest_of(params),
                inputs=inputs,
                outputs=outputs,
                tables=tables,
                counts=counts,
                started_at=started,
                finished_at=datetime.now(UTC),
                notes=alarms(counts),
                **here(),
            )
        )
    return receipts


def _inputs(stage: Stage, files: dict[str, list[ShardFile]], producers: dict[str, str], history: list[Receipt]) -> tuple[InputRef, ...]:
    """Input references of a fused stage, as `make_ready` would find them after the commit."""
    wanted = stage.inputs()
    refs = []
    for table in (wanted.primary, *wanted.sidecars):
        producer = producers.get(table) or next((r.fingerprint for r in reversed(history) if any(o.table == table for o in r.outputs)), "")
        rows = sum(f.rows for f in files[table])
        refs.append(InputRef(table=table, digest=content_digest(files[table]), rows=rows, producer=producer))
    return tuple(refs)
