"""The crawler against a real server that forbids, stalls, lies, floods and misdirects; the server's own log is the witness."""

from __future__ import annotations

import gzip
import http.server
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from patience import PATIENCE_S
from warcio.archiveiterator import ArchiveIterator

from headrace_governance.acquire.crawl.run import crawl_slice
from headrace_governance.sources.source import Source
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

PARAGRAPH = "<p>" + "A page about sluices, gates and the water that runs between them. " * 20 + "</p>"


def page(title: str, *links: str) -> bytes:
    anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1>{PARAGRAPH}{anchors}</body></html>".encode()


Route = Callable[[http.server.BaseHTTPRequestHandler], None]


@dataclass
class Site:
    """A server on a free loopback port. `routes` answer by path; `seen` is its log: (path, seconds, headers)."""

    routes: dict[str, bytes | Route] = field(default_factory=dict)
    seen: list[tuple[str, float, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    host: str = ""

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.seen]


@pytest.fixture
def site() -> Iterator[Site]:
    yield from serve()


@pytest.fixture
def other() -> Iterator[Site]:
    """A second server, which no source allows."""
    yield from serve()


def serve() -> Iterator[Site]:
    held = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            held.seen.append((self.path, time.monotonic(), {k.lower(): v for k, v in self.headers.items()}))
            route = held.routes.get(self.path)
            try:
                if route is None:
                    answer(self, b"none", status=404, kind="text/plain")
                elif isinstance(route, bytes):
                    answer(self, route, kind="text/plain" if self.path == "/robots.txt" else "text/html; charset=utf-8")
                else:
                    route(self)
            except OSError:
                self.close_connection = True  # the crawler hung up

        def log_message(self, *args: Any) -> None:
            """The log is `seen`."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    held.host = f"127.0.0.1:{server.server_port}"
    held.url = f"http://{held.host}"
    yield held
    server.shutdown()
    server.server_close()


def answer(
    request: http.server.BaseHTTPRequestHandler,
    body: bytes,
    *,
    status: int = 200,
    kind: str = "text/html",
    length: int = -1,
    **headers: str,
) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body) if length < 0 else length))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


@pytest.fixture
def crawl(settings: Settings, tmp_path: Path, site: Site) -> Callable[..., Receipt]:
    """Crawl the site from `/`, impatiently."""
    policies = tmp_path / "policies"
    shutil.copytree(settings.resolve(settings.policies), policies)
    manners = yaml.safe_load((policies / "fetch.yaml").read_text(encoding="utf-8"))
    manners |= {"retries": 1, "retry_seconds": 0.01, "idle_seconds": 2.5, "grace_seconds": 0.5, "min_bytes_per_second": 2000.0}
    (policies / "fetch.yaml").write_text(yaml.safe_dump(manners), encoding="utf-8")
    lake = Lake.open(settings.model_copy(update={"policies": policies}))

    def go(*, refresh: bool = False, slice_: str = "2026-11-01", **fetch: Any) -> Receipt:
        return crawl_slice(lake, source(site, **fetch), Slice("hostile", slice_), refresh=refresh)

    go.lake = lake  # type: ignore[attr-defined]
    return go


def source(site: Site, **fetch: Any) -> Source:
    options = {"kind": "crawl", "seeds": [f"{site.url}/"], "delay_seconds": 0, "timeout_seconds": 8, "allow_hosts": [site.host], **fetch}
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written by the test", "evidence": {"text": "CC0"}}
    return parse({"id": "hostile", "title": "Hostile", "licence": licence, "fetch": options}, Source, where="test")


def reasons(lake: Lake) -> dict[str, str]:
    """Path → why it was not kept."""
    rows = {r["detail"].split()[0]: r["reason"] for r in lake.read("exclusions", None).to_pylist()}
    failed = {yaml.safe_load(r["row"])["url"]: r["error"].split(":")[0] for r in lake.read("quarantine", None).to_pylist()}
    return {"/" + url.split("/", 3)[3]: why for url, why in (rows | failed).items()}


def test_nothing_that_robots_forbids_is_ever_asked_for(site: Site, crawl: Any) -> None:
    site.routes = {
        "/robots.txt": b"User-agent: *\nDisallow: /private/\nAllow: /private/open\nDisallow: /*.pdf$\n",
        "/": page("start", "/a", "/private/x", "/private/open", "/b.pdf", "/PRIVATE/y"),
        **{p: page(p) for p in ("/a", "/private/x", "/private/open", "/b.pdf", "/PRIVATE/y")},
    }
    receipt = crawl()
    assert "/private/x" not in site.paths() and "/b.pdf" not in site.paths()
    assert site.paths()[0] == "/robots.txt" and site.paths().count("/robots.txt") == 1
    assert {"/a", "/private/open", "/PRIVATE/y"} <= set(site.paths())
    assert reasons(crawl.lake) == {"/private/x": "robots", "/b.pdf": "robots"}
    assert (receipt.counts.read, receipt.counts.kept, receipt.counts.dropped) == (6, 4, 2)
    assert all("HeadraceBot" in headers["user-agent"] for _, _, headers in site.seen)


def test_a_server_error_for_robots_forbids_everything_and_not_found_allows_it(site: Site, crawl: Any) -> None:
    site.routes = {"/robots.txt": lambda r: answer(r, b"down", status=503), "/": page("start")}
    with pytest.raises(InputError, match="robots"):
        crawl()
    assert set(site.paths()) == {"/robots.txt"}
    del site.routes["/robots.txt"]
    assert crawl(slice_="2026-11-02").counts.kept == 1


def test_crawl_delay_is_kept_between_all_requests_to_a_host(site: Site, crawl: Any) -> None:
    site.routes = {"/robots.txt": b"User-agent: *\nCrawl-delay: 0.3\n", "/": page("start", "/a", "/b", "/c")}
    site.routes |= {p: page(p) for p in ("/a", "/b", "/c")}
    crawl()
    times = [at for path, at, _ in site.seen if path != "/robots.txt"]
    assert {"/", "/a", "/b", "/c"} <= set(site.paths())
    assert min(b - a for a, b in pairwise(times)) >= 0.29


def test_redirects_to_forbidden_addresses_are_refused_and_never_dialled(site: Site, other: Site, crawl: Any) -> None:
    other.routes = {"/secret": page("secret")}
    port = other.host.split(":")[1]
    targets = {
        "/loop": f"http://127.0.0.1:{port}/secret",
        "/short": f"http://127.1:{port}/secret",
        "/decimal": f"http://2130706433:{port}/secret",
        "/mapped": f"http://[::ffff:127.0.0.1]:{port}/secret",
        "/v6": f"http://[::1]:{port}/secret",
        "/meta": "http://169.254.169.254/latest/meta-data/",
        "/private": "http://10.0.0.1/",
    }
    site.routes = {"/": page("start", *targets)}
    for path, target in targets.items():
        site.routes[path] = lambda r, target=target: answer(r, b"", status=302, Location=target)  # type: ignore[misc]
    for options in ({}, {"same_host": False}):
        crawl(slice_=f"2026-11-0{1 + len(options)}", **options)
        assert other.seen == []
        assert reasons(crawl.lake) == dict.fromkeys(targets, "address")


def test_a_redirect_to_a_host_that_the_source_allows_is_followed(site: Site, other: Site, crawl: Any) -> None:
    other.routes = {"/moved": page("moved")}
    site.routes = {"/": page("start", "/old"), "/old": lambda r: answer(r, b"", status=301, Location=f"{other.url}/moved")}
    assert crawl(same_host=False, allow_hosts=[site.host, other.host]).counts.kept == 2
    assert other.paths()[0] == "/robots.txt" and other.paths()[-1] == "/moved"


def test_slow_cut_exploding_and_endless_answers_fail_alone_in_bounded_time_and_memory(site: Site, crawl: Any) -> None:
    def slow(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        for _ in range(200):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.05)

    def silent(request: http.server.BaseHTTPRequestHandler) -> None:
        time.sleep(6)

    def late(request: http.server.BaseHTTPRequestHandler) -> None:
        time.sleep(1.2)
        answer(request, page("late")[:500], length=len(page("late")))
        request.wfile.flush()
        time.sleep(0.05)
        request.wfile.write(page("late")[500:])

    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.end_headers()
        while True:
            request.wfile.write(b"<p>more</p>" * 5000)

    bomb = gzip.compress(b"0" * (300 << 20), 9)
    site.routes = {
        "/": page("start", "/slow", "/silent", "/endless", "/bomb", "/cut", "/late", "/good"),
        "/slow": slow,
        "/late": late,
        "/silent": silent,
        "/endless": endless,
        "/bomb": lambda r: answer(r, bomb, Content_Encoding="gzip"),
        "/cut": lambda r: (answer(r, page("cut"), length=100_000), r.connection.shutdown(socket.SHUT_RDWR))[0],  # type: ignore[func-returns-value]
        "/good": page("good"),
    }
    memory, began = psutil.Process().memory_info().rss, time.monotonic()
    receipt = crawl(max_bytes=2 << 20)
    assert time.monotonic() - began < PATIENCE_S
    assert psutil.Process().memory_info().rss - memory < 200 << 20
    found = reasons(crawl.lake)
    assert found.pop("/bomb") in ("compression_ratio", "too_large") and found.pop("/endless") == "too_large"
    assert found.pop("/cut") == "truncated" and found.pop("/silent") == "timeout" and found.pop("/slow") in ("slow", "timeout")
    assert found == {}
    c = receipt.counts
    assert c.kept == 3 and c.read == c.kept + c.dropped + c.failed == 8
    late_page = next(r for r in crawl.lake.read("captures", None).to_pylist() if r["url"].endswith("/late"))
    assert len(page("late")) < 2000 * 1.2 and late_page["content_digest"]  # below the rate, and whole


def test_addresses_and_headers_that_are_none_end_no_crawl(site: Site, crawl: Any) -> None:
    site.routes = {
        "/": page("start", "/moved", "/linked", "/meta", "/shown", "/good"),
        "/moved": lambda r: answer(r, b"", status=302, Location="http://[x"),
        "/linked": lambda r: answer(r, page("linked"), Link="<http://[x>; rel=license"),
        "/meta": page("meta").replace(b"<head>", b'<head><meta name="license" content="http://[x">'),
        "/shown": lambda r: answer(r, page("shown"), Link="<http://x.example/\u00e9>; rel=shortlink"),
        "/good": page("good"),
    }
    assert crawl().counts.kept == 3
    assert reasons(crawl.lake) == {"/moved": "bad_redirect", "/linked": "licence_unknown", "/meta": "licence_unknown"}
    lake: Lake = crawl.lake
    stored = b"".join(p.read_bytes() for p in lake.storage.local_path("objects/warc").rglob("*.gz"))
    assert "link: <http://x.example/%E9>; rel=shortlink" in gzip_text(stored)


def test_reservations_and_other_licences_keep_a_page_out_before_its_bytes_are_kept(site: Site, crawl: Any) -> None:
    site.routes = {
        "/": page("start", "/noai", "/tdm", "/meta"),
        "/noai": lambda r: answer(r, page("noai"), X_Robots_Tag="noai"),
        "/tdm": lambda r: answer(r, page("tdm"), tdm_reservation="1"),
        "/meta": page("meta").replace(b"<head>", b'<head><meta name="tdm-reservation" content="1">'),
    }
    receipt = crawl()
    assert receipt.counts.kept == 1 and receipt.counts.dropped == 3
    assert set(reasons(crawl.lake)) == {"/noai", "/tdm", "/meta"}
    lake: Lake = crawl.lake
    stored = b"".join(p.read_bytes() for p in lake.storage.local_path("objects/warc").rglob("*.gz"))
    assert gzip_text(stored).count("<title>") == 1


def gzip_text(members: bytes) -> str:
    return gzip.decompress(members).decode("utf-8", "replace")


def test_unchanged_pages_are_answered_by_304_and_kept_without_a_second_copy(site: Site, crawl: Any) -> None:
    def tagged(request: http.server.BaseHTTPRequestHandler) -> None:
        if request.headers.get("If-None-Match") == '"v1"':
            request.send_response(304)
            request.end_headers()
        else:
            answer(request, page("start"), ETag='"v1"')

    site.routes = {"/": tagged}
    first = crawl()
    again = crawl(slice_="2026-11-02")
    assert "not modified 1" in again.notes and "not modified 0" in first.notes
    rows = crawl.lake.read("captures", None).to_pylist()
    assert len(rows) == 2 and len({r["content_digest"] for r in rows}) == 1


def test_warc_files_hold_what_was_fetched_with_digests_that_warcio_confirms(site: Site, crawl: Any) -> None:
    site.routes = {"/": page("start", "/a"), "/a": page("a")}
    crawl()
    lake: Lake = crawl.lake
    bodies = set()
    for path in {r["warc_path"] for r in lake.read("captures", None).to_pylist()}:
        with open(lake.storage.local_path(path), "rb") as f:
            for record in ArchiveIterator(f, check_digests="raise"):
                if record.rec_type == "response":
                    bodies.add(record.content_stream().read())
    assert bodies == {page("start", "/a"), page("a")}


RUN = """
import sys
from headrace_governance.acquire.crawl.run import crawl_slice
from headrace_governance.sources.source import load_source
from headrace_lake.lake import Lake
from headrace_lake.settings import load_settings
from headrace_lake.slices import Slice
crawl_slice(Lake.open(load_settings(sys.argv[1])), load_source(sys.argv[2]), Slice("hostile", "2026-11-01"))
"""


def test_a_killed_crawl_goes_on_and_asks_for_no_settled_page_again(site: Site, settings: Settings, tmp_path: Path) -> None:
    names = [f"/p{i}" for i in range(40)]
    site.routes = {"/": page("start", *names), **{n: page(n) for n in names}}
    source_file = tmp_path / "hostile.yaml"
    source_file.write_text(yaml.safe_dump(source(site, delay_seconds=0.05).record()), encoding="utf-8")
    settings_file = tmp_path / "headrace.yaml"
    settings_file.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
    command = [sys.executable, "-c", RUN, str(settings_file), str(source_file)]
    process = subprocess.Popen(command)
    while len(site.seen) < 15:
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = len(site.seen)
    assert before < len(names)
    subprocess.run(command, check=True)
    counts = {n: site.paths().count(n) for n in names}
    # What was on its way when the process died may be asked for a second time; nothing that was settled is.
    assert set(counts) == set(names) and min(counts.values()) == 1
    assert sum(c > 1 for c in counts.values()) <= 4 and max(counts.values()) <= 2
    lake = Lake.open(settings)
    rows = lake.read("captures", None).to_pylist()
    assert len(rows) == len({r["url"] for r in rows}) == len(names) + 1
