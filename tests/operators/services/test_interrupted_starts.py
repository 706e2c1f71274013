"""Commands interrupted while they start services or wait: what they began is found again, and each ends with the signal's code."""

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

from headrace_lake.terminal.interrupt import Interrupted, interruptible
from headrace_operators.poc.runs import one_at_a_time
from headrace_operators.services.process import Daemon, free_port

STARTER = """
import os, sys
from pathlib import Path
from headrace_operators.services.process import Daemon
daemon = Daemon("thing", Path(sys.argv[1]))
daemon.start([sys.executable, "-c", "import time; time.sleep(900)"], os.environ, Path(sys.argv[1]))
"""

WAITER = """
import sys, time
from headrace_lake.terminal.interrupt import Interrupted, interruptible
with interruptible():
    try:
        print("waiting", flush=True)
        time.sleep(900)
    except Interrupted as exc:
        time.sleep(0.3)  # the words of farewell
        print("goes on", flush=True)
        sys.exit(exc.exit_code)
"""


def test_a_daemon_is_on_record_before_its_program_runs(tmp_path: Path) -> None:
    seen = "import pathlib,os; print(pathlib.Path('thing.pid').read_text().split()[0] == str(os.getpid()), flush=True)"
    daemon = Daemon("thing", tmp_path)
    daemon.start([sys.executable, "-c", seen], os.environ, tmp_path)
    daemon.wait()
    assert daemon.tail() == "True"


def test_a_daemon_outlives_the_killed_command_that_started_it_and_is_found(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    daemon = Daemon("thing", tmp_path)
    deadline = time.monotonic() + PATIENCE_S
    while daemon.pid() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    starter.kill()
    starter.wait()
    pid = daemon.pid()
    assert pid is not None and psutil.Process(pid).is_running() and os.getsid(pid) == pid, "in a session of its own"
    assert daemon.stop() and daemon.pid() is None


def test_what_was_killed_is_told_from_what_was_stopped(tmp_path: Path) -> None:
    daemon = Daemon("thing", tmp_path)
    assert daemon.stopped and not daemon.died
    pid = daemon.start([sys.executable, "-c", "import time; time.sleep(900)"], os.environ, tmp_path)
    assert not daemon.stopped and not daemon.died
    os.kill(pid, signal.SIGKILL)
    daemon.wait_ended()
    assert daemon.died and not daemon.stopped
    daemon.stop()
    assert daemon.stopped and not daemon.died


def test_a_program_that_is_not_there_leaves_no_record(tmp_path: Path) -> None:
    daemon = Daemon("thing", tmp_path)
    with pytest.raises(Exception, match="is not installed"):
        daemon.start([str(tmp_path / "none")], os.environ, tmp_path)
    assert not daemon.pid_file.exists()


def test_a_young_or_listening_process_is_given_time_and_an_old_silent_one_is_not(tmp_path: Path) -> None:
    port = free_port()
    daemon = Daemon("thing", tmp_path)
    assert not daemon.busy(port, 60), "there is none"
    server = f"import socket,time\ns=socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); print('up', flush=True); time.sleep(900)"
    daemon.start([sys.executable, "-c", server], os.environ, tmp_path)
    assert daemon.busy(port + 1, 60), "it has just begun"
    daemon.wait_until(lambda: daemon.tail() == "up", 60)
    time.sleep(0.1)
    assert daemon.busy(port, 0.05), "it listens"
    assert not daemon.busy(free_port(), 0.05), "old, and listens elsewhere"
    daemon.stop()


def test_waiting_for_a_process_of_another_command_ends_with_it(tmp_path: Path) -> None:
    daemon = Daemon("thing", tmp_path)
    daemon.wait_ended()
    daemon.start([sys.executable, "-c", "import time; time.sleep(1)"], os.environ, tmp_path)
    began = time.monotonic()
    Daemon("thing", tmp_path).wait_ended()
    assert time.monotonic() - began > 0.3 and daemon.pid() is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_comes_twice_is_one_and_gives_the_shell_s_code(number: int, code: int) -> None:
    waiter = subprocess.Popen(
        [sys.executable, "-c", WAITER],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert waiter.stdout is not None and waiter.stdout.readline() == "waiting\n"
    os.killpg(waiter.pid, number)
    os.kill(waiter.pid, number)  # as `make` hands it on to its child
    assert waiter.communicate(timeout=PATIENCE_S)[0] == "goes on\n" and waiter.returncode == code


def test_handlers_are_put_back_and_no_exception_handler_swallows_an_interruption() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught, interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Exception:  # as code does that goes on after any error
            pytest.fail("taken for an error")
    assert caught.value.exit_code == 143 and str(caught.value) == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_command_waits_until_the_first_has_chosen_its_run_and_a_killed_one_holds_nobody_up(tmp_path: Path) -> None:
    code = (
        "import sys,time\nfrom pathlib import Path\nfrom headrace_operators.poc.runs import one_at_a_time\n"
        "with one_at_a_time(Path(sys.argv[1]), print):\n print('held', flush=True)\n time.sleep(900)"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        first.kill()

    with one_at_a_time(tmp_path, hear):
        assert said and "waiting for it" in said[0]
    first.communicate()
