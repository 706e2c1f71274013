"""A chain: consecutive stages of one slice that are computed in one pass over its parts, and the receipts that the pass leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from headrace_lake.engine.part import PartOutcome, PartTask, StageOutcome, store_shared
from headrace_lake.engine.pipeline import Pipeline, looks_beyond
from headrace_lake.engine.plan import Ready, fingerprint_of, shared_refs, table_digest
from headrace_lake.engine.stage_code import StageCodes, output_columns, same_recipe
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake, content_digest
from headrace_lake.receipts import Counts, InputRef, Receipt, ShardFile, alarms, new_run_id
from headrace_lake.slices import Slice
from headrace_lake.stage import Resources, Stage
from headrace_lake.stage_run import StageRun


@dataclass
class Chain:
    """What is about to be computed, and the outcomes as they come in.

    Attributes:
        ready: the first stage with its inputs as they are committed now.
        files: the committed files that the stages read, by table: listed once, so that receipts name what the parts were made from.
        history: the slice's receipts when the chain was made.
        pipeline: where the stages are declared.
        tasks: one for each part.
        shared: of each stage, what it was given beside its input.
        codes: code identities as they were when it was made.
        outcomes: of the parts that are done, in any order.
    """

    slice_: Slice
    stages: list[Stage]
    ready: Ready
    files: dict[str, list[ShardFile]]
    history: list[Receipt]
    tasks: list[PartTask]
    shared: list[dict[str, pa.Table]]
    codes: StageCodes
    outcomes: list[PartOutcome] = field(default_factory=list)
    run_id: str = field(default_factory=new_run_id)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    pipeline: str = ""

    @classmethod
    def begin(
        cls, lake: Lake, pipeline: Pipeline, index: int, ready: Ready, history: list[Receipt], codes: StageCodes, slice_: Slice
    ) -> Chain:
        """The chain that starts with stage `index`, whose inputs are `ready`."""
        stages = _fuse(pipeline.stages[index:], history, codes)
        files = _files(lake, ready, stages, slice_)
        shared = [ready.shared, *(stage.about(lake, slice_) for stage in stages[1:])]
        # The record of a finished part may only be taken by a run that would do the very same thing to the very same input.
        does = [[s.name, s.params.model_dump(mode="json"), codes.digest(s), output_columns(s)] for s in stages]
        reads = sorted((t, content_digest(f)) for t, f in files.items())
        given = [{name: table_digest(t) for name, t in tables.items()} for tables in shared]
        key = digest_of([ready.fingerprint, *does, reads, given])
        tasks = part_tasks(lake, stages, pipeline.specs[index : index + len(stages)], slice_, files, shared, key)
        return cls(slice_, stages, ready, files, history, tasks, shared, codes, pipeline=pipeline.reference)

    @property
    def names(self) -> str:
        """The stages, for people: all of them where they are few."""
        names = [s.name for s in self.stages]
        return "+".join(names) if len(names) <= 3 else f"{names[0]} to {names[-1]} ({len(names)} stages)"

    @property
    def rows(self) -> int:
        """Rows of the first stage's primary input."""
        return self.ready.inputs[0].rows

    @property
    def resources(self) -> Resources:
        """What a worker of one part needs."""
        return Resources(
            cpus=max(s.resources.cpus for s in self.stages),
            gpus=self.stages[0].resources.gpus,
            memory_bytes=max(s.resources.memory_bytes for s in self.stages),
        )

    @property
    def complete(self) -> bool:
        """Has every part its outcome?"""
        return len(self.outcomes) == len(self.tasks)

    def before(self, stage: str) -> str:
        """Run id of the receipt that was current for a stage when the chain was made ('' if there was none)."""
        return next((r.run_id for r in reversed(self.history) if r.stage == stage), "")

    def receipts(self) -> list[Receipt]:
        """The receipts of all stages, once the chain is complete.

        Raises:
            StageError: the parts have other rows than the committed input, or the counts of a stage do not add up.
        """
        outcomes = sorted(self.outcomes, key=lambda o: o.part)
        files = dict(self.files)
        producers: dict[str, str] = {}
        receipts: list[Receipt] = []
        for i, stage in enumerate(self.stages):
            mine: list[StageOutcome] = [o.stages[i] for o in outcomes]
            outputs = tuple(f for o in mine for f in o.outputs)
            counts = sum((o.counts for o in mine), Counts())
            inputs = self.ready.inputs if i == 0 else _inputs(stage, files, producers, self.history, self.shared[i])
            fingerprint = self.ready.fingerprint if i == 0 else fingerprint_of(stage, self.slice_, inputs, self.codes.digest(stage))
            owned = (*stage.also, *([stage.output] if stage.output else []))
            for table in owned:
                files[table] = [f for f in outputs if f.table == table]
                producers[table] = fingerprint
            run = StageRun(
                self.slice_,
                stage.name,
                stage.version,
                self.codes.digest(stage),
                stage.params.model_dump(mode="json"),
                output_columns(stage),
                self.pipeline,
                self.run_id,
                self.started,
            )
            receipts.append(
                run.receipt(
                    fingerprint,
                    outputs=outputs,
                    tables=("exclusions", "quarantine", *owned),
                    read=counts.read,
                    kept=counts.kept,
                    reasons=counts.reasons,
                    failed=counts.failed,
                    inputs=inputs,
                    notes=alarms(counts),
                    looked_at=self.ready.looked_at if i == 0 else (),
                )
            )
        return receipts


def _fuse(stages: Sequence[Stage], history: list[Receipt], codes: StageCodes) -> list[Stage]:
    """The stages to run in one pass, starting with the first.

    A stage joins if it reads only what its predecessors or earlier runs wrote for the same parts, needs nothing from
    beyond the slice, and could not be adopted anyway once its input turns out unchanged.
    """
    chain = [stages[0]]
    for stage in stages[1:]:
        last = next((r for r in reversed(history) if r.stage == stage.name), None)
        if looks_beyond(stage) or same_recipe(stage, last, codes) or stage.resources.gpus != chain[0].resources.gpus:
            break
        chain.append(stage)
    return chain


def _files(lake: Lake, ready: Ready, chain: list[Stage], slice_: Slice) -> dict[str, list[ShardFile]]:
    files = dict(ready.files)
    made: set[str] = set()
    for stage in chain:
        wanted = stage.inputs()
        for table in (wanted.primary, *wanted.sidecars):
            if table not in files and table not in made:
                files[table] = lake.slice_files(table, slice_)
        made |= {*stage.also, *([stage.output] if stage.output else [])}
    return files


def part_tasks(
    lake: Lake,
    chain: Sequence[Stage],
    specs: Sequence[tuple[str, dict[str, object]]],
    slice_: Slice,
    files: dict[str, list[ShardFile]],
    shared: Sequence[dict[str, pa.Table]],
    key: str,
) -> list[PartTask]:
    """A task for each part of what the stages read row by row and what is committed already: a table that an earlier run wrote may lack a
    part that another has, for all of its rows may have failed there.

    Args:
        files: of the tables that are committed already.
        shared: of each stage, what it is given beside its input.
        key: of the records that finished parts leave.
    """
    stored = {
        stage.name: {name: store_shared(lake, t, table_digest(t)) for name, t in tables.items()}
        for stage, tables in zip(chain, shared, strict=True)
        if tables
    }
    parts = sorted({f.part for stage in chain for f in files.get(stage.inputs().primary, ())})
    return [
        PartTask(
            settings=lake.settings,
            source=slice_.source,
            slice=slice_.interval,
            part=part,
            stages=tuple(specs),
            files={t: tuple(f for f in fs if f.part == part) for t, fs in files.items()},
            shared=stored,
            key=key,
        )
        for part in parts
    ]


def _inputs(
    stage: Stage, files: dict[str, list[ShardFile]], producers: dict[str, str], history: list[Receipt], shared: dict[str, pa.Table]
) -> tuple[InputRef, ...]:
    """Input references of a fused stage, as `make_ready` would find them after the commit."""
    wanted = stage.inputs()
    refs = []
    for table in (wanted.primary, *wanted.sidecars):
        producer = producers.get(table) or next((r.fingerprint for r in reversed(history) if any(o.table == table for o in r.outputs)), "")
        rows = sum(f.rows for f in files[table])
        refs.append(InputRef(table=table, digest=content_digest(files[table]), rows=rows, producer=producer))
    return (*refs, *shared_refs(shared))
