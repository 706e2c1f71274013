"""A command that fails is started again, one that ends or is stopped is not, one that fails all the time is given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_S

QUICK = "import sys; from headrace_operators.services.keep_running import *\nsys.exit(keep_running(sys.argv[1:], pause_s=0.02, most=5))"
KEEPER = [sys.executable, "-c", QUICK]
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
FAILS_TWICE = "import sys, pathlib\nf = pathlib.Path(sys.argv[1])\nf.open('a').write('x')\nsys.exit(7 if len(f.read_text()) < 3 else 0)"


def test_it_is_started_again_until_it_ends_well(tmp_path: Path) -> None:
    words = [*KEEPER, sys.executable, "-c", FAILS_TWICE, str(tmp_path / "runs")]
    done = subprocess.run(words, env=ENV, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0 and (tmp_path / "runs").read_text() == "xxx"
    assert done.stderr.count("ended with code 7, started again") == 2


def test_one_that_fails_all_the_time_is_given_up_with_its_code(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(3)", str(tmp_path / "runs")]
    done = subprocess.run([*KEEPER, *command], env=ENV, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 3 and (tmp_path / "runs").read_text() == "x" * 6 and "given up" in done.stderr


WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
open(sys.argv[1], "a").write("x")
time.sleep(900)
"""


def _kept(folder: Path) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    """A keeper and its command, once that runs."""
    keeper = subprocess.Popen([*KEEPER, sys.executable, "-c", WAITS, str(folder / "runs")], env=ENV, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "runs").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    [child] = psutil.Process(keeper.pid).children()
    return keeper, child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_stops_the_command_and_does_not_start_it_again(tmp_path: Path, number: signal.Signals) -> None:
    keeper, child = _kept(tmp_path)
    keeper.send_signal(number)
    assert keeper.wait(PATIENCE_S) == 0 and (tmp_path / "runs").read_text() == "x"
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_killed_command_is_started_again(tmp_path: Path) -> None:
    keeper = subprocess.Popen([*KEEPER, sys.executable, "-c", WAITS, str(tmp_path / "runs")], env=ENV, stderr=subprocess.DEVNULL)
    try:
        for times in (1, 2):
            deadline = time.monotonic() + PATIENCE_S
            while not (tmp_path / "runs").exists() or len((tmp_path / "runs").read_text()) < times:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            if times == 1:
                psutil.Process(keeper.pid).children()[0].kill()
    finally:
        keeper.terminate()
        keeper.wait(PATIENCE_S)


def test_a_killed_keeper_takes_its_command_along(tmp_path: Path) -> None:
    keeper, child = _kept(tmp_path)
    keeper.kill()
    keeper.wait(PATIENCE_S)
    psutil.wait_procs([child], timeout=PATIENCE_S)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
