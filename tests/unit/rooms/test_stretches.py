"""Stretches of timelines that are given up while somebody reads on: what is missing is not taken for read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from plexus.rooms import Place, RoomRef, StoredEvent
from plexus.rooms.events import EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.state import StateReader
from plexus.rooms.stretches import SPAN, UNKNOWN, Stretches

ROOM = RoomRef("!room:x", 0, 1, "10")
OTHER = RoomRef("!other:x", 0, 2, "10")
TWO_STRETCHES = 2 * SPAN * 1_600
"""Bytes: not enough for three."""


def row(num: int) -> tuple[Any, ...]:
    message = (num, num, 0, f"${num}", "m.room.message", None, "@a:x", 1, 1, 1)
    return (*message, None, None, None, None, None, None, b"{}")


class Tables:
    """Rooms of nothing but messages. Once, something happens before what was read is there."""

    def __init__(self) -> None:
        self.heads = {ROOM.room: 0, OTHER.room: SPAN}
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tables]:
        yield self

    async def fetch(self, _: str, asked: Mapping[str, int]) -> Sequence[tuple[Any, ...]]:
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            await happens()
        head = self.heads[asked["room"]]
        nums = range(asked["after"] + 1, min(head, asked["upto"]) + 1)
        return [(head, False, *row(num)) for num in nums]

    async def page(
        self, ref: RoomRef, start: Place, end: Place, *, backwards: bool, limit: int
    ) -> list[StoredEvent]:
        assert backwards
        nums = range(start.ordinal, max(end.ordinal, start.ordinal - limit), -1)
        return [StoredEvent.of_row(ref, row(num)) for num in nums]


@pytest.mark.parametrize("known", [SPAN, SPAN - 5])
async def test_what_made_room_for_another_is_read_again(known: int) -> None:
    tables = Tables()
    ground = cast(Ground, SimpleNamespace(db=tables, log=SimpleNamespace(generation=lambda: 1)))
    stretches = Stretches(ground, cast(EventReader, tables), cast(StateReader, None), TWO_STRETCHES)

    async def read(ref: RoomRef, num: int) -> list[int]:
        stretches.looked(ref, stretches.known(ref), num, touched=False)
        found = await stretches.page(ref, num, Place(num), Place(0), backwards=True, limit=num)
        return [event.num for event in found]

    tables.heads[ROOM.room] = known
    assert await read(ROOM, known) == list(range(known, 0, -1))
    assert stretches.known(ROOM) == known != UNKNOWN
    tables.heads[ROOM.room] = 2 * SPAN
    small = TWO_STRETCHES // 2

    async def other_readers() -> None:
        stretches._most_bytes = small
        await read(OTHER, SPAN)
        stretches._most_bytes = TWO_STRETCHES

    tables.meanwhile = other_readers
    assert await read(ROOM, 2 * SPAN) == list(range(2 * SPAN, 0, -1))
    assert await read(ROOM, 2 * SPAN) == list(range(2 * SPAN, 0, -1))
