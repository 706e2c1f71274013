"""One HTTP request under limits: decoded size, total time, a minimal rate, and a verdict on the headers before the body.

Redirects are not followed here: the crawler judges every hop anew. Only addresses in their normal form (`urls`) are asked for, and their
path goes into the request line as it stands, so that what was judged is what is sent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from headrace_governance.acquire.crawl.address import AddressGuard, AddressRefused, GuardedTransport
from headrace_governance.acquire.crawl.decode import ACCEPT_ENCODING, BadEncoding, BodyTooLarge, Decoder
from headrace_governance.acquire.crawl.urls import host_and_port, normal_url, target_of
from headrace_governance.containers.faults import is_ours, told

REDIRECTS = {301, 302, 303, 307, 308}
_MAX_HEADERS = 64 << 10
_LAST_BYTES_S = 1.0
"""How long an answer may be too slow on the whole: one that begins late (a busy server, or we were) has come whole by then."""


def _tls_error(exc: BaseException | None) -> ssl.SSLError | None:
    """The error of TLS that an error is or was caused by: a certificate that is none of this host's, expired, or signed by nobody known."""
    while exc is not None and not isinstance(exc, ssl.SSLError):
        exc = exc.__cause__ or exc.__context__
    return exc


class Refused(Exception):
    """The response may not, or need not, be kept: goes to the exclusion table."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


class FetchFailed(Exception):
    """The fetch went wrong: goes to quarantine.

    `again`: whether trying again may help; `wait`: seconds the server asked for; `busy`: the whole host asks for a pause.
    """

    def __init__(self, reason: str, detail: str = "", *, again: bool = False, wait: float = 0.0, busy: bool = False) -> None:
        self.reason, self.detail, self.again, self.wait, self.busy = reason, detail, again, wait, busy
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Limits:
    """Limits of one response.

    Attributes:
        total_seconds: from connecting to the last byte.
        idle_seconds: between two reads.
        max_bytes: decoded body.
        max_ratio: decoded / received bytes.
        min_rate: received bytes/second on average, looked at after `grace_seconds` (a slow-loris server dribbles less);
            an answer that is whole a second later is kept.
    """

    total_seconds: float = 30.0
    idle_seconds: float = 10.0
    max_bytes: int = 10 << 20
    max_ratio: float = 200.0
    min_rate: float = 128.0
    grace_seconds: float = 10.0


@dataclass(frozen=True)
class Response:
    """A response: headers as received (lower-case names), body decoded."""

    url: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received_bytes: int

    def header(self, name: str) -> str:
        """All values of a header joined by commas, or an empty string."""
        return ", ".join(self.values(name))

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a header, one a field line."""
        return tuple(v for k, v in self.headers if k == name)


HeaderVerdict = Callable[[Response], None]
"""Looks at status and headers (body still empty); raises `Refused` to leave the body unread."""


class Fetcher:
    """An HTTP client behind the address guard."""

    def __init__(self, guard: AddressGuard, *, user_agent: str, contact: str = "") -> None:
        headers = {
            "User-Agent": user_agent,
            "Accept": "text/html, application/xhtml+xml, text/plain;q=0.9, */*;q=0.1",
            "Accept-Encoding": ACCEPT_ENCODING,
        }
        if contact:
            headers["From"] = contact
        # Cookies are dropped and the environment's proxies ignored: both would bypass the guard's view of the world.
        self._guard = guard
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(guard),
            headers=headers,
            follow_redirects=False,
            trust_env=False,
            timeout=None,  # noqa: S113 (each request has its own)
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def check(self, host: str, port: int) -> None:
        """Ask the guard about a host without connecting.

        Raises:
            Refused: one of its addresses is forbidden.
        """
        try:
            await self._guard.checked(host, port)
        except AddressRefused as exc:
            raise Refused("address", str(exc)) from exc
        except UnicodeError as exc:  # no name of a host (IDNA: labels of 1 to 63 bytes)
            raise Refused("bad_url", f"{host[:100]}: {exc}") from exc

    async def get(
        self, url: str, limits: Limits, *, headers: dict[str, str] | None = None, verdict: HeaderVerdict | None = None, cut_at: int = 0
    ) -> Response:
        """Fetch one address, one hop.

        Args:
            url: in normal form.
            cut_at: decoded bytes after which the rest of the body is left unread, instead of a refusal of bodies above `max_bytes`.

        Raises:
            Refused: the verdict said so, the address is forbidden or not in normal form, or the body passed a size cap.
            FetchFailed: unreachable, too slow, truncated, damaged.
        """
        if normal_url(url) != url:
            raise Refused("bad_url", f"{url[:200]} is not in normal form")
        try:
            async with asyncio.timeout(limits.total_seconds):
                return await self._get(url, limits, headers or {}, verdict, cut_at)
        except TimeoutError:
            raise FetchFailed("timeout", f"more than {limits.total_seconds:g} s") from None
        except AddressRefused as exc:
            raise Refused("address", str(exc)) from exc
        except BodyTooLarge as exc:
            raise Refused(exc.reason, exc.detail) from exc
        except BadEncoding as exc:
            raise FetchFailed("truncated" if "ends early" in str(exc) else "encoding", str(exc), again=True) from exc
        except httpx.InvalidURL as exc:
            raise Refused("bad_url", str(exc)) from exc
        except (httpx.HTTPError, httpx.StreamError) as exc:
            raise self._explained(exc) from exc
        except socket.gaierror as exc:
            host = host_and_port(url)[0]
            raise FetchFailed("dns", f"{host} does not resolve: {exc.strerror or exc}", again=exc.errno == socket.EAI_AGAIN) from exc
        except (OSError, ssl.SSLError) as exc:
            raise self._explained(exc) from exc
        except UnicodeError as exc:
            raise Refused("bad_url", f"{host_and_port(url)[0][:100]}: {exc}") from exc
        except (Refused, FetchFailed):
            raise
        except Exception as exc:
            # httpcore's own errors pass our transport unchanged.
            if type(exc).__module__.startswith(("httpcore", "h11")):
                raise self._explained(exc) from exc
            if is_ours(exc):
                raise
            raise FetchFailed("error", told(exc)) from exc

    @staticmethod
    def _explained(exc: Exception) -> FetchFailed:
        name, text = type(exc).__name__, str(exc)
        tls = _tls_error(exc)
        if tls is not None:
            return FetchFailed("tls", f"{type(tls).__name__}: {tls}")
        if "complete message body" in text or "incomplete chunked read" in text:
            return FetchFailed("truncated", text, again=True)
        if "Timeout" in name:
            return FetchFailed("timeout", name)
        if "Protocol" in name:
            return FetchFailed("protocol", text, again="disconnected" in text)
        return FetchFailed("unreachable", text or name, again=True)

    async def _get(self, url: str, limits: Limits, headers: dict[str, str], verdict: HeaderVerdict | None, cut_at: int) -> Response:
        self._client.cookies.clear()
        start = time.monotonic()
        timeout = httpx.Timeout(limits.total_seconds, read=limits.idle_seconds)
        target = {"target": target_of(url).encode("ascii")}  # httpx would write it by rules of its own
        async with self._client.stream("GET", url, headers=headers, timeout=timeout, extensions=target) as r:
            pairs = tuple((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in r.headers.raw)
            if sum(len(k) + len(v) for k, v in pairs) > _MAX_HEADERS:
                raise Refused("headers_too_large", f"more than {_MAX_HEADERS} bytes")
            head = Response(url, r.status_code, r.reason_phrase, pairs, b"", 0)
            if r.status_code in REDIRECTS or r.status_code == 304:
                return head
            if verdict is not None:
                verdict(head)
            declared = head.header("content-length")
            if not cut_at and declared.isdecimal() and int(declared) > limits.max_bytes and not head.header("content-encoding"):
                raise Refused("too_large", f"Content-Length {declared} is more than {limits.max_bytes} bytes")
            decoder = Decoder(head.header("content-encoding"), cut_at or limits.max_bytes, limits.max_ratio)
            slow_since: float | None = None
            try:
                async for chunk in r.aiter_raw():
                    decoder.feed(chunk)
                    now = time.monotonic()
                    elapsed = now - start
                    if elapsed <= limits.grace_seconds or decoder.received >= limits.min_rate * elapsed:
                        slow_since = None
                    elif slow_since is None:
                        slow_since = now
                    elif now - slow_since > _LAST_BYTES_S:
                        raise FetchFailed("slow", f"{decoder.received} bytes in {elapsed:.1f} s")
                body = decoder.finish()
            except BodyTooLarge:
                if not cut_at:
                    raise
                body = bytes(decoder.body[:cut_at])
            return Response(url, r.status_code, r.reason_phrase, pairs, body, decoder.received)
