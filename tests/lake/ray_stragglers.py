"""A driver of a Ray cluster of its own: parts that are held until others have ended. Leaves marks and files in its folder.

    python ray_stragglers.py FOLDER large CLASS local|ray     20 parts, one of 20 times the size; on Ray it ends after all others, or fails
    python ray_stragglers.py FOLDER kinds                     GPU parts of one slice that end after the CPU parts of another, or fail

Workers need this folder on their Python path.

`FOLDER/marks`: what happened, in order. `FOLDER/shown`: files of the tables afterwards, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import stages_for_tests
from conftest import write_documents

from headrace_lake.engine import Pipeline, run_slices
from headrace_lake.engine.executors import ExecutorName
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

CPUS = 2
FIRST, SECOND = Slice("a", "2026-11-01"), Slice("b", "2026-11-01")
PARTS, LARGE = 20, 13
GPU_PARTS = 16
"""More than the executor takes ahead of two busy processors."""


def large(lake: Lake, marks: str, name: str, executor: ExecutorName) -> None:
    """One slice. Its large part, neither the first nor the last, ends after the others, and none of them before it has begun."""
    write_documents(lake, FIRST, parts=PARTS, rows=16, large=LARGE)
    others = [n for n in range(PARTS) if n != LARGE]
    until = {f"a:{n}": (f"begun:a:{LARGE}",) for n in others} | {f"a:{LARGE}": tuple(f"ended:a:{n}" for n in others)}
    params = stages_for_tests.HeldParams(minimum=5, marks=marks, until=until if executor == "ray" else {})
    stage = getattr(stages_for_tests, name)(params)
    run_slices(lake, Pipeline.of("t", stage, stages_for_tests.Admit()), [FIRST], executor=executor)


def kinds(lake: Lake, marks: str) -> None:
    """Two slices, of which the second needs no GPU any more."""
    write_documents(lake, FIRST, parts=GPU_PARTS, rows=16)
    write_documents(lake, SECOND, parts=4, rows=16)
    until = {f"a:{n}": tuple(f"admitted:b:{n}" for n in range(4)) for n in range(GPU_PARTS)}
    params = stages_for_tests.HeldParams(minimum=5, marks=marks, until=until)
    admit = stages_for_tests.NotedAdmit(stages_for_tests.AdmitParams(marks=marks))
    pipeline = Pipeline.of("t", stages_for_tests.HeldGpuModel(params), admit)
    run_slices(lake, pipeline.only(["length"]), [SECOND], executor="local")
    run_slices(lake, pipeline, [FIRST, SECOND], executor="ray")


def started(gpus: int) -> None:
    """Start the cluster; Ray gives its node 30 s, which a machine that is busy with other tests may exceed."""
    import ray

    for left in (2, 1, 0):
        try:
            ray.init(num_cpus=CPUS, num_gpus=gpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
            return
        except Exception as exc:
            ray.shutdown()
            if not left or "timed out during startup" not in str(exc):
                raise


def main(folder: Path, what: str, *words: str) -> None:
    """One run over a fresh lake."""
    folder.mkdir(parents=True)
    lake = Lake.open(Settings(lake=LakeSettings(root=str(folder / "lake")), base=folder))
    marks = str(folder / "marks")
    if what == "large" and words[1] == "local":
        large(lake, marks, words[0], "local")
    else:
        import ray

        started(gpus=int(what == "kinds"))
        if what == "large":
            large(lake, marks, words[0], "ray")
        else:
            kinds(lake, marks)
        ray.shutdown()
    shown = {
        str(slice_): [[t, f.part, f.path, f.digest] for t in ("verdict_c4", "admitted", "exclusions") for f in lake.slice_files(t, slice_)]
        for slice_ in (FIRST, SECOND)
    }
    (folder / "shown").write_text(json.dumps(shown), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
