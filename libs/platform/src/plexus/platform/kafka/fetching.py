"""Fetch after fetch of one broker, with as few turns of the loop as it takes.

aiokafka's connection has a task that reads, and a future and a timeout for each request. A process that
follows at the usual rate is woken for each record, and what is run then comes from cold caches; so here the
bytes that came are taken, and the next request is sent, in the one call in which the loop tells of them. The
way in is aiokafka's: connecting, TLS, signing in, and which versions the broker speaks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, RequestTimedOutError
from aiokafka.protocol.admin import ApiVersionRequest
from plexus.platform.kafka.connection import ANSWER
from plexus.platform.kafka.fetch import API_KEY, VERSION

_LENGTH = 4
_LAST = 2**31 - 1


async def fetch_all(
    connection: Any,
    writer: asyncio.StreamWriter,
    ask: Callable[[int], bytes],
    take: Callable[[bytes, int], None],
    gap: float,
) -> None:
    """Send what ``ask`` gives, hand the answer to ``take``, and again, until one of them raises or the
    connection ends. Both are told the request's number. ``gap``: seconds from one to the next, at least.

    ``connection`` is of aiokafka, ``writer`` what its `connect` gave. It serves nothing else afterwards.
    """
    spoken = await connection.send(ApiVersionRequest())
    if not any(key == API_KEY and oldest <= VERSION <= newest for key, oldest, newest in spoken.api_versions):
        raise IncompatibleBrokerVersion("Kafka 2.3 or newer is needed")
    transport = writer.transport
    if transport.is_closing():
        raise KafkaConnectionError("closed")
    fetching = _Fetching(transport, ask, take, gap)
    try:
        await fetching.ended
    finally:
        fetching.stop()


class _Fetching(asyncio.Protocol):
    def __init__(
        self, transport: Any, ask: Callable[[int], bytes], take: Callable[[bytes, int], None], gap: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._ask = ask
        self._take = take
        self._gap = gap
        self._number = 0
        self._asked_at: float | None = None
        self._got = bytearray()
        self._pause: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        # Its own protocol learns of the end, and closes what it has.
        self._before = transport.get_protocol()
        transport.set_protocol(self)
        self._send()
        self._watchdog = self._loop.call_later(ANSWER, self._watch)

    def stop(self) -> None:
        self._watchdog.cancel()
        if self._pause is not None:
            self._pause.cancel()
        if not self.ended.cancel() and not self.ended.cancelled():
            self.ended.exception()  # looked at, so that asyncio does not complain that nobody did

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        if self._got or int.from_bytes(data[:_LENGTH], "big") != len(data) - _LENGTH:
            self._got += data
            if (
                len(self._got) < _LENGTH
                or len(self._got) < int.from_bytes(self._got[:_LENGTH], "big") + _LENGTH
            ):
                return
            data = bytes(self._got)
            self._got.clear()
        asked_at, self._asked_at = self._asked_at, None
        try:
            if asked_at is None:
                raise KafkaConnectionError("an answer that nobody asked for")
            self._take(data[_LENGTH:], self._number)
        except Exception as error:  # noqa: BLE001 - `fetch_all` raises it
            self._end(error)
            return
        rest = self._gap - (time.monotonic() - asked_at)
        if rest > 0:
            self._pause = self._loop.call_later(rest, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(KafkaConnectionError(f"closed: {exc}" if exc else "closed"))
        self._before.connection_lost(exc)

    def _send(self) -> None:
        if self.ended.done():
            return
        self._number = self._number % _LAST + 1
        self._asked_at = time.monotonic()
        try:
            self._transport.write(self._ask(self._number))
        except Exception as error:  # noqa: BLE001 - likewise
            self._end(error)

    def _watch(self) -> None:
        asked_at = self._asked_at
        rest = ANSWER if asked_at is None else asked_at + ANSWER - time.monotonic()
        if rest <= 0:
            self._end(RequestTimedOutError())
        else:
            self._watchdog = self._loop.call_later(rest, self._watch)

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)
