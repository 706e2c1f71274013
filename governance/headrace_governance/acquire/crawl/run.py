"""A slice of a crawled or imported source, as one commit: captures, exclusions, quarantine and the receipt."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace_governance.acquire.crawl.captures import put_evidence, read_warc_body, write_captures
from headrace_governance.acquire.crawl.causes import HOST_WIDE, causes_of, ways_out
from headrace_governance.acquire.crawl.crawler import Crawler, Outcome, Progress, open_frontier
from headrace_governance.acquire.crawl.evidence_record import difference, record_evidence, recorded_evidence
from headrace_governance.acquire.crawl.frontier import Frontier
from headrace_governance.acquire.crawl.licence import load_licence_policy
from headrace_governance.acquire.crawl.records import CARRIED_OVER, Earlier
from headrace_governance.acquire.crawl.site import site_of
from headrace_governance.acquire.crawl.slots import HostSlots, SlotStore
from headrace_governance.sources.fetch_policy import load_fetch_policy
from headrace_governance.sources.licences.policy import require_licence
from headrace_governance.sources.licences.terms import Terms
from headrace_governance.sources.source import CrawlFetch, Source
from headrace_lake.errors import HeadraceError, InputError, SourceError
from headrace_lake.fingerprint import code_digest, digest_of
from headrace_lake.identity import document_uid
from headrace_lake.lake import Lake, StageCommit
from headrace_lake.receipts import Receipt, ShardFile
from headrace_lake.slices import Slice
from headrace_lake.stage_run import StageRun

STAGE = "crawl"
VERSION = "1"
_CAUSES = 5
"""Reasons that the error of a crawl names which kept nothing."""
TABLES = ("captures", "exclusions", "quarantine")
_VALIDATOR_COLUMNS = ["url", "etag", "last_modified", "fetched_at", *CARRIED_OVER]


@dataclass
class Unkept:
    """An address (or imported row) that was not kept."""

    url: str
    reason: str
    detail: str


def _code() -> str:
    """Digest of what decides a crawl's outcome; committing and the lake are not part of it."""
    return digest_of([code_digest("headrace_governance.acquire.crawl.crawler"), code_digest("headrace_governance.acquire.crawl.captures")])


def crawl_fingerprint(lake: Lake, source: Source, slice_: Slice) -> str:
    """Fingerprint of crawling this slice: source, policies and code; not where the site is mirrored today."""
    policies = lake.settings.resolve(lake.settings.policies)
    params = {
        "source": source.fetch_record(),
        "fetch": load_fetch_policy(policies).model_dump(mode="json"),
        "licences": load_licence_policy(policies).record(),
    }
    return digest_of({"stage": STAGE, "version": VERSION, "slice": str(slice_), "params": params, "code": _code()})


def crawl_slice(
    lake: Lake,
    source: Source,
    slice_: Slice,
    *,
    base_url: str | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
) -> Receipt:
    """Crawl one slice of a source, or adopt the crawl that the lake holds already.

    A killed crawl goes on from its frontier file under the settings' `runs` folder.

    Args:
        base_url: which of the places that the source lists is fetched from (`site_of`); addresses are recorded under the declared one.
        refresh: crawl again although the lake holds this fingerprint (unchanged pages are answered by 304).

    Raises:
        ConfigError: `base_url` is none of them.
        SourceError: the source is not fetched by crawling, or its declared licence does not hold (`require_licence`).
        InputError: nothing could be kept; says why.
    """
    terms = require_licence(source, load_licence_policy(lake.settings.resolve(lake.settings.policies)))
    if not isinstance(source.fetch, CrawlFetch):
        raise SourceError(f"source {source.id} is fetched by '{source.fetch.kind}', not by crawling", "import it instead")
    site = site_of(source.fetch, base_url, sample_site=lake.settings.sample_site)
    current = lake.current_receipts(slice_).get(STAGE)
    fingerprint = crawl_fingerprint(lake, source, slice_)
    if current is not None and current.fingerprint == fingerprint and not refresh:
        return current
    started = datetime.now(UTC)
    policies = lake.settings.resolve(lake.settings.policies)
    work = work_folder(lake, source, slice_)
    frontier = open_frontier(work)
    try:
        crawler = Crawler(
            source,
            frontier,
            load_fetch_policy(policies),
            load_licence_policy(policies),
            slots=HostSlots(SlotStore(lake.catalog.engine)),
            site=site,
            earlier=_earlier(lake, source),
            keep_evidence=lambda body: put_evidence(lake, body, ".txt"),
        )
        outcome = _finished(crawler, progress)
        cuts = frontier.cuts()
        shards = write_captures(lake, slice_, frontier.pages())
        dropped, failed = _unkept(frontier, "dropped"), _unkept(frontier, "failed")
    finally:
        frontier.close()
    kept = sum(s.rows for s in shards)
    if not kept:
        shutil.rmtree(work, ignore_errors=True)
        causes = causes_of((u.url, u.reason, u.detail) for u in (*dropped, *failed))
        file = f"{lake.settings.sources}/{source.id}.yaml"
        raise InputError(
            f"slice {slice_}: the crawl kept no page of {len(dropped) + len(failed):,}: {'; '.join(map(str, causes[:_CAUSES])) or '-'}",
            ways_out(causes[:_CAUSES], file=file, policies=str(lake.settings.policies)),
        )
    notes: tuple[str, ...] = (
        f"requests {outcome.requests}",
        f"not modified {outcome.not_modified}",
        f"fetched from {site.actual or 'the seeds'}" + (f", a mirror of {site.declared}" if site.mirrored else ""),
    )
    notes += tuple(f"cut: {reason} {count}" for reason, count in cuts.items())
    host_wide = causes_of((u.url, u.reason, u.detail) for u in (*dropped, *failed) if u.reason in HOST_WIDE)
    notes += tuple(f"not kept: {cause}" for cause in host_wide)
    if outcome.evidence is not None:
        before = recorded_evidence(lake, source.id)
        changed = difference(outcome.evidence, before)
        notes += (str(outcome.evidence), *([changed] if changed else []))
        record_evidence(lake, source.id, terms.expression, outcome.evidence, before)
    receipt = commit_captures(
        lake,
        source,
        slice_,
        STAGE,
        VERSION,
        fingerprint,
        shards,
        dropped,
        failed,
        started,
        (*notes, *licence_notes(terms)),
        expects=current.run_id if current else "",
        code=_code(),
    )
    for old in work.parent.glob(f"{slice_.interval}-*"):
        shutil.rmtree(old, ignore_errors=True)
    return receipt


def _finished(crawler: Crawler, progress: Progress | None) -> Outcome:
    """Run a crawl to its end; an error of ours leaves the crawler's groups of tasks as itself."""
    try:
        return asyncio.run(crawler.run(progress))
    except BaseExceptionGroup as group:
        ours = group.subgroup(HeadraceError)
        while isinstance(ours, BaseExceptionGroup):
            ours = ours.exceptions[0]  # type: ignore[assignment]
        if ours is None:
            raise
        raise ours from group


def licence_notes(terms: Terms) -> tuple[str, ...]:
    """What a receipt says about the source's licence: which alternative was taken."""
    return (f"licence {terms.expression}: {terms.choice} chosen",) if terms.choice else ()


def commit_captures(
    lake: Lake,
    source: Source,
    slice_: Slice,
    stage: str,
    version: str,
    fingerprint: str,
    shards: list[ShardFile],
    dropped: list[Unkept],
    failed: list[Unkept],
    started: datetime,
    notes: Iterable[str],
    *,
    expects: str,
    code: str,
) -> Receipt:
    """Commit captures, exclusions and quarantine of a slice together with their receipt."""
    kept = sum(s.rows for s in shards)
    outputs = list(shards)
    if dropped:
        rows = [
            {"uid": document_uid(slice_.source, u.url), "stage": stage, "reason": u.reason, "detail": f"{u.url} {u.detail}".strip()}
            for u in dropped
        ]
        outputs.append(lake.write_shard("exclusions", slice_, 0, pa.Table.from_pylist(rows)))
    if failed:
        rows = [
            {
                "uid": document_uid(slice_.source, u.url),
                "stage": stage,
                "error": f"{u.reason}: {u.detail}",
                "row": json.dumps({"url": u.url}),
            }
            for u in failed
        ]
        outputs.append(lake.write_shard("quarantine", slice_, 0, pa.Table.from_pylist(rows)))
    receipt = StageRun(slice_, stage, version, code, {"source": source.record()}, started=started).receipt(
        fingerprint,
        outputs=outputs,
        tables=TABLES,
        read=kept + len(dropped) + len(failed),
        kept=kept,
        reasons=Counter(u.reason for u in dropped),
        failed=len(failed),
        notes=(*notes, *(f"failed: {reason} {count}" for reason, count in sorted(Counter(u.reason for u in failed).items()))),
    )
    lake.commit(StageCommit(receipt=receipt, expects=expects))
    return receipt


def _unkept(frontier: Frontier, state: str) -> list[Unkept]:
    return [Unkept(url, reason, detail) for url, reason, detail in frontier.outcomes(state)]


def _earlier(lake: Lake, source: Source) -> dict[str, Earlier]:
    """Address → its newest capture with a validator, whose WARC object is still there."""
    rows = lake.read("captures", None, columns=_VALIDATOR_COLUMNS, where=f"source = '{source.id}'").to_pylist()
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda r: r["fetched_at"]):
        if row["etag"] or row["last_modified"]:
            newest[row["url"]] = row
    there = {p: lake.storage.exists(p) for p in {r["warc_path"] for r in newest.values()}}
    return {
        url: Earlier(row, partial(read_warc_body, lake, row["warc_path"], row["warc_offset"], row["warc_length"]))
        for url, row in newest.items()
        if there[row["warc_path"]]
    }


def work_folder(lake: Lake, source: Source, slice_: Slice) -> Path:
    """Where a running or killed crawl of this slice keeps its frontier."""
    return (
        lake.settings.resolve(lake.settings.runs)
        / "crawl"
        / source.id
        / f"{slice_.interval}-{crawl_fingerprint(lake, source, slice_)[:12]}"
    )
