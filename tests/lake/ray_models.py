"""A job for a Ray head: slices through a stage that holds a model; what the lake showed afterwards, as JSON.

    python ray_models.py FOLDER TRIALS local|ray CLASS PARTS ROWS PAUSE MEGABYTES LONG_PART

Each trial has a fresh lake `FOLDER/trial-N` and a folder of marks `FOLDER/marks-N`; `FOLDER/began-N` and `FOLDER/ended-N` frame its run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import stages_for_tests
from conftest import write_documents

from headrace_lake.engine import Pipeline, run_pipeline
from headrace_lake.lake import Lake
from headrace_lake.settings import LakeSettings, Settings
from headrace_lake.slices import Slice

DAY = Slice("web", "2026-11-01")


def main(folder: Path, trials: int, executor: str, name: str, parts: int, rows: int, pause: float, megabytes: int, long_part: int) -> None:
    """All trials, one after the other in this process."""
    folder.mkdir(exist_ok=True)
    for n in range(trials):
        marks = folder / f"marks-{n}"
        marks.mkdir()
        lake = Lake.open(Settings(lake=LakeSettings(root=str(folder / f"trial-{n}")), base=folder))
        write_documents(lake, DAY, parts=parts, rows=rows)
        params = stages_for_tests.ModelParams(minimum=5, pause_seconds=pause, marks=str(marks), megabytes=megabytes, long_part=long_part)
        pipeline = Pipeline.of("t", getattr(stages_for_tests, name)(params), stages_for_tests.Admit())
        (folder / f"began-{n}").touch()
        run_pipeline(lake, pipeline, DAY, executor=executor)  # type: ignore[arg-type]
        shown = {t: [[f.part, f.path, f.digest] for f in lake.slice_files(t, DAY)] for t in ("verdict_c4", "admitted", "exclusions")}
        (folder / "part").write_text(json.dumps(shown), encoding="utf-8")
        (folder / "part").rename(folder / f"ended-{n}")


if __name__ == "__main__":
    place, trials, executor, name, parts, rows, pause, megabytes, long_part = sys.argv[1:]
    main(Path(place), int(trials), executor, name, int(parts), int(rows), float(pause), int(megabytes), int(long_part))
