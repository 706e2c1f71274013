"""The slice: (source, interval), the partition that is backfilled, committed, replaced and deleted as one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace_lake.errors import ConfigError

_SOURCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_INTERVAL = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,62}")


@dataclass(frozen=True, order=True)
class Slice:
    """One slice of one source.

    Attributes:
        source: the source's id (lower-case letters, digits, `-`, `_`).
        interval: the interval's id: an ISO date for a day (`2026-11-01`), `2026-11-01T06` for an hour,
            or any word of letters, digits, `-`, `_` for slices that no clock gives.
    """

    source: str
    interval: str

    def __post_init__(self) -> None:
        if not _SOURCE.fullmatch(self.source):
            raise ConfigError(f"source id '{self.source}' is not valid", "use lower-case letters, digits, '-' and '_'")
        if not _INTERVAL.fullmatch(self.interval):
            raise ConfigError(f"slice '{self.interval}' is not valid", "use a date such as 2026-11-01, or letters, digits, '-' and '_'")

    def __str__(self) -> str:
        return f"{self.source}/{self.interval}"

    @classmethod
    def parse(cls, text: str) -> Slice:
        """Read `source/interval`."""
        source, sep, interval = text.partition("/")
        if not sep:
            raise ConfigError(f"'{text}' names no slice", "write SOURCE/INTERVAL, such as debian-handbook-en/2026-11-01")
        return cls(source, interval)

    @classmethod
    def of_interval(cls, source: str, start: datetime, end: datetime) -> Slice:
        """The slice of an Airflow data interval; a whole UTC day is named by its date."""
        first, last = start.astimezone(UTC), end.astimezone(UTC)
        midnight = first.hour == first.minute == first.second == 0
        if midnight and last - first == timedelta(days=1):
            return cls(source, first.strftime("%Y-%m-%d"))
        if first.minute == first.second == 0 and last - first == timedelta(hours=1):
            return cls(source, first.strftime("%Y-%m-%dT%H"))
        return cls(source, f"{first:%Y%m%dT%H%M%S}-{last:%Y%m%dT%H%M%S}")
