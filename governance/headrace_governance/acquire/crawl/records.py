"""Records of the pages that a crawl keeps: one that was fetched, and one that is unchanged since an earlier capture (a 304)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headrace_governance.acquire.crawl.fetch import Response
from headrace_governance.acquire.crawl.frontier import StoredPage
from headrace_governance.acquire.crawl.licence import Decision
from headrace_lake.fingerprint import digest_bytes

ANSWERED_BY = "x-crawl-answered-by"
"""Field of a capture's request record: the mirror that answered in the declared site's place. Ours, so no server can write it."""
CARRIED_OVER = (
    "status",
    "content_type",
    "charset",
    "content_digest",
    "content_bytes",
    "language_hint",
    "warc_path",
    "warc_offset",
    "warc_length",
)
"""Columns of `captures` that an unchanged page has of its earlier capture."""


@dataclass(frozen=True)
class Earlier:
    """An earlier capture of an address, for conditional re-fetch: a row of `captures`, and how to read its body."""

    row: dict[str, Any]
    read: Callable[[], bytes]

    @property
    def conditions(self) -> dict[str, str]:
        """The header fields of a conditional request (RFC 9110, section 13)."""
        pairs = {"if-none-match": self.row["etag"], "if-modified-since": self.row["last_modified"]}
        return {k: v for k, v in pairs.items() if v}


@dataclass(frozen=True)
class Answered:
    """A response and what was decided of it.

    Attributes:
        url: as it stands in the frontier.
        final_url: recorded address of what answered, behind redirects.
        mirror: what answered in the declared site's place, or empty.
        robots_digest: evidence of the host's robots.txt.
    """

    url: str
    final_url: str
    fetched_at: str
    response: Response
    mirror: str
    robots_digest: str | None
    decision: Decision


def fetched_page(answered: Answered, kind: str, charset: str, language: str | None, sent: Sequence[tuple[str, str]]) -> StoredPage:
    """The record of a page whose body came.

    Args:
        kind: media type.
        sent: header fields of the request, but for its host.
    """
    response = answered.response
    return StoredPage(
        url=answered.url,
        final_url=answered.final_url,
        status=response.status,
        fetched_at=answered.fetched_at,
        headers=list(response.headers),
        content_type=kind or None,
        charset=charset or None,
        content_digest=digest_bytes(response.body),
        content_bytes=len(response.body),
        etag=response.header("etag") or None,
        last_modified=response.header("last-modified") or None,
        robots_digest=answered.robots_digest,
        language_hint=language or None,
        request_headers=[
            ("host", urlsplit(answered.final_url).netloc),
            *([(ANSWERED_BY, answered.mirror)] if answered.mirror else []),
            *sent,
        ],
        answered_by=answered.mirror,
        **_licence_fields(answered.decision),
    )


def unchanged_page(answered: Answered, earlier: Earlier) -> StoredPage:
    """The record of a page whose body is that of an earlier capture."""
    row = earlier.row
    return StoredPage(
        url=answered.url,
        final_url=answered.final_url,
        fetched_at=answered.fetched_at,
        headers=[],
        request_headers=[],
        etag=answered.response.header("etag") or row["etag"],
        last_modified=answered.response.header("last-modified") or row["last_modified"],
        robots_digest=answered.robots_digest,
        answered_by=answered.mirror,
        **{column: row[column] for column in CARRIED_OVER},
        **_licence_fields(answered.decision),
    )


def _licence_fields(decision: Decision) -> dict[str, Any]:
    return {
        "licence": decision.licence,
        "licence_class": decision.licence_class,
        "licence_basis": decision.basis,
        "licence_evidence": decision.digest,
        "evidence": decision.evidence,
    }
