"""What a replica that begins hears of those who are typing already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from plexus.platform.clock import SystemClock
from plexus.platform.ephemeral import MemoryEphemeral
from plexus.rooms.typing import Typing, encode_typing
from plexus.sync.ephemeral.moments import Moments
from plexus.sync.ephemeral.typing import TypingBook, TypingChannel


class _Slow(MemoryEphemeral):
    """Who publishes hears later than the others that it was delivered, as with a server between them."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.confirmed = asyncio.Event()
        self.delivered = asyncio.Event()

    async def publish(self, channel: str, payload: bytes) -> None:
        await super().publish(channel, payload)
        if payload == ANSWER:
            self.delivered.set()
            await self.confirmed.wait()


TYPIST = Typing("!room:here", "@alice:here", 600_000)
ANSWER = encode_typing([TYPIST])


class _Book(TypingBook):
    def everything(self) -> list[Typing]:
        return [TYPIST] if super().everything() else []


async def test_who_asks_while_another_is_answered_is_answered_too() -> None:
    ephemeral = _Slow()

    async def replica() -> tuple[TypingBook, TypingChannel]:
        book = _Book(Moments(SystemClock()), lambda room_id: None)
        channel = TypingChannel(ephemeral, book)
        await channel.start()
        return book, channel

    knows, first = await replica()
    knows.take(TYPIST)
    second_book, second = await replica()
    await asyncio.wait_for(ephemeral.delivered.wait(), 5)
    assert second_book.who(TYPIST.room_id) == ["@alice:here"]
    second_book.stop(TYPIST.room_id, TYPIST.user_id)
    third_book, third = await replica()
    ephemeral.confirmed.set()
    async with asyncio.timeout(5):
        while third_book.who(TYPIST.room_id) != ["@alice:here"]:
            await asyncio.sleep(0)
    for channel in (first, second, third):
        await channel.stop()
    await ephemeral.close()


class _Lossy(MemoryEphemeral):
    """It may lose what is published, and say so afterwards."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.away = False
        self.again: list[Callable[[], None]] = []

    async def publish(self, channel: str, payload: bytes) -> None:
        if not self.away:
            await super().publish(channel, payload)

    async def subscribe(
        self, channel: str, callback: Callable[[bytes], None], again: Callable[[], None] | None = None
    ) -> Any:
        assert again is not None
        self.again.append(again)
        return await super().subscribe(channel, callback)


async def test_what_was_lost_is_said_again() -> None:
    ephemeral = _Lossy()
    books = [TypingBook(Moments(SystemClock()), lambda room_id: None) for _ in range(2)]
    channels = [TypingChannel(ephemeral, book) for book in books]
    for channel in channels:
        await channel.start()
    ephemeral.away = True
    books[0].take(TYPIST)
    await ephemeral.publish("typing", ANSWER)
    assert books[1].who(TYPIST.room_id) == []
    ephemeral.away = False
    for again in ephemeral.again:
        again()
    async with asyncio.timeout(5):
        while books[1].who(TYPIST.room_id) != ["@alice:here"]:
            await asyncio.sleep(0)
    for channel in channels:
        await channel.stop()
    await ephemeral.close()
