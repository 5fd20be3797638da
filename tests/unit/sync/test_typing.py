"""What a replica that begins hears of those who are typing already."""

from __future__ import annotations

import asyncio

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
