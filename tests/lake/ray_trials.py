"""A job for a Ray head: runs one small slice through Ray again and again, so that a test can kill the workers meanwhile.

    python ray_trials.py FOLDER TRIALS local|ray

Workers need this folder on their Python path. Each trial has a fresh lake `FOLDER/trial-N`; `FOLDER/began-N` and
`FOLDER/ended-N` frame its run, and the latter holds what the lake showed: files of every table and (stage, fingerprint) of every receipt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from conftest import write_documents
from stages_for_tests import Admit, Length, LengthParams

from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.engine.executors import ExecutorName
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

DAY = Slice("web", "2026-11-01")


def run(folder: Path, executor: ExecutorName) -> dict[str, list[list[object]]]:
    """One undisturbed or disturbed run over a fresh lake; what it showed afterwards."""
    lake = Lake.open(Settings(lake=LakeSettings(root=str(folder)), base=folder.parent))
    write_documents(lake, DAY, parts=4, rows=48)
    pipeline = Pipeline.of("t", Length(LengthParams(minimum=5, pause_seconds=0.15)), Admit())
    run_pipeline(lake, pipeline, DAY, executor=executor)
    shown: dict[str, list[list[object]]] = {
        t: [[f.part, f.path, f.digest] for f in lake.slice_files(t, DAY)] for t in ("verdict_c4", "admitted", "exclusions")
    }
    return shown | {"receipts": [[r.stage, r.fingerprint] for r in lake.receipts(DAY)]}


def main(folder: Path, trials: int, executor: ExecutorName) -> None:
    """All trials, one after the other in this process."""
    folder.mkdir(exist_ok=True)
    for n in range(trials):
        (folder / f"began-{n}").touch()
        shown = run(folder / f"trial-{n}", executor)
        (folder / "part").write_text(json.dumps(shown), encoding="utf-8")
        (folder / "part").rename(folder / f"ended-{n}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "ray" if sys.argv[3] == "ray" else "local")
