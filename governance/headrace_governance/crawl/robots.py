"""robots.txt by RFC 9309: parsing, matching and what the HTTP status of the file means.

Python's own parser is not used: it lets everything pass on 5xx and knows no wildcards. Matching here is a linear
walk over the literal pieces of a pattern (leftmost match of each piece), so no pattern can make it slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes, urlsplit

MAX_BYTES = 500 << 10
"""RFC 9309 section 2.5: parsers must read at least 500 KiB; we read exactly that much."""
MAX_CRAWL_DELAY = 60.0
"""Seconds; a longer Crawl-delay (an extension, not in the RFC) refuses the host instead of stalling a slice."""
_LINE = re.compile(r"\s*([A-Za-z][A-Za-z-]*)\s*:\s*(.*)", re.DOTALL)
_AGENT_KEYS = {"user-agent", "useragent", "user agent"}
_TOKEN = re.compile(r"[A-Za-z_-]+")
_SAFE = "/?:@!$&'()*+,;=-._~%#[]"


@dataclass
class Group:
    """One group: its rules (allow?, pattern) and its crawl delay in seconds."""

    rules: list[tuple[bool, str]] = field(default_factory=list)
    crawl_delay: float | None = None


@dataclass
class Robots:
    """A parsed robots.txt.

    Attributes:
        groups: product token in lower case, or `*`, → its merged group.
        verdict: `rules`, or `allow-all` (4xx) or `disallow-all` (5xx, unreachable), which ignore the groups.
        sitemaps: addresses after `Sitemap:`.
    """

    groups: dict[str, Group] = field(default_factory=dict)
    verdict: str = "rules"
    sitemaps: list[str] = field(default_factory=list)

    def group_for(self, agent: str) -> Group:
        """The group of a product token, else of `*`, else an empty one."""
        return self.groups.get(product_token(agent)) or self.groups.get("*") or Group()

    def allowed(self, url: str, agent: str) -> bool:
        """Whether the agent may fetch the address. `/robots.txt` itself always may be."""
        if self.verdict != "rules":
            return self.verdict == "allow-all"
        path = path_of(url)
        if path == "/robots.txt":
            return True
        best: tuple[int, bool] = (-1, True)
        for allow, pattern in self.group_for(agent).rules:
            if matches(pattern, path):
                # The longest pattern wins; of two equally long ones, allow does (section 2.2.2).
                best = max(best, (len(pattern), allow))
        return best[1]

    def crawl_delay(self, agent: str) -> float:
        """Seconds between two requests that the site asks for, 0 if it does not."""
        return self.group_for(agent).crawl_delay or 0.0


def for_status(status: int, body: bytes) -> Robots:
    """What a response to `/robots.txt` means (section 2.3.1): 2xx rules, 4xx allow all, everything else disallow all.

    Redirects are followed by the caller; a redirect left over after five hops counts as unavailable (allow all).
    """
    if 200 <= status < 300:
        return parse_robots(body)
    if 300 <= status < 500:
        return Robots(verdict="allow-all")
    return Robots(verdict="disallow-all")


def parse_robots(body: bytes) -> Robots:
    """Read the file: BOM and comments skipped, unknown lines ignored, groups of the same agent merged."""
    text = body[:MAX_BYTES].decode("utf-8-sig", errors="replace")
    robots = Robots()
    current: list[Group] = []
    in_agents = False
    for raw in re.split(r"\r\n|\r|\n", text):
        found = _LINE.fullmatch(raw.partition("#")[0].strip())
        if found is None:
            continue
        key, value = found[1].lower(), found[2].strip()
        if key in _AGENT_KEYS:
            if not in_agents:
                current, in_agents = [], True
            token = "*" if value.startswith("*") else product_token(value)
            if token:
                current.append(robots.groups.setdefault(token, Group()))
        elif key in ("allow", "disallow"):
            in_agents = False
            if value:
                pattern = normalise(value if value.startswith(("/", "*")) else "/" + value)
                for g in current:
                    g.rules.append((key == "allow", pattern))
        elif key == "crawl-delay":
            in_agents = False
            delay = _seconds(value)
            for g in current:
                if delay is not None:
                    g.crawl_delay = max(delay, g.crawl_delay or 0.0)
        elif key == "sitemap" and value:
            robots.sitemaps.append(value)
    return robots


def _seconds(value: str) -> float | None:
    try:
        delay = float(value)
    except ValueError:
        return None
    return delay if 0 <= delay < float("inf") else None


def product_token(agent: str) -> str:
    """`HeadraceBot/0.1 (+...)` → `headracebot`: the leading letters, `_` and `-`."""
    found = _TOKEN.match(agent.strip())
    return found[0].lower() if found else ""


def path_of(url: str) -> str:
    """Path and query of an address in the normal form that patterns are compared with."""
    parts = urlsplit(url)
    return normalise((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def normalise(text: str) -> str:
    """Percent-encoding in normal form (section 2.2.2): needless escapes decoded, needed ones in upper case.

    Escaped `/ ? # % * $` stay escaped: decoded, they would mean something else.
    """
    out: list[str] = []
    for piece in re.split(r"((?:%[0-9A-Fa-f]{2})+)", text):
        if not piece.startswith("%") or len(piece) % 3:
            out.append(quote(piece, safe=_SAFE))
            continue
        for byte in unquote_to_bytes(piece):
            char = chr(byte)
            out.append(char if byte < 128 and (char.isalnum() or char in "-._~") else f"%{byte:02X}")
    return "".join(out)


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern matches from the path's beginning: `*` is any text, a final `$` the end."""
    anchored = pattern.endswith("$")
    pieces = (pattern[:-1] if anchored else pattern).split("*")
    if not path.startswith(pieces[0]):
        return False
    if len(pieces) == 1:
        return not anchored or len(path) == len(pieces[0])
    at = len(pieces[0])
    for piece in pieces[1:-1]:
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    last = pieces[-1]
    if anchored:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0


def any_matches(patterns: Iterable[str], url: str) -> bool:
    """Whether one of a source's `allow` or `deny` patterns matches the address."""
    path = path_of(url)
    return any(matches(normalise(p), path) for p in patterns)
