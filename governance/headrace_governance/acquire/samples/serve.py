"""A small web server for the sample site (or any folder): loopback, validators, and a log that proves what was asked for.

Each request leaves one JSON line: `time` (seconds since the epoch, at arrival), `method`, `path`, `agent`, `status`, `bytes`.
"""

from __future__ import annotations

import errno
import json
import mimetypes
import posixpath
import threading
import time
from email.utils import formatdate, parsedate_to_datetime
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from headrace_lake.errors import InputError, ServiceError

_TYPES = {".html": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".xml": "application/xml"}


class SampleServer(ThreadingHTTPServer):
    """The server; `url` says where it listens."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = 0, log: Path | None = None) -> None:
        www = folder / "www" if (folder / "www").is_dir() else folder
        if not www.is_dir():
            raise InputError(f"{folder}: no such folder", "run 'headrace samples build' first")
        self.folder = www.resolve()
        self.licences = _licence_links(folder / "manifest.json")
        self._log: IO[str] | None = None
        self._lock = threading.Lock()
        try:
            super().__init__((host, port), _Handler)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise ServiceError(f"port {port} on {host} is in use", "choose another with --port, or --port 0 for a free one") from exc
            raise ServiceError(f"cannot listen on {host}:{port}: {exc.strerror}", "choose another --host or --port") from exc
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = log.open("a", encoding="utf-8", buffering=1)

    @property
    def url(self) -> str:
        """Base address, without a final slash."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def note(self, entry: dict[str, Any]) -> None:
        """Append one line to the log."""
        if self._log is not None:
            with self._lock:
                self._log.write(json.dumps(entry) + "\n")

    def server_close(self) -> None:
        """Stop listening and close the log."""
        super().server_close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def start(self) -> SampleServer:
        """Serve from a background thread."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop a server that `start` started."""
        self.shutdown()
        self.server_close()


def _licence_links(manifest: Path) -> dict[str, str]:
    """Path prefix of a section → path of its licence."""
    try:
        sections = json.loads(manifest.read_text(encoding="utf-8"))["sections"]
        return {f"/{s['name']}/": s["licence_path"] for s in sections}
    except (OSError, ValueError, KeyError):
        return {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "HeadraceSamples"
    sys_version = ""
    timeout = 30
    disable_nagle_algorithm = True
    server: SampleServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        arrived = time.time()
        path = unquote(urlsplit(self.path).path)
        status, headers, data = self._find(path)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and status != 304:
            self.wfile.write(data)
        self.server.note(
            {
                "time": arrived,
                "method": self.command,
                "path": self.path,
                "agent": self.headers.get("User-Agent", ""),
                "status": status,
                "bytes": len(data),
            }
        )

    def _find(self, path: str) -> tuple[int, dict[str, str], bytes]:
        clean = posixpath.normpath("/" + path.lstrip("/"))
        file = (self.server.folder / clean.lstrip("/")).resolve()
        if path.endswith("/"):
            file = file / "index.html"
        if not file.is_relative_to(self.server.folder) or not file.is_file():
            return 404, {"Content-Type": "text/plain; charset=utf-8"}, b"not found\n"
        data = file.read_bytes()
        etag = f'"{blake2b(data, digest_size=12).hexdigest()}"'
        modified = formatdate(file.stat().st_mtime, usegmt=True)
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        headers = {"Content-Type": kind, "ETag": etag, "Last-Modified": modified}
        for prefix, licence in self.server.licences.items():
            if clean.startswith(prefix):
                headers["Link"] = f'<{licence}>; rel="license"'
        if self._unchanged(etag, file.stat().st_mtime):
            return 304, headers, b""
        return 200, headers, data

    def _unchanged(self, etag: str, mtime: float) -> bool:
        asked = self.headers.get("If-None-Match")
        if asked is not None:
            return asked.strip() == "*" or etag in [t.strip().removeprefix("W/") for t in asked.split(",")]
        since = self.headers.get("If-Modified-Since")
        if since is None:
            return False
        try:
            return int(mtime) <= parsedate_to_datetime(since).timestamp()
        except (TypeError, ValueError):
            return False

    def log_message(self, *args: Any) -> None:
        """Requests go to the JSON log, not to stderr."""
