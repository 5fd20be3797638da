"""Who comes back after a long absence is told of many rooms at once, and the others do not wait meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from plexus.sync.sliding import rooms as sliding_rooms
from plexus.sync.streams import rooms as room_stream

from tests.integration.sync.building import SyncPerson
from tests.integration.sync.test_sliding import LITTLE, ask, bodies
from tests.support.http import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

BATCH, MANY = 10, 51
WIDE: dict[str, Any] = {"lists": {"all": {**LITTLE, "range": [0, MANY]}}}


async def turns(request: Callable[[], Awaitable[Answer]], rooms: int, patch: pytest.MonkeyPatch) -> list[int]:
    """How often the event loop had turned when each batch was begun, once all of it is warm."""
    count = 0
    begun: list[int] = []
    add = room_stream.RoomStream.add

    async def noted(*arguments: Any) -> None:
        begun.append(count)
        await add(*arguments)

    async def turn() -> None:
        nonlocal count
        while True:
            await asyncio.sleep(0)
            count += 1

    (await request()).ok()
    with patch.context() as patched:
        patched.setattr(room_stream.RoomStream, "add", noted)
        turning = asyncio.create_task(turn())
        await asyncio.sleep(0)
        answer = (await request()).ok()
        turning.cancel()
    assert len(answer["rooms"]["join"]) == rooms
    return begun


async def test_many_rooms_are_told_in_batches(
    alice: SyncPerson, bob: SyncPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two of them the event loop turns, also where all is at hand and nothing is waited for."""
    for module in (room_stream, sliding_rooms):
        monkeypatch.setattr(module, "BATCH", BATCH)
    rooms = []
    for _ in range(MANY):
        rooms.append(await alice.create_room(preset="public_chat"))
        await bob.join(rooms[-1])
    await bob.hear()
    since, first = (await bob.sync())["next_batch"], (await ask(bob, **WIDE)).ok()
    assert set(first["rooms"]) == set(rooms)
    for number, room_id in enumerate(rooms):
        await alice.send(room_id, f"message {number}")
    await bob.hear()
    later, second = (await bob.sync())["next_batch"], (await ask(bob, first["pos"], **WIDE)).ok()
    assert {room_id: bodies(room) for room_id, room in second["rooms"].items()} == {
        room_id: [f"message {number}"] for number, room_id in enumerate(rooms)
    }
    await alice.send(rooms[0], "one more")
    await bob.hear()
    assert len(await turns(lambda: bob.ask_sync(later), 1, monkeypatch)) == 1
    begun = await turns(lambda: bob.ask_sync(since), MANY, monkeypatch)
    assert len(begun) == MANY // BATCH + 1
    assert all(before < after for before, after in pairwise(begun)), begun
