"""The sample web site: real packages' pages behind a robots.txt, served on loopback for the crawler to visit."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from headrace_lake.errors import ServiceError
from headrace_operators.services.process import Daemon, port_in_use

READY_WITHIN_S = 30.0


class SampleSite:
    """Serve the folder that `headrace samples build` made.

    Args:
        samples: that folder.
        folder: where pid, log and request log lie.
    """

    def __init__(self, samples: Path, folder: Path, port: int) -> None:
        self.samples = samples
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.request_log = folder / "requests.jsonl"
        self.daemon = Daemon("site", folder, signal.SIGTERM, 5.0)

    def available(self) -> bool:
        """Has the site been built?"""
        return (self.samples / "www").is_dir()

    def healthy(self) -> bool:
        """Is our server alive and serving robots.txt?"""
        return self.daemon.pid() is not None and self._serving()

    def _serving(self) -> bool:
        try:
            return httpx.get(f"{self.address}/robots.txt", timeout=3.0, trust_env=False).status_code < 500
        except httpx.HTTPError:
            return False

    def start(self, env: Mapping[str, str], cwd: Path) -> None:
        """Start the server; a healthy one is kept.

        Raises:
            ServiceError: the port is taken or the server did not come up.
        """
        if self.healthy():
            return
        if self.daemon.busy(self.port, READY_WITHIN_S):
            with suppress(ServiceError):
                self.daemon.wait_until(self._serving, READY_WITHIN_S)
                return
        self.daemon.stop()
        if port_in_use(self.port):
            raise ServiceError(f"port {self.port} (sample site) is in use", "stop what listens there, or delete the folder's ports.json")
        options = ["--dir", str(self.samples), "--port", str(self.port), "--log", str(self.request_log)]
        argv = [sys.executable, "-m", "headrace_cli", "samples", "serve", *options]
        self.daemon.start(argv, env, cwd)
        self.daemon.wait_until(self._serving, READY_WITHIN_S)

    def stop(self) -> bool:
        """Stop it; returns whether it ran."""
        return self.daemon.stop()
