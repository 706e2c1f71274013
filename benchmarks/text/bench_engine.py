"""What the engine costs, and what a second worker brings.

    python benchmarks/text/bench_engine.py --megabytes 1000

Data: the benchmark corpus without Japanese and Korean, whose tokenisers would be all that is seen, as `documents` of one slice in
parts as large as the settings' default. The work is the text pipeline from `language` to `minhash`, all verdicts that need no other slice.

- overhead: the engine in this process, against a bare loop that reads each Parquet file, calls the same stages on the same batches, and
  writes their tables with pyarrow. The loop counts nothing, keeps no exclusions, checks no schema and leaves no receipt.
- Ray: the same slice through two Ray workers on this machine, against one in-process worker; its files must be the same. Both begin
  with nothing loaded. What two plain loops do at once, measured beside it, is the most that this machine can give.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from corpus import corpus

from headrace_lake.engine import Pipeline, load_pipeline, run_pipeline
from headrace_lake.garbage import collect_rarely
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Counts, Receipt, here, new_run_id
from headrace_lake.settings import PartSettings, Settings
from headrace_lake.slices import Slice
from headrace_lake.stage import DROP_DETAIL, DROP_REASON

CHECKOUT = Path(__file__).parents[2]
SLICE = Slice("bench", "2026-11-01")
LEFT_OUT = ("ja", "ko")
ROWS = PartSettings().rows


def prepared(folder: Path, texts: pa.ChunkedArray) -> Lake:
    """A lake that holds the documents."""
    settings = Settings.model_validate({"base": str(CHECKOUT), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")})
    lake = Lake.open(settings)
    shards = []
    for part, at in enumerate(range(0, len(texts), ROWS)):
        some = texts.slice(at, ROWS).combine_chunks()
        n = len(some)
        columns: dict[str, Any] = {"uid": [f"{at + i:032x}" for i in range(n)], "url": [f"bench:{at + i}" for i in range(n)], "text": some}
        columns |= {"characters": pc.utf8_length(some), "bytes": pc.binary_length(some), "replaced_characters": [0] * n}
        columns |= {"licence": ["CC0-1.0"] * n, "licence_class": ["public"] * n, "content_digest": ["0" * 32] * n}
        shards.append(lake.write_shard("documents", SLICE, part, pa.table(columns)))
    about: dict[str, Any] = {"run_id": new_run_id(), "stage": "extract", "version": "1", "fingerprint": "bench", "source": SLICE.source}
    about |= {"slice": SLICE.interval, "code": "", "params": {}, "params_digest": "", "inputs": (), "outputs": tuple(shards)}
    now = datetime.now(UTC)
    counts = Counts(read=len(texts), kept=len(texts))
    lake.commit(StageCommit(Receipt(**about, tables=("documents",), counts=counts, started_at=now, finished_at=now, **here())))
    return lake


def pipeline(lake: Lake) -> Pipeline:
    """From `language` to `minhash`, without what looks at other slices."""
    from headrace_lake.stage import Stage

    every = load_pipeline(lake.settings, "text")
    names = [s.name for s in every.stages]
    wanted = names[names.index("language") : names.index("minhash") + 1]
    return every.only([s.name for s in every.stages if s.name in wanted and type(s).prepare is Stage.prepare])


@dataclass(frozen=True)
class _Part:
    """What these stages ask of a part."""

    part: int
    source: str = SLICE.source
    slice: str = SLICE.interval


def spin(_: int) -> float:
    """Seconds that a plain loop takes."""
    started, total = time.perf_counter(), 0
    for i in range(40_000_000):
        total += i & 3
    return time.perf_counter() - started


def machine() -> float:
    """How much more two processes do here than one: less than 2 where cores share their insides or are lent to others too."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        alone = pool.map(spin, [0])[0]
        return 2 * alone / max(pool.map(spin, [0, 1], chunksize=1))


def bare(lake: Lake, work: Pipeline, folder: Path) -> None:
    """The same stages over the same batches, with pyarrow alone."""
    root = Path(lake.storage.root)
    receipt = lake.current_receipts(SLICE)["extract"]
    for part, shard in enumerate(receipt.outputs):
        memory = {"documents": pq.read_table(root / shard.path, use_threads=False)}
        for stage in work.stages:
            stage.setup()
            stage.begin(_Part(part), {})  # type: ignore[arg-type]
            wanted = stage.inputs()
            rows = memory[wanted.primary].select([*dict.fromkeys(("uid", *wanted.columns))])
            for name, columns in wanted.sidecars.items():
                for column in columns:
                    rows = rows.append_column(f"{name}.{column}", memory[name][column])
            batches = [rows.slice(at, stage.batch_rows) for at in range(0, rows.num_rows, stage.batch_rows)]
            done = pa.concat_tables([stage.process(b) for b in batches]).drop_columns([DROP_REASON, DROP_DETAIL])
            assert stage.output is not None
            memory[stage.output] = done
            pq.write_table(done, folder / f"{stage.name}-{part}.parquet", compression="zstd")


def clocked(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds by the clock, and the result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def main() -> None:
    """Ray, then overhead."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=1000)
    parser.add_argument("--overhead-megabytes", type=float, default=100)
    words = parser.parse_args()
    collect_rarely()  # as the command line and the Ray workers do
    table = corpus(words.megabytes * 1.25)
    texts = table["text"].filter(pc.invert(pc.is_in(table["language"], value_set=pa.array(LEFT_OUT))))
    del table
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        size = pc.sum(pc.binary_length(texts)).as_py() / 1e6
        ray_and_local(folder, texts, size)  # first: what a process loads once, both sides load then
        few = texts.slice(0, max(ROWS, int(len(texts) * words.overhead_megabytes / size)))
        some = pc.sum(pc.binary_length(few)).as_py() / 1e6
        (folder / "bare").mkdir()
        lakes = [prepared(folder / f"few{i}", few) for i in range(4)]
        work = pipeline(lakes[0])
        bare(lakes[0], work, folder / "bare")
        engine, loop = [], []
        for lake in lakes[1:]:
            engine.append(clocked(lambda lake=lake: run_pipeline(lake, work, SLICE))[0])
            loop.append(clocked(lambda lake=lake: bare(lake, work, folder / "bare"))[0])
        print(f"overhead on {some:.0f} MB, {len(work.stages)} stages: engine {min(engine):.2f} s, bare loop {min(loop):.2f} s, "
              f"{100 * (min(engine) / min(loop) - 1):+.1f} % (best of {len(loop)} in turn)", flush=True)  # fmt: skip


def ray_and_local(folder: Path, texts: pa.ChunkedArray, size: float) -> None:
    """One in-process worker, then two Ray workers; the same files."""
    import ray

    local, remote = prepared(folder / "local", texts), prepared(folder / "ray", texts)
    work = pipeline(local)
    alone, _ = clocked(lambda: run_pipeline(local, work, SLICE))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        together, _ = clocked(lambda: run_pipeline(remote, work, SLICE, executor="ray"))
    finally:
        ray.shutdown()
    print(f"this machine: two plain Python loops at once do {machine():.2f} times what one does", flush=True)
    ours, theirs = (
        [(o.table, o.part, o.digest) for s in work.stages for o in lake.current_receipts(SLICE)[s.name].outputs] for lake in (local, remote)
    )
    print(f"{size:.0f} MB in {len(texts):,} documents: one in-process worker {alone:.1f} s ({size / alone:.1f} MB/s), "
          f"two Ray workers {together:.1f} s, {alone / together:.2f} times; {len(ours):,} shards, "
          f"{'all the same' if ours == theirs else 'NOT THE SAME'}; "
          f"peak memory of the driver {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", flush=True)  # fmt: skip
    if ours != theirs:
        sys.exit(1)


if __name__ == "__main__":
    main()
