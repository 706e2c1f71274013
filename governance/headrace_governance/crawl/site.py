"""Where a source is fetched, which may be a mirror, and under which name its addresses are recorded."""

from __future__ import annotations

from dataclasses import dataclass

from headrace_governance.crawl.urls import host_and_port, normal_host_port, normal_url
from headrace_governance.sources import CrawlFetch


@dataclass
class Site:
    """Where the source is fetched now, and under which name its addresses are recorded."""

    declared: str
    actual: str

    def recorded(self, url: str) -> str:
        """The address to record for one that was fetched."""
        return self._swap(url, self.actual, self.declared)

    def fetched(self, url: str) -> str:
        """The inverse of `recorded`."""
        return self._swap(url, self.declared, self.actual)

    @staticmethod
    def _swap(url: str, old: str, new: str) -> str:
        if old == new or not old or not (url == old or url.startswith(old + "/")):
            return url
        return new + url[len(old) :]


def site_of(fetch: CrawlFetch, base_url: str | None = None) -> Site:
    """Where a source is fetched, declared or from a mirror."""
    declared = _site(fetch.base_url)
    return Site(declared, _site(base_url) if base_url else declared)


def allowed_hosts(fetch: CrawlFetch, site: Site) -> set[str]:
    """`host:port` that may lie on private addresses: the source's, and the mirror's if the declared one is among them."""
    allowed = {normal_host_port(h) for h in fetch.allow_hosts}
    if site.actual != site.declared and _host_port(site.declared) in allowed:
        allowed.add(_host_port(site.actual))
    return allowed


def _site(base_url: str) -> str:
    """A site's address in normal form, without a slash at its end."""
    return (normal_url(base_url) or base_url).rstrip("/")


def _host_port(base_url: str) -> str:
    host, port = host_and_port(base_url)
    return f"{host}:{port}"
