"""What a crawl that kept nothing says: every kind of cause with its count, an example and the way out; and sources tried before."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from raw_site import RawSite, crawled, html, response, robots, serving
from typer.testing import CliRunner

from headrace_governance.acquire.crawl.causes import WAYS_OUT, causes_of, ways_out
from headrace_governance.acquire.crawl.check import try_source
from headrace_governance.acquire.crawl.evidence_record import KIND
from headrace_governance.acquire.crawl.run import crawl_slice
from headrace_governance.acquire.crawl.slots import HostSlots, SlotStore
from headrace_governance.acquire.trial import try_sources
from headrace_governance.sources.fetch_policy import load_fetch_policy
from headrace_governance.sources.source import Source
from headrace_lake.errors import InputError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse


def test_a_refused_private_address_names_host_address_and_the_field_that_allows_it(settings: Settings) -> None:
    with serving({"/": response(html())}) as site, pytest.raises(InputError) as caught:
        crawled(settings, site, allow_hosts=[])
    told = str(caught.value)
    assert "kept no page of 1: 1 address (" in told and "127.0.0.1 is 127.0.0.1: loopback address" in told
    assert f"fetch.allow_hosts does not name as '{site.host}'" in told
    assert "add that 'host:port' to fetch.allow_hosts in governance/sources/raw.yaml" in caught.value.way_out
    assert site.seen == [] and "site is up" not in told


def redirecting(*_: Any) -> bytes:
    return response(b"", b"Location: /", status=b"302 Found")


@pytest.mark.parametrize(
    ("reason", "routes", "fetch", "told"),
    [
        ("robots", {"/robots.txt": robots("User-agent: *\nDisallow: /\n")}, {}, "robots.txt forbids it to HeadraceBot"),
        ("robots_error", {"/robots.txt": response(b"", status=b"500 Oops")}, {}, "answered 500, which forbids everything"),
        ("crawl_delay", {"/robots.txt": robots("User-agent: *\nCrawl-delay: 900\n")}, {}, "asks for 900 s, more than 60 s"),
        ("too_many_redirects", {"/": redirecting}, {}, "more than 5, in a circle over"),
        ("media_type", {"/": response(b"%PDF", kind=b"application/pdf")}, {}, "application/pdf"),
        ("too_large", {"/": response(b"x" * 5000)}, {"max_bytes": 1000}, "Content-Length 5000"),
        ("http_status", {"/": response(b"", status=b"404 Not Found")}, {}, "404"),
        ("tls", {}, {"scheme": "https"}, "SSL"),
        ("unreachable", {}, {"port": 1}, "attempts failed"),
        ("dns", {}, {"name": "no-such-host.invalid"}, "no-such-host.invalid does not resolve"),
    ],
)
def test_every_cause_is_told_with_its_way_out(
    settings: Settings, reason: str, routes: dict[str, Any], fetch: dict[str, Any], told: str
) -> None:
    with serving(routes) as site:
        host, port = site.host.split(":")
        place = f"{fetch.pop('name', host)}:{fetch.pop('port', port)}"
        seed = f"{fetch.pop('scheme', 'http')}://{place}/"
        with pytest.raises(InputError) as caught:
            crawled(settings, site, seeds=[seed], allow_hosts=[place], manners={"retries": 0}, **fetch)
    message = str(caught.value)
    assert f"1 {reason} ({seed}" in message and told in message, message
    assert caught.value.way_out.startswith(f"{reason}: ")


def test_a_mixture_of_causes_is_counted_and_each_has_its_way_out(settings: Settings) -> None:
    pages = [f"/{i}" for i in range(5)]
    bare = (
        b"<html><head><meta name=robots content=noai></head><body>" + b"".join(b"<a href=%s>x</a>" % p.encode() for p in pages) + b"</body>"
    )
    routes = {"/robots.txt": robots("User-agent: *\nDisallow: /0\nDisallow: /1\nDisallow: /2\n"), "/": response(bare)}
    with serving(routes) as site, pytest.raises(InputError) as caught:  # type: ignore[arg-type]
        crawled(settings, site)
    told = str(caught.value)
    assert "kept no page of 6: 3 robots (" in told and "2 http_status (" in told and "1 robots_tag (" in told
    assert told.index("3 robots") < told.index("2 http_status") < told.index("1 robots_tag")
    assert all(f"{reason}: " in caught.value.way_out for reason in ("robots", "http_status", "robots_tag"))


def test_rows_and_notes_of_a_crawl_that_kept_something_name_the_refused_host(settings: Settings) -> None:
    with serving({"/": response(html())}) as other, serving({"/": response(html("{OTHER}/"))}) as site:
        site.routes["/"] = response(html(f"{other.url}/", f"{other.url}/b"))
        got = crawled(settings, site, same_host=False)
    rows = got.lake.read("exclusions").to_pylist()
    assert [r["reason"] for r in rows] == ["address", "address"] and all(other.host in r["detail"] for r in rows)
    assert all("allow_hosts" in r["detail"] and "loopback address" in r["detail"] for r in rows)
    [note] = [n for n in got.receipt.notes if n.startswith("not kept: ")]
    assert "2 address (" in note and other.host in note


def test_causes_are_the_same_in_any_order_and_every_way_out_names_its_file() -> None:
    rows = [("b", "robots", "x"), ("a", "robots", "y"), ("c", "dns", "z"), ("d", "newly invented", "")]
    found = causes_of(rows)
    assert [str(c) for c in found] == ["2 robots (a: y)", "1 dns (c: z)", "1 newly invented (d)"] and found == causes_of(reversed(rows))
    told = ways_out(found, file="sources/x.yaml", policies="policies")
    assert told.startswith("robots: ") and "; dns: " in told and "{" not in told
    for reason in WAYS_OUT:
        assert "{" not in ways_out(causes_of([("u", reason, "")]), file="f", policies="p")
    assert ways_out([], file="f.yaml", policies="p") == "check fetch.seeds and fetch.allow in f.yaml"


def declared(site: RawSite, **fetch: Any) -> Source:
    """A source whose evidence is a page of its site."""
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written by the test", "evidence": {"url": f"{site.url}/licence"}}
    options = {"kind": "crawl", "seeds": [f"{site.url}/", f"{site.url}/private/"], "delay_seconds": 0, "allow_hosts": [site.host], **fetch}
    return parse({"id": "tried", "title": "Tried", "licence": licence, "fetch": options}, Source, where="test")


def test_a_source_is_tried_without_fetching_a_page_and_its_evidence_is_recorded_and_compared(settings: Settings) -> None:
    routes = {
        "/robots.txt": robots("User-agent: *\nCrawl-delay: 0.2\nDisallow: /private/\n"),
        "/": response(html()),
        "/licence": response(b"CC0, version one", kind=b"text/plain"),
    }
    said: list[str] = []
    lake = Lake.open(settings)
    assert lake.catalog.made()  # the check records evidence where there is a lake, and makes none
    with serving(routes) as site:  # type: ignore[arg-type]
        source = declared(site)
        [first], problem = try_sources(settings, [source], say=said.append)
        assert problem is None and "/" not in site.targets() and site.targets() == ["/licence"]
        receipt = crawl_slice(lake, source, Slice("tried", "2026-11-01"))
        site.routes["/licence"] = response(b"All rights reserved", kind=b"text/plain")
        [second], problem = try_sources(settings, [source], say=said.append)
        del site.routes["/licence"]
        [third], error = try_sources(settings, [source], say=said.append)
    assert first["hosts"] == [{"origin": site.url, "address": "127.0.0.1", "robots": 200, "delay_seconds": 0.2, "problem": ""}]
    assert [bool(s["problem"]) for s in first["seeds"]] == [False, True] and "robots" in first["seeds"][1]["problem"]
    assert (
        f"tried: {site.url} is 127.0.0.1, robots.txt 200, 0.2 s between requests" in said and "tried: 1 of 2 seeds may be fetched" in said
    )
    seen = first["evidence"]
    assert (seen["status"], seen["size"], len(seen["sha256"])) == (200, 16, 64) and not first["evidence_changed"]
    assert any(seen["sha256"] in note for note in receipt.notes)
    assert problem is None and "is not what was recorded" in second["evidence_changed"] and seen["sha256"] in second["evidence_changed"]
    kept = lake.artifacts(KIND)
    assert [a.digest for a in kept] == [seen["sha256"], second["evidence"]["sha256"]] and kept[0].name == "tried"
    assert lake.storage.read_bytes(kept[0].path) == b"CC0, version one" and kept[0].payload["fetched_at"] == seen["fetched_at"]
    assert third["evidence"]["problem"] == "http_status: 404" and error is not None and "licence.evidence.url" in error.way_out
    assert json.dumps([first, second, third])


def test_evidence_that_changed_is_a_note_of_the_crawl_and_evidence_out_of_reach_stops_none(settings: Settings) -> None:
    lake = Lake.open(settings)
    with serving({"/": response(html()), "/licence": response(b"one", kind=b"text/plain")}) as site:
        source = declared(site, seeds=[f"{site.url}/"])
        first = crawl_slice(lake, source, Slice("tried", "2026-11-01"))
        again = crawl_slice(lake, source, Slice("tried", "2026-11-02"))
        site.routes["/licence"] = response(b"two", kind=b"text/plain")
        changed = crawl_slice(lake, source, Slice("tried", "2026-11-03"))
        del site.routes["/licence"]
        missing = crawl_slice(lake, source, Slice("tried", "2026-11-04"))
    notes = [[n for n in r.notes if n.startswith("licence evidence")] for r in (first, again, changed, missing)]
    assert [len(n) for n in notes] == [1, 1, 2, 1] and notes[0] == notes[1] and "read whether the licence still holds" in notes[2][1]
    assert "could not be fetched: http_status: 404" in notes[3][0] and len(lake.artifacts(KIND)) == 2


def test_a_private_host_and_a_host_that_does_not_resolve_are_named_by_the_trial(settings: Settings) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return ["10.0.0.7"]

    licence = {"id": "CC0-1.0", "class": "public", "basis": "b", "evidence": {"text": "CC0"}}
    fetch = {"kind": "crawl", "seeds": ["https://intranet.example/", "https://intranet.example/b"], "delay_seconds": 0}
    source = parse({"id": "tried", "licence": licence, "fetch": fetch}, Source, where="test")
    policy = load_fetch_policy(settings.resolve(settings.policies))
    tried = asyncio.run(try_source(source, policy, HostSlots(SlotStore()), resolver=resolver))
    assert not tried.good and tried.hosts[0].address == "" and str(tried.causes[0]).startswith("2 address (https://intranet.example/: ")
    assert (
        "intranet.example is 10.0.0.7: private address that fetch.allow_hosts does not name as 'intranet.example:443'"
        in tried.hosts[0].problem
    )


def test_check_looks_at_files_alone_unless_it_is_asked_to_try_and_creates_no_lake(settings: Settings, tmp_path: Path) -> None:
    from headrace_governance.acquire.cli import source as command

    folder = tmp_path / "sources"
    folder.mkdir()
    shutil.copytree(settings.resolve(settings.policies), tmp_path / "policies")
    with serving({"/licence": response(b"CC0", kind=b"text/plain")}) as site:
        data = declared(site, seeds=[f"{site.url}/"]).model_dump(mode="json", by_alias=True, exclude_defaults=True)
        (folder / "tried.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        words = {"sources": str(folder), "policies": str(tmp_path / "policies"), "lake": {"root": str(tmp_path / "no-lake")}}
        (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
        offline = CliRunner().invoke(command, ["check", "tried", "--settings", str(tmp_path / "headrace.yaml")])
        assert offline.exit_code == 0 and site.seen == [] and "--online" in offline.output, offline.output
        online = CliRunner().invoke(command, ["check", "tried", "--online", "--settings", str(tmp_path / "headrace.yaml")])
    assert online.exit_code == 0 and "licence evidence" in online.output and "sha256" in online.output, online.output
    assert not (tmp_path / "no-lake").exists()
