"""The measured stretches of sync: with nothing new, from the tail, of everything, and to a thousand at once.

The answers are checked where a server could win by leaving something out.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from tests.load.meter import begin_peak, peak_bytes
from tests.load.rooms import close, insist_to_join, measured, pool
from tests.load.wire import Device
from tests.load.workloads import SYNC_FILTER, Figures, World, create_room, fanout, join, send, sync
from tests.support.server import PlexusServer

_MB = 1024 * 1024
TOKENS = 10
"""From which increments of one to so many messages are asked for."""


async def one_to_many(world: World, *, members: int, sends: int) -> Figures:
    """One message every two seconds into a room of this many, who all hold a poll."""
    [figures] = (await fanout(world, members=members, rates=(0.5,), seconds=sends * 2)).values()
    return figures | {"members": members}


async def increments(world: World, *, rooms: int, syncs: int) -> dict[str, Figures]:
    """Syncs of a user in many rooms that are answered at once, four at a time: with nothing new, the text of
    all the same; with nothing new, each with a filter of its own text; and from the tail, with one to ten
    messages in as many rooms.
    """
    reader, writer = await world.devices(2)
    readers = [reader.twin() for _ in range(8)]
    room_ids = [await create_room(writer) for _ in range(rooms)]
    await pool(8, rooms, lambda worker, number: join(readers[worker], room_ids[number]))
    token = await settled(reader)

    async def nothing(worker: int, _: int) -> None:
        answer = await sync(readers[worker], token, 0)
        assert "join" not in answer.get("rooms", {}) or not answer["rooms"]["join"]

    async def nothing_apart(worker: int, number: int) -> None:
        own = quote(f'"not_rooms":["!{number:x}:nowhere.invalid"],')
        query = (
            f"filter={SYNC_FILTER.replace('%22timeline', own + '%22timeline')}&timeout=0&since={quote(token)}"
        )
        answer = await readers[worker].call("GET", f"/_matrix/client/v3/sync?{query}")
        assert not answer.get("rooms", {}).get("join")

    results: dict[str, Figures] = {}
    for name, job in (("nothing new", nothing), ("nothing new, filters differ", nothing_apart)):
        await pool(4, syncs // 10, job)
        results[name] = await measured(world, "sync", pool(4, syncs, job))
    tokens = [token]
    for number in range(TOKENS):
        await send(writer, room_ids[number % rooms], f"message {number}")
        tokens.append((await sync(reader, tokens[-1], 10_000))["next_batch"])

    async def from_tail(worker: int, number: int) -> None:
        at = number % TOKENS
        joined = (await sync(readers[worker], tokens[at], 0))["rooms"]["join"]
        told = sum(len(room["timeline"]["events"]) for room in joined.values())
        assert told == TOKENS - at, f"{told} of {TOKENS - at} messages came"

    await pool(4, syncs // 10, from_tail)
    results["from the tail"] = await measured(world, "sync", pool(4, syncs, from_tail))
    close([reader, writer, *readers])
    return results


async def settled(device: Device) -> str:
    """A token after which there is nothing new."""
    token: str = (await sync(device, None, 0))["next_batch"]
    while (newer := (await sync(device, token, 0)))["next_batch"] != token:
        token = newer["next_batch"]
    return token


async def lean_initial(world: World, *, rooms: int, messages: int, syncs: int) -> dict[str, Figures]:
    """First syncs of one user in many rooms of some messages, with the filter of a client that lazy-loads."""
    device = await world.device()
    workers = [device.twin() for _ in range(8)]
    room_ids: list[str] = []

    async def fill(worker: int, _: int) -> None:
        room_ids.append(room_id := await create_room(workers[worker]))
        for number in range(messages):
            await send(workers[worker], room_id, f"message {number}")

    await pool(8, rooms, fill)

    async def initial(_: int, __: int) -> None:
        joined = (await sync(device, None, 0))["rooms"]["join"]
        assert set(joined) == set(room_ids)
        assert all(len(room["timeline"]["events"]) >= messages for room in joined.values())

    results = {
        "first": await measured(world, "sync", pool(1, 1, initial)),
        "again": await measured(world, "sync", pool(1, syncs, initial)),
    }
    close([device, *workers])
    return results


async def large_initial(
    world: World, server: PlexusServer, *, rooms: int, members: int, syncs: int
) -> dict[str, Figures]:
    """First syncs of members of many rooms that are all large and all theirs: without a filter, so with the
    member events of all, and lean. Each reader is another user. ``peak_mib`` is what the server's memory
    grew by at most.
    """
    devices = await world.devices(members)
    room_ids: list[str] = []
    for number in range(rooms):
        room_ids.append(room_id := await create_room(devices[number % members]))
        others = [device for at, device in enumerate(devices) if at != number % members]
        await asyncio.gather(*(insist_to_join(device, room_id) for device in others))
    close(devices)

    async def whole(_: int, number: int) -> None:
        answer = await devices[number].call("GET", "/_matrix/client/v3/sync?timeout=0")
        joined = answer["rooms"]["join"]
        seen = sum(map(_members, joined.values()))
        assert seen == rooms * members, f"{seen} members of {rooms * members} in {len(joined)} rooms"

    async def lean(_: int, number: int) -> None:
        assert len((await sync(devices[number], None, 0))["rooms"]["join"]) == rooms

    results: dict[str, Figures] = {}
    for name, job in (("whole", whole), ("lean", lean)):
        for again, count in (("first", 1), ("again", syncs)):
            offset = 0 if again == "first" else 1
            before = begin_peak(server.pid)

            async def one(worker: int, number: int, job: Any = job, offset: int = offset) -> None:
                await job(worker, number + offset)

            figures = await measured(world, "sync", pool(1, count, one))
            figures["peak_mib"] = round((peak_bytes(server.pid) - before) / _MB, 1)
            results[f"{name}, {again}"] = figures
    close(devices)
    return results


def _members(room: Any) -> int:
    """Of whom a room's section has a join."""
    events = (*room["state"]["events"], *room["timeline"]["events"])
    return len({e["state_key"] for e in events if e["type"] == "m.room.member"})


async def held_elsewhere(world: World, *, count: int) -> list[asyncio.Task[Any]]:
    """Polls of as many users, each in a room of their own in which nothing happens."""
    devices = await world.devices(count)
    polls = []
    for device in devices:
        await create_room(device)
        polls.append(asyncio.create_task(sync(device, await settled(device), 110_000)))
    await asyncio.sleep(2)
    early = sum(poll.done() for poll in polls)
    assert not early, f"{early} of {count} polls were answered though nothing happened"
    return polls
