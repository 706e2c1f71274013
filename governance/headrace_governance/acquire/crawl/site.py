"""Where a source is fetched, which may be a mirror, and under which name its addresses are recorded."""

from __future__ import annotations

from dataclasses import dataclass

from headrace_governance.acquire.crawl.urls import host_and_port, normal_host_port, normal_url
from headrace_governance.sources.source import CrawlFetch
from headrace_lake.errors import ConfigError
from headrace_lake.settings import SAMPLE_SITE


@dataclass
class Site:
    """Where the source is fetched now, and under which name its addresses are recorded."""

    declared: str
    actual: str

    @property
    def mirrored(self) -> bool:
        """Is it fetched from another place than the declared one?"""
        return self.actual != self.declared

    def mirror_of(self, url: str) -> str:
        """The mirror that answers for an address that is fetched; empty if that is not a mirror's."""
        return self.actual if self.mirrored and (url == self.actual or url.startswith(self.actual + "/")) else ""

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


def site_of(fetch: CrawlFetch, base_url: str | None = None, *, sample_site: str = SAMPLE_SITE) -> Site:
    """Where a source is fetched: the site that it declares, or one of its mirrors.

    Args:
        base_url: which of them; the declared one by default.
        sample_site: where this installation serves the sample site (`Settings.sample_site`), for the sources that declare `SAMPLE_SITE`.

    Raises:
        ConfigError: `base_url` is none of them. Its text would be recorded under the source's address and licence.
    """
    declared = _site(fetch.base_url)
    usual = _site(sample_site) if declared == _site(SAMPLE_SITE) else declared
    if not base_url:
        return Site(declared, usual)
    actual, listed = _site(base_url), dict.fromkeys([declared, usual, *map(_site, fetch.mirrors)])
    if not actual or actual not in listed:
        choices = ", ".join(filter(None, listed)) or "none: the source declares no base_url"
        more = "add it to fetch.mirrors of the source's file, or, of the sample site, to 'sample_site' of the settings"
        raise ConfigError(f"base_url '{base_url[:200]}' is not a place that the source lists", f"choose {choices}; or {more}")
    return Site(declared, actual)


def allowed_hosts(fetch: CrawlFetch, site: Site) -> set[str]:
    """`host:port` that may lie on private addresses: those that the source lists, and of the sample site the port that it is served at."""
    allowed = {normal_host_port(h) for h in fetch.allow_hosts}
    listed = {site.declared, *map(_site, fetch.mirrors)}
    if site.actual not in listed and _host_port(site.declared) in allowed:  # `site_of` lets only the sample site be elsewhere
        allowed.add(_host_port(site.actual))
    return allowed


def _site(base_url: str) -> str:
    """A site's address in normal form, without a slash at its end."""
    return (normal_url(base_url) or base_url).rstrip("/")


def _host_port(base_url: str) -> str:
    host, port = host_and_port(base_url)
    return f"{host}:{port}"
