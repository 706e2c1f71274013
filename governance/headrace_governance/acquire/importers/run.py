"""A slice of an imported source: files → the same captures, exclusions, quarantine and receipt as a crawl.

The fingerprint holds the digests of the files, so changed files are imported again and equal ones are adopted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from headrace_governance.acquire.crawl.captures import write_captures
from headrace_governance.acquire.crawl.crawler import Progress
from headrace_governance.acquire.crawl.frontier import StoredPage
from headrace_governance.acquire.crawl.licence import Decision, LicencePolicy, PageFacts, decide, header_facts, load_licence_policy
from headrace_governance.acquire.crawl.page_process import HostilePage, shared
from headrace_governance.acquire.crawl.run import Unkept, commit_captures, licence_notes
from headrace_governance.acquire.importers.readers import expand, read_folder, read_jsonl, read_parquet
from headrace_governance.acquire.importers.spool import Spool
from headrace_governance.acquire.importers.warc import read_warc
from headrace_governance.containers.faults import is_ours, told
from headrace_governance.containers.item import Item, Reading
from headrace_governance.sources.import_options import RecordsFetch
from headrace_governance.sources.licences.policy import require_licence
from headrace_governance.sources.source import FolderFetch, JsonlFetch, ParquetFetch, Source, WarcFetch
from headrace_governance.text.formats.registry import read_records
from headrace_lake.errors import ConfigError, InputError
from headrace_lake.fingerprint import code_digest, digest_bytes, digest_of, file_digest
from headrace_lake.lake import Lake
from headrace_lake.receipts import Receipt
from headrace_lake.slices import Slice

STAGE = "import"
VERSION = "1"
_DECISIONS_KEPT = 4096
_HTML = {"text/html", "application/xhtml+xml"}


def import_slice(lake: Lake, source: Source, slice_: Slice, *, refresh: bool = False, progress: Progress | None = None) -> Receipt:
    """Import one slice, or adopt the import that the lake holds already.

    Raises:
        SourceError: the source's declared licence does not hold (`require_licence`).
        InputError: a file is missing or damaged, or nothing could be kept.
    """
    base = Path(lake.settings.base)
    policy = load_licence_policy(lake.settings.resolve(lake.settings.policies))
    terms = require_licence(source, policy)
    files = _files(source, base)
    code = digest_of(
        [
            code_digest("headrace_governance.acquire.importers.readers"),
            code_digest("headrace_governance.acquire.importers.warc"),
            code_digest("headrace_governance.text.formats.registry"),
            code_digest("headrace_governance.acquire.crawl.captures"),
            code_digest("headrace_governance.acquire.crawl.licence"),
        ]
    )
    params = {
        "source": source.fetch_record(),
        "licences": policy.record(),
        "files": [[f.name, file_digest(f)] for f in files],
    }
    fingerprint = digest_of({"stage": STAGE, "version": VERSION, "slice": str(slice_), "params": params, "code": code})
    current = lake.current_receipts(slice_).get(STAGE)
    if current is not None and current.fingerprint == fingerprint and not refresh:
        return current
    started, reading = datetime.now(UTC), Reading()
    with tempfile.TemporaryDirectory(prefix="headrace-import-") as folder, Spool(Path(folder)) as spool:
        decisions = _Decisions(source, policy)
        _take(spool, decisions, _items(source, files, base, reading), progress)
        shards = write_captures(lake, slice_, spool.pages())
        dropped = [Unkept(*o) for o in spool.outcomes("dropped")]
        failed = [Unkept(*o) for o in spool.outcomes("failed")]
    if not shards:
        first = (dropped + failed)[0] if dropped or failed else None
        why = f"first: {first.url} {first.reason} {first.detail}" if first else "no item found"
        raise InputError(f"slice {slice_}: the import kept nothing ({why})", "check 'fetch' of the source")
    notes = (f"files {len(files)}", *reading.notes(), *licence_notes(terms))
    if decisions.silent:
        reason = source.licence.covers_silent_records
        why = f": {reason}" if isinstance(reason, str) else "" if reason else f": policy for kind {source.fetch.kind}"
        notes += (f"records that name no licence, covered by the source's {decisions.silent}{why}",)
    expects = current.run_id if current is not None else ""
    return commit_captures(
        lake, source, slice_, STAGE, VERSION, fingerprint, shards, dropped, failed, started, notes, expects=expects, code=code
    )


def _files(source: Source, base: Path) -> list[Path]:
    fetch = source.fetch
    if isinstance(fetch, WarcFetch | ParquetFetch | JsonlFetch | RecordsFetch):
        return expand(fetch.paths, base)
    if isinstance(fetch, FolderFetch):
        folder = base / fetch.path
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder", "correct 'fetch.path' of the source")
        return sorted(p for p in folder.glob(fetch.glob) if p.is_file())
    raise ConfigError(f"source {source.id} is fetched by '{fetch.kind}'", "crawl it")


def _items(source: Source, files: list[Path], base: Path, reading: Reading) -> Iterator[Item]:
    fetch = source.fetch
    if isinstance(fetch, WarcFetch):
        yield from read_warc(fetch, files, reading)
    elif isinstance(fetch, ParquetFetch):
        yield from read_parquet(fetch, files)
    elif isinstance(fetch, JsonlFetch):
        yield from read_jsonl(fetch, files)
    elif isinstance(fetch, FolderFetch):
        yield from read_folder(fetch, base / fetch.path, files)
    elif isinstance(fetch, RecordsFetch):
        yield from read_records(fetch, files, base)


class _Decisions:
    """What is decided of the items of a source: most pages say the same of themselves, so they are decided of once."""

    def __init__(self, source: Source, policy: LicencePolicy) -> None:
        self._source, self._policy = source, policy
        self._covered = policy.covers_silence(source)
        self.silent = 0
        self._known: dict[str, Decision] = {}

    def of(self, facts: PageFacts) -> Decision:
        key = repr(facts)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _DECISIONS_KEPT:
                self._known.clear()
            known = decide(self._source.licence, self._policy, facts, respect_tdm=True, silence_covered=self._covered)
            self._known[key] = known
        self.silent += known.silent and not known.refusal
        return known


def _take(spool: Spool, decisions: _Decisions, items: Iterable[Item], progress: Progress | None) -> None:
    """Settle every item; a second one of the same address gets `#2`, `#3` ... so that none is lost."""
    seen: dict[str, int] = {}
    counts = {"kept": 0, "dropped": 0, "failed": 0}
    for item in items:
        url = item.url
        while url in seen:  # also where another item has an address of this form
            seen[item.url] += 1
            url = f"{item.url}#{seen[item.url]}"
        seen[url] = 1
        counts[_settle(spool, decisions, url, item)] += 1
        if progress is not None:
            progress(counts)


def _settle(spool: Spool, decisions: _Decisions, url: str, item: Item) -> str:
    if item.problem is not None:
        if item.failed:
            spool.fail(url, *item.problem)
            return "failed"
        spool.drop(url, *item.problem)
        return "dropped"
    try:
        decision, language = _judge(decisions, url, item)
    except HostilePage as exc:
        spool.drop(url, "hostile_html", f"{item.origin}: {exc}" if item.origin else str(exc))
        return "dropped"
    except Exception as exc:  # one record never ends the others
        if is_ours(exc):
            raise
        spool.fail(url, "error", f"{item.origin}: {told(exc)}" if item.origin else told(exc))
        return "failed"
    if decision.refusal:
        # A column is named by its row: the address of a row may be anybody's.
        said = f"{item.origin}: {decision.detail}" if item.origin else decision.detail
        spool.drop(url, decision.refusal, said)
        return "dropped"
    spool.keep(_page(url, item, decision, language), item.body)
    return "kept"


def _judge(decisions: _Decisions, url: str, item: Item) -> tuple[Decision, str]:
    facts = header_facts(url, item.headers, "") if item.headers else PageFacts()
    facts.licence_links += item.licence_links
    if item.content_type not in _HTML:
        return decisions.of(facts), item.language
    page = shared().facts(url, item.body, item.charset)
    facts.licence_links += page.facts.licence_links
    facts.robots_tags += page.facts.robots_tags
    facts.tdm_reserved = facts.tdm_reserved or page.facts.tdm_reserved
    facts.nofollow = facts.nofollow or page.facts.nofollow
    return decisions.of(facts), item.language or page.language


def _page(url: str, item: Item, decision: Decision, language: str) -> StoredPage:
    headers = dict(item.headers)
    return StoredPage(
        url=url,
        final_url=item.url,
        status=item.status,
        fetched_at=item.fetched_at.isoformat(),
        headers=list(item.headers),
        content_type=item.content_type or None,
        charset=item.charset or None,
        content_digest=digest_bytes(item.body),
        content_bytes=len(item.body),
        etag=headers.get("etag"),
        last_modified=headers.get("last-modified"),
        robots_digest=None,
        licence=decision.licence,
        licence_class=decision.licence_class,
        licence_basis=decision.basis,
        licence_evidence=decision.digest,
        language_hint=language or None,
        evidence=decision.evidence,
        request_headers=[],
    )
