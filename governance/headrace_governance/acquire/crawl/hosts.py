"""What the crawler knows of each host: its robots.txt verdict, its TDM reservation, and when it may be asked again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace_governance.acquire.crawl import robots as rfc9309
from headrace_governance.acquire.crawl.fetch import REDIRECTS, Fetcher, FetchFailed, Limits, Refused, Response
from headrace_governance.acquire.crawl.fields import location, retry_after
from headrace_governance.acquire.crawl.frontier import Frontier
from headrace_governance.acquire.crawl.licence import TdmReservations
from headrace_governance.acquire.crawl.retries import retrying
from headrace_governance.acquire.crawl.urls import host_and_port, host_key
from headrace_governance.containers.faults import is_ours, told
from headrace_governance.sources.fetch_policy import FetchPolicy

if TYPE_CHECKING:
    # Only for types: when a request is made decides nothing about what is kept, so it is not part of the crawl's code digest.
    from headrace_governance.acquire.crawl.slots import HostSlots

_ROBOTS_REDIRECTS = 5
_UNREACHABLE = 0
_GIVE_UPS = 3
"""Pages in a row that were given up for a long Retry-After, after which the rest of the host's are, unasked."""


@dataclass(frozen=True)
class Answer:
    """What became of `/robots.txt`: its status (0: none came) and body; `problem`: (reason, detail) where none came."""

    status: int
    body: bytes
    problem: tuple[str, str] | None = None


class _NoRobots(FetchFailed):
    """No usable answer for `/robots.txt`; `answer` is what it counts as if no other comes."""

    def __init__(self, answer: Answer, wait: float = 0.0) -> None:
        super().__init__("robots", str(answer.status), again=True, wait=wait)
        self.answer = answer


class Host:
    """One origin (scheme, host, port).

    Attributes:
        delay: seconds between two requests to its host, from any crawl of the lake.
        refusal: (reason, detail) why nothing of it may be fetched, if so.
    """

    def __init__(
        self,
        origin: str,
        robots: rfc9309.Robots,
        answer: Answer,
        digest: str,
        tdm: TdmReservations,
        *,
        delay: float,
        slots: int,
        pace: HostSlots,
    ) -> None:
        self.origin, self.robots, self.digest, self.tdm, self.delay = origin, robots, digest, tdm, delay
        self.status = answer.status
        self.refusal: tuple[str, str] | None = None
        self._key = host_key(*host_and_port(origin))
        self._places = asyncio.Semaphore(1 if delay > 0 else slots)
        self._pace = pace
        self._gave_up = 0

    def refuses(self, url: str, agent: str) -> tuple[str, str] | None:
        """(reason, detail) why the host does not want an address of it to be asked for, or None."""
        if self.refusal is not None:
            return self.refusal
        if not self.robots.allowed(url, agent):
            return "robots", f"robots.txt forbids it to {agent}, evidence {self.digest}"
        return None

    @asynccontextmanager
    async def request(self, seconds: float) -> AsyncIterator[None]:
        """A time at which the host may be asked, for a request that takes so many seconds at most.

        Raises:
            FetchFailed: the host asked for longer pauses than the policy has, again and again.
        """
        async with self._places:
            if self._gave_up >= _GIVE_UPS:
                raise FetchFailed("retry_after", f"{_GIVE_UPS} pages before it were given up for their Retry-After")
            if self.delay > 0:
                async with self._pace.slot(self._key, self.delay, seconds):
                    yield
            else:
                await self._pace.rested(self._key)
                yield

    async def busy(self, wait: float, most: float) -> None:
        """The host asked for a pause: nobody asks it meanwhile, for so many seconds at most."""
        self._gave_up = self._gave_up + 1 if wait > most else 0
        if min(wait, most) > 0:
            await self._pace.rest(self._key, min(wait, most))

    def answered(self) -> None:
        """The host gave an answer that asks for no pause."""
        self._gave_up = 0


class Hosts:
    """All hosts of a crawl; robots.txt is fetched before anything else of a host."""

    def __init__(
        self,
        fetcher: Fetcher,
        frontier: Frontier | None,
        policy: FetchPolicy,
        agent: str,
        delay_seconds: float,
        keep_evidence: Callable[[bytes], str],
        slots: HostSlots,
    ) -> None:
        self._fetcher, self._frontier, self._policy, self._agent = fetcher, frontier, policy, agent
        self._delay, self._keep_evidence, self._slots = delay_seconds, keep_evidence, slots
        self._hosts: dict[str, asyncio.Task[Host]] = {}

    async def get(self, origin: str) -> Host:
        """The host of an origin; its robots.txt is asked for once a crawl."""
        task = self._hosts.get(origin)
        if task is None:
            task = self._hosts[origin] = asyncio.ensure_future(self._loaded(origin))
        return await task

    async def _loaded(self, origin: str) -> Host:
        """The host; one whose answers cannot be dealt with is refused as a whole, and no other is."""
        try:
            return await self._load(origin)
        except Exception as exc:
            if is_ours(exc):
                raise
            nothing = rfc9309.Robots(verdict="disallow-all")
            answer = Answer(_UNREACHABLE, b"", ("error", told(exc)))
            digest = self._keep_evidence(f"robots.txt: {told(exc)}".encode("utf-8", "backslashreplace"))
            host = Host(origin, nothing, answer, digest, TdmReservations(), delay=self._delay, slots=1, pace=self._slots)
            host.refusal = "error", f"{told(exc)} (asked for {origin}/robots.txt)"
            return host

    async def _load(self, origin: str) -> Host:
        known = self._frontier.host(origin) if self._frontier is not None else None
        if known is None:
            answer = await self._robots(origin)
            robots = await asyncio.to_thread(rfc9309.for_status, answer.status, answer.body)
            tdmrep = await self._tdmrep(origin, robots)
            if self._frontier is not None and answer.status != _UNREACHABLE and answer.status < 500:
                self._frontier.set_host(origin, answer.status, answer.body, tdmrep)
        else:
            status, body, tdmrep = known
            answer = Answer(status, body)
            robots = await asyncio.to_thread(rfc9309.for_status, status, body)
        # Off the event loop: half a megabyte of rules takes a tenth of a second.
        tdm = await asyncio.to_thread(TdmReservations, tdmrep)
        await asyncio.to_thread(robots.allowed, f"{origin}/", self._agent)
        delay = self._delay_of(robots)
        status = answer.status
        if answer.problem is not None:
            noted = f"robots.txt: {': '.join(answer.problem)}".encode("utf-8", "backslashreplace")
        else:
            noted = answer.body if 200 <= status < 300 else f"robots.txt: status {status}".encode()
        digest = self._keep_evidence(noted)
        host = Host(origin, robots, answer, digest, tdm, delay=delay, slots=self._policy.concurrency_per_host, pace=self._slots)
        asked = robots.crawl_delay(self._agent)
        if asked > self._policy.max_crawl_delay_seconds:
            host.refusal = "crawl_delay", f"robots.txt asks for {asked:g} s, more than {self._policy.max_crawl_delay_seconds:g} s"
        elif answer.problem is not None:
            reason, detail = answer.problem
            host.refusal = reason, f"{detail} (asked for {origin}/robots.txt)"
        elif robots.verdict == "disallow-all":
            host.refusal = "robots_error", f"{origin}/robots.txt was answered {status}, which forbids everything, evidence {digest}"
        return host

    def _delay_of(self, robots: rfc9309.Robots) -> float:
        return max(self._delay, robots.crawl_delay(self._agent))

    async def _robots(self, origin: str) -> Answer:
        """The answer for robots.txt; no answer disallows everything just as 5xx does.

        The body is that of a file, or one byte more than is read of a longer one, which tells `robots` that it is cut.
        """
        limits = Limits(total_seconds=self._policy.robots_timeout_seconds, idle_seconds=self._policy.idle_seconds)
        try:
            return await retrying(self._policy)(self._ask_for_robots, origin, limits)
        except _NoRobots as exc:
            return exc.answer
        except Refused as exc:
            # Forbidden address: nothing of this host may be fetched, and asking again changes nothing.
            return Answer(_UNREACHABLE, b"", (exc.reason, exc.detail))

    async def _ask_for_robots(self, origin: str, limits: Limits) -> Answer:
        """One attempt.

        Raises:
            _NoRobots: nothing that says what may be fetched came; asking again may help.
            Refused: the address is forbidden.
        """
        url = f"{origin}/robots.txt"
        try:
            for _ in range(_ROBOTS_REDIRECTS + 1):
                response = await self._paced(url, limits, origin)
                if response.status not in REDIRECTS:
                    break
                url, _why = location(url, response.values("location"))
                if not url:
                    break
        except FetchFailed as exc:
            raise _NoRobots(Answer(_UNREACHABLE, b"", (exc.reason, exc.detail))) from exc
        wait = retry_after(response.values("retry-after"), response.header("date"), datetime.now(UTC))
        if response.status < 500 and response.status != 429:
            return Answer(response.status, response.body)
        if wait > 0:
            await self._slots.rest(_key(url or origin), min(wait, self._policy.max_retry_after_seconds))
        raise _NoRobots(Answer(503 if response.status == 429 else response.status, b""), wait)

    async def _paced(self, url: str, limits: Limits, origin: str) -> Response:
        """One request for a robots.txt. It takes a slot in any case: what delay there is, its answer says."""
        async with self._slots.slot(_key(url), self._delay, limits.total_seconds) as slot:
            response = await self._fetcher.get(url, limits, cut_at=rfc9309.MAX_BYTES + 1)
            if 200 <= response.status < 300 and _key(url) == _key(origin):
                asked = self._delay_of(await asyncio.to_thread(rfc9309.parse_robots, response.body))
                slot.delay = min(asked, self._policy.max_crawl_delay_seconds)
            return response

    async def _tdmrep(self, origin: str, robots: rfc9309.Robots) -> bytes:
        url = f"{origin}/.well-known/tdmrep.json"
        if not robots.allowed(url, self._agent) or robots.crawl_delay(self._agent) > self._policy.max_crawl_delay_seconds:
            return b""
        limits = Limits(total_seconds=self._policy.robots_timeout_seconds, max_bytes=1 << 20)
        try:
            async with self._slots.slot(_key(url), self._delay_of(robots), limits.total_seconds):
                response = await self._fetcher.get(url, limits)
        except (Refused, FetchFailed):
            return b""
        return response.body if response.status == 200 else b""


def _key(url: str) -> str:
    return host_key(*host_and_port(url))
