"""Proof that two versions of a stage's code write the same bytes: a seeded random sample of parts is computed again and compared.

Of a population of parts of which a share p differs, N parts drawn at random without replacement all agree with probability at most
(1 - p)^N; so if all of N agree, p is at most 1 - 0.05^(1/N), which is below 3/N, with 95 % confidence (the "rule of three", Hanley and
Lippman-Hand 1983). If every part was compared, none differs. What agrees is left as an *equivalence* (`stage_code.py`), so that plans and
runs adopt what the older code wrote; `revoke` takes it back.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc

from headrace_lake.engine.chain import part_tasks
from headrace_lake.engine.executors import Demand, Executor
from headrace_lake.engine.part import PartOutcome
from headrace_lake.engine.pipeline import Pipeline
from headrace_lake.engine.plan import files_intact, fingerprint_of, make_ready
from headrace_lake.engine.stage_code import EQUIVALENCE, StageCodes
from headrace_lake.engine.worker import holds
from headrace_lake.errors import HeadraceError, InputError
from headrace_lake.fingerprint import digest_of
from headrace_lake.lake import Lake
from headrace_lake.receipts import Artifact, Receipt, ShardFile, new_run_id
from headrace_lake.slices import Slice
from headrace_lake.stage import Stage
from headrace_lake.tables.shards import read_shard
from headrace_lake.terminal.progress import progress

PARTS = 60
"""Parts that are compared by default: at most 5 % differ then."""
CONFIDENCE = 0.95
_SHOWN = 5
_AT_ONCE = 200
"""Parts whose tasks are made before the first is run, for `prepare` of a slice is asked once for all of its parts."""


class NotEqualError(HeadraceError):
    """Today's code of a stage writes other bytes than the code that it was compared with; nothing was recorded."""

    exit_code = 1


@dataclass
class Proof:
    """What a comparison found.

    Attributes:
        before: digest of the older code; of several in the lake the one with the most parts.
        after: digest of today's code.
        parts: how many were compared, of `population`.
        bound: share of parts that differ at most, with 95 % confidence; 0 if all were compared.
        slices: how many slices the compared parts belong to.
        others: digest of other older code, not known to be equal → slices, which were not looked at.
        skipped: why slices could not be compared → how many.
        fingerprint: of the artifact that was recorded.
    """

    stage: str
    before: str
    after: str
    parts: int
    population: int
    bound: float
    slices: int
    others: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""


def prove_equal(
    lake: Lake, pipeline: Pipeline, name: str, executor: Executor, *, parts: int = PARTS, seed: int = 1, by: str = "", code: str = ""
) -> Proof:
    """Compare today's code of a stage with the code that its visible results came from, and record an equivalence if all bytes agree.

    Only slices of which nothing but the code has changed can be compared: inputs, parameters, version and columns must be as they were.

    Args:
        parts: how many are computed again; all of them if there are fewer.
        by: who asks for it, recorded with the proof.
        code: the beginning of the older code's digest; by default the one with the most slices of which some can be compared.

    Raises:
        NotEqualError: a part came out otherwise; names slice, part, table and the first difference.
        InputError: the stage's results are all of today's code, or none can be compared.
    """
    stage = pipeline.only([name]).stages[0]
    codes = StageCodes.of(lake)
    receipts = _newest(lake, name)
    older = Counter(r.code for r in receipts if not codes.same(stage, r))
    if not older:
        what = f"stage {name}: " + ("all its results are of today's code" if receipts else "has left no results in this lake")
        raise InputError(what, "nothing to prove")
    chosen = [c for c in sorted(older, key=lambda c: (-older[c], c)) if c.startswith(code)]
    if not chosen:
        raise InputError(f"stage {name}: no result is of code '{code}'", f"older code in this lake: {', '.join(c[:12] for c in older)}")
    skipped: Counter[str] = Counter()
    for before in chosen:
        mine = [r for r in receipts if r.code == before]
        places = sorted((str(r.slice_), part) for r in mine for part in _parts(lake, stage, r))
        population = len(places)
        random.Random(f"{seed} {name} {before}").shuffle(places)
        sample = _Sample(lake, pipeline, stage, codes, {str(r.slice_): r for r in mine})
        wrong: list[str] = []
        compared: list[tuple[str, int]] = []
        with progress(f"{name}: comparing", min(parts, population), "parts") as bar:
            while len(compared) < parts and places and not wrong:
                drawn, places = places[: min(_AT_ONCE, parts - len(compared))], places[min(_AT_ONCE, parts - len(compared)) :]
                for task, outcome in executor.map(sample.demands(drawn)):
                    place = (f"{task.source}/{task.slice}", task.part)
                    compared.append(place)
                    wrong += sample.differences(place, outcome)
                    bar.update(len(compared), parts)
                    sample.forget(task.key, task.part)
        skipped += sample.skipped
        if compared:
            break
    if wrong:
        more = f" (and {len(wrong) - _SHOWN} more)" if len(wrong) > _SHOWN else ""
        raise NotEqualError(
            f"stage {name}: today's code writes other bytes than {before[:12]} in {len(wrong)} of {len(compared)} parts compared: "
            f"{'; '.join(wrong[:_SHOWN])}{more}",
            "nothing was recorded; 'headrace slice preview' says what would be computed again",
        )
    if not compared:
        why = "; ".join(f"{reason} ({n})" for reason, n in skipped.most_common())
        raise InputError(f"stage {name}: no slice can be compared: {why}", "bring the slices up to date with the older code first")
    whole = len(compared) == population
    proof = Proof(
        stage=name,
        before=before,
        after=codes.digest(stage),
        parts=len(compared),
        population=population,
        bound=0.0 if whole else 1 - (1 - CONFIDENCE) ** (1 / len(compared)),
        slices=len({slice_ for slice_, _ in compared}),
        others={code: n for code, n in sorted(older.items()) if code not in codes.equal(name, before)},
        skipped=dict(skipped),
    )
    proof.fingerprint = _record(lake, proof, seed, by)
    return proof


def equivalences(lake: Lake) -> list[Artifact]:
    """The newest state of every equivalence of a lake, revoked ones too, in the order in which they were recorded."""
    return list({a.fingerprint: a for a in lake.artifacts(EQUIVALENCE)}.values())


def revoke(lake: Lake, what: str, reason: str, *, by: str = "") -> Artifact:
    """Take an equivalence back, given by the beginning of its fingerprint: what the older code wrote is out of date from now on.

    Raises:
        InputError: none or several begin so, or it is revoked already.
    """
    found = [a for a in equivalences(lake) if a.fingerprint.startswith(what)]
    if len(found) != 1:
        known = ", ".join(a.fingerprint[:12] for a in equivalences(lake)) or "none"
        raise InputError(f"{len(found)} equivalences begin with '{what}'", f"known: {known}")
    [old] = found
    if old.payload.get("revoked"):
        raise InputError(f"equivalence {old.fingerprint[:12]} is revoked already: {old.payload['revoked']}", "nothing to do")
    payload = {**old.payload, "revoked": reason, "revoked_by": by}
    lake.record_artifact(old.model_copy(update={"payload": payload, "created_at": datetime.now(UTC)}))
    return lake.artifacts(EQUIVALENCE)[-1]


def _newest(lake: Lake, stage: str) -> list[Receipt]:
    """The receipts of a stage whose results are visible, of every slice."""
    newest = {r.slice_: r for r in lake.receipts(stage=stage)}
    return [newest[s] for s in sorted(newest)]


def _parts(lake: Lake, stage: Stage, receipt: Receipt) -> list[int]:
    return sorted({f.part for f in lake.slice_files(stage.inputs().primary, receipt.slice_)})


class _Sample:
    """Makes the tasks of drawn parts, and compares what comes out with what is stored."""

    def __init__(self, lake: Lake, pipeline: Pipeline, stage: Stage, codes: StageCodes, receipts: dict[str, Receipt]) -> None:
        self._lake = lake
        self._stage = stage
        self._codes = codes
        self._receipts = receipts
        self._spec = pipeline.specs[[s.name for s in pipeline.stages].index(stage.name)]
        self._seen_wrong: set[str] = set()
        self.skipped: Counter[str] = Counter()

    def demands(self, drawn: Sequence[tuple[str, int]]) -> Iterator[Demand]:
        """Tasks of the drawn parts, slice by slice, without those of slices that cannot be compared."""
        by_slice: dict[str, set[int]] = {}
        for place, part in drawn:
            by_slice.setdefault(place, set()).add(part)
        for name, parts in by_slice.items():
            if name in self._seen_wrong:
                continue
            slice_, receipt = Slice.parse(name), self._receipts[name]
            history = self._lake.receipts(slice_)
            try:
                ready = make_ready(self._lake, self._stage, slice_, history, self._codes)
            except InputError as exc:
                self._skip(name, str(exc.what))
                continue
            if fingerprint_of(self._stage, slice_, ready.inputs, receipt.code) != receipt.fingerprint:
                self._skip(name, "its inputs, parameters, version or columns have changed too")
            elif not files_intact(self._lake, receipt):
                self._skip(name, "its files are gone")
            else:
                key = f"proof-{new_run_id()}"  # no record of an earlier run may be taken for today's
                for task in part_tasks(self._lake, [self._stage], [self._spec], slice_, ready.files, [ready.shared], key):
                    if task.part in parts:
                        yield Demand(task, self._stage.resources, holds(self._stage))

    def _skip(self, slice_: str, why: str) -> None:
        self._seen_wrong.add(slice_)
        self.skipped[why] += 1

    def differences(self, place: tuple[str, int], outcome: PartOutcome) -> list[str]:
        """What of a part came out otherwise, for people; empty if all bytes agree."""
        slice_, part = place
        stored = {o.table: o for o in self._receipts[slice_].outputs if o.part == part}
        made = {o.table: o for o in outcome.stages[0].outputs}
        return [
            f"{slice_} part {part}, {table}: {self._told(stored.get(table), made.get(table))}"
            for table in sorted(stored.keys() | made.keys())
            if (stored[table].digest if table in stored else "") != (made[table].digest if table in made else "")
        ][:1]

    def _told(self, stored: ShardFile | None, made: ShardFile | None) -> str:
        if stored is None or made is None:
            return f"{stored.rows if stored else 0} rows before, {made.rows if made else 0} now"
        if stored.rows != made.rows:
            return f"{stored.rows} rows before, {made.rows} now"
        before, now = (read_shard(self._lake.storage, x) for x in (stored, made))
        for column in before.column_names:
            if column not in now.column_names or before[column].type != now[column].type:
                return f"column {column} has another type"
            if not before[column].equals(now[column]):
                same = pc.fill_null(pc.equal(before[column], now[column]), False).to_pylist()
                row = next((i for i, x in enumerate(same) if not x and before[column][i] != now[column][i]), 0)
                who = f" (uid {before['uid'][row]})" if "uid" in before.column_names else ""
                return f"row {row}{who}, {column}: {_short(before[column][row])} before, {_short(now[column][row])} now"
        return "the same rows in other bytes"

    def forget(self, key: str, part: int) -> None:
        """Remove the record that a part leaves for a run that goes on."""
        self._lake.storage.delete(f"work/{key}/{part:05d}.json")


def _short(value: Any) -> str:
    return repr(value.as_py())[:60]


def _record(lake: Lake, proof: Proof, seed: int, by: str) -> str:
    fingerprint = digest_of([EQUIVALENCE, proof.stage, proof.before, proof.after])
    payload = {
        "stage": proof.stage, "before": proof.before, "after": proof.after, "parts": proof.parts, "population": proof.population,
        "bound": proof.bound, "confidence": CONFIDENCE, "slices": proof.slices, "seed": seed, "by": by,
    }  # fmt: skip
    lake.record_artifact(Artifact(kind=EQUIVALENCE, name=proof.stage, fingerprint=fingerprint, payload=payload))
    return fingerprint
