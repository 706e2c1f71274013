"""What is read from a page, and that reading only its telling part changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import grows_linearly

from headrace_governance.acquire.crawl.licence import header_facts
from headrace_governance.acquire.crawl.pages import facts_end, read_facts, read_page

URL = "https://example.org/a/b.html"
_TAGS = [
    '<html lang="de">',
    "<HTML xml:lang=fr>",
    "<head>",
    "</head><body>",
    '<base href="https://other.example/x/">',
    "<base href=y>",
    "<base href='http://[bad'>",
    '<meta name="robots" content="noai, nofollow">',
    "<meta content='noindex > all' name = ROBOTS>",
    "<meta charset=utf-8>",
    "<meta charset=utf-7>",
    "+ADw-meta name+AD0-robots content+AD0-none+AD4-",
    "<meta name=tdm-reservation content=1>",
    '<meta property="DC.rights" content="CC-BY-4.0">',
    '<a rel="license" href="/licence">l</a>',
    "<A REL = License HREF=l2>l</A>",
    "<link rel='lic&#101;nse' href='https://creativecommons.org/licenses/by/4.0/'>",
    "<area rel=license href=''>",
    "<a rel=nofollow href=n>n</a>",
    "<p>the license of a release rel = none</p>",
    '<!-- <meta name="robots" content="none"> -->',
    '<script>var a = "<meta name=robots content=none>";</script>',
    "<textarea><meta name=robots content=x></textarea>",
    '<p title="it\'s">text</p>',
    "<p title='a \"b'>",
    "<div " + "x" * 40 + ">",
    "\n" * 30,
    "<p>" + "word " * 400 + "</p>",
    "</html>",
    "<svg><metadata>m</metadata></svg>",
    "\0",
    '<meta name="robots" content="',
    "<",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_TAGS), max_size=24), st.sampled_from(["", "utf-8", "gb18030", "utf-16", "windows-1252", "nonsense"]))
def test_the_telling_part_says_what_the_page_says(tags: list[str], charset: str) -> None:
    body = "".join(tags).encode("utf-16" if charset == "utf-16" else "utf-8")
    whole, part = read_page(URL, body, charset), read_facts(URL, body, charset)
    assert (part.facts, part.language, part.links) == (whole.facts, whole.language, [])


def test_a_page_whose_head_says_all_is_read_to_its_head() -> None:
    head = b'<html lang="it"><head><meta name="robots" content="noai"></head>'
    body = head + b"<body>" + b"<p>parola <a href='x'>y</a></p>" * 5000
    assert len(head) <= facts_end(body) < 2 * 1024 and facts_end(body, "utf-16") == len(body)
    other = body.replace(b"<head>", b"<head><meta charset='UTF-7'>")
    assert facts_end(other) == len(other)
    page = read_facts(URL, body)
    assert page.language == "it" and page.facts.robots_tags == ["noai"]


def test_a_licence_at_the_foot_counts() -> None:
    body = b"<html><body>" + b"<p>word</p>" * 5000 + b"<a class=x rel='license nofollow' href='/by'>licence</a>" + b"<p>word</p>" * 5000
    assert read_facts(URL, body).facts.licence_links == [("rel-license", "https://example.org/by")]


def test_a_base_that_is_no_address_is_as_if_it_were_not_there() -> None:
    page = read_page(URL, b"<html><base href='http://[bad'><body><a href=c.html>c</a></body></html>")
    assert page.links == ["https://example.org/a/c.html"]


@pytest.mark.parametrize(
    ("body", "charset", "links"),
    [
        ("<a href='/café?q=é'>".encode(), "", ["https://example.org/caf%C3%A9?q=%C3%A9"]),
        (b"<p>\xef\xbb\xbf" + "<a href='/日本'>".encode(), "", ["https://example.org/%E6%97%A5%E6%9C%AC"]),
        ("<p>Канал и мельница у озера</p><a href='/кот'>".encode("cp1251"), "", ["https://example.org/%D0%BA%D0%BE%D1%82"]),
        ("\ufeff<a href='/кот'>".encode("utf-16-le"), "utf-8", ["https://example.org/%D0%BA%D0%BE%D1%82"]),
        ("\ufeff<a href='/кот'>".encode("utf-16-be"), "", ["https://example.org/%D0%BA%D0%BE%D1%82"]),
    ],
)
def test_links_of_a_page_that_declares_nothing_are_read_in_its_encoding(body: bytes, charset: str, links: list[str]) -> None:
    assert read_page(URL, body, charset).links == links


@pytest.mark.parametrize(
    ("label", "href", "sent"),
    [
        ("windows-1251", "/к?q=кот#й", "/%D0%BA?q=%EA%EE%F2"),
        ("iso-8859-1", "?q=é&n=1", "/a/b.html?q=%E9&n=1"),
        ("shift_jis", "/s?w=日本", "/s?w=%93%FA%96%7B"),
        ("euc-jp", "/s?w=日", "/s?w=%C6%FC"),
        ("gb2312", "/s?w=中", "/s?w=%D6%D0"),
        ("big5", "/s?w=中", "/s?w=%A4%A4"),
        ("euc-kr", "/s?w=한", "/s?w=%C7%D1"),
        ("windows-1252", "/s?w=&#1082;", "/s?w=%26%231082%3B"),
        ("iso-8859-9", "/s#ş?ş", "/s"),
        ("utf-8", "/s?w=é", "/s?w=%C3%A9"),
    ],
)
def test_a_query_goes_out_in_the_encoding_of_its_page_and_a_path_in_utf8(label: str, href: str, sent: str) -> None:
    codec = {"iso-8859-1": "cp1252", "iso-8859-9": "cp1254"}.get(label, label)
    pages = (
        f"<meta charset={label}><a href='{href}'>",
        f"<meta charset={label}><meta http-equiv=refresh content='0;url={href}'>",
        f"<meta charset={label}><iframe src='{href}'></iframe>",
    )
    for page in pages:
        assert read_page(URL, page.encode(codec)).links == [f"https://example.org{sent}"], page


@pytest.mark.parametrize("content", ["noai; nofollow", "NOAI nofollow", "noai,nofollow", " noai ,; nofollow "])
def test_words_for_robots_are_told_apart_however_they_are_parted(content: str) -> None:
    facts = read_page(URL, f'<meta name="robots" content="{content}"><a href=x>x</a>'.encode()).facts
    assert facts.robots_tags == ["noai", "nofollow"] and facts.nofollow
    assert header_facts(URL, [("x-robots-tag", "noindex; nofollow")], "").robots_tags == ["noindex", "nofollow"]


@pytest.mark.parametrize(
    "value",
    [
        '<NC>; title="a, b; c"; rel="license"',
        "<NC>; REL='license'",
        '<NC> ; rel = "foo license"',
        '</a>; rel=next; title="x, y", <NC>;rel=license',
    ],
)
def test_a_link_field_names_a_licence_behind_other_parameters(value: str) -> None:
    address = "http://creativecommons.org/licenses/by-nc/4.0/"
    assert header_facts(URL, [("link", value.replace("NC", address))], "").licence_links == [("header", address)]


def test_a_hostile_link_field_costs_milliseconds() -> None:
    for head, piece in (("<a>", "; x"), ("<a>", ';"'), ("", "<a>;"), ("<a>", " "), ("<a>;", " ")):
        assert grows_linearly(lambda n, head=head, piece=piece: header_facts(URL, [("link", head + piece * (n // len(piece)))], ""), 60_000)
