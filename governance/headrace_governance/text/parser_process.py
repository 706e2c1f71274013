"""The process that parses pages, so that a page which hangs or eats memory kills it and not the stage.

Frames on stdin and stdout: u32 length of the head, u32 length of the body, the head as UTF-8 JSON, the body as bytes. A request is one
frame `{"documents": n}` and n frames: `{"kind": "html", "xml"}` with the page's UTF-8 as body, answered by `{"title", "hostile", "fields"}`
with the text as body or by `{"error"}`; `{"kind": "media", "media", "charset"}` (the formats of `text/formats`), answered by the same
without `hostile`, or by `{"malformed"}`. `{"rules"}`, if there are any, comes first and has no answer. The process reads a request
whole before it answers, so that neither side waits for the other to read.

Each document has a limit of processor time, kept by the kernel (ITIMER_PROF with its default action: it ends the process even inside C
code), a ten times longer limit of wall time, and an address space limit. One that kills the process fails alone: the others of its
request are asked again, each by itself. It ends with its parent, by end of input.

A process costs a second to start, as much as a thousand pages, so a stage hands it back at the end of a part (`hand_back`) and the next
part borrows it (`borrow`). It keeps nothing of a document.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

FRAME = struct.Struct(">II")
WALL = 10
"""Wall-clock limit as a multiple of the processor limit: a loaded machine must not turn good pages into hostile ones."""
LIFE = 50_000
"""Documents after which a process is not lent again: what libraries leak stays small beside what it loads."""

Request = tuple[dict[str, Any], bytes]
Answer = dict[str, Any]


def page(markup: bytes, *, xml: bool = False) -> Request:
    """The request to read a page, given as UTF-8 (XHTML if `xml`); answered by `{"text", "title", "hostile", "fields"}` or `{"error"}`."""
    return {"kind": "html", "xml": xml}, markup


def document(media: str, body: bytes, charset: str | None) -> Request:
    """The request to convert a document; answered by `{"text", "title", "fields"}`, `{"malformed"}` or `{"error"}`."""
    return {"kind": "media", "media": media, "charset": charset}, body


class ParserProcess:
    """The parent's side: starts the process at the first document and again after one that died.

    `module` is what the process runs: another one calls `answer_all` with an answer of its own (`crawl/page_process.py`).

    Args:
        seconds: processor time a document may take.
        memory_bytes: address space of the process.
        rules: what `text/formats` is told (`ConversionRules` as JSON).
    """

    module = "headrace_governance.text.parser_process"

    def __init__(self, seconds: float, memory_bytes: int, rules: dict[str, Any] | None = None) -> None:
        self.limits = (seconds, memory_bytes)
        self.rules = rules
        self.answered = 0
        self._process: subprocess.Popen[bytes] | None = None

    def parse(self, markup: str) -> Answer | None:
        """The answer to one page, or None if it killed the process."""
        return self.ask([page(markup.encode("utf-8", "replace"))])[0]

    def convert(self, media: str, body: bytes, charset: str | None) -> Answer | None:
        """The answer to one document, or None if it killed the process."""
        return self.ask([document(media, body, charset)])[0]

    def ask(self, requests: Sequence[Request]) -> list[Answer | None]:
        """The answers, in order; None for a document that killed the process."""
        answers: list[Answer | None] = list(self._exchange(requests))
        if len(answers) == len(requests):
            return answers
        if len(requests) == 1:
            return [None]
        # Which of them it was shows when each is asked alone.
        for request in requests[len(answers) :]:
            answers += self.ask([request])
        return answers

    def _exchange(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers that came before the process died, or all."""
        answers: list[Answer] = []
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            _send(process.stdin, {"documents": len(requests)})
            for head, body in requests:
                _send(process.stdin, head, body)
            process.stdin.flush()
            while len(answers) < len(requests) and (received := _receive(process.stdout)) is not None:
                answer, body = received
                if "title" in answer:
                    answer["text"] = body.decode("utf-8")
                answers.append(answer)
        except OSError:
            pass
        finally:
            # After less than all answers, or an interruption, what is still in the pipes belongs to no later request.
            if len(answers) < len(requests):
                self.close()
        self.answered += len(answers)
        return answers

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-m", self.module, *(str(x) for x in self.limits)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        if self.rules is not None:
            assert self._process.stdin is not None
            _send(self._process.stdin, {"rules": self.rules})
        return self._process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()


_idle: dict[int, ParserProcess] = {}
"""The one process that waits for the next part, by the process that owns it: a fork must not write into its parent's pipes."""


def borrow(seconds: float, memory_bytes: int, rules: dict[str, Any] | None = None) -> ParserProcess:
    """The idle process, if it has these limits and rules, or a new one."""
    parser = _idle.pop(os.getpid(), None)
    if parser is not None:
        if parser.limits == (seconds, memory_bytes) and parser.rules == rules:
            return parser
        parser.close()
    return ParserProcess(seconds, memory_bytes, rules)


def hand_back(parser: ParserProcess) -> None:
    """Keep a process for the next part; it ends with this one."""
    end_idle()
    if parser.answered >= LIFE:
        parser.close()
        return
    _idle[os.getpid()] = parser
    atexit.unregister(end_idle)
    atexit.register(end_idle)


def end_idle() -> None:
    """End the idle process, if there is one."""
    parser = _idle.pop(os.getpid(), None)
    if parser is not None:
        parser.close()


def _send(stream: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    # trafilatura and JSON-LD may hand back lone surrogates from character references; UTF-8 has no form for them.
    data = json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")
    stream.write(FRAME.pack(len(data), len(body)) + data)
    stream.write(body)


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        return None
    lengths = FRAME.unpack(head)
    data, body = (stream.read(length) for length in lengths)
    return (json.loads(data), body) if (len(data), len(body)) == lengths else None


def serve(seconds: float, memory_bytes: int) -> None:
    """The child's loop."""
    from headrace_governance.text.html.markdown import read_page

    said: dict[str, Any] = {}
    rules: Any = None  # made of what was said at the first document that is not a page: pages need neither them nor what they load

    def told(message: dict[str, Any]) -> None:
        nonlocal said, rules
        said, rules = message["rules"], None

    def ready(kinds: set[str]) -> None:
        nonlocal rules
        if rules is None and "media" in kinds:
            rules = _rules(said)

    read_page("<p>")  # loads, or on a new machine compiles, what counts as no page's time
    answer_all(lambda head, body: _answer(head, body, rules), seconds, memory_bytes, told=told, ready=ready)


def answer_all(
    answer: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]],
    seconds: float,
    memory_bytes: int,
    *,
    told: Callable[[dict[str, Any]], None] | None = None,
    ready: Callable[[set[str]], None] | None = None,
) -> None:
    """Answer requests on stdin under the limits until it ends.

    Args:
        answer: head and body of the answer to one document's.
        seconds: processor time of one document.
        memory_bytes: address space of this process.
        told: called with a message that has no answer.
        ready: called with the kinds of a request's documents before the time of the first one is counted.
    """
    import resource

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(5000)
    while (received := _receive(source)) is not None:
        message, _ = received
        if "documents" not in message:
            if told is not None:
                told(message)
            continue
        requests = [r for _ in range(message["documents"]) if (r := _receive(source)) is not None]
        if ready is not None:
            ready({str(head["kind"]) for head, _ in requests})
        for head, body in requests:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, seconds * WALL)
            answered, text = answer(head, body)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            _send(sink, answered, text)
        sink.flush()


def _rules(said: dict[str, Any]) -> Any:
    from headrace_governance.text.formats.convert import ConversionRules

    return ConversionRules.model_validate(said)


def _answer(head: dict[str, Any], body: bytes, rules: Any) -> tuple[dict[str, Any], bytes]:
    """Head and body of the answer to one document."""
    try:
        return _converted(head, body, rules) if head["kind"] == "media" else _read(body, xml=head["xml"])
    except Exception as exc:  # whatever it is, it is this document's, and the others are answered
        return {"error": f"{type(exc).__name__}: {exc}"[:500] if str(exc) else type(exc).__name__}, b""


def _read(markup: bytes, *, xml: bool) -> tuple[dict[str, Any], bytes]:
    from headrace_governance.text.html.markdown import read_page

    page = read_page(markup, xml=xml)
    answer: dict[str, Any] = {"title": page.title, "hostile": page.hostile, "fields": {}}
    if page.hostile is None and b"ld+json" in markup:
        from headrace_governance.text.formats.news.convert import page_facts

        answer["fields"] = page_facts(markup.decode("utf-8", "replace"))
    return answer, page.text.encode("utf-8", "replace")


def _converted(head: dict[str, Any], body: bytes, rules: Any) -> tuple[dict[str, Any], bytes]:
    from headrace_governance.text.formats.convert import Malformed, convert

    try:
        converted = convert(head["media"], body, head["charset"], rules)
    except Malformed as exc:
        return {"malformed": str(exc)}, b""
    return {"title": converted.title, "fields": converted.fields}, converted.text.encode("utf-8", "replace")


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]))
