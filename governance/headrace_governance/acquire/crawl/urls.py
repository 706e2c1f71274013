"""The one normal form of an address: what is judged (robots.txt, rules, reservations, seen before, private hosts) is what is sent.

Addresses are read as browsers read them, by Ada's parser of the WHATWG URL Standard (`ada-url`): tabs and line ends go, backslashes are
slashes, dot segments are resolved (`%2e` too), host names become lower-case ASCII (UTS 46), numbers that mean an IPv4 address become one,
default ports and fragments go. What that standard leaves alone is then brought into the form of RFC 3986, 6.2.2: percent-encoding in
upper case, and of all but reserved and unreserved characters, but of no unreserved one; a `%` that encodes nothing is `%25`. About 10 µs
an address.
"""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes

import ada_url

MAX_URL = 2000
"""Characters of the longest address that is fetched, as it is written."""
_MAX_SENT = 8000
"""Of its normal form, in which a Chinese character takes nine: the length that RFC 9110, 4.1, asks every server to support."""
_ESCAPE = re.compile(r"%(?:([0-9A-Fa-f]{2})|)")
_FOREIGN = re.compile(r"[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")
"""ASCII characters that no address may hold (RFC 3986, 2), some of which browsers send as they are: `|`, and in queries `\\ ^ ` { }`."""
_PORTS = {"http": 80, "https": 443}
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_CODECS = {
    "big5": "cp950", "euc-jp": "euc_jp", "euc-kr": "cp949", "ibm866": "cp866", "iso-2022-jp": "iso2022_jp", "iso-8859-8-i": "iso8859-8",
    "macintosh": "mac_roman", "shift_jis": "cp932", "windows-874": "cp874", "x-mac-cyrillic": "mac_cyrillic",
}  # fmt: skip
"""The Encoding Standard's names → codecs that encode; the others' names are Python's too."""
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def query_in(href: str, encoding: str) -> str:
    """An address of a page with what its query has beyond ASCII as the page's encoding writes it, percent-encoded.

    So browsers send it (URL Standard, "percent-encode after encoding"); the path is UTF-8 in every page. A character that the encoding
    lacks is sent as its reference, `&#1082;`.

    Args:
        href: as the page writes it.
        encoding: the Encoding Standard's name; UTF-16 and what no encoder has are UTF-8 here, as there.
    """
    if href.isascii() or encoding.startswith("utf-"):
        return href
    before, mark, query = href.partition("?")
    if not mark or "#" in before:
        return href
    query, hash_, fragment = query.partition("#")
    try:
        sent = _BEYOND_ASCII.sub(
            lambda run: quote_from_bytes(run[0].encode(_CODECS.get(encoding, encoding), "xmlcharrefreplace"), safe=""), query
        )
    except LookupError:
        return href
    return f"{before}?{sent}{hash_}{fragment}"


def joined(base: str, href: str) -> str:
    """An address relative to another, or an empty string if it is none."""
    try:
        return str(ada_url.join_url(base, href))
    except ValueError:
        return ""


def normal_url(url: str, base: str = "") -> str:
    """The normal form of an address, or an empty string if it is none to fetch.

    None to fetch are other schemes than http and https, addresses with a user's name or password in them, and those that are too long.

    Args:
        url: as a page, a header field, a robots.txt or a source file writes it.
        base: the address that it is relative to.
    """
    if len(url) > MAX_URL:
        return ""
    try:
        # Serialised, an address of these schemes is `scheme://user@host:port/path?query#fragment`; the first `/` ends the authority.
        href = ada_url.join_url(base, url) if base else ada_url.normalize_url(url)
    except ValueError:
        return ""
    scheme, _, rest = href.partition("://")
    authority, _, target = rest.partition("#")[0].partition("/")
    if scheme not in _PORTS or "@" in authority:
        return ""
    name, port = _split(authority)
    host = name.removesuffix(".")  # the root's dot: the same host, under another name to every rule
    if not host or host.endswith("."):
        return ""
    sent = f"{scheme}://{host}{port}/{_FOREIGN.sub(_foreign, normal_escapes(target))}"
    return sent if len(sent) <= _MAX_SENT else ""


def normal_escapes(text: str) -> str:
    """Percent-encoding in normal form: unreserved characters as themselves, all else in upper case, a `%` that encodes nothing as `%25`."""
    return _ESCAPE.sub(_escape, text) if "%" in text else text


def _foreign(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _escape(found: re.Match[str]) -> str:
    if found[1] is None:
        return "%25"
    char = chr(int(found[1], 16))
    return char if char in _UNRESERVED else found[0].upper()


def target_of(url: str) -> str:
    """Path and query of an absolute address: what its request line asks for."""
    rest = url.partition("#")[0].partition("://")[2]
    starts = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    target = rest[min(starts) :] if starts else ""
    return target if target.startswith("/") else f"/{target}"


def origin_of(url: str) -> str:
    """`scheme://host:port` of an address from `normal_url`: what a robots.txt and a crawl delay hold for."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def host_and_port(url: str) -> tuple[str, int]:
    """Host (an IPv6 address without brackets) and port of an address from `normal_url`."""
    scheme, _, rest = url.partition("://")
    host, port = _split(rest.partition("/")[0])
    return host.strip("[]"), int(port[1:]) if port else _PORTS.get(scheme, 0)


def host_key(host: str, port: int) -> str:
    """One name for what is one host: in small letters, without the root's dot, and without the ports of http and https."""
    name = host.strip("[]").lower().removesuffix(".")
    return name if port in (80, 443) else f"{name}:{port}"


def _split(authority: str) -> tuple[str, str]:
    """Host, and `:port` or nothing."""
    host, colon, port = authority.rpartition(":")
    return (host, f":{port}") if colon and not authority.endswith("]") else (authority, "")


def normal_host_port(written: str) -> str:
    """`host:port` of a source file's `allow_hosts` in the form in which hosts are judged; as it stands if it is none."""
    url = normal_url(f"http://{written}/")
    host, port = host_and_port(url) if url else ("", 0)
    return f"{host}:{port}" if url else written.lower()
