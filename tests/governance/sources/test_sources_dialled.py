"""A source is fetched where its file says: no parameter, redirect, link or path reaches an address or a file that it does not list.

Dials are counted at the socket: whatever the real crawler would connect to passes through `AnyIOBackend.connect_tcp`.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import pytest
import yaml
from raw_site import RawSite, html, response, serving

from headrace_governance.acquire.crawl.address import AddressGuard, AddressRefused
from headrace_governance.acquire.crawl.captures import read_warc_body
from headrace_governance.acquire.crawl.records import ANSWERED_BY
from headrace_governance.acquire.crawl.site import site_of
from headrace_governance.acquire.fetching import fetch_slice
from headrace_governance.sources.source import CrawlFetch, Source, get_source
from headrace_lake.errors import ConfigError, InputError, SourceError
from headrace_lake.lake import Lake
from headrace_lake.settings import SAMPLE_SITE, Settings
from headrace_lake.slices import Slice
from headrace_lake.strict import parse

PLACES = [  # (host, port) in many spellings: metadata services, link-local, site-local, private, loopback, and public strangers
    *("169.254.169.254", "169.254.170.2", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "192.0.0.192", "2852039166"),
    *("0xa9fea9fe", "169.254.43518", "0251.0376.0251.0376", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]"),
    "[2002:a9fe:a9fe::]",
    *("169.254.1.1", "[fe80::1]", "[fe80::1%25eth0]", "[fec0::1]", "[feff::1]", "0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]"),
    "255.255.255.255",
    *("10.0.0.5:8500", "172.16.0.1", "192.168.1.1:8080", "100.64.0.1", "[fc00::1]", "[fd12:3456::1]", "198.18.0.1"),
    *("127.0.0.1:9", "127.1:9", "2130706433:9", "0x7f.1:9", "0177.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9", "localhost:9"),
    "localhost.:9",
    *("mirror.example", "site.example.evil.example", "1.1.1.1", "site.example@169.254.169.254", "169.254.169.254\\@site.example"),
]  # fmt: skip
NEVER = [p for p in PLACES[:24] if "%" not in p]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """`host:port` of every connection that is begun. Only 127.0.0.1 is really connected to."""
    seen: list[str] = []
    plain = httpcore.AnyIOBackend.connect_tcp

    async def connect(self: Any, host: str, port: int, **rest: Any) -> Any:
        seen.append(f"{host}:{port}")
        if host != "127.0.0.1":
            raise httpcore.ConnectError("not in this test")
        return await plain(self, host, port, **rest)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    yield seen


def _source(**fetch: Any) -> Source:
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written by the test", "evidence": {"text": "CC0"}}
    return parse(
        {"id": "raw", "title": "Raw", "licence": licence, "fetch": {"kind": "crawl", "delay_seconds": 0, **fetch}}, Source, where="t"
    )


def _lake(settings: Settings, folder: Path) -> Lake:
    words = yaml.safe_load((settings.resolve(settings.policies) / "fetch.yaml").read_text(encoding="utf-8"))
    policies = folder / "policies"
    policies.mkdir()
    for file in settings.resolve(settings.policies).glob("*.yaml"):
        (policies / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (policies / "fetch.yaml").write_text(yaml.safe_dump(words | {"retries": 0, "idle_seconds": 3.0}), encoding="utf-8")
    return Lake.open(settings.model_copy(update={"policies": policies}))


def _written(lake: Lake) -> int:
    return sum(lake.read(table, None).num_rows for table in ("captures", "receipts"))


# -- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", ["https://site.example", "http://127.0.0.1:8443", SAMPLE_SITE])
def test_no_base_url_but_those_of_the_file_is_dialled(settings: Settings, dialled: list[str], declared: str) -> None:
    """Also where the declared host is on loopback and allowed, which once allowed any other too."""
    hosts = [declared.partition("//")[2]] if "127" in declared else []
    source = _source(base_url=declared, seeds=["/a"], allow_hosts=hosts, mirrors=["https://copy.example/site"])
    lake, tried = Lake.open(settings), 0
    spellings = [f"{scheme}://{place}{path}" for place in PLACES for scheme, path in (("http", "/"), ("https", ""))]
    near = [
        "https://copy.example",
        "https://copy.example/site2",
        "https://copy.example/site/..",
        "http://copy.example/site",
        "//x",
        "file:///etc",
    ]
    for base_url in [*spellings, *near, f"{declared}.evil.example", f"{declared}@evil.example", f"{declared}/../x", " ", "ftp://x/"]:
        with pytest.raises(ConfigError, match="not a place that the source lists"):
            fetch_slice(lake, source, Slice("raw", "x"), base_url=base_url)
        tried += 1
    assert tried > 100 and dialled == [] and _written(lake) == 0


def test_a_base_url_is_refused_also_where_the_slice_is_there_already(settings: Settings, tmp_path: Path, dialled: list[str]) -> None:
    with serving({"/": response(html())}) as site:
        lake, source = _lake(settings, tmp_path), _source(base_url=site.url, seeds=["/"], allow_hosts=[site.host])
        first = fetch_slice(lake, source, Slice("raw", "x"))
        assert fetch_slice(lake, source, Slice("raw", "x")) == first
        for refresh in (False, True):
            with pytest.raises(ConfigError, match="not a place that the source lists"):
                fetch_slice(lake, source, Slice("raw", "x"), base_url="http://127.0.0.1:9", refresh=refresh)
    assert set(dialled) == {site.host}


def test_a_listed_mirror_is_fetched_and_the_capture_says_who_answered(settings: Settings, tmp_path: Path, dialled: list[str]) -> None:
    with serving({"/a": response(html("/b")), "/b": response(html(), b"x-crawl-answered-by: https://site.example")}) as mirror:
        allowed = {"mirrors": [mirror.url], "allow_hosts": [mirror.host]}
        source, lake = _source(base_url="https://site.example", seeds=["/a"], **allowed), _lake(settings, tmp_path)
        receipt = fetch_slice(lake, source, Slice("raw", "x"), base_url=mirror.url)
        assert f"fetched from {mirror.url}, a mirror of https://site.example" in receipt.notes
        rows = lake.read("captures", None).to_pylist()
        assert {r["url"] for r in rows} == {"https://site.example/a", "https://site.example/b"} and set(dialled) == {mirror.host}
        assert {r["answered_by"] for r in rows} == {mirror.url}
        whole = b"".join(lake.storage.read_bytes(r["warc_path"]) for r in rows[:1])
        fields = [line for line in gzip.decompress(whole).split(b"\r\n") if line.lower().startswith(ANSWERED_BY.encode())]
        assert fields == [f"{ANSWERED_BY}: {mirror.url}".encode()] * 2, "of each request, and of no response"
        assert read_warc_body(lake, rows[0]["warc_path"], rows[0]["warc_offset"], rows[0]["warc_length"])
    private = _source(base_url="https://site.example", seeds=["/a"], mirrors=["http://127.0.0.1:9"])
    dialled.clear()
    with pytest.raises(InputError, match="loopback address"):  # listed, but not among the private hosts that the source may reach
        fetch_slice(lake, private, Slice("raw", "y"), base_url="http://127.0.0.1:9")
    assert dialled == []


def test_the_sample_site_may_be_at_another_port_that_the_settings_name_and_nowhere_else() -> None:
    fetch = CrawlFetch(kind="crawl", base_url=SAMPLE_SITE, seeds=("/a",), allow_hosts=("127.0.0.1:8790",))
    assert site_of(fetch, sample_site="http://127.0.0.1:41234").actual == "http://127.0.0.1:41234"
    assert site_of(fetch, "http://127.0.0.1:41234", sample_site="http://127.0.0.1:41234").declared == SAMPLE_SITE
    other = CrawlFetch(kind="crawl", base_url="http://127.0.0.1:8443", seeds=("/a",))
    assert site_of(other, sample_site="http://127.0.0.1:41234").actual == "http://127.0.0.1:8443"
    for wrong in (
        "http://10.0.0.5:8500",
        "https://127.0.0.1:1",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1:1\n",
        "http://169.254.169.254:80",
    ):
        with pytest.raises(ConfigError, match="sample_site"):
            parse({"sample_site": wrong}, Settings, where="headrace.yaml")


@pytest.mark.parametrize("name", ["../evil/x", "..", "raw\n", "/etc/passwd", "raw.yaml", "RAW", "", "./raw", "a/../raw", "raw\0", "r" * 64])
def test_no_other_file_than_a_source_of_the_folder_is_read(tmp_path: Path, name: str) -> None:
    for folder in ("sources", "evil"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.yaml").write_text("id: x\n", encoding="utf-8")
    (tmp_path / "sources" / "raw.yaml").write_text("id: raw\n", encoding="utf-8")
    with pytest.raises(SourceError, match="no source"):
        get_source(tmp_path / "sources", name)
    with pytest.raises(ConfigError):
        Slice.parse(f"{name}/2026-11-01")
    with pytest.raises(ConfigError):
        Slice("raw", name if name not in ("RAW", "r" * 64) else f"{name}\n")


# -- what the site says ------------------------------------------------------------------------------------------------


def test_no_redirect_or_link_of_a_page_is_dialled_that_the_source_does_not_list(
    settings: Settings, tmp_path: Path, dialled: list[str]
) -> None:
    """The source allows its own host on loopback, and names hosts that are never to be reached, in the form in which they are judged."""
    routes: dict[str, Any] = {
        f"/r{n}": response(b"", b"Location: http://%s/" % p.encode(), status=b"302 Found") for n, p in enumerate(PLACES)
    }
    links = [f"http://{p}/linked" for p in PLACES]
    routes["/"] = response(html(*routes, *links))
    with serving(routes) as site:
        _crawled_without_leaving(settings, tmp_path, site)
    assert set(dialled) <= {site.host, "1.1.1.1:80"} and len(dialled) > 10
    assert not [d for d in dialled if d.startswith(("169.", "fe", "fd", "10.", "192.", "172.", "0.", "100.", "::"))]


def _crawled_without_leaving(settings: Settings, tmp_path: Path, site: RawSite) -> None:
    named = [p if p.rpartition(":")[2].isdigit() and not p.endswith("]") else f"{p}:80" for p in NEVER]
    lake = _lake(settings, tmp_path)
    source = _source(base_url=site.url, seeds=["/"], allow_hosts=[site.host, *named], same_host=False, timeout_seconds=4)
    receipt = fetch_slice(lake, source, Slice("raw", "x"))
    kept = lake.read("captures", None).to_pylist()
    assert [r["url"] for r in kept] == [f"{site.url}/"], "only the page itself was written under the source's name"
    assert receipt.counts.read > 60 and receipt.counts.read == 1 + receipt.counts.dropped + receipt.counts.failed


@pytest.mark.parametrize("place", NEVER)
def test_link_local_and_metadata_addresses_are_never_dialled_though_a_source_names_them(place: str) -> None:
    host = place.strip("[]")
    guard = AddressGuard([f"{host}:80", f"[{host}]:80", f"{place}:80"])
    with pytest.raises((AddressRefused, OSError)):
        asyncio.run(guard.checked(host, 80))


# -- files -----------------------------------------------------------------------------------------------------------


def _imported(settings: Settings, tmp_path: Path, **fetch: Any) -> Lake:
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written by the test", "evidence": {"text": "CC0"}}
    source = parse({"id": "raw", "title": "Raw", "licence": licence, "fetch": fetch}, Source, where="t")
    lake = Lake.open(settings.model_copy(update={"base": tmp_path, "policies": settings.resolve(settings.policies)}))
    fetch_slice(lake, source, Slice("raw", "x"))
    return lake


@pytest.mark.parametrize("link", ["file", "folder", "chain", "dots"])
@pytest.mark.parametrize("kind", ["folder", "jsonl"])
def test_what_a_link_among_matched_files_leads_to_outside_their_folder_is_not_imported(
    settings: Settings, tmp_path: Path, link: str, kind: str
) -> None:
    listed, secret = tmp_path / "listed", tmp_path / "secret"
    listed.mkdir()
    secret.mkdir()
    text = '{"text": "%s"}\n' % ("a page about sluices and gates " * 20)
    for folder in (listed, secret):
        (folder / "a.jsonl").write_text(text, encoding="utf-8")
        (folder / "a.txt").write_text("a page about sluices and gates " * 20, encoding="utf-8")
    name = "b.jsonl" if kind == "jsonl" else "b.txt"
    target = secret / name.replace("b", "a")
    if link == "folder":
        (listed / "more").symlink_to(secret)
    elif link == "chain":
        (listed / "hop").symlink_to(target)
        (listed / name).symlink_to("hop")
    else:
        (listed / name).symlink_to(target if link == "file" else Path("..") / "secret" / target.name)
    pattern = "*/*" if link == "folder" else "*"
    fetch = {"kind": "folder", "path": "listed", "glob": pattern} if kind == "folder" else {"kind": kind, "paths": [f"listed/{pattern}"]}
    if kind == "folder":  # a page of its own each: the others are kept
        lake = _imported(settings, tmp_path, **fetch | {"glob": "**/*.txt" if link != "folder" else "**/*"})
        assert not [
            r for r in lake.read("captures", None).to_pylist() if "secret" in r["url"] or r["url"].endswith(name) or "more" in r["url"]
        ]
        return
    with pytest.raises(InputError, match="a link that leads out of"):
        _imported(settings, tmp_path, **fetch)
    fetch = {"kind": "jsonl", "paths": [f"listed/{name}"]}
    if link != "folder":  # listed by its own path: the file says so
        assert _imported(settings, tmp_path, **fetch).read("captures", None).num_rows == 1


def test_links_within_the_folder_are_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "listed" / "deep").mkdir(parents=True)
    (tmp_path / "listed" / "deep" / "a.txt").write_text("a page about sluices and gates " * 20, encoding="utf-8")
    (tmp_path / "listed" / "b.txt").symlink_to("deep/a.txt")
    assert _imported(settings, tmp_path, kind="folder", path="listed").read("captures", None).num_rows == 2
