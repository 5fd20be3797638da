"""One try of a call, by aiohttp."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import aiohttp
from google.protobuf.message import DecodeError
from plexus.platform.calls.messages import FAULT, decode_fault
from plexus.platform.calls.tls import CallsTls
from plexus.platform.calls.tries import NotAnsweredError, OneCall
from plexus.platform.ports import ResponseT
from plexus.protocol.errors import TooLarge, Unavailable

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 2.0
# Shorter than any listener keeps an idle connection, so that it is we who close it.
_KEEP_SECONDS = 15.0
_ON_THE_WAY = frozenset({502, 503, 504})


class Client:
    """Two sets of connections. To be made in a running event loop. ``most`` bytes of an answer are taken."""

    def __init__(self, tls: CallsTls | None, most: int) -> None:
        self._tls = tls
        self._most = most
        self._session = _session(aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_SECONDS))
        # For another try: whatever broke one kept connection may have broken all of them.
        self._fresh = _session(aiohttp.TCPConnector(limit=0, force_close=True))

    async def close(self) -> None:
        await self._session.close()
        await self._fresh.close()

    async def once(
        self, one: OneCall, response: type[ResponseT], headers: Mapping[str, str], *, fresh: bool
    ) -> ResponseT:
        """The answer, or what the method raised. `NotAnsweredError` if there is none."""
        session = self._fresh if fresh else self._session
        try:
            async with session.post(
                one.url,
                data=one.body,
                headers={**one.headers, **headers},
                ssl=self._tls.calling if self._tls is not None else True,
                allow_redirects=False,
            ) as answer:
                status, kind = answer.status, answer.headers.get("content-type", "")
                data = await self._read(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotAnsweredError(str(error), unsent=True) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise NotAnsweredError(f"{type(error).__name__}: {error}", unsent=False) from None
        if status == 200 and kind == one.headers["accept"]:
            try:
                return response.FromString(data)
            except DecodeError:
                raise _broken(one, "its answer cannot be decoded") from None
        if kind == FAULT:
            try:
                fault = decode_fault(data)
            except (DecodeError, ValueError):
                raise _broken(one, "its fault cannot be decoded") from None
            raise fault
        raise _refused(one, status)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        data = bytearray()
        async for chunk in answer.content.iter_any():
            data += chunk
            if len(data) > self._most:
                answer.close()
                logger.error("%s answered more than %d bytes", answer.url.path, self._most)
                raise Unavailable("The answer is too large")
        return bytes(data)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("user-agent",),
    )


def _broken(one: OneCall, why: str) -> Exception:
    logger.error("%s: %s", one.name, why)
    return Unavailable(f"{one.name} failed")


def _refused(one: OneCall, status: int) -> Exception:
    """What the way there says, or a listener before it looks at the method."""
    if status in _ON_THE_WAY:
        return NotAnsweredError(f"HTTP status {status}", unsent=False)
    if status in (406, 415):
        return TypeError(f"{one.name} takes or gives another message than {one.headers['accept']}")
    if status == 413:
        return TooLarge()
    if status == 404:
        return Unavailable(f"Nobody answers {one.name}")
    # 401 and 403: settings that differ between services. The caller's client can do nothing about it.
    logger.error("%s was refused: %d; see calls.secret and calls.certificate", one.name, status)
    return Unavailable(f"{one.name} failed")
