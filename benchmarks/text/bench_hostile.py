"""What hostile input costs: time and memory of every kind of page, rule file, address and bomb that once ended a crawl or an import.

    python benchmarks/text/bench_hostile.py [--megabytes 1500] [--part pages]      (or rules, locations, bombs, texts)

No peer: the bars are milliseconds a megabyte, and 300 MB. Inputs are made here, from nothing but their description.

pages: each at 4 KB to 1 MiB through the three places that read foreign HTML: the head that an import looks at for licences (`import`), the
links of a crawled page (`crawl`), and what the stage `extract` decodes and converts (`extract`). By the clock, a child process included;
`given up` where the child reached its limits and the page was dropped with its reason.
rules: robots.txt and tdmrep.json at their limits of size: reading one, then each address.
locations: a site that redirects pages and robots.txt to each of them; what the crawl kept and under what reason it dropped the rest.
bombs: each in a process of its own; peak memory of that process altogether.
texts: a gate's reason, a title, a field of a source as terminal, Markdown and HTML show them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace_governance.acquire.crawl.licence import TdmReservations
from headrace_governance.acquire.crawl.page_process import HostilePage, PageProcess
from headrace_governance.acquire.crawl.pages import LinkLimits
from headrace_governance.acquire.crawl.robots import for_status
from headrace_governance.encoding.decode import decode
from headrace_governance.text import parser_process
from headrace_governance.text.extract import ExtractParams
from headrace_lake.foreign_text import html, markdown, terminal
from headrace_lake.settings import Settings

HELPERS = Path(__file__).parents[2] / "tests" / "governance"
PARTS = ("pages", "rules", "locations", "bombs", "texts")
KB, MB = 1 << 10, 1 << 20


def repeated(piece: bytes, size: int, head: bytes = b"", tail: bytes = b"") -> bytes:
    """So many bytes of a piece between two others."""
    return head + (piece * (size // len(piece) + 1))[:size] + tail


def numbered(template: bytes, size: int, head: bytes = b"", tail: bytes = b"") -> bytes:
    """So many bytes of a template with a running number."""
    out, at = [head], 0
    while at < size:
        out.append(template % len(out))
        at += len(out[-1])
    return b"".join([*out, tail])


PAGES: dict[str, Callable[[int], bytes]] = {
    "<meta repeated, charset= and spaces": lambda n: (b"<meta" * (n // 50) + b"charset=" + b" " * n)[:n],
    "<META repeated, http-equiv and tabs": lambda n: (
        b"<META" * (n // 50) + b"http-equiv=content-type content='text/html;charset=" + b"\t" * n
    )[:n],
    "<?xml, encoding= and spaces": lambda n: (b"<?xml " * (n // 60) + b"encoding=" + b" " * n)[:n],
    "@charset repeated": lambda n: repeated(b'@charset "', n),
    "charset= and spaces": lambda n: repeated(b" ", n, b"<p>charset=", b"<"),
    "charset= and line ends": lambda n: repeated(b"\r\n", n, b"<p>charset=", b"<"),
    "charset= and NULs": lambda n: repeated(b"\x00", n, b"<p>charset=", b"<"),
    "charset= repeated": lambda n: repeated(b"charset=", n),
    "the same in UTF-16": lambda n: ("<p>charset=" + " " * (n // 2)).encode("utf-16"),
    "rel= repeated": lambda n: repeated(b"rel=", n),
    "rel = repeated": lambda n: repeated(b"rel =", n),
    "rel='license repeated": lambda n: repeated(b"rel='license", n),
    "property= repeated": lambda n: repeated(b"property=", n),
    "<a rel= repeated": lambda n: repeated(b"<a rel=", n),
    "<base quotes": lambda n: repeated(b"'\"", n, b"<base"),
    "an address without an end": lambda n: repeated(b"a", n, b"<a href='http://"),
    "attributes of a": lambda n: numbered(b"a%d=1 ", n, b"<p><a ", b">x</a>"),
    "attributes of meta": lambda n: numbered(b"a%d=1 ", n, b"<meta ", b">x"),
    "attributes of html": lambda n: numbered(b"a%d ", n, b"<html ", b">x"),
    "attributes of img, quoted": lambda n: numbered(b"a%d='x' ", n, b"<p><img ", b">x"),
    "links": lambda n: numbered(b"<a href='/%d/" + b"a" * 180 + b"'>x</a>", n, b"<base href='http://h/'>"),
    "areas": lambda n: numbered(b"<area href='/%d'>", n),
    "links in the head": lambda n: numbered(b"<link rel=license href='/%d'>", n),
    "JSON-LD of brackets": lambda n: repeated(b"[", n, b"<script type=application/ld+json>", b"</script>"),
    "JSON-LD of digits": lambda n: repeated(b"9", n, b'<script type=application/ld+json>{"license":', b"}</script>"),
    "div within div": lambda n: repeated(b"<div>", n),
    "b within i": lambda n: repeated(b"<b><i>", n),
    "tables within tables": lambda n: repeated(b"<table><tr><td>", n),
    "lists within lists": lambda n: repeated(b"<ul><li>x", n),
    "<!-- repeated": lambda n: repeated(b"<!--", n),
    "< repeated": lambda n: repeated(b"<", n),
    "</ repeated": lambda n: repeated(b"</", n),
    "<![CDATA[ repeated": lambda n: repeated(b"<![CDATA[", n),
    "& repeated": lambda n: repeated(b"&", n),
    "&#9...": lambda n: repeated(b"9", n, b"<p>&#", b";"),
    "<script> repeated": lambda n: repeated(b"<script>", n),
    "one word": lambda n: repeated(b"a", n, b"<p>"),
    "spaces": lambda n: repeated(b" ", n, b"<p>x", b"x"),
    "<br> repeated": lambda n: repeated(b"<br>", n, b"<p>x"),
    "copyright notices": lambda n: repeated(b"(c) 2020 ", n, b"<footer>"),
    "licence words": lambda n: repeated(b"creative commons ", n, b"<footer>"),
    "CC repeated": lambda n: repeated(b"CC-BY-", n, b"<footer>"),
}
SIZES = {"4 KB": 4 * KB, "128 KB": 128 * KB, "1 MiB": MB}


def pages() -> None:
    """Each page through the three readers."""
    process = PageProcess()
    params = ExtractParams()
    print(f"{'page':40}{'size':>8}{'import':>22}{'crawl':>22}{'extract':>22}   (milliseconds)")
    slowest: Counter[str] = Counter()
    parser = parser_process.borrow(params.page_seconds, params.parser_memory_bytes)
    parser.ask([parser_process.page(b"<p>warm</p>", xml=False)])
    process.page("http://h/", b"<p>warm</p>", "utf-8", "", LinkLimits())

    def extract(body: bytes) -> str:
        decoded = decode(body, None, html=True)
        [answer] = parser.ask([parser_process.page(decoded.text.encode("utf-8", "replace"), xml=False)])
        return "given up" if answer is None or answer.get("hostile") is not None else ""

    def given_up(act: Callable[[], Any]) -> str:
        try:
            act()
        except HostilePage:
            return "given up"
        return ""

    for name, make in PAGES.items():
        for label, size in SIZES.items():
            body, cells = make(size), []
            readers: dict[str, Callable[[], str]] = {
                "import": lambda body=body: given_up(lambda: process.facts("http://h/", body, "utf-8")),
                "crawl": lambda body=body: given_up(lambda: process.page("http://h/", body, "utf-8", "", LinkLimits())),
                "extract": lambda body=body: extract(body),
            }
            for reader, act in readers.items():
                start = time.perf_counter()
                said = act()
                taken = 1000 * (time.perf_counter() - start)
                slowest[reader] = max(slowest[reader], round(taken))
                cells.append(f"{said} {taken:,.0f}".strip())
            print(f"{name:40}{label:>8}" + "".join(f"{c:>22}" for c in cells), flush=True)
    print("slowest:", ", ".join(f"{reader} {ms:,} ms" for reader, ms in slowest.items()))
    parser_process.hand_back(parser)
    process.close()


RULES: dict[str, bytes] = {
    "robots.txt, /*a1*b": numbered(b"Disallow: /*a%d*b\n", 500 * KB, b"User-agent: *\n")[: 500 * KB],
    "robots.txt, Allow: /*a1*b$": numbered(b"Allow: /*a%d*b$\n", 500 * KB, b"User-agent: *\n")[: 500 * KB],
    "robots.txt, one rule of *a": repeated(b"*a", 500 * KB, b"User-agent: *\nDisallow: /"),
    "robots.txt, /%2A1*%62": numbered(b"Disallow: /%%2A%d*%%62\n", 500 * KB, b"User-agent: *\n")[: 500 * KB],
    "robots.txt, groups": numbered(b"User-agent: b%d\nDisallow: /*x\n", 500 * KB)[: 500 * KB],
    "tdmrep.json, /a*b1c*d": b"[%s]" % b",".join(b'{"location":"/a*b%dc*d","tdm-reservation":0}' % i for i in range(20_000)),
    "tdmrep.json, one of *a": b'[{"location":"/%s","tdm-reservation":1}]' % (b"*a" * 400_000),
    "tdmrep.json, brackets": b"[" * 1_000_000,
}


def rules() -> None:
    """Reading each file, then each of some addresses that nearly match."""
    print(f"{'file':40}{'bytes':>10}{'read, ms':>12}{'an address, ms':>18}")
    addresses = [f"http://h/{'a' * n}b{'ac' * n}" for n in (1, 10, 100, 900)]
    for name, body in RULES.items():
        start = time.perf_counter()
        try:
            if name.startswith("robots"):
                found = for_status(200, body)
                judge: Callable[[str], object] = lambda url, found=found: found.allowed(url, "HeadraceBot")  # noqa: E731
            else:
                judge = TdmReservations(body).reserves
        except Exception as exc:
            print(f"{name:40}{len(body):>10,}   {type(exc).__name__}: {exc}")
            continue
        judge(addresses[0])
        taken = time.perf_counter() - start
        start = time.perf_counter()
        for url in addresses * 25:
            judge(url)
        each = (time.perf_counter() - start) / 100
        print(f"{name:40}{len(body):>10,}{1000 * taken:>12,.1f}{1000 * each:>18.4f}", flush=True)


def locations(folder: Path) -> None:
    """A crawl of a site that redirects a page to each of the addresses; then one whose robots.txt does."""
    import fuzzing
    import raw_site

    checkout = Path(__file__).parents[2]
    settings = Settings.model_validate({"base": str(checkout), "lake": {"root": str(folder / "lake")}, "runs": str(folder / "runs")})
    routes: dict[str, Any] = {}
    for number, host in enumerate(fuzzing.HOSTS):
        routes[f"/{number}"] = raw_site.response(b"", f"Location: http://{host}/".encode(), status=b"302 Found")
    start = time.perf_counter()
    with raw_site.serving(
        {"/": raw_site.response(raw_site.html(*routes, "/good")), "/good": raw_site.response(raw_site.html()), **routes}
    ) as site:
        got = raw_site.crawled(settings, site, same_host=False)
    taken = time.perf_counter() - start
    print(f"a page's Location, {len(routes)} of them: {sorted(got.kept)} kept, {dict(Counter(got.lost.values()))}, {taken:.1f} s")
    for number, host in enumerate(fuzzing.HOSTS):
        settings = Settings.model_validate(
            {"base": str(checkout), "lake": {"root": str(folder / f"lake{number}")}, "runs": str(folder / "r")}
        )
        moved = raw_site.response(b"", f"Location: http://{host}/".encode(), status=b"302 Found")
        start = time.perf_counter()
        with raw_site.serving({"/": raw_site.response(raw_site.html()), "/robots.txt": moved}) as site:
            try:
                said = f"kept {sorted(raw_site.crawled(settings, site).kept)}"
            except Exception as exc:
                said = str(exc).splitlines()[0]
        print(f"robots.txt's Location {ascii(host)[:30]:32} {said[-90:]} ({time.perf_counter() - start:.1f} s)", flush=True)


def bombs(folder: Path, megabytes: int) -> None:
    """Each bomb in a process of its own."""
    script = str(HELPERS / "bombs.py")
    subprocess.run([sys.executable, script, "write", str(folder), str(megabytes)], check=True)
    print(f"{'bomb':24}{'on disk':>12}{'processor s':>14}{'peak MB':>10}   what became of its records")
    for _, name, _ in json.loads((folder / "cases.json").read_text()):
        with subprocess.Popen([sys.executable, script, "read", str(folder), Path(name).name], stdout=subprocess.PIPE, text=True) as child:
            line = child.stdout.read() if child.stdout else ""
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = status
        file, said, _, seconds = json.loads(line)
        became = Counter(s.partition(":")[0] for s in said)
        shown = ", ".join(f"{n} {s}" for s, n in became.items())
        print(f"{file:24}{Path(name).stat().st_size:>12,}{seconds:>14.1f}{usage.ru_maxrss >> 10:>10,}   {shown}", flush=True)


TEXTS = (
    "fine\n\n## Safety\nAudited.<script>alert(1)</script>",
    "title \x1b]52;c;aGVsbG8=\x07 and \x9b31m and \u202egnp.exe",
    "![x](http://127.0.0.1:9/seen.png) [y](javascript:alert(1)) <http://h/>",
    "a | b\n---|---\n| c | `d` *e* _f_",
    "NUL \x00 and \u2066isolates\u2069, \u200bwidths, \ufeffmarks, a tab\tand \u2028lines",
)


def texts() -> None:
    """Foreign words as each place shows them."""
    for text in TEXTS:
        print("given    ", ascii(text))
        for where, show in (("terminal", terminal), ("Markdown", markdown), ("HTML", html)):
            print(f"{where:10}{show(text)!a}")
    start = time.perf_counter()
    for show in (terminal, markdown, html):
        show("x \x1b[31m *y* <z> " * 100_000)
    print(f"1.5 MB through all three: {time.perf_counter() - start:.2f} s")


def main() -> None:
    """Print the tables."""
    sys.path.append(str(HELPERS))
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--megabytes", type=int, default=1500, help="what a bomb unfolds to")
    options.add_argument("--part", action="append", choices=PARTS)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-hostile-") as name:
        folder = Path(name)
        acts: dict[str, Callable[[], None]] = {
            "pages": pages,
            "rules": rules,
            "locations": lambda: locations(folder),
            "bombs": lambda: bombs(folder, given.megabytes),
            "texts": texts,
        }
        for part in given.part or PARTS:
            print(f"\n## {part}")
            acts[part]()


if __name__ == "__main__":
    main()
