"""The crawl itself: level by level through the frontier, host by host, one decision before every kept byte.

For each address: is it ours to ask (pattern, host, robots)? then fetch under limits; headers decide before the body is
read; the page decides before its bytes are kept. Every address ends as kept, dropped with a reason, or failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headrace_governance.acquire.crawl import licence as lic
from headrace_governance.acquire.crawl.address import AddressGuard, Resolver, system_resolver
from headrace_governance.acquire.crawl.evidence import EvidenceSeen, see_evidence
from headrace_governance.acquire.crawl.fetch import REDIRECTS, Fetcher, FetchFailed, Limits, Refused, Response
from headrace_governance.acquire.crawl.fields import escaped_bytes, location, refresh, retry_after
from headrace_governance.acquire.crawl.frontier import Frontier, FrontierLimits
from headrace_governance.acquire.crawl.hosts import Host, Hosts
from headrace_governance.acquire.crawl.media import media_type, sniffed
from headrace_governance.acquire.crawl.page_process import HostilePage, shared
from headrace_governance.acquire.crawl.pages import LinkLimits, Page
from headrace_governance.acquire.crawl.records import Answered, Earlier, fetched_page, unchanged_page
from headrace_governance.acquire.crawl.retries import pause_before, retrying
from headrace_governance.acquire.crawl.robots import any_matches
from headrace_governance.acquire.crawl.site import Site, allowed_hosts, site_of
from headrace_governance.acquire.crawl.urls import host_and_port, normal_url, origin_of
from headrace_governance.containers.faults import is_ours, told
from headrace_governance.sources.fetch_policy import FetchPolicy
from headrace_governance.sources.source import CrawlFetch, Source
from headrace_lake.errors import SourceError
from headrace_lake.fingerprint import digest_bytes

if TYPE_CHECKING:
    from headrace_governance.acquire.crawl.slots import HostSlots  # see hosts.py: no part of the crawl's code digest

Progress = Callable[[dict[str, int]], None]
"""Called with state → addresses after every settled address."""
_HTML = {"text/html", "application/xhtml+xml"}
_BUSY = {429, 503}
"""Statuses that mean the whole server, or us, not one page (RFC 6585, RFC 9110)."""


@dataclass
class Outcome:
    """How often each thing happened beyond the counts of addresses."""

    not_modified: int = 0
    requests: int = 0
    hosts: set[str] = field(default_factory=set)
    evidence: EvidenceSeen | None = None


class Crawler:
    """One crawl of one source.

    Args:
        frontier: state; an earlier, killed crawl goes on.
        site: where it is fetched (`site_of`); where the source says, by default.
        earlier: address → its earlier capture.
        keep_evidence: stores bytes and returns their digest.
        slots: when a host may be asked, of all crawls of the lake.
    """

    def __init__(
        self,
        source: Source,
        frontier: Frontier,
        policy: FetchPolicy,
        licences: lic.LicencePolicy,
        *,
        slots: HostSlots,
        site: Site | None = None,
        earlier: dict[str, Earlier] | None = None,
        keep_evidence: Callable[[bytes], str] = digest_bytes,
        resolver: Resolver = system_resolver,
    ) -> None:
        if not isinstance(source.fetch, CrawlFetch):
            raise SourceError(f"source {source.id} is fetched by '{source.fetch.kind}', not by crawling", "import it instead")
        self.source, self.fetch, self.frontier = source, source.fetch, frontier
        self.policy, self.licences, self.earlier = policy, licences, earlier or {}
        self.agent = self.fetch.agent or policy.agent
        self.site = site or site_of(self.fetch)
        self._links_of_page = LinkLimits(policy.max_links_of_page, policy.max_link_characters_of_page)
        frontier.limits = FrontierLimits(policy.max_addresses_of_host, policy.max_addresses, policy.max_address_characters)
        self.user_agent = policy.user_agent.replace("{agent}", self.agent)
        self.limits = Limits(
            total_seconds=self.fetch.timeout_seconds,
            idle_seconds=policy.idle_seconds,
            max_bytes=self.fetch.max_bytes,
            max_ratio=policy.max_compression_ratio,
            min_rate=policy.min_bytes_per_second,
            grace_seconds=policy.grace_seconds,
        )
        self._fetcher = Fetcher(
            AddressGuard(allowed_hosts(self.fetch, self.site), resolver), user_agent=self.user_agent, contact=policy.contact
        )
        self.hosts = Hosts(self._fetcher, frontier, policy, self.agent, self.fetch.delay_seconds, keep_evidence, slots)
        written = self.fetch.start_urls(self.site.actual + "/" if self.site.actual else None)
        self.seeds = [normal_url(u) for u in written]
        if "" in self.seeds:
            raise SourceError(
                f"source {source.id}: seed '{written[self.seeds.index('')][:200]}' is not an address to fetch",
                "write http(s)://host/path without a user's name, at most 2,000 characters",
            )
        self._seed_hosts = {urlsplit(u).netloc for u in self.seeds}
        self.outcome = Outcome()

    async def run(self, progress: Progress | None = None) -> Outcome:
        """Crawl until the frontier is empty."""
        try:
            self.frontier.add((self.site.recorded(u) for u in self.seeds), 0)
            while (depth := self.frontier.next_depth()) is not None:
                await self._admit(depth)
                by_host: dict[str, list[str]] = {}
                for url in self.frontier.admitted(depth):
                    by_host.setdefault(origin_of(self.site.fetched(url)), []).append(url)
                gate = asyncio.Semaphore(self.policy.hosts_at_once)
                async with asyncio.TaskGroup() as group:
                    for origin, urls in by_host.items():
                        group.create_task(self._crawl_host(origin, urls, depth, gate, progress))
            if self.source.licence.evidence.url and self.frontier.counts().get("kept"):
                self.outcome.evidence = await self._evidence()
        finally:
            await self._fetcher.close()
        return self.outcome

    async def _evidence(self) -> EvidenceSeen:
        """The page that the licence rests on, as it is now."""
        url = self.site.fetched(self.source.licence.evidence.url)
        agent, redirects = self.agent, self.policy.max_redirects
        return await see_evidence(url, self.hosts, self._fetcher, self.limits, agent, max_redirects=redirects, recorded=self.site.recorded)

    async def _admit(self, depth: int) -> None:
        refusals: dict[str, tuple[str, str]] = {}
        self.frontier.trim(depth)
        for url in self.frontier.unjudged(depth):
            try:
                refusal = await self._may_ask(self.site.fetched(url))
            except Exception as exc:  # one address never ends the others
                if is_ours(exc):
                    raise
                self.frontier.fail(url, "error", told(exc))
                continue
            if refusal is not None:
                refusals[url] = refusal
        self.frontier.admit(depth, refusals, self.fetch.max_pages)

    async def _may_ask(self, url: str) -> tuple[str, str] | None:
        """(reason, detail) why an address may not be asked for, or None."""
        if any_matches(self.fetch.deny, url, undecided=True):
            return "denied", "matches 'deny' of the source"
        host = await self.hosts.get(origin_of(url))
        refusal = host.refuses(url, self.agent)
        if refusal is not None:
            return refusal
        if self.fetch.respect_tdm and host.tdm.reserves(url):
            return "tdm_reserved", "tdmrep.json"
        return None

    async def _crawl_host(self, origin: str, urls: list[str], depth: int, gate: asyncio.Semaphore, progress: Progress | None) -> None:
        async with gate:
            host = await self.hosts.get(origin)
            self.outcome.hosts.add(origin)
            queue = iter(urls)
            workers = 1 if host.delay > 0 else self.policy.concurrency_per_host
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._worker(queue, depth, progress))

    async def _worker(self, queue: Any, depth: int, progress: Progress | None) -> None:
        for url in queue:
            try:
                await self._page(url, depth)
            except Refused as exc:
                self.frontier.drop(url, exc.reason, exc.detail)
            except FetchFailed as exc:
                self.frontier.fail(url, exc.reason, exc.detail)
            except Exception as exc:  # one page never ends the others
                if is_ours(exc):
                    raise
                self.frontier.fail(url, "error", told(exc))
            if progress is not None:
                progress(self.frontier.counts())

    # -- one page ------------------------------------------------------------------------------------------------

    async def _page(self, url: str, depth: int) -> None:
        earlier = self.earlier.get(url)
        conditions = earlier.conditions if earlier is not None else {}
        response, host = await self._follow(self.site.fetched(url), conditions, depth)
        if response.status == 304 and earlier is not None:
            body, charset, kind = earlier.read(), earlier.row["charset"] or "", earlier.row["content_type"]
        else:
            earlier, body = None, response.body
            if response.status != 200:
                raise Refused("http_status", str(response.status))
            kind, charset = media_type(response.header("content-type"))
            if not kind:
                kind = sniffed(response.body)
                if kind not in self.fetch.media_types:
                    raise Refused("media_type", f"none declared, looks like {kind or 'no text'}")
        page = await self._read(response.url, body, charset, kind)
        facts = self._facts(response, page)
        decision = self._decide(url, facts)
        links = [] if facts.nofollow else self._links(response, page)
        if decision.refusal:
            self.frontier.drop(url, decision.refusal, decision.detail, links, depth)
            return
        answer = Answered(url, self.site.recorded(response.url), _now(), response, self.site.mirror_of(response.url), host.digest, decision)
        if earlier is not None:
            self.outcome.not_modified += 1
            self.frontier.keep(unchanged_page(answer, earlier), None, links, depth)
            return
        language = page.language or self.fetch.language_hint
        sent = [("user-agent", self.user_agent), *conditions.items()]
        self.frontier.keep(fetched_page(answer, kind, charset, language, sent), response.body, links, depth)

    async def _read(self, url: str, body: bytes, charset: str, kind: str) -> Page:
        """What a page says, read under limits and off the event loop, on which other hosts wait.

        Raises:
            Refused: it was not read, so that what it says of its use is unknown.
        """
        if kind not in _HTML:
            return Page()
        try:
            page = await asyncio.to_thread(shared().page, url, body, charset, self.agent, self._links_of_page)
        except HostilePage as exc:
            raise Refused("hostile_html", str(exc)) from exc
        for reason, count in page.cut.items():
            self.frontier.cut(reason, count)
        return page

    def _facts(self, response: Response, page: Page) -> lic.PageFacts:
        """Headers and page together, under the recorded addresses."""
        facts = lic.facts_of_headers(response, self.agent)
        found = [*facts.licence_links, *page.facts.licence_links]
        facts.licence_links = sorted({(where, self.site.recorded(address)) for where, address in found})
        facts.robots_tags = sorted({*facts.robots_tags, *page.facts.robots_tags})
        facts.tdm_reserved = facts.tdm_reserved or page.facts.tdm_reserved
        facts.nofollow = facts.nofollow or page.facts.nofollow
        return facts

    def _decide(self, url: str, facts: lic.PageFacts, *, complete: bool = True) -> lic.Decision:
        covered = self.licences.covers_silence(self.source)
        decision = lic.decide(
            self.source.licence, self.licences, facts, respect_tdm=self.fetch.respect_tdm, silence_covered=covered, complete=complete
        )
        record = {"licence": decision.licence, "class": decision.licence_class, "basis": decision.basis, "refusal": decision.refusal}
        self.frontier.decide(url, _now(), {**record, "evidence": decision.digest})
        return decision

    def _header_verdict(self, url: str) -> Callable[[Response], None]:
        def verdict(head: Response) -> None:
            if head.status >= 500 or head.status == 429:
                wait = retry_after(head.values("retry-after"), head.header("date"), datetime.now(UTC))
                raise FetchFailed("http_status", str(head.status), again=True, wait=wait, busy=head.status in _BUSY or wait > 0)
            if head.status != 200:
                raise Refused("http_status", str(head.status))
            kind, _ = media_type(head.header("content-type"))
            if kind and kind not in self.fetch.media_types:  # of an undeclared one the body decides
                raise Refused("media_type", kind)
            decision = self._decide(url, self._facts(head, Page()), complete=False)
            if decision.refusal:
                raise Refused(decision.refusal, decision.detail)

        return verdict

    async def _follow(self, url: str, conditions: dict[str, str], depth: int) -> tuple[Response, Host]:
        """Fetch, following redirects; every hop is judged as a new address (`allow` does not bind where a seed leads)."""
        recorded, hops = self.site.recorded(url), [url]
        for hop in range(self.policy.max_redirects + 1):
            if hop:
                if urlsplit(url).netloc not in self._seed_hosts:
                    await self._check_address(url)
                    if self.fetch.same_host:
                        raise Refused("redirect_off_host", url)
                refusal = await self._may_ask(url)
                if refusal is None and depth and self.fetch.allow and not any_matches(self.fetch.allow, url, undecided=False):
                    refusal = "denied", "matches no 'allow' of the source"
                if refusal is not None:
                    raise Refused(refusal[0], f"redirect to {url}: {refusal[1]}")
            host = await self.hosts.get(origin_of(url))
            response = await self._retrying(host, url, conditions if not hop else {}, recorded)
            if response.status not in REDIRECTS:
                return response, host
            url, why = location(url, response.values("location"))
            if why:
                raise Refused("bad_redirect", why)
            hops.append(url)
        circle = f", in a circle over {hops[-1]}" if hops.count(hops[-1]) > 1 else f", the last to {hops[-1]}"
        raise Refused("too_many_redirects", f"more than {self.policy.max_redirects}{circle}")

    async def _check_address(self, url: str) -> None:
        """Name the address as the reason where a redirect aims at a forbidden one, not what follows from it (no robots.txt)."""
        try:
            await self._fetcher.check(*host_and_port(url))
        except OSError:
            return

    async def _retrying(self, host: Host, url: str, headers: dict[str, str], recorded: str) -> Response:
        async for attempt in retrying(self.policy):
            with attempt:
                try:
                    async with host.request(self.limits.total_seconds):
                        self.outcome.requests += 1
                        response = await self._fetcher.get(url, self.limits, headers=headers, verdict=self._header_verdict(recorded))
                except FetchFailed as exc:
                    if exc.busy:
                        pause = max(exc.wait, pause_before(attempt.retry_state.attempt_number, self.policy))
                        await host.busy(pause, self.policy.max_retry_after_seconds)
                    raise
                host.answered()
                return response
        raise AssertionError("an attempt returns or raises")

    def _links(self, response: Response, page: Page) -> list[str]:
        """The addresses that a page and its Refresh field lead to, as far as the source asks for them."""
        found: dict[str, None] = {}
        led = (refresh(escaped_bytes(value)) for value in response.values("refresh"))
        for url in (*page.links, *(normal_url(to, response.url) for to in led if to)):
            if not url or (self.fetch.same_host and urlsplit(url).netloc not in self._seed_hosts):
                continue
            if self.fetch.allow and not any_matches(self.fetch.allow, url, undecided=False):
                continue
            found.setdefault(self.site.recorded(url))
        return list(found)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def open_frontier(folder: Path) -> Frontier:
    """The frontier file of a work folder."""
    return Frontier(folder / "frontier.db")
