"""`headrace compile` in the background of a first `headrace poc`: fetching samples and starting services leaves a core half idle.

Nothing waits for it and nothing depends on it: a stage whose kernels are not there yet compiles them itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from headrace_lake.storage.private_folder import private_folder


class Compiling:
    """The process, if it was started.

    Args:
        log: where its output goes.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; it ends by itself."""
        private_folder(self.log.parent)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace_cli", "compile"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def end(self) -> None:
        """End it if it is still at work: what is compiled already is kept, the rest is compiled when it is called."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
