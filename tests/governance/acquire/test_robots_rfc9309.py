"""robots.txt: parsing, matching and status rules of RFC 9309."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_governance.acquire.crawl.path_rules import PathRules, Undecided
from headrace_governance.acquire.crawl.robots import MAX_BYTES, for_status, normalise, parse_robots

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


def steps(act: Callable[[], object]) -> float:
    """Processor seconds of the fastest of three runs."""
    times = []
    for _ in range(3):
        start = time.process_time()
        act()
        times.append(time.process_time() - start)
    return min(times)


def test_rules_that_nearly_match_everything_are_given_up_and_refuse() -> None:
    with pytest.raises(Undecided):
        PathRules(["/" + "a*" * 5000 + "b$"]).first("/" + "a" * 20000)
    file = "User-agent: *\nAllow: /\n" + "".join(f"Disallow: /*ab*{n}ba\n" for n in range(2000))
    assert not allowed(file + "Disallow: /*" + "a*" * 600 + "c", "/" + "ab" * 1000)
    assert allowed(file, "/" + "ab" * 100)


def test_half_a_megabyte_of_wildcards_costs_a_tenth_of_a_millisecond_an_address() -> None:
    lines = b"User-agent: *\n" + b"".join(b"Disallow: /*a%d*b\n" % n for n in range(30_000))
    robots = parse_robots(lines[:MAX_BYTES])
    assert not robots.allowed("http://h/xa17/b", BOT) and robots.allowed("http://h/xb17/a", BOT)
    paths = [f"http://h/some/path/a{n}/c?q={n}" for n in range(200)] + ["http://h/" + "a1" * 900]
    assert steps(lambda: [robots.allowed(path, BOT) for path in paths]) < len(paths) * 1e-4


def reference(pattern: str, path: str) -> bool:
    """The RFC's wording as a regular expression."""
    anchored = pattern.endswith("$")
    core = pattern[:-1] if anchored else pattern
    return re.match(".*".join(re.escape(p) for p in core.split("*")) + (r"\Z" if anchored else ""), path, re.DOTALL) is not None


@given(st.text("/ab*$", max_size=12), st.text("/ab$", max_size=16))
@settings(max_examples=600, deadline=None)
def test_matching_equals_the_regular_expression_it_stands_for(pattern: str, path: str) -> None:
    assert (PathRules(["/" + pattern]).first("/" + path) is not None) is reference("/" + pattern, "/" + path)


@given(st.lists(st.text("/ab*$", max_size=8), max_size=12), st.text("/ab", max_size=12))
@settings(max_examples=600, deadline=None)
def test_of_many_rules_the_first_that_matches_is_found(patterns: list[str], path: str) -> None:
    patterns = ["/" + p for p in patterns]
    assert PathRules(patterns).first("/" + path) == next((p for p in patterns if reference(p, "/" + path)), None)


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


BETWEEN = [
    "Crawl-delay: 0.1",
    "Sitemap: http://h/s.xml",
    "Host: h",
    "Clean-param: ref /a",
    "Request-rate: 1/5",
    "# comment",
    "",
    "nonsense",
]


@pytest.mark.parametrize("between", BETWEEN)
def test_what_stands_between_two_agents_does_not_part_them(between: str) -> None:
    text = f"User-agent: HeadraceBot\n{between}\nUser-agent: *\n{between}\nDisallow: /private\n"
    assert not allowed(text, "/private/x") and not allowed(text, "/private/x", "Somebody")
    assert allowed(text, "/public") and allowed(f"{between}\nDisallow: /\n{text}", "/public")


def test_only_a_rule_ends_the_list_of_agents_be_it_an_empty_one() -> None:
    text = "User-agent: HeadraceBot\nDisallow:\nUser-agent: Other\nDisallow: /\n"
    assert allowed(text, "/a") and not allowed(text, "/a", "Other")
    delayed = parse_robots(b"User-agent: HeadraceBot\nCrawl-delay: 2\nUser-agent: Other\nDisallow: /x\n")
    assert (delayed.crawl_delay(BOT), delayed.crawl_delay("Other")) == (2, 0)


@pytest.mark.parametrize(
    ("rule", "path", "matched"),
    [
        ("/cost-%24", "/cost-$", True),
        ("/cost-%24", "/cost-%24", True),
        ("/cost-%24$", "/cost-$", True),
        ("/cost-%24$", "/cost-$1", False),
        ("/cost-$1", "/cost-$1", True),
        ("/cost-$1", "/cost-%241", True),
        ("/cost-$", "/cost-$", False),
        ("/cost-$", "/cost-", True),
        ("/cost$$", "/cost$", True),
        ("/a%2Ab", "/a*b", True),
        ("/a%2ab", "/a%2Ab", True),
        ("/a%2Ab", "/axb", False),
        ("/a*b", "/a*b", True),
        ("/a*b", "/a%2Ab", True),
        ("/%2A/x", "/*/x/y", True),
        ("/a%2Fb", "/a%2fb", True),
        ("/a%2Fb", "/a/b", False),
        ("/a/b", "/a%2Fb", False),
        ("/caf%C3%A9", "/café", True),
        ("/café", "/caf%c3%a9", True),
        ("/%63afe%2D%5f", "/cafe-_", True),
        ("/cafe", "/%63afe", True),
        ("/100%", "/100%25", True),
        ("/a b", "/a%20b", True),
        ("/a|b", "/a%7cb", True),
        ("/x?u=http://h", "/x?u=http%3A%2F%2Fh", True),
        ("/x?u=http%3a%2f%2fh", "/x?u=http://h/y", True),
        ("/*%2F", "/x?u=a%2Fb", True),
        ("/x?a%26b", "/x?a&b", False),
        ("/a/../private", "/private/x", True),
        ("/./private/", "/private/x", True),
        ("/.", "/.git", True),
        ("/a/..", "/a/..hidden", True),
        ("/a?", "/a?", True),
        ("/a?", "/a", False),
    ],
)
def test_rules_and_paths_are_compared_in_one_form(rule: str, path: str, matched: bool) -> None:
    assert allowed(f"User-agent: *\nDisallow: {rule}\n", path) is not matched
    assert allowed(f"User-agent: *\nDisallow: /\nAllow: {rule}\n", path) is matched


def test_rules_in_another_charset_than_utf_8_are_the_bytes_that_they_were() -> None:
    robots = parse_robots("User-agent: *\nDisallow: /café\n".encode("latin-1"))
    assert not robots.allowed("http://h/caf%E9", BOT) and robots.allowed("http://h/caf%C3%A9", BOT)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_unicode_encoding_and_line_end_is_read(codec: str, end: str) -> None:
    body = end.join(["User-agent: *", "Disallow: /ü", "Allow: /ü/ok", ""]).encode(codec)
    robots = parse_robots(body)
    assert not robots.allowed("http://h/%C3%BC", BOT) and robots.allowed("http://h/%C3%BC/ok", BOT)


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb", b"\xef", codecs.BOM_UTF16_BE[:0]])
def test_a_mark_that_is_cut_is_skipped_as_well(mark: bytes) -> None:
    assert not parse_robots(mark + b"User-agent: *\nDisallow: /a\n").allowed("http://h/a", BOT)


def test_a_longer_file_is_read_to_the_limit_without_the_line_that_is_cut_there() -> None:
    head = b"User-agent: *\nDisallow: /first\n"
    for last, cut in ((b"Disallow: /last\n", 0), (b"Disallow: /last\n", 3), (b"Allow: /first/", 4)):
        filler = b"#" * (MAX_BYTES - len(head) - len(last) + cut - 1) + b"\n"
        robots = parse_robots(head + filler + last + b"Disallow: /beyond\n")
        assert not robots.allowed("http://h/first/x", BOT)  # a rule that is cut allows nothing
        assert robots.allowed("http://h/last", BOT) is (cut > 0 or b"last" not in last)
        assert robots.allowed("http://h/la", BOT) and robots.allowed("http://h/beyond", BOT)


@pytest.mark.parametrize(
    ("text", "path", "agent", "expected"),
    [
        ("user-agent FooBot\ndisallow /\n", "/x/y", "FooBot", False),
        ("foo: FooBot\nbar: /\n", "/x/y", "FooBot", True),
        ("USER-AGENT: FooBot\nALLOW: /x/\nDISALLOW: /\n", "/x/y", "FooBot", True),
        ("user-agent: *\ndissallow: /x\n", "/x/y", "FooBot", False),
        ("User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /\n", "/x/y", "Foo", True),
        ("user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /\n", "/x/y", "FooBot", False),
        ("user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /\n", "/x/y", "BarBot", True),
        ("user-agent: FooBot\ndisallow: /X/\n", "/x/y", "FooBot", True),
        ("user-agent: FooBot\ndisallow: \nallow: \n", "/x", "FooBot", True),
        ("user-agent: FooBot\nallow: /page\ndisallow: /*.html\n", "/page.html", "FooBot", False),
        ("user-agent: FooBot\nallow: /x/page.\ndisallow: /*.html\n", "/x/page.html", "FooBot", True),
        ("User-agent: FooBot\nDisallow: /\nAllow: /foo/bar/ツ\n", "/foo/bar/%E3%83%84", "FooBot", True),
        ("User-agent: FooBot\nDisallow: /foo/bar/quz\nAllow: /foo/*/qux\n", "/foo/bar/quz", "FooBot", False),
        ("User-agent: FooBot\nDisallow: /foo/bar$\nAllow: /foo/bar/qux\n", "/foo/bar", "FooBot", False),
        ("User-agent: FooBot\n# Disallow: /\nDisallow: /foo/quz#qux\nAllow: /\n", "/foo/quz", "FooBot", False),
        ("user-agent: FooBot\ndisallow: /\nallow: /*.php$\n", "/filename.php?parameters", "FooBot", False),
        ("user-agent: FooBot\nallow: /$\ndisallow: /\n", "/", "FooBot", True),
        ("user-agent: FooBot\nallow: /$\ndisallow: /\n", "/page.html", "FooBot", False),
        (
            "allow: /foo/\n\nuser-agent: FooBot\ndisallow: /\nuser-agent: BazBot\n\nuser-agent: FooBot\nallow: /z/\ndisallow: /\n",
            "/foo/",
            "BazBot",
            False,
        ),
    ],
)
def test_verdicts_are_those_that_the_reference_parser_of_the_rfcs_authors_publishes(
    text: str, path: str, agent: str, expected: bool
) -> None:
    """The behaviours of google/robotstxt's tests, but the ones that are Google's alone (`index.html`, lines cut at 16 KB)."""
    assert allowed(text, path, agent) is expected
