"""HTTP fields that say what to ask for next, and when, in all the forms that they may have: Location, Refresh, Retry-After.

Values are as HTTP libraries hand them on, decoded as Latin-1: a character is a byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from headrace_governance.acquire.crawl.urls import normal_url

_TIME = re.compile(r"[\t\n\f\r ]*(?:[0-9]++[0-9.]*+|\.[0-9.]*)")
_SPACE = "\t\n\f\r "
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DATES = (
    re.compile(
        r"[a-z]{3,9},? (?P<day>\d{1,2})[ -](?P<month>[a-z]{3})[ -](?P<year>\d{4}|\d{2}) (?P<time>\d{2}:\d{2}:\d{2})(?: (?:gmt|utc))?$"
    ),
    re.compile(r"[a-z]{3} (?P<month>[a-z]{3}) {1,2}(?P<day>\d{1,2}) (?P<time>\d{2}:\d{2}:\d{2}) (?P<year>\d{4})$"),
)
"""IMF-fixdate and RFC 850; asctime (RFC 9110, 5.6.7)."""


def escaped_bytes(value: str) -> str:
    """A field's value with each byte above 127 percent-encoded, as it was sent (Fetch, "location URL")."""
    if value.isascii():
        return value
    return "".join(c if c < "\x80" else f"%{ord(c):02X}" if c <= "\xff" else c for c in value)


def location(url: str, values: Iterable[str]) -> tuple[str, str]:
    """Where a redirect leads, in normal form, and why it leads nowhere (one of the two is empty).

    The same field sent twice, or combined (`/a, /a`), is one; two different ones contradict each other.

    Args:
        url: the address that answered.
        values: its Location fields.
    """
    targets: dict[str, None] = {}
    written = ""
    for value in values:
        written = written or value
        half = len(value) // 2
        once = value[: half - 1] if len(value) > 4 and value[half - 1 : half + 1] == ", " else ""
        if once and value == f"{once}, {once}":
            value = once
        elif value[:half] + "," + value[:half] == value and half:
            value = value[:half]
        if value.strip():
            targets.setdefault(normal_url(escaped_bytes(value), url))
    if len(targets) > 1:
        return "", f"{len(targets)} different Location fields"
    target = next(iter(targets), "")
    return target, "" if target else written[:200] or "no Location"


def refresh(value: str) -> str:
    """The address of a Refresh field or `<meta http-equiv=refresh>` as it is written; empty if it only loads the page again.

    By the HTML Standard's "shared declarative refresh steps": `0; URL='x'`, `0,x`, `5 x`, `.5;url = "x`.
    """
    time = _TIME.match(value)
    if time is None:
        return ""
    rest = value[time.end() :]
    if rest and rest[0] not in ";," + _SPACE:
        return ""
    rest = rest.lstrip(_SPACE)
    if rest[:1] in (";", ","):
        rest = rest[1:].lstrip(_SPACE)
    if rest[:3].lower() == "url":
        after = rest[3:].lstrip(_SPACE)
        if after.startswith("="):
            rest = after[1:].lstrip(_SPACE)
    if rest[:1] in ("'", '"'):
        rest = rest[1:].partition(rest[0])[0]
    return rest.strip(_SPACE)


def retry_after(values: Iterable[str], date: str, now: datetime) -> float:
    """Seconds that a server asks to wait: its Retry-After fields as seconds or dates, the longest of several; 0 if none can be read.

    Args:
        date: the answer's Date field. A Retry-After date counts from it, as the server's clock may not be ours; without one, from `now`.
        now: an aware time.
    """
    waits = [0.0]
    for value in values:
        for part in [value, *value.split(",")]:
            part = part.strip()
            if re.fullmatch(r"\d{1,18}(?:\.\d{1,18})?", part):
                waits.append(float(part))
            elif part.isdecimal():
                waits.append(1e18)  # more digits than any time has: bounded by the caller
        until = http_date(value, now)
        if until is not None:
            waits.append((until - (http_date(date, now) or now)).total_seconds())
    return max(waits)


def http_date(text: str, now: datetime) -> datetime | None:
    """A date in one of HTTP's three forms (RFC 9110, 5.6.7), or None. A year of two digits is at most 50 years after `now`."""
    folded = " ".join(text[:100].lower().split()) if "  " not in text[:100] else text[:100].lower().strip()
    for form in _DATES:
        found = form.match(folded)
        if found is None or found["month"] not in _MONTHS:
            continue
        year = int(found["year"])
        if year < 100:
            year += now.year // 100 * 100
            year -= 100 if year > now.year + 50 else 0
        hour, minute, second = (int(x) for x in found["time"].split(":"))
        try:
            month = _MONTHS.index(found["month"]) + 1
            return datetime(year, month, int(found["day"]), hour, minute, min(second, 59), tzinfo=UTC)
        except ValueError:
            return None
    try:
        other = parsedate_to_datetime(text[:100])  # with a numeric zone, as mail has
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return other.replace(tzinfo=UTC) if other.tzinfo is None else other.astimezone(UTC)
