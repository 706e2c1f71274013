"""Addresses as pages, headers and robots files write them: joined, and brought into one spelling, or empty where they are none."""

from __future__ import annotations

from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

MAX_URL = 2000
"""Characters of the longest address that is fetched."""
_DEFAULT_PORT = {"http": 80, "https": 443}


def joined(base: str, href: str) -> str:
    """An address relative to another, or an empty string if it is none."""
    try:
        return urljoin(base, href)
    except ValueError:
        return ""


def normal_url(url: str) -> str:
    """An address in one spelling (lower-case host, no default port, no fragment), or an empty string if it is not one to fetch."""
    try:
        parts = urlsplit(urldefrag(url.strip())[0])
        port = parts.port
    except ValueError:
        return ""
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in _DEFAULT_PORT or not host or parts.username is not None or len(url) > MAX_URL:
        return ""
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port in (None, _DEFAULT_PORT[scheme]) else f"{shown}:{port}"
    query = parts.query
    return urlunsplit((scheme, netloc, parts.path.replace(" ", "%20") or "/", query.replace(" ", "%20"), ""))


def origin_of(url: str) -> str:
    """`scheme://host:port` of an address from `normal_url`: what a robots.txt and a crawl delay hold for.

    Raises:
        ValueError: it is no address.
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
