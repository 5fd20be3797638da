"""Fetch after fetch over a connection to a broker that answers as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, RequestTimedOutError
from aiokafka.protocol.admin import ApiVersionResponse_v0
from plexus.platform.kafka.fetching import fetch_all

Answers = Callable[[asyncio.StreamWriter, int], Awaitable[None]]


class Enough(Exception):  # noqa: N818 - no fault
    pass


@asynccontextmanager
async def broker(answers: Answers, newest: int = 11) -> AsyncIterator[int]:
    """The port of a broker that speaks Fetch up to ``newest``; ``answers`` is told each fetch's number."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack(">i", await reader.readexactly(4))
                key, _, number = struct.unpack_from(">hhi", await reader.readexactly(length))
                if key == 18:
                    send(writer, number, ApiVersionResponse_v0(0, [(1, 4, newest), (18, 0, 0)]).encode())
                else:
                    await answers(writer, number)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def send(writer: asyncio.StreamWriter, number: int, body: bytes) -> None:
    writer.write(struct.pack(">ii", len(body) + 4, number) + body)


async def fetch(port: int, count: int, gap: float = 0.0) -> list[bytes]:
    """What ``count`` fetches bring."""
    connection = AIOKafkaConnection("127.0.0.1", port, request_timeout_ms=5_000)
    _, writer = await connection.connect()
    got: list[bytes] = []

    def ask(number: int) -> bytes:
        return struct.pack(">ihhi", 8, 1, 11, number)

    def take(data: bytes, number: int) -> None:
        assert int.from_bytes(data[:4], "big") == number
        got.append(data[4:])
        if len(got) == count:
            raise Enough

    try:
        with contextlib.suppress(Enough):
            await fetch_all(connection, writer, ask, take, gap)
    finally:
        await connection.close()
    return got


async def test_an_answer_is_taken_whole_however_it_comes() -> None:
    async def in_pieces(writer: asyncio.StreamWriter, number: int) -> None:
        data = struct.pack(">ii", 4 + number, number) + bytes(number)
        for at in range(0, len(data), 3):
            writer.write(data[at : at + 3])
            await writer.drain()
            await asyncio.sleep(0.002)

    async with broker(in_pieces) as port:
        assert await fetch(port, 4) == [bytes(1), bytes(2), bytes(3), bytes(4)]


async def test_requests_keep_their_distance_after_quick_answers_only() -> None:
    times: list[float] = []

    async def slow_at_last(writer: asyncio.StreamWriter, number: int) -> None:
        times.append(time.monotonic())
        if number > 3:
            await asyncio.sleep(0.2)
        send(writer, number, b"")

    async with broker(slow_at_last) as port:
        await fetch(port, 5, gap=0.1)
    between = [after - before for before, after in itertools.pairwise(times)]
    assert all(0.09 < each < 0.19 for each in between[:3])
    assert 0.19 < between[3] < 0.29


async def test_a_silent_broker_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plexus.platform.kafka.fetching.ANSWER", 0.3)

    async def silent_at_last(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.2)
        if number < 3:
            send(writer, number, b"")

    async with broker(silent_at_last) as port:
        began = time.monotonic()
        with pytest.raises(RequestTimedOutError):
            await fetch(port, 5)
    # Two answers, and then as long as one may take.
    assert 0.65 < time.monotonic() - began < 1.5


async def test_a_broker_that_hangs_up_ends_it() -> None:
    async def hang_up(writer: asyncio.StreamWriter, _number: int) -> None:
        writer.close()

    async with broker(hang_up) as port:
        with pytest.raises(KafkaConnectionError):
            await fetch(port, 1)


async def test_a_second_answer_to_one_request_is_refused() -> None:
    async def twice(writer: asyncio.StreamWriter, number: int) -> None:
        send(writer, number, b"")
        await asyncio.sleep(0.05)
        send(writer, number, b"")

    async with broker(twice) as port:
        with pytest.raises(KafkaConnectionError):
            await fetch(port, 3, gap=0.5)


async def test_a_broker_without_this_version_is_too_old() -> None:
    async def never(_writer: asyncio.StreamWriter, _number: int) -> None:
        raise AssertionError

    async with broker(never, newest=10) as port:
        with pytest.raises(IncompatibleBrokerVersion, match=r"2\.3"):
            await fetch(port, 1)
