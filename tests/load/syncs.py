"""The measured stretches of sync: with nothing new, from the tail, of everything, and to a thousand at once.

The answers are checked where a server could win by leaving something out.
"""

from __future__ import annotations

from urllib.parse import quote

from tests.load.rooms import close, measured, pool
from tests.load.wire import Device
from tests.load.workloads import SYNC_FILTER, Figures, World, create_room, fanout, join, send, sync

TOKENS = 10
"""From which increments of one to so many messages are asked for."""


async def one_to_many(world: World, *, members: int, sends: int) -> Figures:
    """One message every two seconds into a room of this many, who all hold a poll."""
    [figures] = (await fanout(world, members=members, rates=(0.5,), seconds=sends * 2)).values()
    return figures | {"members": members}


async def increments(
    world: World, *, rooms: int, syncs: int, readers: int = 1, at_once: int = 4
) -> dict[str, Figures]:
    """Syncs of users in many rooms that are answered at once, some at a time: with nothing new, the text of
    all of a user's the same; with nothing new, each with a filter of its own text; and from the tail, with
    one to ten messages in as many rooms. All ``readers`` are in the same rooms.
    """
    writer, *users = await world.devices(1 + readers)
    twins = [users[worker % readers].twin() for worker in range(max(8, at_once))]
    room_ids = [await create_room(writer) for _ in range(rooms)]

    async def join_all(user: Device) -> None:
        mine = [twin for twin in twins if twin.user_id == user.user_id]
        await pool(len(mine), rooms, lambda worker, number: join(mine[worker], room_ids[number]))

    for user in users:
        await join_all(user)
    tokens = {user.user_id: [await settled(user)] for user in users}

    async def nothing(worker: int, _: int) -> None:
        reader = twins[worker]
        answer = await sync(reader, tokens[reader.user_id][0], 0)
        assert "join" not in answer.get("rooms", {}) or not answer["rooms"]["join"]

    async def nothing_apart(worker: int, number: int) -> None:
        reader = twins[worker]
        own = quote(f'"not_rooms":["!{number:x}:nowhere.invalid"],')
        query = f"filter={SYNC_FILTER.replace('%22timeline', own + '%22timeline')}&timeout=0"
        since = quote(tokens[reader.user_id][0])
        answer = await reader.call("GET", f"/_matrix/client/v3/sync?{query}&since={since}")
        assert not answer.get("rooms", {}).get("join")

    results: dict[str, Figures] = {}
    for name, job in (("nothing new", nothing), ("nothing new, filters differ", nothing_apart)):
        await pool(at_once, syncs // 10, job)
        results[name] = await measured(world, "sync", pool(at_once, syncs, job))
    for number in range(TOKENS):
        await send(writer, room_ids[number % rooms], f"message {number}")
        for user in users:
            known = tokens[user.user_id]
            known.append((await sync(user, known[-1], 10_000))["next_batch"])

    async def from_tail(worker: int, number: int) -> None:
        reader, at = twins[worker], number % TOKENS
        joined = (await sync(reader, tokens[reader.user_id][at], 0))["rooms"]["join"]
        told = sum(len(room["timeline"]["events"]) for room in joined.values())
        assert told == TOKENS - at, f"{told} of {TOKENS - at} messages came"

    await pool(at_once, syncs // 10, from_tail)
    results["from the tail"] = await measured(world, "sync", pool(at_once, syncs, from_tail))
    close([writer, *users, *twins])
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
