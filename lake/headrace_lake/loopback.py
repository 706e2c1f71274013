"""Owner check for listeners on this machine: a token or password goes only to a port that our own user (or root) listens on.

When our service is down, anybody on the machine may listen on its port and be sent what our clients send first. So before a request to a
loopback address and once more when its connection stands, Linux's socket table (proc(5), /proc/net/tcp) is asked which user's process
listens there. Other hosts are not looked at: there TLS and the network decide. A process of our own user could read the token itself.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import sys
from collections.abc import AsyncGenerator, Generator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from headrace_lake.errors import ServiceError
from headrace_lake.lines import data_lines

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING = "0A"
"""TCP_LISTEN, in hexadecimal digits (include/net/tcp_states.h)."""
_CONNECTED = "connection.connect_tcp.complete"
"""httpcore's trace event between the connection and the first byte that is sent."""


def listeners(port: int) -> dict[str, int]:
    """Addresses of this machine at which somebody listens on a port: address → id of the user who does.

    Raises:
        ServiceError: the socket table cannot be read.
    """
    found: dict[str, int] = {}
    for table in _TABLES:
        try:
            rows = data_lines(table.read_text(encoding="ascii"))[1:]
        except FileNotFoundError:
            continue  # no IPv6 here
        except OSError as exc:
            raise ServiceError(f"{table}: {exc.strerror}; who listens on port {port} cannot be told", "mount /proc") from exc
        for row in rows:
            fields = row.split()
            host, _, hex_port = fields[1].partition(":")
            if fields[3] == _LISTENING and int(hex_port, 16) == port:
                found[_address(host)] = int(fields[7])
    if not _TABLES[0].exists():
        raise ServiceError(f"{_TABLES[0]} is missing; who listens on port {port} cannot be told", "mount /proc")
    return found


def require_own_listener(url: str, users: Iterable[str] = (), *, connected: bool = False) -> None:
    """Refuse an address of this machine at which another user listens.

    Args:
        users: names of further users whose services we trust; ourselves and root always.
        connected: somebody has taken our connection, so nobody listening is suspicious too.

    Raises:
        ServiceError: names the port and its holder.
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    if not is_loopback(host):
        return
    trusted = {0, os.geteuid(), *(pwd.getpwnam(name).pw_uid for name in users if _known(name))}
    here = {address: uid for address, uid in listeners(port).items() if _takes(address, host)}
    strangers = sorted({_user(uid) for uid in here.values() if uid not in trusted})
    if strangers:
        raise ServiceError(
            f"port {port} at {host} is held by user {', '.join(strangers)} of this machine, not by our service: nothing was sent there",
            "start ours on another port (`headrace services`), or name that user in the settings if the service is to be trusted",
        )
    if connected and not here:
        raise ServiceError(f"port {port} at {host}: who has taken the connection listens no longer; nothing was sent", "try again")


def is_loopback(host: str) -> bool:
    """Is this a name or address of this very machine?"""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or bool(mapped and mapped.is_loopback)


class OwnListener(httpx.Auth):
    """Looks who listens before each request and after each connection; subclasses add what is secret in `sign`.

    Args:
        users: names of further users whose services we trust.
    """

    def __init__(self, users: Iterable[str] = ()) -> None:
        self._users = tuple(users)

    def sign(self, request: httpx.Request) -> None:
        """Add the secret to a request; it is not sent before the connection was judged."""

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's hook for `Client`."""
        url = self._before(request)

        def trace(event: str, info: dict[str, Any]) -> None:
            if event == _CONNECTED:
                try:
                    require_own_listener(url, self._users, connected=True)
                except ServiceError:
                    info["return_value"].close()
                    raise

        request.extensions = {**request.extensions, "trace": trace}
        yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """httpx's hook for `AsyncClient`."""
        url = self._before(request)

        async def trace(event: str, info: dict[str, Any]) -> None:
            if event == _CONNECTED:
                try:
                    require_own_listener(url, self._users, connected=True)
                except ServiceError:
                    await info["return_value"].aclose()
                    raise

        request.extensions = {**request.extensions, "trace": trace}
        yield request

    def _before(self, request: httpx.Request) -> str:
        url = str(request.url)
        require_own_listener(url, self._users)
        self.sign(request)
        return url


class BearerToken(OwnListener):
    """Reads a token at each request, so a rotated file is honoured and no object holds the secret."""

    def __init__(self, token_file: Path, users: Iterable[str] = ()) -> None:
        super().__init__(users)
        self._file = token_file

    def sign(self, request: httpx.Request) -> None:
        """Add `Authorization: Bearer TOKEN` (RFC 6750).

        Raises:
            ServiceError: the file cannot be read.
        """
        try:
            token = self._file.read_text(encoding="ascii").strip()
        except FileNotFoundError as exc:
            raise ServiceError(f"{self._file}: Ray's token file is missing", "start Ray with `headrace services up`") from exc
        request.headers["Authorization"] = f"Bearer {token}"


def _address(digits: str) -> str:
    """An address of the table: 32-bit words in the machine's byte order, in hexadecimal digits."""
    raw = bytes.fromhex(digits)
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    address = ipaddress.ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _takes(listening: str, host: str) -> bool:
    """Would a listener at this address take a connection to that loopback host? Where in doubt, yes."""
    address = ipaddress.ip_address(listening)
    if address.is_unspecified:
        return True
    if host == "localhost" or host.endswith(".localhost"):
        return address.is_loopback
    wanted = ipaddress.ip_address(host)
    wanted = getattr(wanted, "ipv4_mapped", None) or wanted
    return wanted.is_unspecified or address == wanted


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return bool(name)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
