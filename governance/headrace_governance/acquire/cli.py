"""`headrace samples`, `headrace source` and `headrace crawl`: the sample site, source files, and fetching slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_lake.slices import Slice
from headrace_lake.terminal import completion
from headrace_lake.terminal.choosing import slices_to_fetch
from headrace_lake.terminal.console import JsonOption, SettingsOption, echo, emit_result, open_lake, show_records

app = typer.Typer(help="Sources, sample site and crawl.", no_args_is_help=True)
samples = typer.Typer(help="The sample site: real packages' pages, opened without installing.", no_args_is_help=True)
source = typer.Typer(help="Sources: list and check them.", no_args_is_help=True)
app.add_typer(samples, name="samples")
app.add_typer(source, name="source")


@samples.command("build")
def samples_build(
    out: Annotated[Path, typer.Option("--out", help="Folder of the site.")] = Path("var/samples"),
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder for downloaded packages; OUT/packages by default.")] = None,
    languages: Annotated[str, typer.Option("--languages", help="ISO 639-1 codes with commas; all by default.")] = "",
    sections: Annotated[str, typer.Option("--sections", help="Sections with commas; all by default.")] = "",
    pages_per_language: Annotated[int, typer.Option("--pages-per-language", min=1, help="Pages per section and language at most.")] = 260,
) -> None:
    """Fetch the packages, open them without installing, and lay out the site."""
    from headrace_governance.acquire.samples.build import build_site

    manifest = build_site(
        out,
        cache=cache or out / "packages",
        languages=_words(languages),
        sections=_words(sections),
        pages_per_language=pages_per_language,
        say=echo,
    )
    echo(f"sample site ready: {manifest}")


@samples.command("serve")
def samples_serve(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the site.")] = Path("var/samples"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8790,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    log: Annotated[Path | None, typer.Option("--log", help="Write one JSON line a request.")] = None,
    url_file: Annotated[Path | None, typer.Option("--url-file", help="Write the site's address here once it is up.")] = None,
) -> None:
    """Serve the site until interrupted; the first line printed is its address."""
    import signal

    from headrace_governance.acquire.samples.serve import SampleServer

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    server = SampleServer(folder, host=host, port=port, log=log)
    signal.signal(signal.SIGTERM, stop)
    echo(server.url)
    if url_file is not None:
        url_file.parent.mkdir(parents=True, exist_ok=True)
        part = url_file.with_name(url_file.name + ".part")
        part.write_text(server.url + "\n", encoding="utf-8")
        part.replace(url_file)
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


@source.command("ls")
def source_ls(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """List all sources."""
    from headrace_governance.sources.licences.policy import load_licence_policy
    from headrace_governance.sources.source import load_sources
    from headrace_lake.settings import load_settings

    conf = load_settings(settings)
    policy = load_licence_policy(conf.resolve(conf.policies))
    rows = [
        {
            "source": s.id,
            "modality": s.modality,
            "languages": list(s.languages),
            "licence": s.licence.id,
            "class": s.licence.cls,
            "silent_records": "covered" if policy.covers_silence(s) else "unknown",
            "fetch": s.fetch.kind,
            "declared_tokens": s.declared_tokens,
        }
        for s in load_sources(conf.resolve(conf.sources)).values()
    ]
    show_records("sources", rows)
    emit_result({"sources": rows})


@source.command("check")
def source_check(
    ids: Annotated[list[str] | None, typer.Argument(help="Source ids; all by default.", autocompletion=completion.sources)] = None,
    online: Annotated[
        bool,
        typer.Option("--online/--offline", help="Also try the addresses, robots.txt and the licence evidence. No page is fetched."),
    ] = False,
    base_url: Annotated[str | None, typer.Option("--base-url", help="With --online: try this mirror that the sources list.")] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check source files and policies; the first mistake is named with its file and field."""
    from headrace_governance.sources.fetch_policy import load_fetch_policy
    from headrace_governance.sources.licences.policy import load_licence_policy, require_licence
    from headrace_governance.sources.source import get_source, load_sources
    from headrace_lake.settings import load_settings
    from headrace_lake.terminal.console import emit_result

    conf = load_settings(settings)
    folder, policies = conf.resolve(conf.sources), conf.resolve(conf.policies)
    load_fetch_policy(policies)
    policy = load_licence_policy(policies)
    found = [get_source(folder, i) for i in ids] if ids else list(load_sources(folder).values())
    results = []
    for s in found:
        terms = require_licence(s, policy)
        if terms.choice:
            echo(f"{s.id}: {terms.expression}: {terms.choice} is chosen")
        if s.licence.covers_silent_records is None and policy.covers_silence(s):
            echo(f"{s.id}: records that name no licence are taken under {terms.expression}; state licence.covers_silent_records, and why")
        results.append({"id": s.id, "licence": terms.expression, "class": terms.cls, "choice": terms.choice})
    echo(f"{len(found)} sources are in order")
    if not online:
        echo("their files, that is: --online also tries their addresses, robots.txt and licence evidence")
        emit_result({"sources": results})
        return
    from headrace_governance.acquire.trial import try_sources

    trials, problem = try_sources(conf, found, base_url=base_url, say=echo)
    emit_result({"sources": [r | {"online": trial} for r, trial in zip(results, trials, strict=True)]})
    if problem is not None:
        raise problem


@app.command("crawl")
def crawl(
    slices: Annotated[
        list[str], typer.Argument(metavar="SOURCE/INTERVAL...", help=completion.SLICES_HELP, autocompletion=completion.slices)
    ],
    base_url: Annotated[str | None, typer.Option("--base-url", help="Fetch from this mirror, which the source's file lists.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Crawl again although the lake has it.")] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Crawl or import slices of sources into the lake; what it holds already is adopted."""
    from headrace_governance.acquire.fetching import fetch_slice
    from headrace_governance.sources.source import get_source

    lake = open_lake(settings, create=True)
    conf = lake.settings
    wanted = [(which, get_source(conf.resolve(conf.sources), which.source)) for which in slices_to_fetch(lake, slices)]
    results: list[dict[str, Any]] = []
    for which, src in wanted:
        with _shown(which, results) as show:
            receipt = fetch_slice(lake, src, which, base_url=base_url, refresh=refresh, progress=show)
        c = receipt.counts
        reasons = ", ".join(f"{n} {r}" for r, n in c.reasons.items())
        echo(f"{which}: read {c.read} = kept {c.kept} + dropped {c.dropped} + failed {c.failed}" + (f" ({reasons})" if reasons else ""))
        for note in receipt.notes:
            echo(f"{which}: {note}")
        results.append(
            {
                "slice": str(which),
                "fingerprint": receipt.fingerprint,
                "read": c.read,
                "kept": c.kept,
                "dropped": c.dropped,
                "failed": c.failed,
                "notes": list(receipt.notes),
            }
        )
    emit_result({"slices": results})


@contextmanager
def _shown(which: Slice, done: Sequence[object]) -> Iterator[Callable[[dict[str, int]], None]]:
    """Progress of fetching one slice, and what stays if a signal ends it."""
    from headrace_lake.terminal.interrupt import says_what_stays
    from headrace_lake.terminal.progress import progress

    last: dict[str, int] = {}

    def show(counts: dict[str, int]) -> None:
        last.update(counts)
        queued, known = counts.get("queued", 0), sum(counts.values())
        note = ", ".join(f"{n:,} {state}" for state, n in counts.items() if state != "queued" and n)
        bar.update(known - queued, known if queued else 0, note=note)

    def kept() -> str:
        committed = f"{len(done)} slice{'s are' if len(done) != 1 else ' is'} committed, " if done else ""
        if "queued" not in last:  # an import has no frontier: its files are at hand
            return f"{committed}nothing of {which} is"
        pages = sum(n for state, n in last.items() if state != "queued")
        return f"{committed}{pages:,} pages of {which} are in its frontier file and will not be asked for again"

    with says_what_stays(kept), progress(f"fetch {which}", 0, "pages") as bar:
        yield show


def _words(text: str) -> tuple[str, ...]:
    return tuple(w.strip() for w in text.split(",") if w.strip())
