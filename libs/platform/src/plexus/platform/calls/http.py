"""The `InternalCalls` of a cluster: HTTP with protobuf, to the addresses of the settings.

A service of this process is called directly. What others call is answered by the listener that
`plexus.platform.http.calls` makes of the same methods; how a call looks on the wire is in `messages`.

A call that could not be sent is tried again on another connection, whatever it is; one that may have been
sent only if it is idempotent; both within the deadline, after a pause of random length. An answer of the
method, a refusal among them, is final. One try, and aiohttp, which does it, are in `client`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from google.protobuf.message import Message
from plexus.platform.calls.direct import DirectCalls
from plexus.platform.calls.messages import content_type, context_headers, credential
from plexus.platform.calls.tls import CallsTls
from plexus.platform.calls.tries import NotAnsweredError, OneCall
from plexus.platform.ports import CallContext, Handler, RequestT, ResponseT
from plexus.platform.settings import CallsSettings
from plexus.platform.telemetry import REQUEST, HistogramCell, Telemetry
from plexus.protocol.errors import MatrixError, TooLarge, Unavailable

if TYPE_CHECKING:
    from plexus.platform.calls.client import Client

logger = logging.getLogger(__name__)

_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05


class HttpCalls:
    """``tls`` is None without certificates."""

    def __init__(self, settings: CallsSettings, telemetry: Telemetry, tls: CallsTls | None = None) -> None:
        self.direct = DirectCalls(telemetry.traceparent)
        self.tls = tls
        self._telemetry = telemetry
        self._addresses = {name: address.rstrip("/") for name, address in settings.addresses.items()}
        self._most = settings.max_message_bytes
        self._guard = {"authorization": f"Bearer {credential(settings.secret)}"} if settings.secret else {}
        self._client: Client | None = None
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
        if self._client is not None:
            await self._client.close()

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
        one = OneCall(f"{service}/{method}", f"{address}/{service}/{method}", body, headers)
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
        self, one: OneCall, response: type[ResponseT], deadline: float, *, idempotent: bool
    ) -> ResponseT:
        loop = asyncio.get_running_loop()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with asyncio.timeout_at(deadline):
                    client = self._client or await self._opened()
                    headers = {**context_headers(self._context(deadline - loop.time())), **self._guard}
                    return await client.once(one, response, headers, fresh=attempt > 1)
            except TimeoutError:
                raise Unavailable(f"{one.name} did not answer in time") from None
            except NotAnsweredError as error:
                pause = _PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
                again = error.unsent or idempotent
                if not again or attempt == _ATTEMPTS or loop.time() + pause >= deadline:
                    logger.warning("%s got no answer (try %d): %s", one.name, attempt, error)
                    raise Unavailable(f"{one.name} cannot be reached") from None
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _opened(self) -> Client:
        """Not before the first call, because aiohttp is a fifth of the start of a process; in a thread,
        because others would wait meanwhile.
        """
        made = await asyncio.to_thread(_client_class)
        if self._client is None:
            self._client = made(self.tls, self._most)
        return self._client

    def _context(self, left: float) -> CallContext:
        current = REQUEST.get()
        return CallContext(
            max(1, round(left * 1000)),
            self._telemetry.traceparent(),
            current.request_id if current is not None else None,
        )

    def _cell(self, service: str, method: str, outcome: str) -> HistogramCell:
        cell = self._cells.get((service, method, outcome))
        if cell is None:
            labels = {"rpc.service": service, "rpc.method": method, "status": outcome}
            cell = self._cells[service, method, outcome] = self._durations.labels(labels)
        return cell


def _client_class() -> type[Client]:
    from plexus.platform.calls.client import Client

    return Client
