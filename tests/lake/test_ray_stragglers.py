"""Parts that take longer than others on real Ray workers: none waits for them. Marks in their order tell what happened, not clocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PARTS, LARGE, GPU_PARTS = 20, 13, 16


def run(folder: Path, *words: str) -> list[str]:
    """`ray_stragglers.py`; its marks."""
    argv = [sys.executable, str(FOLDER / "ray_stragglers.py"), str(folder), *words]
    done = subprocess.run(
        argv, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path])}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return (folder / "marks").read_text(encoding="ascii").split()


@pytest.mark.parametrize("stage", ["Held", "HeldModel"])
def test_a_part_of_20_times_the_size_begins_first_and_19_others_end_before_it(tmp_path: Path, stage: str) -> None:
    """As Ray tasks, and on actors. The large part ends only after the others, and they only once it has begun: if it did not begin with
    the first, or one of them waited for it, all would wait."""
    run(tmp_path / "local", "large", stage, "local")
    marks = run(tmp_path / "ray", "large", stage, "ray")
    ended = [m for m in marks if m.startswith("ended:")]
    assert marks.index(f"begun:a:{LARGE}") < marks.index(ended[0])
    assert sorted(ended[:-1]) == sorted(f"ended:a:{n}" for n in range(PARTS) if n != LARGE) and ended[-1] == f"ended:a:{LARGE}"
    files = json.loads((tmp_path / "ray" / "shown").read_text(encoding="utf-8"))
    assert files == json.loads((tmp_path / "local" / "shown").read_text(encoding="utf-8")), "a shard's name holds the digest of its bytes"
    assert len({part for _, part, *_ in files["a/2026-11-01"]}) == PARTS


def test_parts_that_wait_for_a_gpu_hold_no_part_that_needs_none(tmp_path: Path) -> None:
    """One GPU and sixteen parts for it, which end only after the CPU parts of a slice that comes behind them."""
    marks = run(tmp_path / "ray", "kinds")
    first = next(i for i, m in enumerate(marks) if m.startswith("ended:a:"))
    assert {f"admitted:b:{n}" for n in range(4)} <= set(marks[:first])
    assert sum(m.startswith("ended:a:") for m in marks) == GPU_PARTS, "and the GPU parts ended too"
