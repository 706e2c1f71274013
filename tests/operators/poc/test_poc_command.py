"""`headrace poc` as a command line: what it refuses, what it says before anything is started, and the commands it shows can be pasted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from headrace_operators.poc.driver import Poc
from headrace_operators.poc.note import NoteFile
from headrace_operators.services import LocalServices


def headrace(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "headrace_cli", *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_stop_where_nothing_was_ever_started_says_so_and_makes_nothing(tmp_path: Path) -> None:
    done = headrace("poc", "--stop", "--folder", "var/poc", cwd=tmp_path)
    assert done.returncode == 0 and "nothing was ever started in var/poc" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ["--fresh", "--down"])
def test_stop_goes_with_nothing_else(tmp_path: Path, other: str) -> None:
    done = headrace("poc", "--stop", other, cwd=tmp_path)
    assert done.returncode == 2 and "--stop alone stops run and services" in done.stderr


def test_what_is_known_of_the_run_is_said_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "var" / "poc").mkdir(parents=True)
    NoteFile(tmp_path / "var" / "poc").write("manual__1", {"train": "running on Ray for 95 s, since 10:01:03 UTC"})
    done = headrace("poc", "--stop", cwd=tmp_path)  # no services: it ends at once
    first, second, *_ = done.stdout.split("\n")
    assert first == "headrace poc: stopping what runs in var/poc"
    assert second.startswith("headrace poc: run manual__1 had not ended when last looked at") and "train running on Ray for 95 s" in second


def test_the_first_lines_need_neither_airflow_nor_http() -> None:
    heavy = {"httpx", "pydantic", "rich.console", "airflow", "pyarrow"}
    probe = f"import sys, headrace_cli.main, headrace_operators.poc.cli; print(sorted({heavy} & set(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", probe], env=env, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stdout.strip() == "[]"


def test_the_commands_that_are_shown_name_the_folder_where_it_is_not_the_usual_one(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_SETTINGS", "")
    services = LocalServices(tmp_path / "services", checkout, usual_ports=False)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv" / "bin" / "headrace"), "poc"])
    assert Poc(Path("var/poc"), services).command("--stop") == ".venv/bin/headrace poc --stop"
    assert Poc(tmp_path / "x", services).command() == f".venv/bin/headrace poc --folder {tmp_path / 'x'}"
    monkeypatch.setattr(sys, "argv", ["-m", "poc"])
    assert Poc(Path("var/poc"), services).command("--fresh") == "headrace poc --fresh"
