"""First syncs of people who are all in the same many large rooms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.load.meter import Replaceable, begin_peak, peak_bytes
from tests.load.rooms import close, measured, pool
from tests.load.wire import Device
from tests.load.workloads import Figures, World, create_room, insist_to_join, sync

_MIB = 1024 * 1024


async def fill(world: World, *, rooms: int, members: int) -> list[Device]:
    """The people, who are the members of each of the rooms."""
    devices = await world.devices(members)
    for number in range(rooms):
        room_id = await create_room(devices[number % members])
        others = [device for at, device in enumerate(devices) if at != number % members]
        await asyncio.gather(*(insist_to_join(device, room_id) for device in others))
    close(devices)
    return devices


async def large_initial(
    world: World, server: Replaceable, devices: Sequence[Device], *, rooms: int, syncs: int, warm: int = 0
) -> dict[str, Figures]:
    """Without a filter, so with the member events of all, and lean. Each reader is another user. The first
    of each kind finds a replica that has read none of this; ``warm`` more, unmeasured, find the others; then
    come ``syncs``. ``peak_mib`` is what a server's memory grew by at most.
    """
    members = len(devices)

    async def whole(number: int) -> None:
        answer = await devices[number].call("GET", "/_matrix/client/v3/sync?timeout=0")
        joined = answer["rooms"]["join"]
        seen = sum(map(_members, joined.values()))
        assert seen == rooms * members, f"{seen} members of {rooms * members} in {len(joined)} rooms"

    async def lean(number: int) -> None:
        assert len((await sync(devices[number], None, 0))["rooms"]["join"]) == rooms

    async def readers(job: Callable[[int], Awaitable[None]], begin: int, count: int) -> list[float]:
        return await pool(1, count, lambda _, number: job(begin + number))

    async def measure(job: Callable[[int], Awaitable[None]], begin: int, count: int) -> Figures:
        before = {pids[0]: begin_peak(pids[0]) for pids in server.syncing().values()}
        figures = await measured(world, "sync", readers(job, begin, count))
        grown = max(peak_bytes(pid) - fresh for pid, fresh in before.items())
        return figures | {"peak_mib": round(grown / _MIB, 1)}

    results: dict[str, Figures] = {}
    for name, job in (("whole", whole), ("lean", lean)):
        results[f"{name}, first"] = await measure(job, 0, 1)
        await readers(job, 1, warm)
        results[f"{name}, again"] = await measure(job, 1 + warm, syncs)
    close(devices)
    return results


def _members(room: Any) -> int:
    """Of whom a room's section has a join."""
    events = (*room["state"]["events"], *room["timeline"]["events"])
    return len({e["state_key"] for e in events if e["type"] == "m.room.member"})
