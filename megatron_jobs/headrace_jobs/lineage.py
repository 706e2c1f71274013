"""Lineage of documents beyond their tokens: which mixes hold one, which runs have trained on it, which releases it is in.

`down` follows a document by its own rows: to the tokens in `headrace_lake.documents`; from there on by the mixes' lists of documents
and the checkpoints' loader states, so a document that was dropped, held out or not reached yet is in no release. Slices, artifacts and
versions of the code go by receipts (`headrace_lake.lineage`). `trained_documents` is the way back: what a checkpoint has trained on.

How often a document was drawn follows from the cursor that its bucket has in the checkpoint, since the order is computed
(`headrace_jobs.mix.order`): once for each full epoch, and once more if its place in the last epoch lies before the cursor. Pieces that were
packed ahead and not trained on yet are in the loader's state too and are taken off. Cost: the mix's list of documents, 40 bytes each.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace_jobs.evaluation.run import checkpoint_folder, scored_rows
from headrace_jobs.mix.compile import Mix, load_mix
from headrace_jobs.mix.order import key_of, permute
from headrace_jobs.trainer.checkpoint import read_state
from headrace_lake import lineage
from headrace_lake.documents import find_documents, way_of
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.lineage import Graph
from headrace_lake.nodes import Node
from headrace_lake.receipts import Artifact
from headrace_lake.slices import Slice

I64 = npt.NDArray[np.int64]


@dataclass
class _Jobs:
    """What is read once for all documents that are asked for."""

    lake: Lake
    graph: Graph
    mixes: list[Artifact]
    runs: list[Artifact]
    checkpoints: list[Artifact]
    evaluations: list[Artifact]
    loaded: dict[str, Mix] = field(default_factory=dict)

    @classmethod
    def of(cls, lake: Lake) -> _Jobs:
        mixes, runs, checkpoints, evaluations = (lake.artifacts(kind) for kind in ("mix", "run", "checkpoint", "evaluation"))
        return cls(lake, Graph(lake), mixes, runs, checkpoints, evaluations)

    def mix(self, artifact: Artifact) -> Mix:
        if artifact.fingerprint not in self.loaded:
            self.loaded[artifact.fingerprint] = load_mix(self.lake, artifact)
        return self.loaded[artifact.fingerprint]

    def checkpoints_of(self, mix: str) -> list[Artifact]:
        runs = {r.fingerprint for r in self.runs if mix in r.parents}
        return [c for c in self.checkpoints if mix in c.parents or runs & set(c.parents)]


def down(lake: Lake, what: str) -> list[Node]:
    """Everything that a document, an artifact, a slice, a receipt or a version of the code went into.

    Args:
        what: a document's uid or the beginning of one, an address, SOURCE/INTERVAL, an artifact's name, a fingerprint or code digest.

    Raises:
        InputError: nothing of that name is known, or it is the beginning of several uids.
    """
    documents = find_documents(lake, what)
    jobs = _Jobs.of(lake)
    named = jobs.graph.named(what)
    if not documents and not named:
        raise lineage.unknown(lake, what)
    below = [node for uid, slice_ in documents for node in _document_down(jobs, uid, slice_)]
    return [*below, *jobs.graph.walk(named, up=False)]


def up(lake: Lake, what: str) -> list[Node]:
    """Everything that a document, an artifact, a slice or a receipt was made from; of a checkpoint or release how many documents, too.

    Raises:
        InputError: as in `down`.
    """
    documents = find_documents(lake, what)
    jobs = _Jobs.of(lake)
    named = jobs.graph.named(what)
    if not documents and not named:
        raise lineage.unknown(lake, what)
    nodes: list[Node] = []
    for uid, slice_ in documents:
        made = next((r for table in ("documents", "captures") for r in _writers(lake, slice_, table)), None)
        nodes += [*way_of(lake, uid, slice_), *jobs.graph.walk([made] if made else [], up=True)]
    above = jobs.graph.walk(named, up=True)
    for node in above:
        nodes.append(node)
        if node.kind == "checkpoint":
            nodes.append(_documents_node(jobs, node))
    return nodes


def _writers(lake: Lake, slice_: Slice, table: str) -> list[str]:
    """The receipt that owns a table's slice now."""
    return [r.fingerprint for r in lake.current_receipts(slice_).values() if table in r.tables][-1:]


def _document_down(jobs: _Jobs, uid: str, slice_: Slice) -> list[Node]:
    way = way_of(jobs.lake, uid, slice_)
    classes = [n for n in way if n.kind == "tokens"]
    nodes = list(way)
    if not way:
        return [Node("document", str(slice_), uid, "not visible any more")]
    for artifact in jobs.mixes:
        if not any(s["source"] == slice_.source and s["slice"] == slice_.interval for s in _shards(jobs, artifact)):
            continue
        mix = jobs.mix(artifact)
        held, row = _row_of(mix, mix.held_out, uid, slice_), _row_of(mix, mix.documents, uid, slice_)
        if held is not None:
            nodes += _held_out(jobs, artifact, mix, uid)
        elif row is not None:
            nodes += _trained(jobs, artifact, mix, row)
        elif classes:
            nodes.append(_node(artifact, f"not in this mix: {_why_not(jobs.lake, mix, uid, slice_)}"))
    return nodes


def _shards(jobs: _Jobs, artifact: Artifact) -> list[dict[str, Any]]:
    return [{"source": s.source, "slice": s.slice} for s in jobs.mix(artifact).shards]


def _row_of(mix: Mix, table: pa.Table, uid: str, slice_: Slice) -> int | None:
    """Where a document of a slice stands in a mix's list."""
    numbers = [i for i, s in enumerate(mix.shards) if (s.source, s.slice) == (slice_.source, slice_.interval)]
    mine = pc.and_(
        pc.equal(table["uid"], pa.scalar(bytes.fromhex(uid), pa.binary(16))),
        pc.is_in(table["shard"], value_set=pa.array(numbers, table["shard"].type)),
    )
    found = np.flatnonzero(mine.to_numpy(zero_copy_only=False))
    return int(found[0]) if len(found) else None


def _held_out(jobs: _Jobs, artifact: Artifact, mix: Mix, uid: str) -> list[Node]:
    nodes = [_node(artifact, "held out of this mix: never trained on")]
    try:
        scored = any(row["uid"].hex() == uid for row in scored_rows(mix))
    except InputError:  # a mix of an older version, whose evaluations were of another definition
        scored = False
    if scored:
        nodes += [_node(e, "scored with the held-out documents") for e in jobs.evaluations if artifact.fingerprint in e.parents]
    return nodes


def _trained(jobs: _Jobs, artifact: Artifact, mix: Mix, row: int) -> list[Node]:
    number = int(np.searchsorted(mix.starts, row, side="right")) - 1
    document, bucket = row - int(mix.starts[number]), mix.buckets[number]
    planned = next((p["planned_tokens"] for p in mix.record.get("plan", ()) if p["bucket"] == bucket.key), None)
    plan = "" if planned is None else f"; {planned:,} tokens of the bucket are planned" if planned else "; no phase draws from the bucket"
    nodes = [_node(artifact, f"document {document:,} of {bucket.documents:,} in bucket {bucket.key}{plan}")]
    reached = []
    for made in jobs.checkpoints_of(artifact.fingerprint):
        run = next((r for r in jobs.runs if r.fingerprint in made.parents), None)
        if run is not None:
            nodes.append(_node(run, run.payload.get("summary", "")))
        try:
            seen = Consumption.of(jobs.lake, made, mix)
        except InputError as problem:
            nodes.append(_node(made, f"whether it has trained on the document cannot be told: {problem.what}"))
            continue
        tokens = seen.tokens_of(number)[document]
        times = seen.times_of(number)[document]
        if tokens:
            nodes.append(_node(made, f"trained on {tokens:,} tokens of the document (drawn {times} times) by step {seen.step:,}"))
            reached.append(made.fingerprint)
        else:
            nodes.append(_node(made, f"not reached by step {seen.step:,}: nothing of the document was trained on"))
    made_of = jobs.graph.walk(reached, up=False)
    return [*nodes, *(n for n in made_of if n.fingerprint not in reached)]


def _why_not(lake: Lake, mix: Mix, uid: str, slice_: Slice) -> str:
    for row in lake.read("passports", slice_, columns=["uid", "licence_class"], where=f"uid = '{uid}'").to_pylist():
        if row["licence_class"] not in mix.recipe.licences:
            return f"its recipe does not allow licence class {row['licence_class']}"
    return "the tokens were written after it was compiled, or by another version of the slice"


def _node(artifact: Artifact, detail: str) -> Node:
    return Node(artifact.kind, artifact.name, artifact.fingerprint, detail, artifact.parents)


# -- what a checkpoint has trained on ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Consumption:
    """What a checkpoint has drawn from a mix and trained on.

    Attributes:
        cursors: bucket number → documents drawn, over all epochs.
        waiting: (bucket number, document) → tokens that were packed ahead and not trained on yet.
    """

    mix: Mix
    step: int
    cursors: dict[int, int]
    waiting: dict[tuple[int, int], int]

    @classmethod
    def of(cls, lake: Lake, checkpoint: Artifact, mix: Mix) -> Consumption:
        """Read from a checkpoint's loader state.

        Raises:
            InputError: the checkpoint's files are gone, or a bucket has other documents than when it was written.
        """
        state = read_state(checkpoint_folder(lake, checkpoint))
        numbers = {b.key: i for i, b in enumerate(mix.buckets)}
        cursors: dict[int, int] = {}
        for key, (cursor, _, digest) in state.loader["stream"]["buckets"].items():
            if key not in numbers:
                continue  # a bucket of a mix that the run was on before
            if cursor and mix.buckets[numbers[key]].digest != digest:
                raise InputError(
                    f"bucket {key} has other documents in mix {mix.fingerprint[:12]} than in the checkpoint", "compile its mix"
                )
            cursors[numbers[key]] = int(cursor)
        waiting: dict[tuple[int, int], int] = defaultdict(int)
        for key, document, _, length, _ in (p for row in [*state.loader["pending"], state.loader["carry"]] for p in row):
            if key in numbers:
                waiting[numbers[key], document] += length
        return cls(mix, state.step, cursors, dict(waiting))

    def times_of(self, bucket: int) -> I64:
        """How often each document of a bucket was drawn, int64 [documents]."""
        size = self.mix.buckets[bucket].documents
        epochs, rest = divmod(self.cursors.get(bucket, 0), size)
        times = np.full(size, epochs, dtype=np.int64)
        if rest:
            key = key_of(self.mix.recipe.seed, self.mix.buckets[bucket].key, epochs)
            times[permute(np.arange(rest, dtype=np.int64), size, key)] += 1
        return times

    def tokens_of(self, bucket: int) -> I64:
        """Tokens of each document of a bucket that were trained on, repetitions counted, int64 [documents]."""
        lengths = self.mix.documents["tokens"].to_numpy()[self.mix.starts[bucket] : self.mix.starts[bucket + 1]]
        tokens: I64 = self.times_of(bucket) * lengths
        for (number, document), length in self.waiting.items():
            if number == bucket:
                tokens[document] -= length
        return tokens


def trained_documents(lake: Lake, what: str) -> pa.Table:
    """The documents that a checkpoint, or that of a release, has trained on.

    Returns:
        `source`, `slice`, `uid`, `url` (null where the capture is not visible any more), `language`, `licence_class`, `times` (how often
        it was drawn), `tokens` (trained on, repetitions counted); in the mix's order.

    Raises:
        InputError: no such checkpoint or release, or its files are gone.
    """
    jobs = _Jobs.of(lake)
    nodes = jobs.graph.walk(jobs.graph.named(what), up=True)
    made = next((c for n in nodes for c in jobs.checkpoints if c.fingerprint == n.fingerprint), None)
    if made is None:
        raise InputError(f"'{what}' is not a checkpoint or release", "'headrace release ls' lists releases; give one's name or fingerprint")
    return _trained_documents(jobs, made)


def _trained_documents(jobs: _Jobs, checkpoint: Artifact) -> pa.Table:
    above = {n.fingerprint for n in jobs.graph.walk([checkpoint.fingerprint], up=True)}
    mix = jobs.mix(next(m for m in jobs.mixes if m.fingerprint in above))
    seen = Consumption.of(jobs.lake, checkpoint, mix)
    columns: dict[str, list[Any]] = {name: [] for name in ("source", "slice", "uid", "language", "licence_class", "times", "tokens")}
    uids = mix.documents["uid"].to_pylist()
    for number, bucket in enumerate(mix.buckets):
        times, tokens = seen.times_of(number), seen.tokens_of(number)
        for document in np.flatnonzero(tokens > 0).tolist():
            uid = uids[int(mix.starts[number]) + document].hex()
            values = (bucket.source, bucket.slice, uid, bucket.language, bucket.licence_class, int(times[document]), int(tokens[document]))
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
    addresses: dict[tuple[str, str, str], str] = {}
    for source, interval in sorted(set(zip(columns["source"], columns["slice"], strict=True))):
        captured = jobs.lake.read("captures", Slice(source, interval), columns=["uid", "url"])
        addresses |= {(source, interval, u): url for u, url in zip(*(c.to_pylist() for c in captured.columns), strict=True)}
    keys = zip(columns["source"], columns["slice"], columns["uid"], strict=True)
    found = pa.table(columns)
    return found.add_column(3, "url", pa.array([addresses.get(key) for key in keys], pa.string()))


def _documents_node(jobs: _Jobs, checkpoint: Node) -> Node:
    """How many documents a checkpoint has trained on, in one line."""
    made = next(c for c in jobs.checkpoints if c.fingerprint == checkpoint.fingerprint)
    try:
        found = _trained_documents(jobs, made)
    except (InputError, StopIteration) as problem:
        return Node("documents", checkpoint.name, checkpoint.fingerprint, f"cannot be told: {problem}")
    sources = len(set(found["source"].to_pylist()))
    tokens = pc.sum(found["tokens"]).as_py() or 0
    detail = f"trained on {tokens:,} tokens of {found.num_rows:,} documents of {sources} sources; --documents FILE lists them"
    return Node("documents", checkpoint.name, checkpoint.fingerprint, detail)


def write_documents(documents: pa.Table, file: Path) -> None:
    """Write a table of documents as JSON lines, or as Parquet where the file's name says so.

    Raises:
        InputError: the file cannot be written.
    """
    import json

    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            pq.write_table(documents, file, compression="zstd")
        else:
            file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in documents.to_pylist()), encoding="utf-8")
    except OSError as problem:
        raise InputError(f"{file}: {problem.strerror}", "give the path of a file in a folder that is there") from problem
