"""Pages that a refresh or a frame leads to are links like others: under robots.txt, the source's rules, nofollow, and once."""

from __future__ import annotations

import pytest
from raw_site import crawled, html, response, robots, serving

from headrace_governance.acquire.crawl.fields import refresh
from headrace_governance.acquire.crawl.pages import read_page
from headrace_lake.settings import Settings


@pytest.mark.parametrize(
    ("content", "address"),
    [
        ("0; URL=en/index.html", "en/index.html"),
        ("0;url=x", "x"),
        ("5 ;\n URL = 'a b' tail", "a b"),
        ('0; url="x\'y"', "x'y"),
        ("0; url='x", "x"),
        ("0,x", "x"),
        ("0 x", "x"),
        ("0;'x'", "x"),
        (".5;url=x", "x"),
        ("1.5.2;url=x", "x"),
        ("  10\t;\fUrl=x ", "x"),
        ("0; URL x", "URL x"),
        ("0; urls", "urls"),
        ("0;URL==x", "=x"),
        ("5", ""),
        ("0;", ""),
        ("0; url=", ""),
        ("", ""),
        ("url=x", ""),
        (";x", ""),
        ("0x", ""),
        ("-1;x", ""),
    ],
)
def test_a_refresh_is_read_by_the_steps_of_the_html_standard(content: str, address: str) -> None:
    assert refresh(content) == address


def links(body: bytes) -> list[str]:
    return read_page("http://h/dir/page", body).links


@pytest.mark.parametrize("name", ["refresh", "Refresh", " REFRESH "])
def test_a_meta_refresh_is_a_link_from_the_base_of_its_page(name: str) -> None:
    meta = f'<meta content="0; url=en/x" http-equiv="{name}">'
    assert links(f"<head>{meta}</head>".encode()) == ["http://h/dir/en/x"]
    assert links(f"<head><base href=/other/>{meta}</head>".encode()) == ["http://h/other/en/x"]
    assert links(f"<head><noscript>{meta}</noscript></head>".encode()) == ["http://h/dir/en/x"]


def test_frames_are_links_and_inner_frames_of_the_same_host_too() -> None:
    frames = b"<frame src='a'><frame src=http://other.example/b><frame>"
    assert links(b"<html><frameset cols='*,*'>" + frames + b"</frameset></html>") == ["http://h/dir/a", "http://other.example/b"]
    inner = (
        b"<p><iframe src=/a></iframe><iframe src='http://other.example/ad'></iframe><iframe src='javascript:x'></iframe><iframe></iframe>"
    )
    assert links(inner) == ["http://h/a"]
    assert links(b"<map><area href=x></map>") == ["http://h/dir/x"]


def test_a_start_page_that_only_refreshes_ends_no_crawl(settings: Settings) -> None:
    start = response(b"<html><head><meta http-equiv='refresh' content='0; URL=en/index.html'></head><body></body></html>")
    with serving({"/": start, "/en/index.html": response(html())}) as site:
        got = crawled(settings, site)
    assert site.targets() == ["/", "/en/index.html"] and "/en/index.html" in got.kept


def test_a_refresh_field_of_the_answer_leads_on_as_well(settings: Settings) -> None:
    routes = {"/": response(html(), b"Refresh: 0; url=/a", b"Refresh: 5"), "/a": response(html(), b"refresh: 1,caf\xc3\xa9")}
    with serving({**routes, "/caf%C3%A9": response(html())}) as site:
        crawled(settings, site)
    assert site.targets() == ["/", "/a", "/caf%C3%A9"]


def test_a_start_page_of_frames_leads_to_what_they_show(settings: Settings) -> None:
    start = response(b"<html><frameset><frame src='menu'><frame src='main'></frameset></html>")
    menu = response(b"<html><body><a href='one'>one</a><iframe src='/two'></iframe></body></html>")
    with serving({"/": start, "/menu": menu, **dict.fromkeys(("/main", "/one", "/two"), response(html()))}) as site:
        crawled(settings, site)
    assert site.targets()[0] == "/" and set(site.targets()) == {"/", "/menu", "/main", "/one", "/two"}


def test_they_are_under_the_same_rules_as_links(settings: Settings) -> None:
    to = "<meta http-equiv=refresh content='0;url={}'>"
    routes = {
        "/robots.txt": robots("User-agent: *\nDisallow: /private\n"),
        "/": response(html("/forbidden", "/away", "/hushed", "/told", "/loop", "/outside")),
        "/forbidden": response(html(head=to.format("/private/x"))),
        "/away": response(html(head=to.format("http://other.example/"))),
        "/hushed": response(html(head="<meta name=robots content=nofollow>" + to.format("/never") + "<base href=/>")),
        "/told": response(html(), b"X-Robots-Tag: nofollow", b"Refresh: 0; url=/never"),
        "/loop": response(html(head=to.format("/back"))),
        "/back": response(b"<frameset><frame src='/loop'><frame src='/back'></frameset>"),
        "/outside": response(html(head=to.format("/denied/x"))),
    }
    with serving(routes) as site:
        got = crawled(settings, site, deny=["/denied"])
    assert site.targets().count("/loop") == site.targets().count("/back") == 1
    assert got.lost == {"/private/x": "robots", "/denied/x": "denied"} and "/never" not in site.targets()
    assert len(got.kept) == 8


def test_they_count_against_the_number_of_pages(settings: Settings) -> None:
    chain = {f"/{i}": response(html(head=f"<meta http-equiv=refresh content='0;url=/{i + 1}'>")) for i in range(9)}
    with serving({"/": response(html("/0")), **chain}) as site:
        got = crawled(settings, site, max_pages=4)
    assert site.targets() == ["/", "/0", "/1", "/2"] and got.lost == {"/3": "max_pages"}
