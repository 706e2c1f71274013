"""Kernels compiled in the background of a first `headrace poc`."""

from __future__ import annotations

from pathlib import Path

import psutil

from headrace_operators.poc.compiling import Compiling


def test_it_goes_on_beside_the_command_and_ends_with_it(tmp_path: Path) -> None:
    compiling = Compiling(tmp_path / "services" / "compile.log")
    compiling.end()  # nothing was started: nothing to end
    compiling.start()
    [child] = [p for p in psutil.Process().children() if "compile" in p.cmdline()]
    compiling.end()
    assert not child.is_running()
    assert "compiled:" not in compiling.log.read_text(encoding="utf-8"), "it does not wait until everything is"
    assert compiling.log.parent.stat().st_mode & 0o077 == 0
