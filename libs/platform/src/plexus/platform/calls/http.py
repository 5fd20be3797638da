"""The `InternalCalls` of a cluster: HTTP with protobuf, to the addresses of the settings.

A service of this process is called directly. What others call is answered by the listener that
`plexus.platform.http.calls` makes of the same methods; how a call looks on the wire is in `messages`.

A call that could not be sent is tried again on another connection, whatever it is; one that may have been
sent only if it is idempotent; both within the deadline, after a pause of random length. An answer of the
method, a refusal among them, is final.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping

import aiohttp
from google.protobuf.message import DecodeError, Message
from plexus.platform.calls.direct import DirectCalls
from plexus.platform.calls.messages import (
    FAULT,
    content_type,
    context_headers,
    credential,
    decode_fault,
)
from plexus.platform.calls.tls import CallsTls
from plexus.platform.ports import CallContext, Handler, RequestT, ResponseT
from plexus.platform.settings import CallsSettings
from plexus.platform.telemetry import REQUEST, HistogramCell, Telemetry
from plexus.protocol.errors import MatrixError, TooLarge, Unavailable

logger = logging.getLogger(__name__)

_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05
_CONNECT_SECONDS = 2.0
# Shorter than any listener keeps an idle connection, so that it is we who close it.
_KEEP_SECONDS = 15.0
_ON_THE_WAY = frozenset({502, 503, 504})


class _NotAnsweredError(Exception):
    """The call got no answer of the method. ``unsent``: it certainly has not run."""

    def __init__(self, why: str, *, unsent: bool) -> None:
        super().__init__(why)
        self.unsent = unsent


class HttpCalls:
    """To be made in a running event loop. ``tls`` is None without certificates."""

    def __init__(self, settings: CallsSettings, telemetry: Telemetry, tls: CallsTls | None = None) -> None:
        self.direct = DirectCalls(telemetry.traceparent)
        self.tls = tls
        self._telemetry = telemetry
        self._addresses = {name: address.rstrip("/") for name, address in settings.addresses.items()}
        self._most = settings.max_message_bytes
        self._guard = {"authorization": f"Bearer {credential(settings.secret)}"} if settings.secret else {}
        self._session = _session(aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_SECONDS))
        # For another try: whatever broke one kept connection may have broken all of them.
        self._fresh = _session(aiohttp.TCPConnector(limit=0, force_close=True))
        self._durations = telemetry.metrics.histogram(
            "rpc.client.duration", "s", "Duration of calls to other services, tries included."
        )
        self._cells: dict[tuple[str, str, str], HistogramCell] = {}

    def register(
        self,
        service: str,
        method: str,
        request: type[RequestT],
        response: type[ResponseT],
        handler: Handler[RequestT, ResponseT],
    ) -> None:
        self.direct.register(service, method, request, response, handler)

    async def close(self) -> None:
        await self._session.close()
        await self._fresh.close()

    async def call(
        self,
        service: str,
        method: str,
        request: Message,
        response: type[ResponseT],
        *,
        deadline_ms: int,
        idempotent: bool = False,
    ) -> ResponseT:
        if self.direct.answers(service):
            return await self.direct.call(service, method, request, response, deadline_ms=deadline_ms)
        address = self._addresses.get(service)
        if address is None:
            logger.error("calls.addresses has no %s, and it is not in this process", service)
            raise Unavailable(f"Nobody answers {service}/{method}")
        body = request.SerializeToString()
        if len(body) > self._most:
            raise TooLarge
        loop = asyncio.get_running_loop()
        began = loop.time()
        headers = {"content-type": content_type(type(request)), "accept": content_type(response)}
        one = _Call(f"{service}/{method}", f"{address}/{service}/{method}", body, headers)
        outcome = "failed"
        try:
            with self._telemetry.span(one.name, {"rpc.service": service, "rpc.method": method}):
                answer = await self._tried(one, response, began + deadline_ms / 1000, idempotent=idempotent)
            outcome = "ok"
        except MatrixError as error:
            outcome = str(error.status)
            raise
        finally:
            self._cell(service, method, outcome).record(loop.time() - began)
        return answer

    async def _tried(
        self, one: _Call, response: type[ResponseT], deadline: float, *, idempotent: bool
    ) -> ResponseT:
        loop = asyncio.get_running_loop()
        for attempt in range(1, _ATTEMPTS + 1):
            session = self._session if attempt == 1 else self._fresh
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._once(session, one, response, deadline - loop.time())
            except TimeoutError:
                raise Unavailable(f"{one.name} did not answer in time") from None
            except _NotAnsweredError as error:
                pause = _PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
                again = error.unsent or idempotent
                if not again or attempt == _ATTEMPTS or loop.time() + pause >= deadline:
                    logger.warning("%s got no answer (try %d): %s", one.name, attempt, error)
                    raise Unavailable(f"{one.name} cannot be reached") from None
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _once(
        self, session: aiohttp.ClientSession, one: _Call, response: type[ResponseT], left: float
    ) -> ResponseT:
        current = REQUEST.get()
        context = CallContext(
            max(1, round(left * 1000)),
            self._telemetry.traceparent(),
            current.request_id if current is not None else None,
        )
        try:
            async with session.post(
                one.url,
                data=one.body,
                headers={**one.headers, **context_headers(context), **self._guard},
                ssl=self.tls.calling if self.tls is not None else True,
                allow_redirects=False,
            ) as answer:
                status, kind = answer.status, answer.headers.get("content-type", "")
                data = await self._read(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NotAnsweredError(str(error), unsent=True) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _NotAnsweredError(f"{type(error).__name__}: {error}", unsent=False) from None
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

    def _cell(self, service: str, method: str, outcome: str) -> HistogramCell:
        cell = self._cells.get((service, method, outcome))
        if cell is None:
            labels = {"rpc.service": service, "rpc.method": method, "status": outcome}
            cell = self._cells[service, method, outcome] = self._durations.labels(labels)
        return cell


class _Call:
    """What stays the same from try to try."""

    __slots__ = ("body", "headers", "name", "url")

    def __init__(self, name: str, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.name = name
        self.url = url
        self.body = body
        self.headers = headers


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("user-agent",),
    )


def _broken(one: _Call, why: str) -> Exception:
    logger.error("%s: %s", one.name, why)
    return Unavailable(f"{one.name} failed")


def _refused(one: _Call, status: int) -> Exception:
    """What the way there says, or a listener before it looks at the method."""
    if status in _ON_THE_WAY:
        return _NotAnsweredError(f"HTTP status {status}", unsent=False)
    if status in (406, 415):
        return TypeError(f"{one.name} takes or gives another message than {one.headers['accept']}")
    if status == 413:
        return TooLarge()
    if status == 404:
        return Unavailable(f"Nobody answers {one.name}")
    # 401 and 403: settings that differ between services. The caller's client can do nothing about it.
    logger.error("%s was refused: %d; see calls.secret and calls.certificate", one.name, status)
    return Unavailable(f"{one.name} failed")
