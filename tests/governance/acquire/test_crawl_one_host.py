"""One crawl delay for a host: two processes and one that is killed, on SQLite and Postgres; the server's log is the witness."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from patience import PATIENCE_S
from raw_site import RawSite, crawled, html, response, robots, serving
from servers import postgres_catalog

from headrace_governance.acquire.crawl.slots import HostSlots, SlotStore
from headrace_governance.acquire.crawl.urls import host_and_port, host_key, normal_url
from headrace_lake.errors import LakeError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings

DELAY = 0.2
HOST = "mill.example"
RUN = """
import sys, time
from pathlib import Path
from headrace_governance.acquire.crawl.run import crawl_slice
from headrace_governance.sources.source import load_source
from headrace_lake.lake import Lake
from headrace_lake.settings import load_settings
from headrace_lake.slices import Slice
source, lake = load_source(sys.argv[2]), Lake.open(load_settings(sys.argv[1]))
Path(sys.argv[2] + ".ready").touch()
while not Path(sys.argv[2]).with_name("go").exists():
    time.sleep(0.01)
crawl_slice(lake, source, Slice(source.id, "2026-11-01"))
"""


@contextlib.contextmanager
def catalog(kind: str, tmp_path: Path) -> Iterator[str]:
    """The address of an empty catalog."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'catalog.db'}"
    else:
        with postgres_catalog() as address:
            yield address


def start(site: RawSite, name: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    """A crawl of the pages below `/NAME/` in a process of its own."""
    fetch = {"kind": "crawl", "seeds": [f"{site.url}/{name}/"], "delay_seconds": 0, "timeout_seconds": 3, "allow_hosts": [site.host]}
    licence = {"id": "CC0-1.0", "class": "public", "basis": "written by the test", "evidence": {"url": f"{site.url}/{name}/licence"}}
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"id": name, "licence": licence, "fetch": fetch}), encoding="utf-8")
    return subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "headrace.yaml"), str(file)])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_crawls_of_one_host_in_three_processes_keep_its_delay_though_one_is_killed(kind: str, settings: Settings, tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    routes: dict[str, object] = {"/robots.txt": robots(f"User-agent: *\nCrawl-delay: {DELAY}\n")}
    for name in names:
        pages = [f"/{name}/{i}" for i in range(20 if name != "three" else 60)]
        routes |= {f"/{name}/": response(html(*pages)), f"/{name}/licence": response(b"CC0", kind=b"text/plain")}
        routes |= {page: response(html()) for page in pages}
    with catalog(kind, tmp_path) as address, serving(routes) as site:  # type: ignore[arg-type]
        settings = settings.model_copy(update={"lake": settings.lake.model_copy(update={"catalog": address})})
        (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
        Lake.open(settings).table("captures")
        crawls = {name: start(site, name, tmp_path) for name in names}
        try:
            while not all((tmp_path / f"{name}.yaml.ready").exists() for name in names):
                assert all(p.poll() is None for p in crawls.values())
                time.sleep(0.02)
            (tmp_path / "go").touch()
            while sum(t.startswith("/three/") for t in site.targets()) < 2:
                time.sleep(0.01)
            crawls["three"].kill()
            crawls["three"].wait()
            killed = time.time()
            assert [crawls[name].wait(PATIENCE_S) for name in ("one", "two")] == [0, 0]
        finally:
            for process in crawls.values():
                process.kill()
                process.wait()
        lake = Lake.open(settings)
        assert {row["source"] for row in lake.read("captures", columns=["source"]).to_pylist()} == {"one", "two"}
        evidence = [note for r in lake.receipts() for note in r.notes if note.startswith("licence evidence")]
        assert len(evidence) == 2 and all("sha256 " in note for note in evidence)
        lake.catalog.engine.dispose()
    assert {target.split("/")[1] for target, at in site.seen if at > killed} >= {"one", "two"}
    whose = [target.split("/")[1] for target in site.targets()]
    assert sum(a != b for a, b in pairwise(whose)) >= 8, "they take turns"
    assert [target for target, _ in site.seen].count("/robots.txt") == 3
    gaps = [b[1] - a[1] for a, b in pairwise(site.seen)]
    assert len(gaps) >= 25 and min(gaps) >= DELAY, sorted(gaps)[:5]


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{tmp_path / 'catalog.db'}?timeout=0.05")


def two(engine: sa.Engine) -> tuple[HostSlots, HostSlots]:
    """Two crawls that share a database."""
    return HostSlots(SlotStore(engine)), HostSlots(SlotStore(engine))


async def ask(slots: HostSlots, delay: float, *, seconds: float = 5.0, lasts: float = 0.0) -> tuple[float, float]:
    """One request: when it began and ended."""
    async with slots.slot(HOST, delay, seconds):
        began = time.monotonic()
        await asyncio.sleep(lasts)
        return began, time.monotonic()


def test_the_delay_counts_from_the_end_of_a_request_and_two_crawls_take_turns(engine: sa.Engine) -> None:
    asked: list[tuple[float, float, str]] = []

    async def crawl(slots: HostSlots, name: str) -> None:
        while len(asked) < 24:
            asked.append((*await ask(slots, 0.1, lasts=0.02), name))

    async def main() -> None:
        first, second = two(engine)
        await asyncio.gather(crawl(first, "a"), crawl(second, "b"))

    asyncio.run(main())
    assert min(b[0] - a[1] for a, b in pairwise(asked)) >= 0.1
    names = [name for _, _, name in asked[:24]]
    assert 7 <= names.count("a") <= 17 and "aaaaaa" not in "".join(names) and "bbbbbb" not in "".join(names)


def test_the_slot_of_a_crawl_that_never_came_back_runs_out_and_no_sooner(engine: sa.Engine) -> None:
    began = time.monotonic()
    assert SlotStore(engine).claim(HOST, "killed", 0.1, 0.6)
    start_of_next, _ = asyncio.run(ask(HostSlots(SlotStore(engine)), 0.1))
    assert 0.59 <= start_of_next - began < PATIENCE_S


def test_a_request_that_outlives_its_slot_does_not_cut_short_the_next_ones(engine: sa.Engine) -> None:
    store = SlotStore(engine)
    assert store.claim(HOST, "slow", 0.0, 0.05)
    time.sleep(0.1)
    assert store.claim(HOST, "next", 0.0, 800.0)
    store.settle(HOST, "slow", 0.1)
    seen = store.look(HOST)
    assert seen is not None and seen.free_in > 400 and not store.claim(HOST, "third", 0.0, 1.0)
    store.settle(HOST, "next", 300.0)
    seen = store.look(HOST)
    assert seen is not None and 0 < seen.free_in <= 300.01


def test_the_longer_of_two_delays_holds_for_whoever_asks_for_it_and_after_them(engine: sa.Engine) -> None:
    async def main() -> list[float]:
        patient, hasty = two(engine)
        _, end = await ask(patient, 0.5)
        began, end_of_hasty = await ask(hasty, 0.05)
        began_again, _ = await ask(patient, 0.5)
        return [began - end, began_again - end_of_hasty]

    assert min(asyncio.run(main())) >= 0.5


def test_a_rest_that_a_host_asks_one_crawl_for_holds_for_the_others(engine: sa.Engine) -> None:
    async def main() -> tuple[float, float]:
        first, second = two(engine)
        began = time.monotonic()
        await first.rest(HOST, 0.6)
        await second.rested(HOST)
        waited = time.monotonic() - began
        began = time.monotonic()
        await second.rest(HOST, 0.5)
        started, _ = await ask(first, 0.0)
        return waited, started - began

    waited, waited_with_delay = asyncio.run(main())
    assert 0.58 <= waited < PATIENCE_S and 0.48 <= waited_with_delay < PATIENCE_S


def test_a_locked_database_makes_a_crawl_wait_and_one_that_stays_locked_ends_it(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(ask(HostSlots(SlotStore(engine)), 0.01))
    lock = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.7, lambda: lock.execute("ROLLBACK")).start()
    began = time.monotonic()
    started, _ = asyncio.run(ask(HostSlots(SlotStore(engine)), 0.01))
    assert started - began >= 0.6
    lock.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("headrace_governance.acquire.crawl.slots._PATIENCE", 0.3)
    with pytest.raises(LakeError, match=r"did not answer.*locked.*goes on where it was"):
        asyncio.run(ask(HostSlots(SlotStore(engine)), 0.01))
    lock.close()


def test_a_clock_that_was_set_back_stops_no_crawl(engine: sa.Engine) -> None:
    store = SlotStore(engine)
    assert store.claim(HOST, "before", 0.0, 1.0)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE crawl_hosts SET free_at = free_at + 7200, last_at = last_at + 7200, resume_at = free_at + 7200"))
    began = time.monotonic()
    started, _ = asyncio.run(ask(HostSlots(store), 0.3))
    assert 0.28 <= started - began < PATIENCE_S


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://Mill.Example./a", "mill.example"),
        ("https://mill.example/", "mill.example"),
        ("http://mill.example:80/", "mill.example"),
        ("http://mill.example:8080/", "mill.example:8080"),
        ("https://mill.example:8080/", "mill.example:8080"),
        ("http://[::1]:81/", "::1:81"),
        ("http://weir.mill.example/", "weir.mill.example"),
    ],
)
def test_a_host_has_one_slot_whatever_its_address_is_written_like(url: str, key: str) -> None:
    assert host_key(*host_and_port(normal_url(url))) == key


def test_pages_are_given_up_unasked_once_a_host_refuses_again_and_again_for_long(settings: Settings) -> None:
    busy = response(b"", b"Retry-After: 3600", status=b"429 Slow down")
    pages = [f"/{i}" for i in range(9)]
    with serving({"/": response(html(*pages)), **dict.fromkeys(pages, busy)}) as site:
        got = crawled(settings, site, manners={"max_retry_after_seconds": 0.1})
    assert len(site.targets()) < 9 and set(got.lost) == set(pages)
    assert sorted(set(got.lost.values())) == ["http_status", "retry_after"]
    assert any(note.startswith("not kept: ") and "retry_after" in note for note in got.receipt.notes)


def test_other_files_of_the_catalog_are_left_alone(settings: Settings) -> None:
    """The table of hosts is none of Iceberg's: the lake lists its own tables as before."""
    with serving({"/": response(html())}) as site:
        got = crawled(settings, site)
    tables = {name for _, name in got.lake.catalog.list_tables("headrace")}
    assert "captures" in tables and "crawl_hosts" not in tables
    assert "crawl_hosts" in sa.inspect(got.lake.catalog.engine).get_table_names()
    shutil.rmtree(settings.resolve(settings.runs), ignore_errors=True)
