"""E-mail and IP addresses: what the registries hand out, read in its context.

A string of the right form is an address only if it could be somebody's:

- a mail domain ends in a top-level domain of IANA's root zone (the public suffix list inside `tldextract`, read offline), and RFC 2606's
  example names are nobody's; `getty@tty1.service` and `this@MainActivity.window` are units and code;
- an IPv6 address lies in a block that IANA has handed out (registry "IPv6 Global Unicast Address Assignments", within 2000::/3 of RFC
  4291 2.4), so `A::B` of C++ and Perl is none;
- an IPv4 address is globally routed (RFC 6890; private, documentation, loopback and multicast ranges are nobody's), and its context does
  not make it an outline number, an object identifier or a version. Four small numbers are such a thing more often than an address: they
  need a word before them that asks for an address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache

from headrace_governance.text.pii.spans import Span, before, rest_of_line_before
from headrace_lake.errors import ConfigError

# -- e-mail --------------------------------------------------------------------------------------------------------------

_HOST = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
"""Letters of a domain's name: those of ASCII, and Latin ones of internationalised names (RFC 5891)."""
_EMPHASIS = re.compile(r"(?:^|[\s(>|:\[])(?:\*{1,2}|_{1,2})$")
"""Marks of emphasis in Markdown, with what may stand before them."""
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9.+%@/=~!$#&^?-])[A-Za-z0-9](?:[\w.%+-]{0,62}[\w%+-])?@"
    rf"(?:[{_HOST}](?:[{_HOST}-]{{0,61}}[{_HOST}])?\.){{1,6}}"
    r"(?:[Xx][Nn]--[A-Za-z0-9-]{1,58}|[A-Za-z]{2,24})(?![A-Za-z0-9@-]|_\w|:[\w/~]|::)",
    re.ASCII,
)
"""The local part is RFC 5322's dot-atom without its rare characters; `user@host:path` is a place to copy from, not a mailbox, and
`nick!user@host` a mask of IRC."""
_RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost|arpa)$")
"""RFC 2606 and IANA's example domains: names that belong to nobody."""
_CODE_LOCALS = frozenset(("this", "super", "self", "return", "break", "continue"))
"""Kotlin's labels: `this@MainActivity.window`, `return@forEach.name`."""
_UNIT = re.compile(r"^[\w.%\\-]+@[\w.%\\-]+\.target$", re.ASCII | re.IGNORECASE)
"""systemd: `.target` is a brand's top-level domain too, but the other unit types are none."""
_RETINA = re.compile(r"@\d+x\.", re.ASCII)
"""Names of picture files for dense screens, `logo@2x.zip`."""
_LOGIN = re.compile(r"(?<![\w.-])(?:ssh|scp|sftp|slogin|mosh|rsync|ssh-copy-id|autossh)(?: [^\s|;&]+){0,6}? $|//[^\s/@]*:$", re.ASCII)
"""A login on a machine: `ssh -p 22 root@host.org`, `ftp://user:word@host.org`."""
_MESSAGE_ID = re.compile(
    r"(?:message-id|in-reply-to|references|msg-?id|content-id|\bcid) ?:? ?(?:<[^<>\s]{1,200}>[ ,]{0,3}){0,4}<?$|"
    r"\b(?:in|id|article|message) <$",
    re.IGNORECASE | re.ASCII,
)
_MESSAGE_DATE = re.compile(r"(?:19|20)\d\d(?:[A-Za-z]{3}\d{1,2}\.|\d{8,}\.)", re.ASCII)
_CHANNEL_AFTER = re.compile(r"[\])]? has (?:joined|left|quit|parted)\b", re.ASCII)
"""RFC 5322 3.6.4: names of messages have the form of an address."""


@lru_cache(maxsize=1)
def top_level_domains() -> frozenset[str]:
    """IANA's top-level domains in lower case, as Unicode and as `xn--`.

    Raises:
        ConfigError: `tldextract` is not installed.
    """
    try:
        import tldextract
    except ImportError as e:
        raise ConfigError("telling mail domains needs the package tldextract", "pip install tldextract") from e
    suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None).tlds
    names = {s.rpartition(".")[2].lower() for s in suffixes}
    return frozenset(names | {n.encode("idna").decode("ascii") for n in names if not n.isascii()})


def emails(text: str, language: str) -> Iterator[Span]:
    """E-mail addresses."""
    for m in _EMAIL.finditer(text):
        written = m[0]
        local, _, host = written.lower().rpartition("@")
        if host.rpartition(".")[2] not in top_level_domains() or _RESERVED.search(host) or ".." in written:
            continue
        mark = text[m.start() - 1 : m.start()]
        if mark and mark in "*_" and not (text.startswith(mark, m.end()) and _EMPHASIS.search(text[max(0, m.start() - 3) : m.start()])):
            continue  # no emphasis, but a name that begins so: `__init__@host.org`
        if local in _CODE_LOCALS or _UNIT.match(written) or _RETINA.search(written) or _MESSAGE_DATE.match(local):
            continue
        head = before(text, m.start(), 80)
        if not (_LOGIN.search(head) or _MESSAGE_ID.search(head) or _CHANNEL_AFTER.match(text, m.end())):
            yield Span("email", *m.span())


# -- IP ------------------------------------------------------------------------------------------------------------------

_IPV4 = re.compile(
    r"(?<![\w.\-])(?<!(?<!/)/)(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|[.-]\d|/(?!32(?!\d))\d|\.[A-Za-z_][\w-]*\.[A-Za-z])",
    re.ASCII,
)
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII)
"""Not where a domain goes on after it: `4.3.2.1.in-addr.arpa` is an address read backwards."""
_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")
"""The anycast relays of 6to4, taken back by RFC 7526."""
_IPV4_HINT = re.compile(r"\.\d{1,3}\.\d", re.ASCII)
_IPV6_HINT = re.compile(r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:", re.ASCII)
"""What every address holds; both begin with few characters, so a text without it is left at once."""

_HANDED_OUT = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/16", "2003::/18", "2400::/12", "2410::/12", "2600::/12", "2610::/23", "2620::/23", "2630::/12", "2800::/12",
        "2a00::/12", "2a10::/12", "2c00::/12",
    )
)  # fmt: skip
"""IANA's assignments to the regional registries, 2024-11; the rest of 2000::/3 is reserved. 2002::/16 is judged by its IPv4 address."""

_OUTLINE = re.compile(r"^[\s#>*+|\u2022_`\[(-]*$")
"""What may stand between a line's begin and an outline number: marks of headings, lists, quotations and tables."""
_COUNTED = (
    r"versions?|vers?\.?|v\.?|releases?|revisions?|rev\.?|builds?|firmware|kernel|patch(?:es|level)?|update|upgrade|sections?|sect?\.|"
    r"chapters?|chap\.|ch\.|appendix|clauses?|articles?|art\.|paragraphs?|par\.|figures?|fig\.|tables?|tab\.|items?|steps?|rules?|"
    r"requirements?|examples?|exercises?|theorems?|lemmas?|oids?|see|siehe|voir|vedi|ver|véase|abschnitt|kapitel|sektion|anhang|"
    r"section|chapitre|annexe|sección|capítulo|seção|secção|sezione|capitolo|hoofdstuk|paragraaf|rozdział|раздел\w*|глав\w*|"
    r"пункт\w*|см\.|bölüm|kısım|القسم|قسم|الفصل"
)
_COUNTED_BEFORE = re.compile(
    rf"(?:(?<![^\W\d_])(?:{_COUNTED})|版本?号?|节|節|章|条|項|项|款|第|见|見|参照|절|장|항|§)[ \u00a0:：=*`\"'“„«(\[]{{0,3}}$",
    re.IGNORECASE,
)
"""A word before the number that counts something: a version, a part of a document."""
_VERSION_BEFORE = re.compile(
    r"(?:(?<![^\W\d_])(?:versions?|versión|versão|versione|vers?\.?|v\.?|releases?|revisions?|rev\.?|builds?|firmware|kernel|"
    r"patch(?:es|level)?|update|upgrade|oids?|верси\w{1,3}|chrome|chromium|firefox|webview|skype|safari|itunes|acrobat|flash player|"
    r"adobe reader|thunderbird|openss[hl]|wsl)|版本?号?)[ \u00a0:：=*`\"'“„«(\[]{0,3}"
    r"(?:v?\d{1,5}(?:\.\d{1,5}){1,4}(?:, ?| ?[-\u2013] ?| )(?:(?:and|or|to|through|und|oder|bis|et|ou|à|y|e|и) ?)?){0,3}$",
    re.IGNORECASE,
)
"""A word that names a version or a product, with versions that stand in a row after it. Other words that count something ("see",
"rule", "example") may have an address after them, which has a part too large for an outline."""
_PINNED_BEFORE = re.compile(r"[\w\]][=<>~!]=$", re.ASCII)
"""A package pinned to a version: `name==1.26.118.3`."""
_CHANGED_BEFORE = re.compile(
    r"(?:upgrad|updat|downgrad|migrat|switch|chang|bump|mov|differ|releas|introduc|deprecat|support|since|befor|after|until)\w*"
    r"(?: [\w/-]+){0,3} (?:from|to|between|in|by|with|and)(?: [A-Za-z][\w-]*)? $|\b(?:since|before|after|until|than|prior to) $",
    re.IGNORECASE,
)
"""A change from version to version."""
_ADDRESS_BEFORE = re.compile(
    r"(?:(?<![\w/-])(?:ip(?:v4)?s?|dns|nameservers?|resolvers?|ip-?adress\w*|ip-addresses|ip-address|address(?:es)?|addr|adressen?|inet|ping|traceroute|tracert|whois|nslookup|telnet|"
    r"dirección|endereço|indirizzo|adresy?|адрес\w*|(?:logged|signed) in|log-?in|connections?|requests?|IN[ \t]+A)"
    r"(?: (?:at|is|was|are|address(?:es)?|to|from|of|server|set))*|登录|来自|來自|地址|访问|アドレス|주소)[^\w\n]{0,6}$|"
    r"//$|(?<![\w@])@$|ip4:$|IN[ \t]+A[ \t]+$",
    re.IGNORECASE,
)
"""What asks for an address by its name, or by a field of a record that holds nothing else."""
_MACHINE_BEFORE = re.compile(
    r"(?:(?<![\w/-])(?:hosts?|hostnames?|servers?|clients?|gateways?|routers?|peers?|proxy|proxies|relays?|nodes?|machines?|from|source|"
    r"src|dst|destination|remote|listen|bind|visitor|attackers?|sender|connect(?:ed|s|ing)?|ssh|curl|wget|nmap|dig|serv(?:idor|eur|er)|"
    r"хост\w*|сервер\w*)(?: (?:at|is|was|to|from|of|by|in|on|ip))*|服务器|服務器|主机|主機|客户端|网关|サーバ\w{0,2}|ホスト|서버|호스트)"
    r"[^\w\n]{0,6}$",
    re.IGNORECASE,
)
"""A machine, which may have an address or a version."""
_PORT_AFTER = re.compile(r":\d{2,5}(?!\d)|\s+\[?(?:port\b|icmp_seq)", re.ASCII)
_SMALL, _SMALLEST = 99, 30
"""Up to which four numbers are more often an outline number or a version than an address: 2 % of random addresses are so small, and
0.02 % of them. The former need a machine or an address before them, the latter an address."""
_OUTLINE_LARGEST = 60
"""Parts of an outline number, at most."""
_VERSION_MAJOR = 40
_REVISION = (2, 20)
"""Revisions of RCS and CVS begin so: `1.4.120.1` is the first on a branch."""
_PRODUCT_BEFORE = re.compile(r"[A-Za-z][\w+#-]*[ /-]v?$", re.ASCII)


def ips(text: str, language: str) -> Iterator[Span]:
    """Addresses of machines that are globally routed."""
    if _IPV4_HINT.search(text):
        for m in _IPV4.finditer(text):
            if _is_ipv4(text, m):
                yield Span("ip", *m.span())
    if _IPV6_HINT.search(text):
        for m in _IPV6.finditer(text):
            written = m[0][:-1] if m[0].endswith(":") and not m[0].endswith("::") else m[0]
            block = written.endswith("::") and text[m.end() : m.end() + 1] == "/"
            if not block and _is_ipv6(written):
                yield Span("ip", m.start(), m.start() + len(written))


def _is_ipv6(written: str) -> bool:
    try:
        address = ipaddress.IPv6Address(written)
    except ValueError:
        return False
    if address.sixtofour is not None:
        return address.sixtofour.is_global
    return address.is_global and any(address in block for block in _HANDED_OUT)


def _is_ipv4(text: str, m: re.Match[str]) -> bool:
    parts = [int(p) for p in m[0].split(".")]
    if any(len(p) > 1 and p.startswith("0") for p in m[0].split(".")):
        return False
    address = ipaddress.IPv4Address(bytes(parts))
    if not address.is_global or address.is_multicast or address in _RELAYS:
        return False
    head = before(text, m.start(), 60)
    if _VERSION_BEFORE.search(head) or (max(parts) <= _SMALL and _COUNTED_BEFORE.search(head)):
        return False
    if max(parts) <= _OUTLINE_LARGEST and _OUTLINE.match(rest_of_line_before(text, m.start())):
        return False
    named = _ADDRESS_BEFORE.search(head) is not None or _PORT_AFTER.match(text, m.end()) is not None
    if named or (max(parts) <= _SMALL and _CHANGED_BEFORE.search(head)):
        return named
    if max(parts) <= _SMALLEST or _PINNED_BEFORE.search(head):
        return False
    machine = _MACHINE_BEFORE.search(head) is not None
    small = max(parts) <= _SMALL and sorted(parts)[2] <= _OUTLINE_LARGEST
    if small or parts[3] in (0, 255) or (parts[0] <= _REVISION[0] and parts[1] <= _REVISION[1]):
        return machine
    return machine or not (parts[0] <= _VERSION_MAJOR and 0 in parts[1:3] and _PRODUCT_BEFORE.search(head))
