"""Requests to addresses that others have named: identity servers, push gateways, and whoever comes next.

A request goes over ``https``, to an address that the `AddressGuard` permits, and is not led on: a redirect is
an answer like any other. Answers are bounded in time and size, and taken as they are sent: what is compressed
stays so, and no cookie is kept.

The guard sees what a name was resolved to, and the connection is made to that. A literal is looked at before,
since no resolver is asked for one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from plexus.wire.errors import AddressRefused, RequestFailed
from plexus.wire.outbound import AddressGuard, Outbound

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

MOST_BYTES = 65_536
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of any status; ``body`` as it came."""

    status: int
    content_type: str
    body: bytes


class OutboundClient:
    """One a process; its connections are opened by the first request and kept a moment."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        most_bytes: int = MOST_BYTES,
        plain_http: bool = False,
    ) -> Reply:
        """Send it once. `AddressRefused` for an address that nobody shall reach through us, `RequestFailed`
        if there was no whole answer within ``timeout`` seconds and ``most_bytes``.
        """
        import aiohttp

        target = self._target(url, plain_http=plain_http)
        if self._session is None:
            self._session = _session(self._outbound)
        sent = {"accept-encoding": "identity", **(headers or {})}
        try:
            async with (
                asyncio.timeout(timeout),
                self._session.request(
                    method, target, data=body, headers=sent, allow_redirects=False
                ) as reply,
            ):
                content = await _read(reply, most_bytes)
                return Reply(reply.status, reply.content_type, content)
        except TimeoutError:
            raise RequestFailed("It did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            # What went wrong on the way (a certificate, a reset) is for the log of who asked.
            raise RequestFailed("It cannot be reached") from error

    def _target(self, url: str, *, plain_http: bool) -> URL:
        from yarl import URL

        try:
            # What is looked at here is what aiohttp goes by: nothing is decoded in between.
            target = URL(url, encoded=True) if url.isascii() else None
            host = None if target is None else target.raw_host
        except ValueError:
            raise AddressRefused("This is no https address") from None
        if target is None or not host or target.scheme not in ("https", "http" if plain_http else "https"):
            raise AddressRefused("This is no https address")
        if target.raw_user is not None or target.raw_password is not None:
            raise AddressRefused("An address with a user name is not asked")
        if ":" in host or host.replace(".", "").isdigit():
            # aiohttp takes it for an address and asks no resolver, also in the notations of old.
            try:
                self._outbound.addresses.check(host, [str(ip_address(host))])
            except ValueError:
                raise AddressRefused("This is no https address") from None
        return target


async def _read(reply: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    content = bytearray()
    async for chunk in reply.content.iter_any():
        content += chunk
        if len(content) > most_bytes:
            reply.close()
            raise RequestFailed("It answered too much")
    return bytes(content)


def _session(outbound: Outbound) -> aiohttp.ClientSession:
    # Imported by the first request: a process that asks nobody starts without it.
    import aiohttp

    guard = outbound.addresses

    class GuardedResolver(aiohttp.abc.AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[aiohttp.abc.ResolveResult]:
            return await _resolve(guard, host, port, family)

        async def close(self) -> None:
            """Nothing is kept."""

    connector = aiohttp.TCPConnector(
        ssl=outbound.tls,
        resolver=GuardedResolver(),
        use_dns_cache=False,
        limit=100,
        limit_per_host=8,
        keepalive_timeout=15,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"user-agent": "Plexus"},
    )


async def _resolve(
    guard: AddressGuard, host: str, port: int, family: socket.AddressFamily
) -> list[aiohttp.abc.ResolveResult]:
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
    )
    by_address = {str(address[0]): kind for kind, _, _, _, address in found}
    return [
        {
            "hostname": host,
            "host": address,
            "port": port,
            "family": by_address[address],
            "proto": 0,
            "flags": socket.AI_NUMERICHOST,
        }
        for address in guard.check(host, by_address)
    ]
