"""Addresses have one normal form: what robots.txt, the source's rules and the memory of a crawl judge is what the server is asked for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from raw_site import crawled, html, response, robots, serving

from headrace_governance.acquire.crawl.fields import location
from headrace_governance.acquire.crawl.licence import TdmReservations
from headrace_governance.acquire.crawl.urls import MAX_URL, host_and_port, normal_host_port, normal_url, origin_of, target_of
from headrace_lake.errors import SourceError
from headrace_lake.settings import Settings


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("HTTP://Example.COM/A", "http://example.com/A"),
        ("http://h", "http://h/"),
        ("http://h?x", "http://h/?x"),
        ("http://h:80/a", "http://h/a"),
        ("https://h:443/a", "https://h/a"),
        ("http://h:443/a", "http://h:443/a"),
        ("http://h:/a", "http://h/a"),
        ("http://h/pub/../private/x", "http://h/private/x"),
        ("http://h/./a//b/./c/..", "http://h/a//b/"),
        ("http://h/../../a", "http://h/a"),
        ("http://h/pub/%2e%2E/private/%2e/x", "http://h/private/x"),
        ("http://h/pub/.%2e/private", "http://h/private"),
        ("http://h/a%2fb/..%2fc", "http://h/a%2Fb/..%2Fc"),
        ("http://h/%7euser/%61%2D%5f", "http://h/~user/a-_"),
        ("http://h/caf%c3%a9", "http://h/caf%C3%A9"),
        ("http://h/café?q=café", "http://h/caf%C3%A9?q=caf%C3%A9"),
        ("http://h/a b?c d", "http://h/a%20b?c%20d"),
        ("http://h/%zz/100%", "http://h/%25zz/100%25"),
        ("http://h/%%34%31", "http://h/%2541"),
        ("http://h/%252e%252e/x", "http://h/%252e%252e/x"),
        ("http:\\\\h\\pub\\..\\private", "http://h/private"),
        (" \t\nhttp://h/pri\nva\tte\r ", "http://h/private"),
        ("http://h/a#b/../c", "http://h/a"),
        ("http://h/a?", "http://h/a?"),
        ("http://h/a?b=/../c", "http://h/a?b=/../c"),
        ("http://h./a", "http://h/a"),
        ("http://BÜCHER.example/", "http://xn--bcher-kva.example/"),
        ("http://ｅｘａｍｐｌｅ。com/", "http://example.com/"),
        ("http://ex%61mple.com/", "http://example.com/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1:8080/", "http://127.0.0.1:8080/"),
        ("http://0177.0.0.1./", "http://127.0.0.1/"),
        ("http://[0:0::1]:80/", "http://[::1]/"),
        ("http:/h/a", "http://h/a"),
        ("http://h/a|b?c|d\\e{f}", "http://h/a%7Cb?c%7Cd%5Ce%7Bf%7D"),
    ],
)  # fmt: skip
def test_an_address_has_one_normal_form(written: str, normal: str) -> None:
    assert normal_url(written) == normal == normal_url(normal)


@pytest.mark.parametrize(
    "written",
    [
        "", "h/a", "ftp://h/a", "javascript:alert(1)", "mailto:a@b.example", "data:text/html,x", "http://", "http://[x/", "http://h:99999/",
        "http://user@h/", "http://user:secret@h/", "http://h:80@evil.example/", "http://h../", "http://a b/", "http://h/\ud800",
        "http://h/" + "a" * MAX_URL, "http://h/" + "中" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_address_to_fetch_has_none(written: str) -> None:
    assert normal_url(written) == ""


@given(st.text(alphabet=st.sampled_from("/.%2eE5a\\?#:@ \t;=&~é中[]|^'*$"), max_size=30))
@hypothesis_settings(max_examples=600, deadline=None)
def test_a_normal_form_is_its_own_and_can_be_sent(path: str) -> None:
    url = normal_url(f"http://h.example/{path}")
    if url:
        assert normal_url(url) == url and origin_of(url) == "http://h.example"
        assert target_of(url).isascii() and target_of(url).startswith("/") and not set(target_of(url)) & set(" \t\\#")
        segments = target_of(url).partition("?")[0].split("/")
        assert not {".", ".."} & {s.replace("%2E", ".").replace("%2e", ".") for s in segments}


def test_hosts_that_a_source_allows_are_compared_in_the_same_form() -> None:
    assert [normal_host_port(h) for h in ("Intranet.Example.:8080", "BÜCHER.example:80", "[::1]:9", "0x7f.1:80")] == [
        "intranet.example:8080",
        "xn--bcher-kva.example:80",
        "::1:9",
        "127.0.0.1:80",
    ]
    assert host_and_port("http://[::1]:9/x") == ("::1", 9) and host_and_port("https://h/x:1/y") == ("h", 443)


FORBIDDEN = [
    "{URL}/pub/../private/x", "/pub/%2e%2e/private/x", "/pub/%2E./private/x", "\\pub\\..\\private\\x", "/pr%69vate/x", "/./private/x",
    "/pri&#10;vate/x", "//{HOST}/a/../private/x", "/private%2Fx", "/privat%65", "http:/private/x",
]  # fmt: skip


def test_an_address_that_robots_forbids_is_not_asked_for_however_a_page_writes_it(settings: Settings) -> None:
    rules = robots("User-agent: *\nDisallow: /private\n")
    with serving({"/robots.txt": rules, "/": response(html(*FORBIDDEN, "/a/../ok")), "/ok": response(html())}) as site:
        got = crawled(settings, site)
    assert site.targets() == ["/", "/ok"]
    assert got.lost == {"/private/x": "robots", "/private%2Fx": "robots", "/private": "robots"}


@pytest.mark.parametrize(
    "rules",
    [
        "User-agent: HeadraceBot\nCrawl-delay: 0.05\nUser-agent: *\nDisallow: /private\nDisallow: /cost-%24\n",
        "User-agent: HeadraceBot\nSitemap: /s.xml\nNoindex: /x\n\nUser-agent: Other\nDisallow: /private\nDisallow: /cost-%24$\n",
        "User-agent: *\nDisallow: /\nUser-agent: headracebot/2.0\nUser-agent: Other\nDisallow: /pri*te\nDisallow: /*-%24\n",
    ],
)
def test_rules_of_a_group_hold_for_each_of_its_agents_and_escaped_signs_for_themselves(settings: Settings, rules: str) -> None:
    with serving({"/robots.txt": robots(rules), "/": response(html("/private/x", "/cost-$", "/ok")), "/ok": response(html())}) as site:
        got = crawled(settings, site)
    assert site.targets() == ["/", "/ok"] and got.lost == {"/private/x": "robots", "/cost-$": "robots"}


def test_nor_however_it_is_come_to(settings: Settings) -> None:
    moves = {f"/to{i}": location.encode() for i, location in enumerate(["{URL}/a/../private/x", "b/%2e%2e/private/y", "\\private\\z"])}
    routes = {path: response(b"", b"Location: " + to, status=b"302 Found") for path, to in moves.items()}
    routes["/robots.txt"] = robots("User-agent: *\nDisallow: /private\n")
    routes["/"] = response(html(*moves, "/based", "/led", "/framed", "/told"))
    routes["/based"] = response(html("./private/b", head="<base href='{URL}/x/%2e%2e/'>"))
    routes["/led"] = response(html(head="<meta http-equiv=refresh content='0;url=/x/../private/r'>"))
    routes["/framed"] = response(b"<frameset><frame src='/x/../private/f'></frameset>")
    routes["/told"] = response(html(), b"Refresh: 0; url=/x/%2e%2e/private/h")
    with serving(routes) as site:
        got = crawled(settings, site)
    assert not [t for t in site.targets() if "private" in t]
    assert got.lost == dict.fromkeys([*moves, "/private/b", "/private/r", "/private/f", "/private/h"], "robots")


def test_the_rules_of_a_source_judge_the_same_form(settings: Settings) -> None:
    links = ["/docs/../secret/x", "/docs/%2e%2e/other", "/docs/a", "/%64ocs/b", "/docs/./deny/c", "/docs/d%65ny/d", "/docs/go"]
    routes = {"/": response(html(*links)), "/docs/a": response(html()), "/docs/b": response(html())}
    routes["/docs/go"] = response(b"", b"Location: /docs/../secret/z", status=b"301 Moved")
    with serving(routes) as site:
        got = crawled(settings, site, allow=["/docs/"], deny=["/docs/deny"])
    assert sorted(site.targets()) == ["/", "/docs/a", "/docs/b", "/docs/go"]
    assert got.lost == {"/docs/deny/c": "denied", "/docs/deny/d": "denied", "/docs/go": "denied"}


def test_a_page_is_asked_for_once_under_all_its_spellings(settings: Settings) -> None:
    links = ["/a", "/%61", "/x/../a", "/a#top", "{URL}/a", "HTTP://{HOST}/a", "/a?", "\\a", "//{HOST}/./a"]
    with serving({"/": response(html(*links)), "/a": response(html()), "/a?": response(html())}) as site:
        crawled(settings, site)
    assert sorted(site.targets()) == ["/", "/a", "/a?"]


def test_what_is_recorded_is_what_was_on_the_wire(settings: Settings) -> None:
    links = [
        "/a|b",
        "/a%7cb",
        "/[x]",
        "/%5Bx%5D",
        "/it's",
        "/100%",
        "/a b",
        "/ü",
        "/a^b`{}",
        "/?q=ä b&c[]=%2f",
        "/~x/%7Ey",
        "/a;b=c,d!$*()",
    ]
    with serving({"/": response(html(*links))}) as site:
        got = crawled(settings, site)
        asked = set(site.targets())
    assert asked == {"/", *got.lost} and set(got.lost.values()) == {"http_status"}
    assert {"/a%7Cb", "/[x]", "/%5Bx%5D", "/it's", "/100%25", "/a%20b", "/%C3%BC", "/a%5Eb%60%7B%7D", "/~x/~y"} <= asked
    assert "/?q=%C3%A4%20b&c[]=%2F" in asked


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ([b"Location: /caf\xc3\xa9.html"], "/caf%C3%A9.html"),
        ([b"Location: {URL}/\xe4\xb8\xad?q=\xe6\x96\x87"], "/%E4%B8%AD?q=%E6%96%87"),
        ([b"Location: /caf\xe9.html"], "/caf%E9.html"),
        ([b"Location: /caf%c3%a9.html#part"], "/caf%C3%A9.html"),
        ([b"Location: /twice", b"Location: /twice"], "/twice"),
        ([b"Location: /twice, /twice"], "/twice"),
        ([b"Location: /a,b"], "/a,b"),
        ([b"Location:  sub/../plain  "], "/plain"),
        ([b"LOCATION: ?q"], "/go?q"),
        ([b"Location: /one", b"Location: /two"], None),
        ([b"Location: "], None),
        ([], None),
        ([b"Location: http://user:secret@{HOST}/x"], None),
    ],
)  # fmt: skip
def test_a_location_is_read_byte_by_byte_and_two_different_ones_are_none(
    settings: Settings, fields: list[bytes], asked: str | None
) -> None:
    with serving({"/": response(html("/go")), "/go": response(b"", *fields, status=b"302 Found")}) as site:
        if asked is not None:
            site.routes[asked] = response(html())
        got = crawled(settings, site)
    assert site.targets() == ["/", "/go", *([asked] if asked else [])]
    assert got.lost == ({} if asked else {"/go": "bad_redirect"})
    assert asked is None or got.captures["/go"]["final_url"] == site.url + asked


def test_the_reason_of_a_redirect_that_leads_nowhere_is_told() -> None:
    assert location("http://h/", ["/a", "/b"]) == ("", "2 different Location fields")
    assert location("http://h/", ["javascript:x"]) == ("", "javascript:x") and location("http://h/", []) == ("", "no Location")


def test_reservations_of_text_mining_judge_the_same_form() -> None:
    def reserved(pattern: str, path: str) -> bool:
        return TdmReservations(json.dumps([{"location": pattern, "tdm-reservation": 1}]).encode()).reserves(f"http://h{path}")

    assert reserved("/caf%c3%a9/", "/caf%C3%A9/x") and reserved("/café", "/caf%C3%A9") and reserved("/*.html$", "/a/b.html")
    assert (
        reserved("/x?[a]", "/x?[a]") and not reserved("/x?", "/xy") and not reserved("/*.html$", "/a.html?b") and not reserved("/b", "/a/b")
    )


def test_seeds_are_brought_into_the_form_and_one_that_has_none_is_named(settings: Settings) -> None:
    with serving({"/robots.txt": robots("User-agent: *\nDisallow: /private\n"), "/ok": response(html())}) as site:
        got = crawled(settings, site, base_url=f"HTTP://{site.host}/", seeds=["/a/../private/x", "x/%2e%2e/ok#top"])
        assert site.targets() == ["/ok"] and got.lost == {"/private/x": "robots"}
        with pytest.raises(SourceError, match="seed 'http://me@"):
            crawled(settings, site, seeds=[f"http://me@{site.host}/"])
