"""A source tried for real, without keeping a page: its hosts' addresses, robots.txt for its seeds, and its licence evidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from headrace_governance.acquire.crawl.address import AddressGuard, AddressRefused, Resolver, system_resolver
from headrace_governance.acquire.crawl.causes import Cause, causes_of
from headrace_governance.acquire.crawl.evidence import EvidenceSeen, see_evidence
from headrace_governance.acquire.crawl.fetch import Fetcher, Limits
from headrace_governance.acquire.crawl.hosts import Hosts
from headrace_governance.acquire.crawl.robots import any_matches
from headrace_governance.acquire.crawl.site import Site, allowed_hosts, site_of
from headrace_governance.acquire.crawl.slots import HostSlots
from headrace_governance.acquire.crawl.urls import host_and_port, normal_url, origin_of
from headrace_governance.sources.fetch_policy import FetchPolicy
from headrace_governance.sources.source import CrawlFetch, Source
from headrace_lake.fingerprint import digest_bytes


@dataclass(frozen=True)
class HostTried:
    """One origin of the seeds.

    Attributes:
        address: IP address that would be dialled; empty if it may not be, or the name does not resolve.
        robots: status of robots.txt, 0 if there was no answer.
        delay_seconds: pause between two requests, by the source or by robots.txt, whichever is longer.
        problem: why nothing of it may be fetched, `reason: detail`.
    """

    origin: str
    address: str
    robots: int
    delay_seconds: float
    problem: str = ""


@dataclass
class Tried:
    """What became of a source.

    Attributes:
        seeds: address → empty, or `reason: detail` why it may not be fetched.
        causes: those reasons with counts.
        evidence: None where the source gives words instead of an address.
    """

    source: str
    hosts: list[HostTried] = field(default_factory=list)
    seeds: dict[str, str] = field(default_factory=dict)
    causes: list[Cause] = field(default_factory=list)
    evidence: EvidenceSeen | None = None

    @property
    def good(self) -> bool:
        """Can the crawl begin, and the evidence be read?"""
        return (not self.seeds or not all(self.seeds.values())) and not (self.evidence is not None and self.evidence.problem)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "hosts": [asdict(host) for host in self.hosts],
            "seeds": [{"url": url, "problem": problem} for url, problem in self.seeds.items()],
            "evidence": None if self.evidence is None else self.evidence.record(),
        }


async def try_source(
    source: Source, policy: FetchPolicy, slots: HostSlots, *, site: Site | None = None, resolver: Resolver = system_resolver
) -> Tried:
    """Try a source. Asks each host for its robots.txt and reservation, and for the licence evidence; for no page.

    Raises:
        LakeError: the catalog, which says when a host may be asked, stayed unreachable.
    """
    fetch = source.fetch if isinstance(source.fetch, CrawlFetch) else CrawlFetch(kind="crawl", seeds=("http://unused.invalid/",))
    site = site or site_of(fetch)
    agent = fetch.agent or policy.agent
    guard = AddressGuard(allowed_hosts(fetch, site), resolver)
    fetcher = Fetcher(guard, user_agent=policy.user_agent.replace("{agent}", agent), contact=policy.contact)
    hosts = Hosts(fetcher, None, policy, agent, fetch.delay_seconds, digest_bytes, slots)
    limits = Limits(
        total_seconds=fetch.timeout_seconds,
        idle_seconds=policy.idle_seconds,
        max_bytes=fetch.max_bytes,
        max_ratio=policy.max_compression_ratio,
        min_rate=policy.min_bytes_per_second,
        grace_seconds=policy.grace_seconds,
    )
    tried = Tried(source.id)
    try:
        if isinstance(source.fetch, CrawlFetch):
            await _try_seeds(tried, fetch, fetch.start_urls(site.actual + "/" if site.actual else None), hosts, guard, agent)
        if source.licence.evidence.url:
            url = site.fetched(source.licence.evidence.url)
            redirects = policy.max_redirects
            tried.evidence = await see_evidence(url, hosts, fetcher, limits, agent, max_redirects=redirects, recorded=site.recorded)
    finally:
        await fetcher.close()
    return tried


async def _try_seeds(tried: Tried, fetch: CrawlFetch, seeds: list[str], hosts: Hosts, guard: AddressGuard, agent: str) -> None:
    known: dict[str, HostTried] = {}
    problems: list[tuple[str, str, str]] = []
    for written in seeds:
        url = normal_url(written)
        if not url:
            refusal: tuple[str, str] | None = ("bad_url", "no address to fetch")
        else:
            host = await hosts.get(origin_of(url))
            if host.origin not in known:
                problem = "" if host.refusal is None else ": ".join(host.refusal)
                address = await _address(guard, *host_and_port(url))
                known[host.origin] = HostTried(host.origin, address, host.status, host.delay, problem)
            refusal = host.refuses(url, agent)
            if refusal is None and any_matches(fetch.deny, url, undecided=True):
                refusal = "denied", "matches 'deny' of the source"
        tried.seeds[written] = "" if refusal is None else ": ".join(refusal)
        if refusal is not None:
            problems.append((written, *refusal))
    tried.hosts, tried.causes = list(known.values()), causes_of(problems)


async def _address(guard: AddressGuard, host: str, port: int) -> str:
    try:
        return await guard.checked(host, port)
    except (AddressRefused, OSError):
        return ""
