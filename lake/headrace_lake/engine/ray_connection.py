"""Connection of a driver to its Ray cluster, within a time limit: a command that cannot start ends.

`ray.init` may wait without end in C++ when the cluster's control store (GCS) has died, and answers no signal meanwhile. So the address is
tried first, and the process ends itself when the connection does not stand in time.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from headrace_lake.errors import ConfigError, ServiceError
from headrace_lake.terminal.interrupt import handlers_kept

ADDRESS_ENV = "RAY_ADDRESS"
"""Ray sets it for every job: `host:port` of the control store."""
WITHIN_ENV = "HEADRACE_RAY_CONNECT_WITHIN_S"
CONNECT_WITHIN_S = 90.0
"""A driver needs 1-3 s on an idle machine, up to 30 s seen with ten processes for each core."""
_REACHED_WITHIN_S = 10.0
_GRACE_S = 5.0
NOT_CONNECTED = 75
"""EX_TEMPFAIL of sysexits.h: the command has done nothing, and may be tried again."""


def connect() -> None:
    """Connect this process to the cluster that it is a job of; ends the process if that takes more than `CONNECT_WITHIN_S`.

    Raises:
        ConfigError: this process is not a job of a Ray cluster, and no address is named.
        ServiceError: nothing listens there, or another user of this machine does.
    """
    with handlers_kept():  # Ray would make exit code 15 of SIGTERM
        import ray

        if ray.is_initialized():
            return
        # Ray's own search would take any cluster that it finds on this machine, and send it the token.
        address = os.environ.get(ADDRESS_ENV, "")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigError(
                f"no Ray cluster to work on: {ADDRESS_ENV} is '{address}'",
                f"submit the work through Airflow, set {ADDRESS_ENV}=host:port, or use --executor local",
            )
        _reach(host, int(port))
        with ended_after(float(os.environ.get(WITHIN_ENV) or CONNECT_WITHIN_S), f"Ray's control store at {address} did not let us in"):
            ray.init(address=address, log_to_driver=False, configure_logging=False)


def _reach(host: str, port: int) -> None:
    from headrace_lake.loopback import require_own_listener  # its HTTP client, which work without Ray need not load

    url = f"http://{host}:{port}"
    require_own_listener(url)
    try:
        with socket.create_connection((host.strip("[]"), port), timeout=_REACHED_WITHIN_S):
            require_own_listener(url, connected=True)
    except OSError as exc:
        raise ServiceError(
            f"Ray's control store at {host}:{port} does not answer: {exc.strerror or exc}",
            "see `headrace services status`; `headrace services up ray` starts it again",
        ) from exc


@contextmanager
def ended_after(within_s: float, what: str) -> Iterator[None]:
    """A block that may take so long; then the whole process ends with exit code 75, whatever C code it is in.

    A thread says why and ends the process; should the block hold Python's interpreter lock, the kernel's timer ends it a little later
    (SIGALRM, whose default is death).
    """

    def end() -> None:
        print(f"headrace: {what} within {within_s:.0f} s; nothing was done, try again", file=sys.stderr, flush=True)
        os._exit(NOT_CONNECTED)

    thread = threading.Timer(within_s, end)
    thread.daemon = True
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL) if in_main else None
    try:
        if in_main:
            signal.setitimer(signal.ITIMER_REAL, within_s + _GRACE_S)
        thread.start()
        yield
    finally:
        thread.cancel()
        if in_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
