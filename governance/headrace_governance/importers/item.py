"""What every importer yields: one thing to keep, or why it cannot be kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of things that carry none: an import must give the same bytes tomorrow."""


@dataclass(frozen=True)
class Item:
    """One thing to import, or why it cannot be.

    Attributes:
        body: bytes as they are; undecodable text is the extraction's business.
        status: HTTP status of a WARC response, 0 for everything else.
        licence_links: (where, address or SPDX id) of licences that the record itself names; they can only make the source's stricter.
        problem: (reason, detail) of a row to drop; `failed` rows go to quarantine instead.
    """

    url: str
    body: bytes = b""
    content_type: str = ""
    charset: str = ""
    language: str = ""
    status: int = 0
    fetched_at: datetime = EPOCH
    headers: tuple[tuple[str, str], ...] = ()
    licence_links: tuple[tuple[str, str], ...] = ()
    problem: tuple[str, str] | None = None
    failed: bool = field(default=False)
