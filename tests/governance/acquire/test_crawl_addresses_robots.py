"""The address guard: private addresses in every disguise, redirects, rebinding."""

from __future__ import annotations

import asyncio

import pytest

from headrace_governance.acquire.crawl.address import AddressGuard, AddressRefused, why_forbidden
from headrace_governance.acquire.crawl.fetch import Fetcher, Limits, Refused


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.0.192",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "198.18.0.1",
        "203.0.113.5",
        "168.63.129.16",
    ],
)
def test_private_and_special_addresses_are_forbidden(address: str) -> None:
    assert why_forbidden(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_not(address: str) -> None:
    assert why_forbidden(address) == ""


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "[::1]", "0", "[::ffff:7f00:1]"])
def test_other_spellings_of_loopback_are_refused_even_if_the_plain_one_is_allowed(host: str) -> None:
    guard = AddressGuard({"127.0.0.1:80"})
    with pytest.raises((AddressRefused, OSError)):
        asyncio.run(guard.checked(host, 80))
    assert asyncio.run(guard.checked("127.0.0.1", 80)) == "127.0.0.1"
    with pytest.raises(AddressRefused):
        asyncio.run(guard.checked("127.0.0.1", 81))


def test_one_forbidden_address_among_good_ones_refuses_the_host() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(AddressRefused, match="private"):
        asyncio.run(AddressGuard(resolver=mixed).checked("mixed.example", 80))


def test_a_name_that_is_allowed_may_not_become_the_metadata_service() -> None:
    async def metadata(host: str, port: int) -> list[str]:
        return ["169.254.169.254"]

    with pytest.raises(AddressRefused, match="metadata"):
        asyncio.run(AddressGuard({"intranet.example:80"}, metadata).checked("intranet.example", 80))


def test_the_checked_address_is_the_one_that_is_dialled() -> None:
    """A rebinding name answers once with an allowed address; a second look-up would give the forbidden one."""
    seen: list[str] = []

    async def main() -> None:
        served: list[bytes] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = iter([["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]])

        async def rebinding(host: str, port: int) -> list[str]:
            seen.append(host)
            return next(answers)

        # The name is allowed, so 127.0.0.1 passes; one look-up belongs to one connection.
        fetcher = Fetcher(AddressGuard({f"rebind.example:{port}"}, rebinding), user_agent="HeadraceBot/0")
        response = await fetcher.get(f"http://rebind.example:{port}/", Limits())
        assert response.body == b"ok" and len(seen) == 1 and b"rebind.example" in served[0]
        await fetcher.close()

        unlisted = Fetcher(AddressGuard((), rebinding), user_agent="HeadraceBot/0")
        for _ in range(2):
            with pytest.raises(Refused, match="address"):
                await unlisted.get(f"http://rebind.example:{port}/", Limits())
        assert len(served) == 1 and len(seen) == 3
        await unlisted.close()
        server.close()

    asyncio.run(main())
