"""robots.txt by RFC 9309: parsing, matching and what the HTTP status of the file means.

Python's own parser is not used: it lets everything pass on 5xx and knows no wildcards. The rules of a group are compiled at the first
address that is asked about (`path_rules`), so that neither their number nor their wildcards make an address slow.

Rules and paths are compared in one form, octet by octet (`normalise`): `%24` and `$`, `%C3%BC` and `ü` are the same in both, `%2F` and `/`
are not. In a rule an unescaped `*` is a wildcard and a last unescaped `$` the end, and nothing else is.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from headrace_governance.acquire.crawl.path_rules import PathRules, Undecided
from headrace_governance.acquire.crawl.urls import normal_escapes, target_of

MAX_BYTES = 500 << 10
"""RFC 9309 section 2.5: parsers must read at least 500 KiB; we read exactly that much, and no line that is cut there."""
_AGENT_KEYS = {"user-agent", "useragent", "user agent"}
_DISALLOW_KEYS = {"disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"}
"""With the misspellings that google/robotstxt reads."""
_KEYS = _AGENT_KEYS | _DISALLOW_KEYS | {"allow", "crawl-delay", "sitemap"}
_TOKEN = re.compile(r"[A-Za-z_-]+")
_ESCAPED = re.compile(rb"[^A-Za-z0-9\-._~/?:@!&'()+,;=%#\[\]]")
"""What stands escaped in the compared form; `*` and `$` do, so that they are never taken for a rule's."""


@dataclass
class Group:
    """One group: its rules (octets, allow?, pattern) and its crawl delay in seconds."""

    rules: list[tuple[int, bool, str]] = field(default_factory=list)
    crawl_delay: float | None = None
    _compiled: tuple[int, PathRules, dict[str, bool]] | None = field(default=None, init=False, repr=False, compare=False)

    def allows(self, path: str) -> bool:
        """Whether the rules allow a `path_of`: the longest pattern wins; of two equally long ones, allow does (section 2.2.2).

        Raises:
            Undecided: too many rules nearly match.
        """
        if self._compiled is None or self._compiled[0] != len(self.rules):
            verdicts: dict[str, bool] = {}
            for _, allow, pattern in sorted(self.rules, key=lambda rule: (rule[0], rule[1]), reverse=True):
                verdicts.setdefault(pattern, allow)
            self._compiled = len(self.rules), PathRules(verdicts), verdicts
        _, rules, verdicts = self._compiled
        found = rules.first(path)
        return True if found is None else verdicts[found]


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
        """Whether the agent may fetch the address. `/robots.txt` itself always may be.

        An address that so many wildcards nearly match that it was not decided (`Undecided`) is not allowed.
        """
        if self.verdict != "rules":
            return self.verdict == "allow-all"
        path = path_of(url)
        if path == "/robots.txt":
            return True
        try:
            return self.group_for(agent).allows(path)
        except Undecided:
            return False

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
    """Read the file: BOM and comments skipped, groups of the same agent merged.

    Only `Allow` and `Disallow` end a list of agents: what other records stand between two `User-agent` lines (`Crawl-delay`, `Sitemap`,
    `Host`, unknown ones) does not part the two (section 2.2.4). A `Crawl-delay` holds for the agents named before it.

    Args:
        body: the file, or its first `MAX_BYTES` + 1 bytes: a longer one is read up to there.
    """
    robots = Robots()
    current: list[Group] = []
    in_agents = False
    for key, value in _lines(body):
        if key in _AGENT_KEYS:
            if not in_agents:
                current, in_agents = [], True
            token = "*" if value.startswith("*") else product_token(value)
            if token:
                current.append(robots.groups.setdefault(token, Group()))
        elif key == "allow" or key in _DISALLOW_KEYS:
            in_agents = False
            if value:
                pattern = rule_pattern(value)
                octets = len(pattern) - 2 * value.removesuffix("$").count("$")  # an unescaped `$` is one octet
                for g in current:
                    g.rules.append((octets, key == "allow", pattern))
        elif key == "crawl-delay":
            delay = _seconds(value)
            for g in current:
                if delay is not None:
                    g.crawl_delay = max(delay, g.crawl_delay or 0.0)
        elif key == "sitemap" and value:
            robots.sitemaps.append(value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return robots


def _lines(body: bytes) -> Iterable[tuple[str, str]]:
    """(key in lower case, value) of the records; a line without its colon (`Disallow /x`) is one if it begins with a known key."""
    for raw in re.split(r"\r\n|\r|\n", _text(body)):
        line = raw.partition("#")[0].strip()
        key, colon, value = line.partition(":")
        key = key.strip().lower()
        if key not in _KEYS and line:
            first, _, rest = line.partition(" ") if " " in line else line.partition("\t")
            if first.lower() in _KEYS and (colon or len(rest.split()) == 1):
                key, colon, value = first.lower(), ":", rest
        if colon:
            yield key, value.strip()


def _text(body: bytes) -> str:
    """The file's text; bytes that are not UTF-8 stand as lone surrogates, which `normalise` escapes as the bytes they were."""
    data = body[:MAX_BYTES]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    elif data[:1] and data[1:2] == b"\0":
        text = data.decode("utf-16-le", "replace")
    elif data[:1] == b"\0" and data[1:2]:
        text = data.decode("utf-16-be", "replace")
    else:
        for mark in (codecs.BOM_UTF8, codecs.BOM_UTF8[:2], codecs.BOM_UTF8[:1]):  # a part of the mark too, as google/robotstxt does
            data = data.removeprefix(mark) if data.startswith(mark) else data
        text = data.decode("utf-8", "surrogateescape")
    if len(body) > MAX_BYTES:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    return text


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
    """Path and query of an address in the form that patterns are compared with."""
    return normalise(target_of(url))


def normalise(text: str) -> str:
    """The compared form (section 2.2.2): unreserved characters as themselves, reserved ones as they stand, all other octets escaped.

    Escapes are in upper case, and `*` and `$` are escaped in any case.
    """
    try:
        data = normal_escapes(text).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        data = normal_escapes(text).encode("utf-8", "replace")
    return _ESCAPED.sub(lambda m: b"%%%02X" % m[0][0], data).decode("ascii")


@lru_cache(maxsize=4096)
def rule_pattern(rule: str) -> str:
    """A rule's path as a pattern for `matches`: its literal pieces in the compared form, dot segments resolved."""
    rule = rule if rule.startswith(("/", "*")) else f"/{rule}"
    anchored = rule.endswith("$")
    pieces = (rule[:-1] if anchored else rule).split("*")
    return _resolved("*".join(normalise(p) for p in pieces)) + ("$" if anchored else "")


def _resolved(pattern: str) -> str:
    """The pattern without dot segments, as addresses have none; only complete segments count (`/.` is the beginning of `/.git`)."""
    path, mark, query = pattern.partition("?")
    *segments, last = path.split("/")
    if not {".", ".."} & set(segments):
        return pattern
    out: list[str] = []
    for segment in segments:
        if segment == ".." and len(out) > 1 and "*" not in out[-1]:
            out.pop()
        elif segment not in (".", ".."):
            out.append(segment)
    return "/".join([*out, last]) + mark + query


@lru_cache(maxsize=64)
def path_rules(patterns: tuple[str, ...]) -> PathRules:
    """Patterns of a source file or tdmrep.json, as they are written, compiled in their order."""
    return PathRules(rule_pattern(p) for p in patterns)


def any_matches(patterns: Iterable[str], url: str, *, undecided: bool) -> bool:
    """Whether one of a source's `allow` or `deny` patterns matches the address.

    Args:
        undecided: the answer where too many nearly match.
    """
    try:
        return path_rules(tuple(patterns)).first(path_of(url)) is not None
    except Undecided:
        return undecided
