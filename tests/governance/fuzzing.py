"""Seeded hostile responses, records, rules and feeds among good ones: the good ones are kept, whatever the others are.

`make fuzz` runs this as a script with thousands; `test_hostile_bytes` runs a fixed few.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from headrace_governance.acquire.crawl.licence import TdmReservations
from headrace_governance.acquire.crawl.robots import for_status
from headrace_governance.acquire.importers.readers import read_jsonl, read_parquet
from headrace_governance.acquire.importers.warc import read_warc
from headrace_governance.containers.item import Item, Reading
from headrace_governance.sources.source import Source
from headrace_governance.text.formats.registry import read_records
from headrace_lake.errors import HeadraceError

WORDS = "The sluice keeps the water of the mill pond until the wheel is wanted. " * 8
HOSTS = [
    "..",
    "....",
    "a..b",
    "a" * 64 + ".com",
    "a" * 300 + ".com",
    "127。0。0。1",
    "xn--\xff.com",
    "[fec0::1]",
    "[::ffff:127.0.0.1]",
    "[",
    "%",
    "\x00",
]
_PIECES = [
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"<", b">", b"&#x110000;", b"&#" + b"9" * 5000 + b";", b"9" * 5000, b"-" * 300, b"\r", b"\n\n",
    b"<![CDATA[",    b"<!--", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"\xe2\x80\xae", b"charset=" + b" " * 500, b"rel=" * 200,
    b"(" * 500, b"{{" * 300,
    b"<a " + b"b=1 " * 300, b"'", b'"',
    b"\x1b]52;c;x\x07", b"%00", b"%", b"http://a..b/", b"[" * 900, b"\xf0\x9f\x98\x80",
]  # fmt: skip


def damaged(rng: random.Random, data: bytes, spared: bytes = b"") -> bytes:
    """The bytes with one to four changes; none holds what is `spared`."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at : at + rng.randint(1, 40)]
            case 2:
                out[at:at] = rng.choice(_PIECES)
            case 3:
                out[at:at] = out[max(0, at - 60) : at] * rng.randint(1, 4)
            case _:
                out[at : at + 8] = rng.choice(_PIECES)[:8]
    return bytes(out) if not spared or spared not in out else data.replace(b"Title", b"\x00")


# -- records ---------------------------------------------------------------------------------------------------------


def _warc(uri: str, body: bytes, rng: random.Random | None = None) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Title: x\r\n\r\n" + body
    if rng is not None:
        http = damaged(rng, http, b"WARC/")
    head = f"WARC-Target-URI: {uri}\r\nWARC-Date: 2020-01-01T00:00:00Z\r\nContent-Type: application/http\r\n".encode()
    if rng is not None:
        head = damaged(rng, head, b"WARC/").replace(b"\r\n\r\n", b"\r\n")
    return b"WARC/1.0\r\nWARC-Type: response\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(http) + http + b"\r\n\r\n"


def _page(number: int, title: str) -> bytes:
    return (
        f"<page><title>{title}</title><ns>0</ns><id>{number}</id><revision><id>1</id><timestamp>2020-01-01T00:00:00Z</timestamp>"
        f"<model>wikitext</model><text>{WORDS}</text></revision></page>\n"
    ).encode()


def _entry(number: int, title: str) -> bytes:
    return f"<item><title>{title}</title><link>http://site.example/{title}</link><description>{WORDS}</description></item>\n".encode()


def _row(number: int, title: str) -> bytes:
    return (
        f'<row Id="{number}" PostTypeId="1" Score="1" CreationDate="2020-01-01T00:00:00.000" Title="{title}" Body="{WORDS}" />\n'.encode()
    )


def _article(number: int, title: str) -> bytes:
    return (
        f'<article><front><article-meta><article-id pub-id-type="doi">10.1/{title}</article-id></article-meta></front>'
        f"<body><p>{WORDS}</p></body></article>"
    ).encode()


def _within(head: bytes, foot: bytes, make: Callable[[int, str], bytes], spared: bytes) -> Callable[[random.Random, list[str]], bytes]:
    """A file of good records and, between them, damaged ones (whose titles begin with `bad`)."""

    def file(rng: random.Random, titles: list[str]) -> bytes:
        out = [head]
        for number, title in enumerate(titles, start=1):
            record = make(number, title)
            out.append(_closed(rng, record, spared) if title.startswith("bad") else record)
        return b"".join([*out, foot])

    return file


def _closed(rng: random.Random, record: bytes, end: bytes) -> bytes:
    """A damaged record whose own end tag still stands, so that it is one record."""
    start = record.index(b">") if end != b"/>" else 5
    inner = damaged(rng, record[start + 1 : record.rindex(end)], end)
    for word in (b"<page", b"<item", b"<row", b"</rss", b"</posts", b"</mediawiki"):
        inner = inner.replace(word, b"<x")
    return record[: start + 1] + inner + end + b"\n"


def _paper(number: int, title: str) -> bytes:
    return (
        f"\\documentclass{{article}}\\newcommand{{\\w}}[1]{{#1 wheel}}\\title{{{title}}}\\begin{{document}}\\maketitle\n"
        f"\\section{{Mills}} {WORDS} $P = \\rho g Q H$ \\w{{the}}\n\\end{{document}}\n"
    ).encode()


def _book(number: int, title: str) -> bytes:
    return (
        f"The Project Gutenberg eBook of {title}\n\nTitle: {title}\nAuthor: Nobody\n"
        f"Release date: 2020 [eBook #{number}]\nLanguage: English\n\n"
        f"*** START OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\n\nCHAPTER I.\n\n{WORDS}\n\nCHAPTER II.\n\n{WORDS}\n\n"
        f"*** END OF THE PROJECT GUTENBERG EBOOK {title.upper()} ***\n"
    ).encode()


def _law(number: int, title: str) -> bytes:
    return (
        f'<akomaNtoso xmlns="http://docs.oasis-open.org/legaldocml/ns/akn/3.0"><act><meta><identification source="#x"><FRBRWork>'
        f'<FRBRthis value="/akn/xx/act/{title}"/><FRBRuri value="/akn/xx/act/{title}"/></FRBRWork></identification></meta>'
        f"<body><section><num>1</num><heading>Mills</heading><content><p>{WORDS}</p></content></section></body></act></akomaNtoso>"
    ).encode()


SINGLE: dict[str, tuple[str, Callable[[int, str], bytes]]] = {
    "jats": (".xml", _article),
    "latex": (".tex", _paper),
    "gutenberg": (".txt", _book),
    "legal": (".xml", _law),
}
"""Formats of one record a file, damaged anywhere."""

FILES: dict[str, tuple[str, Callable[[random.Random, list[str]], bytes]]] = {
    "wikipedia": (
        "dump.xml",
        _within(
            b"<mediawiki xml:lang='en'><siteinfo><base>http://site.example/wiki/Main</base></siteinfo>\n",
            b"</mediawiki>\n",
            _page,
            b"</page>",
        ),
    ),
    "news": ("feed.xml", _within(b"<rss><channel><title>x</title>\n", b"</channel></rss>\n", _entry, b"</item>")),
    "stackexchange": ("Posts.xml", _within(b"<posts>\n", b"</posts>\n", _row, b"/>")),
}
"""Formats of many records a file; what is damaged keeps its own start and end, so that the next record's place is certain."""


def read(kind: str, files: list[Path], base: Path, **options: Any) -> list[Item]:
    """All items of an import of these files."""
    licence = {"id": "CC0-1.0", "class": "public", "basis": "x", "evidence": {"text": "x"}, "covers_silent_records": "x"}
    source = Source.model_validate({"id": "fuzz", "licence": licence, "fetch": {"kind": kind, "paths": [str(f) for f in files], **options}})
    fetch: Any = source.fetch
    if kind == "warc":
        return list(read_warc(fetch, files, Reading()))
    if kind == "jsonl":
        return list(read_jsonl(fetch, files))
    if kind == "parquet":
        return list(read_parquet(fetch, files))
    return list(read_records(fetch, files, base))


def records(seed: int, count: int, folder: Path) -> Counter[str]:
    """So many damaged records of each importer that reads many from a file, each with a good one beside it.

    Raises:
        AssertionError: a good one was lost.
    """
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    titles = [f"{'bad' if n % 2 else 'good'}{n}" for n in range(2 * count)]
    good = {t for t in titles if t.startswith("good")}
    options: dict[str, dict[str, Any]] = {"stackexchange": {"site": "http://site.example", "require_answer": False}}
    for kind, (name, make) in FILES.items():
        file = folder / name
        file.write_bytes(make(rng, titles))
        items = read(kind, [file], folder, **options.get(kind, {}))
        assert len(kept := _kept(items, good)) == len(good), f"{kind}: {sorted(good - kept)[:5]} lost, seed {seed}"
        seen.update(f"{kind} {i.problem[0] if i.problem else 'kept'}" for i in items)
    file = folder / "pages.warc.gz"
    with file.open("wb") as out:
        for title in titles:
            bad = title.startswith("bad")
            out.write(gzip.compress(_warc(f"http://site.example/{title}", WORDS.encode(), rng if bad else None), 1))
    items = read("warc", [file], folder)
    assert len(kept := _kept(items, good)) == len(good), f"warc: {sorted(good - kept)[:5]} lost, seed {seed}"
    seen.update(f"warc {i.problem[0] if i.problem else 'kept'}" for i in items)
    file = folder / "rows.jsonl"
    lines = [json.dumps({"text": WORDS, "url": f"http://site.example/{t}"}).encode() for t in titles]
    file.write_bytes(b"\n".join(damaged(rng, x).replace(b"\n", b" ") if b"/bad" in x else x for x in lines) + b"\n")
    items = read("jsonl", [file], folder, url="url")
    assert len(kept := _kept(items, good)) == len(good), f"jsonl: {sorted(good - kept)[:5]} lost, seed {seed}"
    seen.update(f"jsonl {i.problem[0] if i.problem else 'kept'}" for i in items)
    seen.update(_parquet(rng, titles, good, folder, seed))
    for kind, (suffix, make_one) in SINGLE.items():
        inside = folder / kind
        inside.mkdir(exist_ok=True)
        files = []
        for number, title in enumerate(titles[: count // 4 * 2], start=1):
            files.append(inside / f"{title}{suffix}")
            record = make_one(number, title)
            files[-1].write_bytes(damaged(rng, record) if title.startswith("bad") else record)
        items = read(kind, files, folder, **({"base_url": "http://site.example/"} if kind == "legal" else {}))
        expected = {f.stem for f in files} & good
        numbers = {str(n): t for n, t in enumerate(titles, start=1)} if kind == "gutenberg" else {}
        kept = _kept(items, expected) | {numbers.get(i.url.rpartition("/")[2], "") for i in items if i.problem is None} & expected
        assert kept == expected, f"{kind}: {sorted(expected - kept)[:5]} lost, seed {seed}"
        seen.update(f"{kind} {i.problem[0] if i.problem else 'kept'}" for i in items)
    return seen


def _parquet(rng: random.Random, titles: list[str], good: set[str], folder: Path, seed: int) -> Counter[str]:
    """Rows whose values are damaged bytes, in one file; then whole files with damaged bytes, each read or refused by name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def value(title: str, data: bytes) -> bytes:
        return damaged(rng, data) if title.startswith("bad") else data

    rows = {
        "text": pa.array([value(t, WORDS.encode()) for t in titles], pa.binary()),
        "url": pa.array([value(t, f"http://site.example/{t}".encode()) for t in titles], pa.binary()),
        "language": pa.array([value(t, b"en") for t in titles], pa.binary()),
    }
    file = folder / "rows.parquet"
    pq.write_table(pa.table(rows), file, compression="zstd", row_group_size=100)
    columns = {"url": "url", "language": "language"}
    items = read("parquet", [file], folder, **columns)
    assert len(kept := _kept(items, good)) == len(good), f"parquet: {sorted(good - kept)[:5]} lost, seed {seed}"
    seen = Counter(f"parquet {i.problem[0] if i.problem else 'kept'}" for i in items)
    small = folder / "small.parquet"
    pq.write_table(pa.table({name: column.slice(0, 8) for name, column in rows.items()}), small, compression="zstd", row_group_size=4)
    whole = small.read_bytes()
    for _ in range(len(titles) // 8):
        small.write_bytes(damaged(rng, whole))
        try:
            read("parquet", [small], folder, **columns)
            seen["parquet file read"] += 1
        except HeadraceError as exc:
            assert small.name in str(exc), exc
            seen["parquet file refused"] += 1
    return seen


def _kept(items: Iterable[Item], good: set[str]) -> set[str]:
    return {
        title
        for i in items
        if (i.problem is None and (title := i.url.rpartition("/")[2]) in good) or (i.problem is None and (title := _title(i)) in good)
    }


def _title(item: Item) -> str:
    at = item.body.find(b'Title="')
    return item.body[at + 7 : item.body.find(b'"', at + 7)].decode("utf-8", "replace") if at >= 0 else ""


def rules(seed: int, count: int) -> None:
    """So many damaged robots.txt and tdmrep.json: each gives an answer for each address."""
    rng = random.Random(seed)
    robots = b"User-agent: *\nDisallow: /a*b$\nAllow: /*.html\nCrawl-delay: 1\n\nUser-agent: HeadraceBot\nDisallow: /private\nSitemap: http://a/\n"
    tdmrep = b'[{"location": "/a*b", "tdm-reservation": 1}, {"location": "/", "tdm-reservation": 0, "tdm-policy": "x"}]'
    for _ in range(count):
        read_rules = for_status(200, damaged(rng, robots))
        reservations = TdmReservations(damaged(rng, tdmrep))
        for path in ("/", "/a?b=%3A", "/private/x.html"):
            assert read_rules.allowed(f"http://h{path}", "HeadraceBot") in (True, False)
            assert read_rules.crawl_delay("HeadraceBot") >= 0
            assert reservations.reserves(f"http://h{path}") in (True, False)


def feeds(seed: int, count: int, folder: Path) -> int:
    """So many feeds damaged anywhere: each is read, or refused by name; how many gave an item."""
    rng = random.Random(seed)
    whole = FILES["news"][1](rng, ["good1", "good2"])
    given = 0
    for number in range(count):
        file = folder / f"feed{number % 16}.xml"
        file.write_bytes(damaged(rng, whole))
        try:
            given += any(i.problem is None for i in read("news", [file], folder))
        except HeadraceError as exc:
            assert file.name in str(exc)
    return given


def answers(seed: int, count: int) -> tuple[dict[str, bytes], set[str]]:
    """Raw responses by target, and which of them are good: a tenth. The index links to all."""
    rng = random.Random(seed)
    good_page = f"<html><head><title>x</title></head><body><p>{WORDS}</p></body></html>".encode()
    routes: dict[str, bytes] = {}
    good: set[str] = set()
    for number in range(count):
        target = f"/{number}"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nLink: <x>; rel=next\r\n"
        body = good_page
        if number % 10 == 0:
            good.add(target)
            routes[target] = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            continue
        match rng.randrange(5):
            case 0:
                host = rng.choice(HOSTS).encode("utf-8", "surrogateescape")
                where = b"http://" + host + b"/" if rng.random() < 0.8 else rng.choice(_PIECES)
                routes[target] = (
                    b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: " + where.replace(b"\n", b"") + b"\r\n\r\n"
                )
                continue
            case 1:
                head = damaged(rng, head)
            case 2:
                head += b"Content-Encoding: " + rng.choice([b"gzip", b"br", b"zstd", b"deflate", b"x", b"\xff"]) + b"\r\n"
            case 3:
                body = damaged(rng, body)
            case _:
                head, body = damaged(rng, head), damaged(rng, body)
        length = b"" if rng.random() < 0.2 else b"Content-Length: %d\r\n" % (len(body) + (rng.random() < 0.1))
        routes[target] = head.removesuffix(b"\r\n") + b"\r\n" + length + b"\r\n" + body
    return routes, good


def crawl(seed: int, count: int, folder: Path) -> Counter[str]:
    """A crawl of a site with so many responses, most of them hostile; how many of each outcome.

    Raises:
        AssertionError: a good page was lost.
    """
    from raw_site import crawled, html, response, serving

    from headrace_lake.settings import Settings

    routes, good = answers(seed, count)
    checkout = Path(__file__).resolve().parents[2]
    settings = Settings.model_validate({"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")})
    site_routes: Any = {"/": response(html(*routes)), **routes}
    with serving(site_routes) as site:
        manners = {"retries": 0, "concurrency_per_host": 16, "max_links_of_page": count + 10, "idle_seconds": 1.0}
        got = crawled(settings, site, manners=manners, max_pages=count + 10, timeout_seconds=3)
    assert good <= got.kept, f"{sorted(good - got.kept)[:5]} lost, seed {seed}: {[got.lost.get(t) for t in sorted(good - got.kept)[:5]]}"
    return Counter({"kept": len(got.kept), **Counter(got.lost.values())})


def main() -> int:
    """Print how many of what were tried."""
    options = argparse.ArgumentParser(description="Hostile responses, records, rules and feeds among good ones.")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--responses", type=int, default=5000)
    options.add_argument("--records", type=int, default=1000, help="damaged ones of each importer")
    options.add_argument("--rules", type=int, default=1000)
    options.add_argument("--feeds", type=int, default=1000)
    given = options.parse_args()
    sys.path.append(str(Path(__file__).parent))
    with tempfile.TemporaryDirectory(prefix="headrace-fuzz-") as name:
        folder = Path(name)
        for title, act in (
            ("records", lambda: records(given.seed, given.records, folder)),
            ("rules", lambda: rules(given.seed, given.rules)),
            ("feeds", lambda: feeds(given.seed, given.feeds, folder)),
            ("responses", lambda: crawl(given.seed, given.responses, folder)),
        ):
            start = time.process_time()
            result: Any = act()
            taken = time.process_time() - start
            print(
                f"{title}: {getattr(given, title)}, {taken:.1f} s of processor time: {result or 'every one answered'}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
