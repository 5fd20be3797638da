"""kill -9 among delayed events: each is sent, once, and not before its time."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.matrix import Client
from tests.support.server import PlexusServer

EVENTS = 40
WITHIN = 60
"""Seconds: the lease of what the dead process was sending, with room to spare."""


async def schedule(client: Client, room_id: str, number: int, delay_ms: int) -> str:
    room = quote(room_id, safe="")
    path = f"client/unstable/org.matrix.msc4140/rooms/{room}/delayed_event/m.room.message/{number}"
    body = {"delay_ms": delay_ms, "content": {"msgtype": "m.text", "body": str(number)}}
    return str((await client.request("PUT", path, body))["delay_id"])


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_kill_9_among_delayed_events(fresh_plexus: PlexusServer) -> None:
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, fresh_plexus.base_url).register("alice")
        rooms = [await alice.create_room() for _ in range(4)]
        began = time.time()
        # Some are due before the kill, some while nobody is there, some after the new start.
        delays = {number: 1500 + number * 150 for number in range(EVENTS)}
        for number, delay_ms in delays.items():
            await schedule(alice, rooms[number % len(rooms)], number, delay_ms)
        await asyncio.sleep(max(0.0, began + 3.5 - time.time()))
        await asyncio.to_thread(fresh_plexus.kill)
        await asyncio.to_thread(fresh_plexus.start)
        deadline = time.monotonic() + WITHIN
        path = "client/unstable/org.matrix.msc4140/delayed_events"
        while (await alice.request("GET", path))["delayed_events"]:
            assert time.monotonic() < deadline, fresh_plexus.tail()
            await asyncio.sleep(0.5)
        for at, room_id in enumerate(rooms):
            events = [event for event in await alice.history(room_id) if event["type"] == "m.room.message"]
            sent = [int(event["content"]["body"]) for event in events]
            assert sorted(sent) == list(range(at, EVENTS, len(rooms)))
            for event, number in zip(events, sent, strict=True):
                assert event["origin_server_ts"] >= began * 1000 + delays[number]
