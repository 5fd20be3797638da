"""The measured stretches of rooms: made, joined by many at once, paged through, asked for their members.

The answers are checked where a server could win by leaving something out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

from tests.load.meter import Used, usage
from tests.load.wire import Device
from tests.load.workloads import Figures, World, create_room, insist_to_join, join, latencies, send

PAGE = 100


async def pool(workers: int, count: int, job: Callable[[int, int], Awaitable[Any]]) -> list[float]:
    """``job(worker, number)`` for each number, ``workers`` at a time; the seconds that each took."""
    numbers = iter(range(count))
    times: list[float] = []

    async def work(worker: int) -> None:
        for number in numbers:
            started = time.perf_counter()
            await job(worker, number)
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(work(worker) for worker in range(workers)))
    return times


async def measured(world: World, what: str, work: Awaitable[list[float]]) -> Figures:
    """What that took: the seconds of each operation are its result."""
    before = usage(world.system)
    times = await work
    used = Used.between(before, usage(world.system))
    return {
        "per_s": round(len(times) / used.elapsed, 1),
        **latencies(times),
        **used.per(what, len(times)),
        **used.shares(),
    }


async def creations(world: World, *, count: int) -> Figures:
    """Public rooms, 8 at a time."""
    devices = await world.devices(8)
    await pool(8, 16, lambda worker, _: create_room(devices[worker]))  # warm
    work = pool(8, count, lambda worker, _: create_room(devices[worker]))
    figures = await measured(world, "room", work)
    close(devices)
    return figures


async def join_storm(world: World, devices: Sequence[Device]) -> Figures:
    """All devices join one room at once, and ask again when the server says that it is too busy."""
    owner = await world.device()
    room_id = await create_room(owner)
    count, again = len(devices), 0

    async def insist(_: int, number: int) -> None:
        nonlocal again
        again += await insist_to_join(devices[number], room_id)

    figures = await measured(world, "join", pool(count, count, insist)) | {"asked_again": again}
    joined = (await owner.call("GET", f"/_matrix/client/v3/rooms/{quote(room_id)}/joined_members"))["joined"]
    assert len(joined) == count + 1, f"{count} joined, and {len(joined) - 1} are there"
    close([owner, *devices])
    return figures


async def history(world: World, *, events: int) -> dict[str, Figures]:
    """A room of many messages, read backwards to its beginning in pages of 100, by one and by four."""
    devices = await world.devices(16)
    room_id = await create_room(devices[0])
    await asyncio.gather(*(join(device, room_id) for device in devices[1:]))
    await pool(16, events, lambda worker, number: send(devices[worker], room_id, f"message {number}"))
    path = f"/_matrix/client/v3/rooms/{quote(room_id)}/messages?dir=b&limit={PAGE}"

    async def read_back(device: Device) -> list[float]:
        token: str | None = None
        times: list[float] = []
        seen: set[str] = set()
        while token is not None or not times:
            started = time.perf_counter()
            answer = await device.call("GET", path if token is None else f"{path}&from={quote(token)}")
            times.append(time.perf_counter() - started)
            token = answer.get("end")
            seen.update(event["event_id"] for event in answer["chunk"])
        expected = 6 + 15 + events  # what made the room, the joins, the messages
        assert len(seen) == expected, f"{len(seen)} of {expected} events came"
        return times

    async def all_back(readers: int) -> list[float]:
        passes = await asyncio.gather(*(read_back(device) for device in devices[:readers]))
        return [seconds for times in passes for seconds in times]

    results = {f"{count} at a time": await measured(world, "page", all_back(count)) for count in (1, 4)}
    close(devices)
    return results


async def member_lists(world: World, devices: Sequence[Device], *, rounds: int) -> dict[str, Figures]:
    """``/members`` of a room of many, asked for by one: the same again, and each time after a join. Also
    ``/joined_members`` and ``/state``, again and again.
    """
    owner, *newcomers = await world.devices(1 + rounds)
    room_id = await create_room(owner)
    await pool(32, len(devices), lambda _, number: join(devices[number], room_id))
    close(devices)
    room = f"/_matrix/client/v3/rooms/{quote(room_id)}"
    expected = len(devices) + 1

    async def read(_: int, __: int) -> None:
        members = (await owner.call("GET", f"{room}/members"))["chunk"]
        assert len(members) == expected, f"{len(members)} members of {expected}"

    async def read_joined(_: int, __: int) -> None:
        joined = (await owner.call("GET", f"{room}/joined_members"))["joined"]
        assert len(joined) == expected, f"{len(joined)} joined of {expected}"

    async def read_state(_: int, __: int) -> None:
        state = await owner.call("GET", f"{room}/state")
        assert len(state) > expected, f"{len(state)} events of state for {expected} members"

    jobs = {"/members": read, "/joined_members": read_joined, "/state": read_state}
    results = {name: await measured(world, "list", pool(1, rounds, job)) for name, job in jobs.items()}

    async def join_and_read(_: int, number: int) -> None:
        nonlocal expected
        await join(newcomers[number], room_id)
        expected += 1
        await read(0, 0)

    results["a join and /members"] = await measured(world, "list", pool(1, rounds, join_and_read))
    close([owner, *newcomers])
    return results


def close(devices: Sequence[Device]) -> None:
    for device in devices:
        device.close()
