"""The guard against server-side request forgery: names are resolved here, checked, and the checked address is dialled.

Because the connection goes to the address that was checked, a name that changes its address between check and use
(DNS rebinding) gains nothing. Every redirect opens its connection through the same guard.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import httpcore
import httpx

from headrace_governance.acquire.crawl.response_head import ReadableHeads

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) → IP addresses."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CGNAT = ipaddress.ip_network("100.64.0.0/10")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_METADATA = {
    ipaddress.ip_address(a)
    for a in ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
}
"""Cloud metadata services: AWS, ECS, Azure, GCP, Alibaba, Oracle."""
_ALLOWABLE = ("loopback address", "private address", "carrier-grade NAT address")
"""What a source may be allowed to reach by naming `host:port`. Everything else (link-local, RFC 3927 and RFC 4291; site-local `fec0::/10`,
RFC 3879; metadata services; unspecified, multicast, reserved) is never dialled, whatever a source file says."""


class AddressRefused(Exception):
    """The address behind a host may not be reached. `host`, `port` and `address` say which; `allowable`: by naming it in `allow_hosts`."""

    def __init__(self, host: str, address: str, why: str, *, port: int = 0, allowable: bool = False) -> None:
        self.host, self.port, self.address, self.why, self.allowable = host, port, address, why, allowable
        way = f" that fetch.allow_hosts does not name as '{host}:{port}'" if allowable else ""
        super().__init__(f"{host} is {address}: {why}{way}")


def why_forbidden(address: str) -> str:
    """Why an IP address may not be reached, or an empty string."""
    ip: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if embedded is None and ip in _NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            inner = why_forbidden(str(embedded))
            return f"{inner} inside IPv6" if inner else ""
    if ip in _METADATA:
        return "metadata service"
    for name, bad in (
        ("loopback address", ip.is_loopback),
        ("unspecified address", ip.is_unspecified),
        ("link-local address", ip.is_link_local),
        ("site-local address", isinstance(ip, ipaddress.IPv6Address) and ip in _SITE_LOCAL),
        ("multicast address", ip.is_multicast),
        ("carrier-grade NAT address", isinstance(ip, ipaddress.IPv4Address) and ip in _CGNAT),
        ("reserved address", ip.is_reserved),
        ("private address", ip.is_private),
        ("reserved address", not ip.is_global),
    ):
        if bad:
            return name
    return ""


async def system_resolver(host: str, port: int) -> list[str]:
    """Addresses by the system's resolver; decimal, octal and short forms of IPv4 come out in plain form."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(i[4][0]) for i in infos))


class AddressGuard:
    """Decides which address of a host may be dialled.

    Args:
        allow_hosts: `host:port` that may lie on private or loopback addresses.
        resolver: how names are resolved.
    """

    def __init__(self, allow_hosts: Iterable[str] = (), resolver: Resolver = system_resolver) -> None:
        self.allow_hosts = {h.lower() for h in allow_hosts}
        self.resolver = resolver

    async def checked(self, host: str, port: int) -> str:
        """The address to dial.

        Raises:
            AddressRefused: one of the host's addresses is forbidden (one is enough: a mixed answer is an attack).
            OSError: the name does not resolve.
        """
        name = host.strip("[]").lower()
        addresses = await self.resolver(name, port)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "it has no address")
        for address in addresses:
            why = why_forbidden(address)
            if not why:
                continue
            allowable = why.removesuffix(" inside IPv6") in _ALLOWABLE
            if not allowable or f"{name}:{port}" not in self.allow_hosts:
                raise AddressRefused(host, address, why, port=port, allowable=allowable)
        return addresses[0]


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: Any = None
    ) -> httpcore.AsyncNetworkStream:
        address = await self._guard.checked(host, port)
        stream = await self._inner.connect_tcp(address, port, timeout=timeout, local_address=local_address, socket_options=socket_options)
        return ReadableHeads(stream)

    async def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> httpcore.AsyncNetworkStream:
        raise AddressRefused(path, path, "unix socket")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that dials only addresses the guard has checked; no proxy, no HTTP/2."""

    def __init__(self, guard: AddressGuard, *, max_connections: int = 32) -> None:
        context = ssl.create_default_context()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context, max_connections=max_connections, keepalive_expiry=5.0, network_backend=_GuardedBackend(guard)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Stream(response), extensions=response.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()
