"""kill -9 among upgrades of rooms: each room is upgraded wholly and once, or not at all."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.matrix import Client, Json, MatrixError
from tests.support.server import PlexusServer

ROOMS = 24
WORKER_WITHIN = 120
"""Seconds: the lease of what the dead process had begun, and the worker's next look, with room to spare."""


async def upgrade(alice: Client, room_id: str) -> str | None:
    """The new room; None if nobody answered."""
    path = f"client/v3/rooms/{quote(room_id, safe='')}/upgrade"
    try:
        answer = await alice.request("POST", path, {"new_version": "12"})
    except (aiohttp.ClientError, TimeoutError, MatrixError):
        return None
    return str(answer["replacement_room"])


async def state(alice: Client, room_id: str, type: str) -> Json | None:
    try:
        return await alice.request("GET", f"client/v3/rooms/{quote(room_id, safe='')}/state/{type}/")
    except MatrixError as error:
        if error.status != 404:
            raise
        return None


async def successors(alice: Client) -> dict[str, list[str]]:
    """By old room: the rooms of Alice's that name it as their predecessor."""
    found: dict[str, list[str]] = {}
    for room_id in (await alice.request("GET", "client/v3/joined_rooms"))["joined_rooms"]:
        create = await state(alice, room_id, "m.room.create")
        assert create is not None
        if "predecessor" in create:
            found.setdefault(create["predecessor"]["room_id"], []).append(room_id)
    return found


async def is_whole(alice: Client, old: str, new: str, alias: str) -> bool:
    tombstone = await state(alice, old, "m.room.tombstone")
    levels = await state(alice, old, "m.room.power_levels")
    led = await alice.request("GET", f"client/v3/directory/room/{quote(alias, safe='')}")
    listed = await alice.request("GET", f"client/v3/directory/list/room/{quote(new, safe='')}")
    return (
        tombstone is not None
        and tombstone["replacement_room"] == new
        and levels is not None
        and levels["events_default"] == 50
        and led["room_id"] == new
        and listed["visibility"] == "public"
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_kill_9_among_upgrades(fresh_plexus: PlexusServer) -> None:
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        rooms: dict[str, str] = {}
        for n in range(ROOMS):
            body: dict[str, Any] = {
                "room_alias_name": f"room{n}",
                "visibility": "public",
                "room_version": "11",
            }
            room_id = await alice.create_room(**body)
            rooms[room_id] = f"#room{n}:{alice.user_id.partition(':')[2]}"
        asked = [asyncio.create_task(upgrade(alice, room_id)) for room_id in rooms]
        # They go together, so when the first is answered the others are everywhere between.
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(fresh_plexus.kill)
        answered = dict(zip(rooms, await asyncio.gather(*asked), strict=True))
        assert any(new is None for new in answered.values()), "nobody noticed the kill"
        await asyncio.to_thread(fresh_plexus.start)

        # Half of those that were cut off are tried again by their client, the others are left to the worker.
        cut = [room_id for room_id, new in answered.items() if new is None]
        for room_id in cut[::2]:
            deadline = time.monotonic() + 90
            while (new := await upgrade(alice, room_id)) is None:
                assert time.monotonic() < deadline, fresh_plexus.tail()
                await asyncio.sleep(1)
            answered[room_id] = new

        found = await successors(alice)
        assert all(len(made) == 1 for made in found.values()), found
        for room_id, new in answered.items():
            if new is not None:
                assert found[room_id] == [new]
                assert await is_whole(alice, room_id, new, rooms[room_id])
        deadline = time.monotonic() + WORKER_WITHIN
        for room_id in cut[1::2]:
            if room_id not in found:
                assert await state(alice, room_id, "m.room.tombstone") is None
                continue
            while not await is_whole(alice, room_id, found[room_id][0], rooms[room_id]):
                assert time.monotonic() < deadline, fresh_plexus.tail()
                await asyncio.sleep(1)
        assert await successors(alice) == found
