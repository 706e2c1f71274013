"""Kernels compiled before the first slice: all that a slice of pages calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_slice_of_pages_calls_no_kernel_that_was_not_compiled_before_it(tmp_path: Path, checkout: Path) -> None:
    trial = Path(__file__).with_name("compiling_trial.py")
    done = subprocess.run([sys.executable, str(trial), str(tmp_path), str(checkout)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    count, *missed = done.stdout.partition("KERNELS\n")[2].split("\n")[:-1]
    assert int(count) >= 20
    assert missed == []
    assert not list(tmp_path.glob("lake/data/*/source=compiling")), "the lake of the settings is not touched"
