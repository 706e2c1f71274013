"""Files that unfold a thousandfold, pages that cost a parser seconds, addresses that are none: each fails alone, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fuzzing
import pytest
from raw_site import crawled, html, response, serving

from headrace_governance.acquire.crawl.frontier import Frontier, FrontierLimits
from headrace_governance.acquire.crawl.page_process import HostilePage, PageProcess
from headrace_governance.acquire.crawl.pages import LinkLimits, facts_end, read_page
from headrace_governance.text.formats.gutenberg.convert import convert_book
from headrace_governance.text.formats.jats.convert import convert_article
from headrace_lake.settings import Settings

REFUSED = {"whole.jsonl.zst": "expands more than 2000 times", "dictionary.parquet": "row 16: expands more than 200 times"}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str], int]]:
    """(file, what became of its records, megabytes by which reading it raised the process's peak)."""
    folder = tmp_path_factory.mktemp("bombs")
    script = str(Path(__file__).parents[1] / "bombs.py")
    for words in (["write", str(folder), "80"], ["read", str(folder)]):
        done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return [tuple(json.loads(line)[:3]) for line in done.stdout.splitlines()]


def test_a_bomb_costs_itself_and_never_its_neighbours(bombs: list[tuple[str, list[str], int]]) -> None:
    assert len(bombs) >= 12
    for name, said, _ in bombs:
        if name in REFUSED:
            assert len(said) == 1 and REFUSED[name] in said[0] and name in said[0], (name, said)
        elif name == "global.tar.gz":
            assert said == ["kept"] * 3, (name, said)
        else:
            assert said[0] == said[-1] == "kept" and any(s != "kept" for s in said[1:-1]), (name, said)


def test_what_a_bomb_unfolds_to_is_never_held(bombs: list[tuple[str, list[str], int]]) -> None:
    # Each unfolds to 80 MB; a decoder's window and a record of the largest size are what may be held.
    assert {name: grown for name, _, grown in bombs if grown > 32} == {}


# -- pages -----------------------------------------------------------------------------------------------------------

ATTRIBUTES = b"<p><a " + b"".join(b"a%d=1 " % i for i in range(80_000)) + b">x</a>"
GOOD = b"<html lang=en><a href='/next'>x</a><p>words</p>"


def test_a_page_of_80000_attributes_is_given_up_and_the_next_one_is_read() -> None:
    process = PageProcess(seconds=0.3)
    try:
        with pytest.raises(HostilePage, match="ended the parser"):
            process.page("http://h/", ATTRIBUTES, "utf-8", "", LinkLimits())
        with pytest.raises(HostilePage, match="ended the parser"):
            process.facts("http://h/", ATTRIBUTES + b"<meta name=robots content=noindex>", "utf-8")
        page = process.page("http://h/", GOOD, "utf-8", "", LinkLimits())
        assert (page.links, page.language) == (["http://h/next"], "en") and page == read_page("http://h/", GOOD, "utf-8")
    finally:
        process.close()


@pytest.mark.parametrize(
    "page",
    [
        b"<p>charset=" + b" " * 400_000 + b"<",
        b"rel=" * 250_000,
        b"rel =" * 200_000,
        b"rel='" * 200_000,
        b"<base" + b"'\"" * 400_000,
        b"<meta " + b"a" * 900_000,
    ],
)
def test_what_is_looked_at_of_a_page_takes_linear_time(page: bytes) -> None:
    import time

    def seconds(data: bytes) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            facts_end(data)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(page) < 0.4  # quadratic ones take minutes


def test_links_of_a_page_are_capped_in_number_and_length_and_counted() -> None:
    many = b"".join(b"<a href=/%d>x</a>" % i for i in range(60))
    page = read_page("http://h/", many, limits=LinkLimits(links=50))
    assert len(page.links) == 50 and page.cut == {"links_of_page": 10}
    base = b"<base href='http://h/" + "水".encode() * 600 + b"/'>"
    many = many.replace(b"=/", b"=")  # relative to the base
    page = read_page("http://h/", base + many, limits=LinkLimits(characters=60_000))
    assert page.cut == {"link_characters_of_page": 60 - len(page.links)} and sum(map(len, page.links)) <= 60_000


def test_the_first_addresses_of_a_level_stay_whatever_order_they_came_in(tmp_path: Path) -> None:
    urls = [f"http://{host}/{n:03}" for host in ("a", "b") for n in range(100)]
    kept = []
    for number, order in enumerate((urls, urls[::-1])):
        frontier = Frontier(tmp_path / f"{number}.db")
        frontier.limits = FrontierLimits(of_host=30, in_all=50, characters=10_000)
        for at in range(0, 200, 7):
            frontier.add(order[at : at + 7], 1)
        frontier.trim(1)
        kept.append(frontier.unjudged(1))
        assert Counter(frontier.cuts()).total() >= 150
        frontier.close()
    assert kept[0] == kept[1] == urls[:30] + urls[100:120]


def test_no_location_of_a_page_or_of_robots_txt_ends_a_crawl(settings: Settings) -> None:
    places = [f"http://{host}/".encode() for host in fuzzing.HOSTS]
    routes: dict[str, object] = {f"/{n}": response(b"", b"Location: " + place, status=b"302 Found") for n, place in enumerate(places)}
    routes |= {"/good": response(html()), "/deep": response(html("/good"), b"Refresh: 0; url=http://a..b/")}
    links = [*routes, *(place.decode().replace("\x00", "") for place in places)]
    with serving({"/": response(html(*links)), **routes}) as site:  # type: ignore[dict-item]
        got = crawled(settings, site, same_host=False)
    assert got.kept >= {"/", "/good", "/deep"} and {f"/{n}" for n in range(len(places))} <= set(got.lost)
    assert "error" not in got.lost.values()


@pytest.mark.parametrize("place", fuzzing.HOSTS)
def test_robots_txt_that_leads_nowhere_refuses_its_host_and_ends_nothing(place: str, settings: Settings) -> None:
    moved = response(b"", f"Location: http://{place}/".encode(), status=b"302 Found")
    with serving({"/": response(html()), "/robots.txt": moved}) as site:
        try:
            assert crawled(settings, site).kept == {"/"}  # a redirect that leads nowhere is a file that is unavailable (RFC 9309, 2.3.1.3)
        except Exception as exc:
            assert type(exc).__name__ == "InputError" and "the crawl kept no page" in str(exc), exc


def test_raised_text_and_tables_within_themselves_are_read_once() -> None:
    def article(inside: str) -> bytes:
        return f"<article><body>{inside}</body></article>".encode()

    text = convert_article(article("<p>" + "<sup>a<xref/>" * 14 + "b" + "</sup>" * 14 + "</p>")).text
    assert text.count("b") == 1
    table = "<table><tr><td>x</td><td>" * 12 + "<p>inner</p>" + "</td></tr></table>" * 12
    assert convert_article(article(table)).text.count("inner") == 1


def test_a_book_of_one_long_paragraph_takes_linear_time() -> None:
    import time

    start = time.process_time()
    assert len(convert_book(b"word word\n" * 100_000, None).text) == 999_999
    assert (
        convert_book(b"The sluice-\nkeeper of the mill-\npond. A mill-pond.", None).text
        == "The sluicekeeper of the mill-pond. A mill-pond."
    )
    assert time.process_time() - start < 10  # a quadratic one takes an hour


# -- fuzz ------------------------------------------------------------------------------------------------------------


def test_good_records_are_kept_among_damaged_ones(tmp_path: Path) -> None:
    seen = fuzzing.records(7, 60, tmp_path)
    assert sum(n for what, n in seen.items() if not what.endswith("kept")) >= 60, seen


def test_every_damaged_rule_file_gives_answers_and_every_feed_is_read_or_refused(tmp_path: Path) -> None:
    fuzzing.rules(7, 150)
    assert 50 <= fuzzing.feeds(7, 100, tmp_path) < 100


def test_good_pages_are_kept_among_hostile_answers(tmp_path: Path) -> None:
    seen = fuzzing.crawl(7, 80, tmp_path)
    assert seen["kept"] >= 9 and seen.total() == 81, seen
