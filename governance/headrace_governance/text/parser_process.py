"""The process that parses pages, so that a page which hangs or eats memory kills it and not the stage.

Frames on stdin and stdout: u32 length, then UTF-8: the markup there, JSON back (`{"text", "title", "hostile"}` or `{"error"}`). Each
page has a limit of processor time, kept by the kernel (ITIMER_PROF with its default action: it ends the process even inside C
code), a ten times longer limit of wall time, and an address space limit. It ends with its parent, by end of input.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from typing import IO, Any

FRAME = struct.Struct(">I")
WALL = 10
"""Wall-clock limit as a multiple of the processor limit: a loaded machine must not turn good pages into hostile ones."""


class ParserProcess:
    """The parent's side: starts the process at the first page and again after one that died.

    Args:
        seconds: processor time a page may take.
        memory_bytes: address space of the process.
    """

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        self._limits = (seconds, memory_bytes)
        self._process: subprocess.Popen[bytes] | None = None

    def parse(self, markup: str) -> dict[str, Any] | None:
        """`{"text", "title", "hostile"}`, `{"error"}`, or None if the page killed the process."""
        process = self._process or self._start()
        try:
            _send(process.stdin, markup.encode("utf-8", "replace"))
            data = _receive(process.stdout)
            answer = json.loads(data) if data is not None else None
        except (BrokenPipeError, OSError):
            answer = None
        if answer is None:
            self.close()
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-m", "headrace_governance.text.parser_process", *(str(x) for x in self._limits)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()


def _send(stream: IO[bytes] | None, data: bytes) -> None:
    assert stream is not None
    stream.write(FRAME.pack(len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> bytes | None:
    assert stream is not None
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    (length,) = FRAME.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


def serve(seconds: float, memory_bytes: int) -> None:
    """The child's loop."""
    import resource

    from headrace_governance.text.markdown import read_page

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    read_page("<p>")  # loads, or on a new machine compiles, what counts as no page's time
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(5000)
    while (data := _receive(source)) is not None:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * WALL)
        try:
            page = read_page(data.decode("utf-8"))
            answer: dict[str, Any] = {"text": page.text, "title": page.title, "hostile": page.hostile}
        except (MemoryError, RecursionError) as exc:
            answer = {"error": type(exc).__name__}
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        # trafilatura may hand back lone surrogates from character references; UTF-8 has no form for them.
        _send(sink, json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]))
