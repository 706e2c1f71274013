"""robots.txt: parsing, matching and status rules of RFC 9309."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_governance.crawl.robots import MAX_BYTES, for_status, matches, normalise, parse_robots

BOT = "HeadraceBot"


def allowed(text: str, path: str, agent: str = BOT) -> bool:
    return parse_robots(text.encode()).allowed("http://site.example" + path, agent)


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("Disallow: /private", "/private/x", False),
        ("Disallow: /private", "/public", True),
        ("Disallow:", "/anything", True),
        ("Disallow: /", "/robots.txt", True),
        ("Disallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("Allow: /a/b\nDisallow: /a", "/a/c", False),
        ("Disallow: /page\nAllow: /page", "/page", True),
        ("Disallow: *.gif$", "/x/y.gif", False),
        ("Disallow: *.gif$", "/x/y.gif?z", True),
        ("Disallow: /a/*/c", "/a/b/c/d", False),
        ("Disallow: /fish*.php", "/Fish.php", True),
        ("Disallow: /ü", "/%C3%BC", False),
        ("Disallow: /%c3%bc", "/ü", False),
        ("Disallow: /a%7eb", "/a~b", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("Disallow: /?q=", "/?q=1", False),
    ],
)
def test_the_longest_match_decides(rules: str, path: str, expected: bool) -> None:
    assert allowed(f"User-agent: *\n{rules}\n", path) is expected


def test_groups_of_one_agent_are_merged_and_the_star_group_is_then_ignored() -> None:
    text = (
        "User-agent: headracebot\nDisallow: /a\n\nUser-agent: *\nDisallow: /\n\nUser-agent: other\nUser-agent: HEADRACEBOT\nDisallow: /b\n"
    )
    assert not allowed(text, "/a") and not allowed(text, "/b") and allowed(text, "/c")
    assert not allowed(text, "/c", "Somebody")


def test_an_agent_is_matched_by_its_whole_product_token() -> None:
    text = "User-agent: Headrace\nDisallow: /\n"
    assert allowed(text, "/a") and not allowed(text, "/a", "Headrace/2.0 (+x)")


def test_bom_carriage_returns_comments_and_unknown_lines_do_not_disturb() -> None:
    body = b"\xef\xbb\xbfUser-agent: * # all\r\nFoo: bar\r\nDisallow: /a # no\rSitemap: /s.xml\r\nAllow: /a/b\r\n"
    robots = parse_robots(body)
    assert robots.sitemaps == ["/s.xml"]
    assert not robots.allowed("http://h/a", BOT) and robots.allowed("http://h/a/b", BOT)


def test_what_lies_beyond_500_kib_is_not_read() -> None:
    body = b"User-agent: *\n" + b"#" * MAX_BYTES + b"\nDisallow: /\n"
    assert parse_robots(body).allowed("http://h/a", BOT)


def test_the_status_decides_what_an_absent_file_means() -> None:
    everything = b"User-agent: *\nDisallow: /\n"
    assert not for_status(200, everything).allowed("http://h/a", BOT)
    for status in (301, 401, 403, 404, 410):
        assert for_status(status, everything).allowed("http://h/a", BOT), status
    for status in (0, 500, 503):
        assert not for_status(status, b"").allowed("http://h/a", BOT), status


def test_the_crawl_delay_is_the_one_of_our_group() -> None:
    robots = parse_robots(b"User-agent: *\nCrawl-delay: 7\n\nUser-agent: HeadraceBot\nCrawl-delay: 0.5\nCrawl-delay: nonsense\n")
    assert robots.crawl_delay(BOT) == 0.5 and robots.crawl_delay("x") == 7
    assert parse_robots(b"Crawl-delay: 3\nUser-agent: *\nCrawl-delay: -1\n").crawl_delay(BOT) == 0


def test_no_pattern_makes_matching_slow() -> None:
    start = time.perf_counter()
    assert not matches("/" + "a*" * 5000 + "b$", "/" + "a" * 20000)
    assert time.perf_counter() - start < 1


def reference(pattern: str, path: str) -> bool:
    """The RFC's wording as a regular expression."""
    anchored = pattern.endswith("$")
    core = pattern[:-1] if anchored else pattern
    return re.match(".*".join(re.escape(p) for p in core.split("*")) + (r"\Z" if anchored else ""), path, re.DOTALL) is not None


@given(st.text("/ab*$", max_size=12), st.text("/ab$", max_size=16))
@settings(max_examples=600, deadline=None)
def test_matching_equals_the_regular_expression_it_stands_for(pattern: str, path: str) -> None:
    assert matches("/" + pattern, "/" + path) is reference("/" + pattern, "/" + path)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_the_normal_form_of_a_path_is_stable(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert normalise(normalise(text)) == normalise(text)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_can_be_parsed(body: bytes) -> None:
    parse_robots(body).allowed("http://h/a", BOT)


@given(st.lists(st.tuples(st.booleans(), st.text("/ab*", min_size=1, max_size=5)), max_size=6), st.text("ab/", max_size=8))
@settings(max_examples=300, deadline=None)
def test_the_order_of_rules_does_not_matter(rules: list[tuple[bool, str]], path: str) -> None:
    def text(order: list[tuple[bool, str]]) -> str:
        return "User-agent: *\n" + "".join(f"{'Allow' if a else 'Disallow'}: {p}\n" for a, p in order)

    assert allowed(text(rules), "/" + path) is allowed(text(rules[::-1]), "/" + path)
