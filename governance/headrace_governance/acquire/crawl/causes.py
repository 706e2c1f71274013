"""Why addresses were not kept, told with counts, an example and the way out of each kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WAYS_OUT = {
    "address": "private and loopback addresses are refused: if the host is yours, add that 'host:port' to fetch.allow_hosts in {file}",
    "bad_redirect": "the site leads to no address: leave the page out with fetch.deny in {file}",
    "compression_ratio": "the answer grows too much when it is unpacked: max_compression_ratio in {policy}",
    "crawl_delay": "the site asks for longer pauses than the policy has: max_crawl_delay_seconds in {policy}",
    "denied": "fetch.deny in {file} covers it",
    "dns": "correct the host's name in fetch.base_url and fetch.seeds in {file}, or this machine's name server",
    "http_status": "the site has no such page or refuses it: correct fetch.seeds in {file}",
    "licence": "the page names a licence that {licences} does not admit",
    "licence_unknown": "the page names a licence that nobody knows, or none: see docs/licences.md",
    "max_pages": "raise fetch.max_pages in {file}",
    "media_type": "list the type in fetch.media_types in {file}, if it is one that can be read",
    "redirect_off_host": "the site leads to another host: put that one into fetch.base_url and fetch.seeds in {file}, or same_host: false",
    "retry_after": "the site is busy: crawl it later",
    "robots": "robots.txt forbids it to this crawler: choose other fetch.seeds in {file}, or ask the site's owner",
    "robots_error": "robots.txt was answered with a server error, which forbids everything (RFC 9309): try again later",
    "robots_tag": "the page asks robots to leave it alone",
    "slow": "the site sends too slowly: min_bytes_per_second in {policy}, or try again later",
    "tdm_reserved": "the site reserves text and data mining: fetch.respect_tdm in {file} says what to do if you have its leave",
    "timeout": "the site does not answer in time: try again later, or raise fetch.timeout_seconds in {file}",
    "tls": "the site's certificate does not hold: check fetch.base_url in {file}, or this machine's certificates and clock",
    "too_large": "raise fetch.max_bytes in {file}",
    "too_many_redirects": "the site leads in a circle, or further than max_redirects in {policy}: seed where it leads to",
    "unreachable": "check that the site is up and that fetch.base_url in {file} names its port",
}
"""Reason → what can be done about it."""
HOST_WIDE = frozenset({"address", "crawl_delay", "dns", "retry_after", "robots_error", "timeout", "tls", "unreachable"})
"""Reasons that are a host's more often than a page's, which a receipt tells of."""
_SHOWN = 160


@dataclass(frozen=True)
class Cause:
    """One reason: how many addresses it took, the first of them, and what explains it there."""

    reason: str
    count: int
    url: str
    detail: str

    def __str__(self) -> str:
        detail = self.detail if len(self.detail) <= _SHOWN else f"{self.detail[:_SHOWN]}..."
        return f"{self.count:,} {self.reason} ({self.url}{': ' if detail else ''}{detail})"


def causes_of(unkept: Iterable[tuple[str, str, str]]) -> list[Cause]:
    """The reasons of (address, reason, detail), most frequent first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for url, reason, detail in unkept:
        found.setdefault(reason, []).append((url, detail))
    causes = [Cause(reason, len(all_), *min(all_)) for reason, all_ in found.items()]
    return sorted(causes, key=lambda c: (-c.count, c.reason))


def ways_out(causes: Sequence[Cause], *, file: str, policies: str) -> str:
    """What can be done about each of the reasons."""
    places = {"file": file, "policy": f"{policies}/fetch.yaml", "licences": f"{policies}/licences.yaml"}
    ways = [f"{c.reason}: {WAYS_OUT[c.reason].format(**places)}" for c in causes if c.reason in WAYS_OUT]
    return "; ".join(ways) or f"check fetch.seeds and fetch.allow in {file}"
