"""`headrace source check --online`: sources tried against the network, told line by line, and their licence evidence recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headrace_governance.acquire.crawl.causes import ways_out
from headrace_governance.acquire.crawl.check import Tried, try_source
from headrace_governance.acquire.crawl.evidence_record import difference, record_evidence, recorded_evidence
from headrace_governance.acquire.crawl.site import site_of
from headrace_governance.acquire.crawl.slots import HostSlots, SlotStore
from headrace_governance.sources.fetch_policy import load_fetch_policy
from headrace_governance.sources.source import CrawlFetch, Source
from headrace_lake.errors import ConfigError, SourceError
from headrace_lake.lake import Lake
from headrace_lake.settings import Settings


def try_sources(
    settings: Settings, sources: Sequence[Source], *, base_url: str | None = None, say: Callable[[str], object]
) -> tuple[list[dict[str, Any]], SourceError | None]:
    """Try sources one after the other; their records, and an error that names those that cannot be crawled or checked.

    A lake is used if there is one: its catalog says when a host may be asked, and new evidence is recorded in it. None is created.
    """
    lake = _lake_if_there(settings)
    store = SlotStore(lake.catalog.engine if lake is not None else None)
    policies = settings.resolve(settings.policies)
    policy = load_fetch_policy(policies)
    records: list[dict[str, Any]] = []
    bad: list[Tried] = []
    ways: list[str] = []
    for source in sources:
        site = site_of(source.fetch, base_url, sample_site=settings.sample_site) if isinstance(source.fetch, CrawlFetch) else None
        if base_url and site is None:
            raise ConfigError(f"source {source.id} is imported ({source.fetch.kind}), it has no base_url", "leave --base-url out")
        tried = asyncio.run(try_source(source, policy, HostSlots(store), site=site))
        changed = _told_evidence(lake, source, tried)
        for line in (*_lines(tried), *([changed] if changed else [])):
            say(f"{source.id}: {line}")
        records.append({**tried.record(), "evidence_changed": changed})
        if not tried.good:
            bad.append(tried)
            if tried.causes:
                ways.append(ways_out(tried.causes, file=f"{settings.sources}/{source.id}.yaml", policies=str(settings.policies)))
            if tried.evidence is not None and tried.evidence.problem:
                ways.append(
                    f"correct licence.evidence.url in {settings.sources}/{source.id}.yaml, or give the words as licence.evidence.text"
                )
    if not bad:
        return records, None
    named = ", ".join(t.source for t in bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
    return records, SourceError(
        f"{len(bad)} of {len(sources)} sources cannot be fetched as they are: {named}", "; ".join(dict.fromkeys(ways))
    )


def _lines(tried: Tried) -> list[str]:
    lines = []
    for host in tried.hosts:
        if host.problem:
            lines.append(f"{host.origin}: {host.problem}")
        else:
            rules = {0: "no robots.txt"}.get(host.robots, f"robots.txt {host.robots}")
            lines.append(f"{host.origin} is {host.address}, {rules}, {host.delay_seconds:g} s between requests")
    refused = {url: problem for url, problem in tried.seeds.items() if problem}
    if tried.seeds:
        lines.append(f"{len(tried.seeds) - len(refused)} of {len(tried.seeds)} seeds may be fetched")
    lines += [f"seed {url}: {problem}" for url, problem in refused.items()]
    if tried.evidence is not None:
        lines.append(str(tried.evidence))
    return lines


def _told_evidence(lake: Lake | None, source: Source, tried: Tried) -> str:
    """Record evidence, and say whether it has changed."""
    if lake is None or tried.evidence is None:
        return ""
    before = recorded_evidence(lake, source.id)
    changed = difference(tried.evidence, before)
    record_evidence(lake, source.id, source.licence.id, tried.evidence, before)
    return changed


def _lake_if_there(settings: Settings) -> Lake | None:
    """The lake of the settings, if it was created before."""
    place = settings.lake
    if place.root.startswith("s3://") or place.catalog.startswith("postgresql"):
        return Lake.open(settings)
    root = settings.resolve(place.root)
    file = settings.resolve(place.catalog.removeprefix("sqlite:///")) if place.catalog else Path(root) / "catalog.db"
    return Lake.open(settings) if Path(file).exists() else None
