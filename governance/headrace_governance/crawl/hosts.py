"""What the crawler knows of each host: its robots.txt verdict, its TDM reservation, and when it may be asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from headrace_governance.crawl import robots as rfc9309
from headrace_governance.crawl.fetch import REDIRECTS, Fetcher, FetchFailed, Limits, Refused
from headrace_governance.crawl.fields import location, retry_after
from headrace_governance.crawl.frontier import Frontier
from headrace_governance.crawl.policy import FetchPolicy

_ROBOTS_REDIRECTS = 5
_UNREACHABLE = 0


class Host:
    """One origin (scheme, host, port)."""

    def __init__(self, origin: str, robots: rfc9309.Robots, body: bytes, digest: str, tdmrep: bytes, delay: float, slots: int) -> None:
        self.origin, self.robots, self.body, self.digest, self.tdmrep, self.delay = origin, robots, body, digest, tdmrep, delay
        self._slots = asyncio.Semaphore(1 if delay > 0 else slots)
        self._pace = asyncio.Lock()
        self._last = time.monotonic()

    async def __aenter__(self) -> Host:
        await self._slots.acquire()
        if self.delay > 0:
            async with self._pace:
                # Counted from the end of the last request, so a slow server is not asked faster than it answers.
                await asyncio.sleep(max(0.0, self._last + self.delay - time.monotonic()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._last = time.monotonic()
        self._slots.release()


class Hosts:
    """All hosts of a crawl; robots.txt is fetched before anything else of a host."""

    def __init__(
        self,
        fetcher: Fetcher,
        frontier: Frontier,
        policy: FetchPolicy,
        agent: str,
        delay_seconds: float,
        keep_evidence: Callable[[bytes], str],
    ) -> None:
        self._fetcher, self._frontier, self._policy, self._agent = fetcher, frontier, policy, agent
        self._delay, self._keep_evidence = delay_seconds, keep_evidence
        self._hosts: dict[str, asyncio.Task[Host]] = {}

    async def get(self, origin: str) -> Host:
        """The host of an origin; its robots.txt is asked for once a crawl."""
        task = self._hosts.get(origin)
        if task is None:
            task = self._hosts[origin] = asyncio.ensure_future(self._load(origin))
        return await task

    async def _load(self, origin: str) -> Host:
        known = self._frontier.host(origin)
        if known is None:
            status, body = await self._robots(origin)
            robots = rfc9309.for_status(status, body)
            await asyncio.sleep(min(self._delay_of(robots), self._policy.max_crawl_delay_seconds))
            tdmrep = await self._tdmrep(origin, robots)
            if status != _UNREACHABLE and status < 500:
                self._frontier.set_host(origin, status, body, tdmrep)
        else:
            status, body, tdmrep = known
            robots = rfc9309.for_status(status, body)
        delay = self._delay_of(robots)
        if robots.crawl_delay(self._agent) > self._policy.max_crawl_delay_seconds:
            robots = rfc9309.Robots(verdict="disallow-all")
        digest = self._keep_evidence(body if 200 <= status < 300 else f"robots.txt: status {status}".encode())
        return Host(origin, robots, body, digest, tdmrep, delay, self._policy.concurrency_per_host)

    def _delay_of(self, robots: rfc9309.Robots) -> float:
        return max(self._delay, robots.crawl_delay(self._agent))

    async def _robots(self, origin: str) -> tuple[int, bytes]:
        """(status, body); status 0: unreachable, which disallows everything just as 5xx does.

        The body is that of a file, or one byte more than is read of a longer one, which tells `robots` that it is cut.
        """
        limits = Limits(total_seconds=self._policy.robots_timeout_seconds, idle_seconds=self._policy.idle_seconds)
        status, wait = _UNREACHABLE, 0.0
        for attempt in range(self._policy.retries + 1):
            if wait > self._policy.max_retry_after_seconds:
                break
            if attempt:
                await asyncio.sleep(max(wait, self._policy.retry_seconds * 2 ** (attempt - 1)))
            try:
                url = f"{origin}/robots.txt"
                for _ in range(_ROBOTS_REDIRECTS + 1):
                    response = await self._fetcher.get(url, limits, cut_at=rfc9309.MAX_BYTES + 1)
                    if response.status not in REDIRECTS:
                        break
                    url, _why = location(url, response.values("location"))
                    if not url:
                        break
                status = response.status
                wait = retry_after(response.values("retry-after"), response.header("date"), datetime.now(UTC))
                if status < 500 and status != 429:
                    return status, response.body
            except Refused as exc:
                # Forbidden address: nothing of this host may be fetched, and asking again changes nothing.
                return _UNREACHABLE, f"# {exc}".encode()
            except FetchFailed:
                status, wait = _UNREACHABLE, 0.0
        return (503 if status == 429 else status), b""

    async def _tdmrep(self, origin: str, robots: rfc9309.Robots) -> bytes:
        url = f"{origin}/.well-known/tdmrep.json"
        if not robots.allowed(url, self._agent):
            return b""
        try:
            response = await self._fetcher.get(url, Limits(total_seconds=self._policy.robots_timeout_seconds, max_bytes=1 << 20))
        except (Refused, FetchFailed):
            return b""
        return response.body if response.status == 200 else b""
