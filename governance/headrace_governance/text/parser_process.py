"""The process that parses pages, so that a page which hangs or eats memory kills it and not the stage.

Frames on stdin and stdout: u32 length, then UTF-8 JSON. `{"markup"}` (HTML) is answered by `{"text", "title", "hostile", "fields"}` or
`{"error"}`; `{"media", "body"}` (the formats of `text/formats`) by the same without `hostile`, or by `{"malformed"}`; `{"rules"}`, if
there are any, comes first and has no answer. Each page has a limit of processor time, kept by the kernel (ITIMER_PROF with its
default action: it ends the process even inside C code), a ten times longer limit of wall time, and an address space limit. It ends
with its parent, by end of input.
"""

from __future__ import annotations

import base64
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
        rules: what `text/formats` is told (`ConversionRules` as JSON).
    """

    def __init__(self, seconds: float, memory_bytes: int, rules: dict[str, Any] | None = None) -> None:
        self._limits = (seconds, memory_bytes)
        self._rules = rules
        self._process: subprocess.Popen[bytes] | None = None

    def parse(self, markup: str) -> dict[str, Any] | None:
        """`{"text", "title", "hostile", "fields"}`, `{"error"}`, or None if the page killed the process."""
        return self._ask({"markup": markup})

    def convert(self, media: str, body: bytes, charset: str | None) -> dict[str, Any] | None:
        """`{"text", "title", "fields"}`, `{"malformed"}`, `{"error"}`, or None if the document killed the process."""
        return self._ask({"media": media, "body": base64.b64encode(body).decode("ascii"), "charset": charset})

    def _ask(self, message: dict[str, Any]) -> dict[str, Any] | None:
        process = self._process or self._start()
        try:
            _send(process.stdin, message)
            answer = _receive(process.stdout)
        except (BrokenPipeError, OSError):
            answer = None
        if answer is None:
            self.close()
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-m", "headrace_governance.text.parser_process", *(str(x) for x in self._limits)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        if self._rules is not None:
            _send(self._process.stdin, {"rules": self._rules})
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()


def _send(stream: IO[bytes] | None, message: dict[str, Any]) -> None:
    assert stream is not None
    # trafilatura may hand back lone surrogates from character references; UTF-8 has no form for them.
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    stream.write(FRAME.pack(len(data)) + data)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> dict[str, Any] | None:
    assert stream is not None
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    (length,) = FRAME.unpack(head)
    data = stream.read(length)
    message: dict[str, Any] | None = json.loads(data) if len(data) == length else None
    return message


def serve(seconds: float, memory_bytes: int) -> None:
    """The child's loop."""
    import resource

    from headrace_governance.text.formats.convert import ConversionRules, Malformed, convert
    from headrace_governance.text.formats.news import page_facts
    from headrace_governance.text.markdown import read_page

    rules = ConversionRules()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    read_page("<p>")  # loads, or on a new machine compiles, what counts as no page's time
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(5000)
    while (message := _receive(source)) is not None:
        if "rules" in message:
            rules = ConversionRules.model_validate(message["rules"])
            continue
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * WALL)
        try:
            if "media" in message:
                converted = convert(message["media"], base64.b64decode(message["body"]), message["charset"], rules)
                answer: dict[str, Any] = {"text": converted.text, "title": converted.title, "fields": converted.fields}
            else:
                page = read_page(message["markup"])
                answer = {"text": page.text, "title": page.title, "hostile": page.hostile}
                answer["fields"] = {} if page.hostile else page_facts(message["markup"])
        except Malformed as exc:
            answer = {"malformed": str(exc)}
        except (MemoryError, RecursionError) as exc:
            answer = {"error": type(exc).__name__}
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(sink, answer)


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]))
