"""A site of raw HTTP responses on a free loopback port, its log of raw request targets, and an impatient crawl of it."""

from __future__ import annotations

import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from headrace_governance.acquire.crawl.run import crawl_slice
from headrace_governance.sources.source import Source
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

WORDS = b"<p>" + b"A page about sluices, gates and the water that runs between them. " * 10 + b"</p>"
Route = bytes | Callable[[int], bytes]
"""A raw response, or what gives one for the how-many-th request (from 1)."""


@dataclass
class RawSite:
    """The server. `{URL}` and `{HOST}` in a response are its own; `seen`: (target as it was sent, seconds since the epoch)."""

    routes: dict[str, Route] = field(default_factory=dict)
    seen: list[tuple[str, float]] = field(default_factory=list)
    url: str = ""
    host: str = ""

    def targets(self) -> list[str]:
        """What was asked for, without what every crawl asks a host for."""
        return [t for t, _ in self.seen if t not in ("/robots.txt", "/.well-known/tdmrep.json")]


def response(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK", kind: bytes | None = b"text/html; charset=utf-8") -> bytes:
    """A raw response with these header lines."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close", *fields]
    if kind is not None:
        lines.append(b"Content-Type: " + kind)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def html(*links: str, head: str = "") -> bytes:
    """The body of a page with these links."""
    anchors = "".join(f'<a href="{link}">link</a> ' for link in links)
    return b"<html><head>" + head.encode() + b"</head><body>" + WORDS + anchors.encode() + b"</body></html>"


def robots(text: str) -> bytes:
    """A robots.txt."""
    return response(text.encode(), kind=b"text/plain")


@contextmanager
def serving(routes: dict[str, Route]) -> Iterator[RawSite]:
    """The site while the block runs."""
    site = RawSite(routes)

    class Handler(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            if self.rfile.peek(1)[:1] == b"\x16":  # TLS, which the site does not speak
                self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            words = self.rfile.readline().decode("latin-1").split(" ")
            while self.rfile.readline().strip():
                pass
            if len(words) < 2:
                return
            target = words[1]
            site.seen.append((target, time.time()))
            route = site.routes.get(target, response(status=b"404 Not Found"))
            raw = route if isinstance(route, bytes) else route(sum(t == target for t, _ in site.seen))
            for word, value in ((b"{URL}", site.url), (b"{HOST}", site.host)):
                if word in raw:
                    head, _, body = raw.replace(word, value.encode()).partition(b"\r\n\r\n")
                    lines = [x for x in head.split(b"\r\n") if not x.startswith(b"Content-Length:")]
                    raw = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body
            self.wfile.write(raw)

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 128  # with 5, a busy machine turns connections away that the crawler then calls lost
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        site.host = f"127.0.0.1:{server.server_address[1]}"
        site.url = f"http://{site.host}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield site
        finally:
            server.shutdown()


@dataclass
class Crawled:
    """What a crawl left behind: `kept` targets, `lost` target → reason, in the lake."""

    receipt: Receipt
    lake: Lake
    kept: set[str]
    lost: dict[str, str]
    captures: dict[str, dict[str, Any]]


def crawled(settings: Settings, site: RawSite, *, manners: dict[str, Any] | None = None, **fetch: Any) -> Crawled:
    """Crawl the site from `/` with these fields of `fetch`, and others of the fetch policy."""
    policies = Path(settings.resolve(settings.runs)).parent / "impatient-policies"
    shutil.copytree(settings.resolve(settings.policies), policies, dirs_exist_ok=True)
    impatient = {"retries": 1, "retry_seconds": 0.01, "idle_seconds": 3.0, "max_retry_after_seconds": 5.0}
    words = yaml.safe_load((policies / "fetch.yaml").read_text(encoding="utf-8")) | impatient | (manners or {})
    (policies / "fetch.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
    lake = Lake.open(settings.model_copy(update={"policies": policies}))
    options = {"kind": "crawl", "seeds": [f"{site.url}/"], "delay_seconds": 0, "timeout_seconds": 8, "allow_hosts": [site.host], **fetch}
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written by the test", "evidence": {"text": "CC0"}}
    source = parse({"id": "raw", "title": "Raw", "licence": licence, "fetch": options}, Source, where="test")
    receipt = crawl_slice(lake, source, Slice("raw", "2026-11-01"))
    counts = receipt.counts
    assert counts.read == counts.kept + counts.dropped + counts.failed
    captures = {_target(c["url"]): c for c in lake.read("captures", None).to_pylist()}
    lost = {_target(r["detail"].split()[0]): r["reason"] for r in lake.read("exclusions", None).to_pylist()}
    for row in lake.read("quarantine", None).to_pylist():
        lost[_target(yaml.safe_load(row["row"])["url"])] = row["error"].split(":")[0]
    return Crawled(receipt, lake, set(captures), lost, captures)


def _target(url: str) -> str:
    return "/" + url.split("/", 3)[3]
