"""A command that cannot connect to its Ray cluster ends, and says why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from patience import PATIENCE_S

from headrace_lake.engine.ray_connection import NOT_CONNECTED, connect
from headrace_lake.errors import ConfigError, ServiceError

CONNECT = "from headrace_lake.engine.ray_connection import connect; connect()"
HOLDS_THE_LOCK = """
import ctypes
from headrace_lake.engine import ray_connection
ray_connection._GRACE_S = 0.5
with ray_connection.ended_after(0.5, "it"):
    ctypes.PyDLL(None).sleep(900)  # as C code that never lets Python's interpreter lock go
"""
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def _run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=ENV | env, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_control_store_that_takes_connections_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = _run(CONNECT, RAY_ADDRESS=f"127.0.0.1:{silent.getsockname()[1]}", HEADRACE_RAY_CONNECT_WITHIN_S="2")
    assert done.returncode == NOT_CONNECTED, done.stderr[-2000:]
    assert "did not let us in within 2 s; nothing was done" in done.stderr


def test_a_wait_in_c_code_that_holds_the_interpreter_is_ended_by_the_kernel() -> None:
    assert _run(HOLDS_THE_LOCK).returncode == -signal.SIGALRM


def test_what_ends_in_time_is_left_alone_and_so_is_the_alarm() -> None:
    code = "from headrace_lake.engine.ray_connection import ended_after\nimport signal, time\n"
    code += "with ended_after(0.3, 'it'):\n pass\ntime.sleep(0.6)\nprint(signal.getitimer(signal.ITIMER_REAL))"
    done = _run(code)
    assert done.returncode == 0 and done.stdout.strip() == "(0.0, 0.0)", done.stderr


def test_without_an_address_no_cluster_of_this_machine_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS is ''.*--executor local"):
        connect()


def test_a_dead_control_store_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as soon_gone:
        port = soon_gone.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ServiceError, match=rf"control store at 127.0.0.1:{port} does not answer"):
        connect()
