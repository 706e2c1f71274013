"""Header fields in all the forms that servers send: types sent twice or not at all, codings that are none, dates to come back at."""

from __future__ import annotations

import gzip
import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import brotli
import h11
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from patience import PATIENCE_S
from raw_site import WORDS, crawled, html, response, robots, serving

from headrace_governance.acquire.crawl.fields import http_date, retry_after
from headrace_governance.acquire.crawl.media import media_type, sniffed
from headrace_governance.acquire.crawl.response_head import readable_head
from headrace_lake.errors import InputError
from headrace_lake.settings import Settings


def gzipped(data: bytes) -> bytes:
    """A gzip member without a time, which would stand in the names of tests."""
    return gzip.compress(data, mtime=0)


NOW = datetime(2026, 11, 29, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("text/html", ("text/html", "")),
        ('TEXT/Html ; Charset = "UTF-8"', ("text/html", "utf-8")),
        ("text/html;charset='utf-8'", ("text/html", "utf-8")),
        ("text/html;; charset=utf-8;x", ("text/html", "utf-8")),
        ("text/html; charset=utf-8; charset=gbk", ("text/html", "utf-8")),
        ('text/html; x="a,b;charset=gbk\\",c"; charset=utf-8', ("text/html", "utf-8")),
        ("text/html; xcharset=gbk", ("text/html", "")),
        ("text/html, text/html", ("text/html", "")),
        ("text/html; charset=gbk, text/html", ("text/html", "gbk")),
        ("text/html, text/html; charset=gbk", ("text/html", "gbk")),
        ("text/html; charset=gbk, text/plain", ("text/plain", "")),
        ("text/html; charset=gbk, text/plain, text/html", ("text/html", "")),
        ("text/html,*/*", ("text/html", "")),
        ("text/html, nonsense, ", ("text/html", "")),
        ("text/html,charset=utf-8", ("text/html", "utf-8")),
        ("text/html charset=utf-8", ("text/html", "utf-8")),
        ("text/html\tcharset=utf-8; x", ("text/html", "utf-8")),
        ("", ("", "")),
        ("*/*", ("", "")),
        ("text", ("", "")),
        ("charset=utf-8", ("", "")),
        ("application/unknown", ("", "")),
    ],
)
def test_a_content_type_is_extracted_as_the_fetch_standard_does(sent: str, read: tuple[str, str]) -> None:
    assert media_type(sent) == read


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><title>", "text/html"),
        (b" \r\n\t<HtMl>", "text/html"),
        (b"<p class=x>", "text/html"),
        (b"<!-- x -->", "text/html"),
        (b"\xef\xbb\xbf<html>", "text/html"),
        ("<body>".encode("utf-16"), "text/html"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC 'x'>\n<html xmlns='x'>", "application/xhtml+xml"),
        (b"<?xml version='1.0'?><rss>", ""),
        (b"Plain words.", "text/plain"),
        (b"<pre", "text/plain"),
        (b"<paper>", "text/plain"),
        (b"", "text/plain"),
        ("中文".encode("gbk"), "text/plain"),
        (b"%PDF-1.7", ""),
        (b"\x89PNG\r\n\x1a\n\0\0", ""),
        (b"GIF89a\x01\0", ""),
    ],
)
def test_an_undeclared_body_is_told_by_its_first_bytes(body: bytes, kind: str) -> None:
    assert sniffed(body) == kind


def test_pages_are_kept_under_every_odd_content_type_and_pictures_are_not(settings: Settings) -> None:
    page = html()
    routes = {
        "/twice": response(page, b"Content-Type: text/html; charset=utf-8", kind=b"text/html"),
        "/combined": response(page, kind=b"text/html; charset=gbk, text/html; charset=utf-8"),
        "/colon": response(page, kind=b"text/html charset=utf-8"),
        "/none": response(page, kind=None),
        "/star": response(page, kind=b"*/*"),
        "/words": response(b"Plain words, and more of them.", kind=None),
        "/odd": response(page, kind=b"html"),
        "/picture": response(b"\x89PNG\r\n\x1a\n\0\0", kind=None),
        "/pdf": response(page, kind=b"text/html, application/pdf"),
    }
    with serving({"/": response(html(*routes)), **routes}) as site:
        got = crawled(settings, site)
    assert got.lost == {"/picture": "media_type", "/pdf": "media_type"}
    kinds = {target: (c["content_type"], c["charset"]) for target, c in got.captures.items() if target != "/"}
    assert kinds.pop("/words") == ("text/plain", None)
    assert kinds == dict.fromkeys(("/twice", "/combined", "/colon"), ("text/html", "utf-8")) | dict.fromkeys(
        ("/none", "/star", "/odd"), ("text/html", None)
    )


def test_bodies_are_kept_whatever_their_content_encoding_says_wrongly(settings: Settings) -> None:
    page = html()
    coded = {"gzip": gzipped(page), "br": brotli.compress(page)}
    routes = {
        f"/{i}": response(page, b"Content-Encoding: " + name) for i, name in enumerate((b"utf-8", b"none", b"identity", b"", b"gzip"))
    }
    routes["/tail"] = response(coded["gzip"] + b"\0\0\r\n<!-- x -->", b"Content-Encoding: gzip")
    routes["/twice"] = response(coded["gzip"], b"Content-Encoding: gzip", b"Content-Encoding: gzip")
    routes["/both"] = response(coded["br"], b"Content-Encoding: br, UTF-8")
    routes["/cut"] = response(coded["gzip"][:-20], b"Content-Encoding: gzip")
    with serving({"/": response(html(*routes)), **routes}) as site:
        got = crawled(settings, site)
    assert got.lost == {"/cut": "truncated"}
    assert {c["content_digest"] for target, c in got.captures.items() if target != "/"} == {got.captures["/0"]["content_digest"]}
    assert got.receipt.counts.failed == 1 and "failed: truncated 1" in got.receipt.notes


@pytest.mark.parametrize(
    ("values", "date", "seconds"),
    [
        (["4"], "", 4),
        ([" 4 "], "", 4),
        (["Sun, 29 Nov 2026 10:00:04 GMT"], "", 4),
        (["Sunday, 29-Nov-26 10:00:04 GMT"], "", 4),
        (["Sun Nov 29 10:00:04 2026"], "", 4),
        (["Sun, 29 Nov 2026 11:00:04 +0100"], "", 4),
        (["sun, 29 nov 2026 10:00:04 gmt"], "", 4),
        (["Sun, 29 Nov 2026 10:00:04 GMT"], "Sun, 29 Nov 2026 09:00:00 GMT", 3604),
        (["Sun, 29 Nov 2026 09:00:04 GMT"], "Sun, 29 Nov 2026 09:00:00 GMT", 4),
        (["Sun, 29 Nov 2026 09:00:04 GMT"], "nonsense", 0),
        (["4", "Sun, 29 Nov 2026 10:00:09 GMT"], "", 9),
        (["4, 7"], "", 7),
        (["-4"], "", 0),
        (["soon"], "", 0),
        ([""], "", 0),
        ([], "", 0),
        (["Sun, 31 Feb 2027 10:00:04 GMT"], "", 0),
        (["9" * 400], "", 1e18),
    ],
)
def test_when_to_come_back_is_read_in_seconds_and_in_all_forms_of_dates(values: list[str], date: str, seconds: float) -> None:
    assert retry_after(values, date, NOW) == seconds


def test_a_year_of_two_digits_is_at_most_fifty_years_ahead() -> None:
    assert http_date("Tuesday, 06-Nov-94 08:49:37 GMT", NOW) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert http_date("Tuesday, 06-Nov-76 08:49:37 GMT", NOW) == datetime(2076, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert http_date("Tue Dec  1 10:00:04 2026", NOW) == datetime(2026, 12, 1, 10, 0, 4, tzinfo=UTC)


FORMS = {"imf": "%a, %d %b %Y %H:%M:%S GMT", "rfc850": "%A, %d-%b-%y %H:%M:%S GMT", "asctime": "%a %b %d %H:%M:%S %Y"}


def test_a_busy_page_and_a_busy_robots_txt_are_not_asked_for_again_before_the_date(settings: Settings) -> None:
    until: dict[str, datetime] = {}

    def busy(path: str, form: str, then: bytes):
        def route(count: int) -> bytes:
            if count > 1:
                return then
            until[path] = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
            date = format_datetime(until[path], usegmt=True) if form == "imf" else until[path].strftime(FORMS[form])
            return response(b"", b"Retry-After: " + date.encode(), status=b"503 Busy")

        return route

    pages = {f"/{form}": busy(f"/{form}", form, response(html())) for form in FORMS}
    routes = {
        "/robots.txt": busy("/robots.txt", "imf", robots("User-agent: *\nDisallow: /private\n")),
        "/": response(html(*pages)),
        **pages,
    }
    with serving(routes) as site:
        got = crawled(settings, site)
    assert got.kept == {"/", *pages}
    for path, date in until.items():
        times = [at for target, at in site.seen if target == path]
        assert len(times) == 2 and times[1] >= date.timestamp()


@pytest.mark.parametrize("wait", [b"Fri, 01 Jan 2100 00:00:00 GMT", b"99999999999999999999", b"600"])
def test_a_page_is_given_up_whose_server_asks_for_a_longer_pause_than_the_policy_has(settings: Settings, wait: bytes) -> None:
    routes = {"/": response(html("/busy")), "/busy": response(b"", b"Retry-After: " + wait, status=b"429 Slow down")}
    began = time.monotonic()
    with serving(routes) as site:
        got = crawled(settings, site)
    assert time.monotonic() - began < PATIENCE_S and site.targets() == ["/", "/busy"] and got.lost == {"/busy": "http_status"}


RULES = b"User-agent: *\nDisallow: /private\n"


@pytest.mark.parametrize(
    "raw",
    [
        response(RULES, b"Content-Encoding: utf-8", kind=b"text/plain"),
        response(RULES, b"Content-Encoding: gzip", kind=b"text/plain"),
        response(gzipped(RULES) + b"\0\0", b"Content-Encoding: x-gzip", kind=b"text/plain"),
        response(brotli.compress(RULES * 200), b"Content-Encoding: br", kind=None),
        response(RULES, b"Content-Type: text/html", kind=b"nonsense; charset=x"),
        response(b"\xef\xbb\xbf" + RULES.replace(b"\n", b"\r"), kind=b"text/plain"),
        response(RULES.decode().encode("utf-16"), kind=b"text/plain; charset=utf-8"),
        response(RULES + b"#" * (3 << 20), kind=b"text/plain"),
        response(gzipped(RULES + b"#" * (30 << 20)), b"Content-Encoding: gzip", kind=b"text/plain"),
    ],
    ids=["charset as coding", "gzip not coded", "gzip padded", "brotli", "type twice", "BOM and CR", "UTF-16", "3 MB", "30 MB in gzip"],
)
def test_odd_fields_and_lengths_of_robots_txt_refuse_no_host_and_its_rules_hold(settings: Settings, raw: bytes) -> None:
    with serving({"/robots.txt": raw, "/": response(html("/private/x", "/ok")), "/ok": response(html())}) as site:
        got = crawled(settings, site)
    assert site.targets() == ["/", "/ok"] and got.lost == {"/private/x": "robots"}


ODD = [
    b"No colon here",
    b"Content-Type : text/html",
    b"X-\xc3\x9cml\xc3\xa4ut: 1",
    b"Set Cookie: a=b",
    b": no name",
    b"X-Ctl: a\x00b\x0bc",
    b"X-Fold: a",
    b"  folded",
    b"Content-Length: unknown",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: ",
]


@pytest.mark.parametrize("line", ODD)
def test_a_header_line_that_cannot_be_read_costs_neither_its_page_nor_the_host(settings: Settings, line: bytes) -> None:
    rules = response(RULES, line, kind=b"text/plain")
    with serving({"/robots.txt": rules, "/": response(html("/private/x", "/ok"), line), "/ok": response(html(), *ODD)}) as site:
        got = crawled(settings, site)
    assert site.targets() == ["/", "/ok"] and got.kept == {"/", "/ok"} and got.lost == {"/private/x": "robots"}


def test_transfer_codings_are_undone_and_contradicting_lengths_are_an_error(settings: Settings) -> None:
    def chunked(body: bytes, *fields: bytes) -> bytes:
        head = b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Type: text/html", b"Connection: close", *fields])
        return head + b"\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:99], body[99:])) + b"0\r\n\r\n"

    page = html()
    routes = {
        "/plain": chunked(page, b"Transfer-Encoding: chunked"),
        "/twice": chunked(page, b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked"),
        "/gzip": chunked(gzipped(page), b"Transfer-Encoding: gzip, chunked"),
        "/length": chunked(page, b"Transfer-Encoding: chunked", b"Content-Length: 7"),
        "/interim": b"HTTP/1.1 103 Early Hints\r\nLink : x\r\n\r\n" + response(page, b"bad line"),
        "/lengths": response(page, b"Content-Length: 7"),
    }
    with serving({"/": response(html(*routes)), **routes}) as site:
        got = crawled(settings, site)
    assert got.kept == {"/", *routes} - {"/lengths"} and got.lost == {"/lengths": "protocol"}
    assert len({c["content_digest"] for target, c in got.captures.items() if target != "/"}) == 1


@given(st.binary(max_size=200))
@hypothesis_settings(max_examples=300, deadline=None)
def test_any_head_becomes_one_that_h11_reads(lines: bytes) -> None:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    head = b"HTTP/1.1 200 OK\r\n" + re.sub(rb"(?:\r?\n)+", b"\n", lines).strip() + b"\r\n\r\n"
    connection.receive_data(readable_head(head))
    assert isinstance(connection.next_event(), h11.Response)


def test_robots_txt_is_followed_over_five_redirects_to_other_places(settings: Settings) -> None:
    def moved(to: bytes) -> bytes:
        return response(b"", b"Location: " + to, status=b"301 Moved")

    hops = {f"/r{i}": moved(b"/r%d" % (i + 1)) for i in range(9)}
    for last, forbidden in (("/r4", True), ("/r5", False)):
        routes = {**hops, "/robots.txt": moved(b"{URL}/x/../r0"), last: response(RULES, kind=b"text/plain")}
        with serving({**routes, "/": response(html("/private/x")), "/private/x": response(html())}) as site:
            got = crawled(settings, site)
        assert (got.lost == {"/private/x": "robots"}) is forbidden
    with (
        serving({"/robots.txt": response(WORDS, status=b"500 Down"), "/": response(html())}) as site,
        pytest.raises(InputError, match="robots"),
    ):
        crawled(settings, site)
    assert site.targets() == []
