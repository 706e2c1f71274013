"""The page that a source's licence rests on (`licence.evidence.url`), fetched and hashed.

It is asked for like any page: through the address guard, robots.txt, the host's slots and the limits of a response.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from headrace_governance.acquire.crawl.fetch import REDIRECTS, Fetcher, FetchFailed, Limits, Refused
from headrace_governance.acquire.crawl.fields import location
from headrace_governance.acquire.crawl.hosts import Hosts
from headrace_governance.acquire.crawl.urls import normal_url, origin_of
from headrace_governance.containers.faults import is_ours, told


@dataclass(frozen=True)
class EvidenceSeen:
    """What an address of evidence answered.

    Attributes:
        status: 0 if there was no answer; then `problem` says why.
        sha256: of the decoded body.
        size: of the decoded body, bytes.
        problem: `reason: detail`; empty if there is a page.
    """

    url: str
    final_url: str = ""
    status: int = 0
    sha256: str = ""
    size: int = 0
    fetched_at: str = ""
    problem: str = ""
    body: bytes = b""

    def record(self) -> dict[str, Any]:
        """All but the body."""
        fields = asdict(self)
        del fields["body"]
        return fields

    def __str__(self) -> str:
        if self.problem:
            return f"licence evidence {self.url} could not be fetched: {self.problem}"
        return f"licence evidence {self.final_url}: {self.size:,} bytes, sha256 {self.sha256}"


async def see_evidence(
    url: str,
    hosts: Hosts,
    fetcher: Fetcher,
    limits: Limits,
    agent: str,
    *,
    max_redirects: int,
    recorded: Callable[[str], str] = str,
) -> EvidenceSeen:
    """Fetch the evidence; a refusal or failure is a result.

    Args:
        url: where it is fetched.
        recorded: from the address that is fetched to the one that is recorded (a mirror's to the declared one).
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    seen = EvidenceSeen(recorded(url), recorded(url), fetched_at=now)
    at = normal_url(url)
    try:
        for _ in range(max_redirects + 1):
            if not at:
                raise Refused("bad_url", "no http(s) address")
            host = await hosts.get(origin_of(at))
            refusal = host.refuses(at, agent)
            if refusal is not None:
                raise Refused(*refusal)
            async with host.request(limits.total_seconds):
                response = await fetcher.get(at, limits)
            if response.status not in REDIRECTS:
                break
            at, why = location(at, response.values("location"))
            if why:
                raise Refused("bad_redirect", why)
        else:
            raise Refused("too_many_redirects", f"more than {max_redirects}")
    except (Refused, FetchFailed) as exc:
        return replace(seen, problem=f"{exc.reason}: {exc.detail}")
    except Exception as exc:
        if is_ours(exc):
            raise
        return replace(seen, problem=f"error: {told(exc)}")
    seen = replace(seen, final_url=recorded(response.url), status=response.status, size=len(response.body), body=response.body)
    if response.status != 200:
        return replace(seen, problem=f"http_status: {response.status}")
    return replace(seen, sha256=hashlib.sha256(response.body).hexdigest())
