"""The local Ray head: one node, loopback, token authentication.

`ray start --block` stays in the foreground of its own process and ends on SIGTERM, taking its children along. Never
`ray stop`: that kills every Ray of the machine.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from headrace_lake.errors import ServiceError
from headrace_lake.storage.private_folder import remembered_folder
from headrace_operators.launchers.ray import RayLauncher
from headrace_operators.services.process import Daemon, free_port, port_in_use
from headrace_operators.services.secret_file import write_once

OBJECT_STORE_BYTES = 200 << 20
"""Small: our workers exchange files of the lake, not objects."""
READY_WITHIN_S = 90.0
"""A head needs 5-11 s on an idle machine."""

JOBS_ASKED_WITHIN_S, JOBS_STOPPED_WITHIN_S = 5.0, 15.0
"""When the head is stopped: for each answer of its job API, and for the end of all jobs (Ray sends SIGTERM, and SIGKILL after 3 s)."""

STARTS = 3
"""A head gives up by itself if its node has not registered after 30 s, which no option changes (ray 2.60, `_private/node.py`); with ten
processes for each core it came to that. It is then started again."""
_TOO_SLOW = "timed out during startup"

LOOPBACK_ENVIRONMENT = {
    # Ray replaces 127.0.0.1 by the host's outer address unless told that this is a one-machine cluster. The switch is
    # named after the systems it was made for; on Linux it does the same.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class RayHead:
    """Start, probe and stop one Ray head.

    Args:
        address: where its job API listens, `http://127.0.0.1:PORT`.
        cpus: CPUs that Ray may hand out.
        gpus: GPUs that it may; None for those that it finds.
    """

    def __init__(self, folder: Path, address: str, token_file: Path, *, cpus: float, gpus: int | None = None) -> None:
        self.address = address
        self.token_file = token_file
        self.cpus = cpus
        self.gpus = gpus
        self.daemon = Daemon("ray", folder, signal.SIGTERM, 20.0)
        self.jobs = RayLauncher(address, token_file, timeout_s=10.0)

    def healthy(self) -> bool:
        """Is our head alive and answering with our token?"""
        return self.daemon.pid() is not None and self.token_file.exists() and self.jobs.alive()

    def start(self, env: Mapping[str, str], cwd: Path) -> None:
        """Start the head and wait until it takes jobs; a healthy one is kept.

        Raises:
            ServiceError: the port is taken by somebody else, or the head did not come up.
        """
        if self.healthy():
            return
        url = urlsplit(self.address)
        if url.hostname != "127.0.0.1" or url.port is None:
            raise ServiceError(f"ray.address {self.address} is not a loopback address with a port", "write http://127.0.0.1:PORT")
        if self.token_file.exists() and self.daemon.busy(url.port, READY_WITHIN_S):
            with suppress(ServiceError):
                self.daemon.wait_until(self.jobs.has_node, READY_WITHIN_S)
                return
        self.daemon.stop()
        if port_in_use(url.port):
            raise ServiceError(f"port {url.port} (ray.address) is in use", "stop what listens there or change ray.address")
        write_token(self.token_file)
        metrics = {"DASHBOARD_METRIC_PORT": str(free_port()), "AUTOSCALER_METRIC_PORT": str(free_port())}
        environment = {**env, **token_environment(self.token_file), **LOOPBACK_ENVIRONMENT, **metrics}
        for left in reversed(range(STARTS)):
            shutil.rmtree(self.session, ignore_errors=True)  # sockets and logs of the head before
            self.daemon.start(self._argv(url.port), environment, cwd)
            try:
                self.daemon.wait_until(self.jobs.has_node, READY_WITHIN_S)
                return
            except ServiceError:
                if not left or self.daemon.pid() is not None or _TOO_SLOW not in self.daemon.tail():
                    raise
                self.daemon.stop()

    def stop(self) -> bool:
        """Stop it, its jobs first; returns whether it ran. What of it ends in no other way is killed."""
        if self.daemon.pid() is not None:
            self._stop_jobs()
        return self.daemon.stop()

    def _stop_jobs(self) -> None:
        """Let jobs end in good order, all at once; a head that no longer answers is not waited for."""
        jobs = RayLauncher(self.address, self.token_file, timeout_s=JOBS_ASKED_WITHIN_S, retry_for_s=0)
        deadline = time.monotonic() + JOBS_STOPPED_WITHIN_S
        with suppress(ServiceError):
            open_jobs = {job.submission_id for job in jobs.jobs() if not job.terminal}
            for sid in open_jobs:
                jobs.cancel(sid)
            while open_jobs and time.monotonic() < deadline:
                time.sleep(0.3)
                open_jobs &= {job.submission_id for job in jobs.jobs() if not job.terminal}

    @property
    def session(self) -> Path:
        """Where Ray keeps sockets and logs of its own, the jobs' among them.

        Ray opens this folder to everybody (`try_make_directory_shared`, ray 2.60), so it lies in one that only we can enter. Unix sockets
        allow 107 bytes of path, so that one has a short name under the system's temporary folder.
        """
        return remembered_folder(self.daemon.folder / "session-folder") / "s"

    def _argv(self, port: int) -> list[str]:
        options = {
            "node-ip-address": "127.0.0.1",
            "port": free_port(),
            "dashboard-host": "127.0.0.1",
            "dashboard-port": port,
            "dashboard-agent-listen-port": free_port(),
            "dashboard-agent-grpc-port": free_port(),
            "runtime-env-agent-port": free_port(),
            "metrics-export-port": free_port(),
            "node-manager-port": free_port(),
            "object-manager-port": free_port(),
            "ray-client-server-port": free_port(),
            "num-cpus": int(self.cpus),
            **({} if self.gpus is None else {"num-gpus": self.gpus}),
            "object-store-memory": OBJECT_STORE_BYTES,
            "temp-dir": self.session,
        }
        ray = Path(sys.executable).parent / "ray"
        flags = [f"--{name}={value}" for name, value in options.items()]
        return [str(ray), "start", "--head", "--block", "--include-dashboard=true", "--disable-usage-stats", *flags]


def token_environment(token_file: Path) -> dict[str, str]:
    """What any process needs to talk to this Ray."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file.resolve())}


def write_token(file: Path) -> None:
    """Create the token once, readable by its owner only."""
    write_once(file, secrets.token_hex(32))
