"""Many polls held at once: what one takes of memory, and what all take while nothing happens."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.load.meter import Replaceable, idle, memory_bytes
from tests.load.rooms import close, pool
from tests.load.syncs import settled
from tests.load.workloads import Figures, World, create_room, sync

_MIB = 1024 * 1024
WITNESSES = 16
"""Users whose first syncs make new processes read what the first one of all makes them read: so many that
each replica has some of them.
"""


async def held_polls(world: World, server: Replaceable, *, count: int) -> Figures:
    """Memory of a server that was just started, before and while it holds ``count`` polls of as many users;
    of many replicas the sum, and each.
    """
    devices = await world.devices(count)
    since = [""] * count

    async def begin(_: int, number: int) -> None:
        since[number] = (await sync(devices[number], None, 0))["next_batch"]

    await pool(4, count, begin)
    close(devices)
    await asyncio.to_thread(server.renew)
    witnesses = await world.devices(WITNESSES)
    for witness in witnesses:
        await sync(witness, None, 0)
    await asyncio.sleep(2)
    fresh = _memory(server)
    polls = []
    for number, (device, token) in enumerate(zip(devices, since, strict=True)):
        polls.append(asyncio.create_task(sync(device, token, 110_000)))
        if number % 20 == 0:  # a fresh server reads each user once: do not come all at the same moment
            await asyncio.sleep(0.1)
    await asyncio.sleep(5)
    _all_held(polls)
    held = _memory(server)
    quiet = await idle(world.system, 5)
    _all_held(polls)
    await _end(polls)
    close([*devices, *witnesses])
    before, after = sum(fresh.values()), sum(held.values())
    return {
        "held": count,
        "fresh_mib": round(before / _MIB, 1),
        "held_mib": round(after / _MIB, 1),
        "kb_per_poll": round((after - before) / count / 1000, 1),
        **{f"{name}_grew_mib": round((held[name] - fresh[name]) / _MIB, 1) for name in held},
        **{f"idle_{name}_cpu_pct": percent for name, percent in quiet["cpu_pct"].items()},
        "other_cpu_pct": quiet["other_cpu_pct"],
    }


async def held_elsewhere(world: World, *, count: int) -> list[asyncio.Task[Any]]:
    """Polls of as many users, each in a room of their own in which nothing happens."""
    devices = await world.devices(count)
    polls = []
    for device in devices:
        await create_room(device)
        polls.append(asyncio.create_task(sync(device, await settled(device), 110_000)))
    await asyncio.sleep(2)
    _all_held(polls)
    return polls


def _memory(server: Replaceable) -> dict[str, int]:
    return {name: memory_bytes(pids) for name, pids in server.syncing().items()}


def _all_held(polls: list[asyncio.Task[Any]]) -> None:
    early = sum(poll.done() for poll in polls)
    assert not early, f"{early} of {len(polls)} polls were answered though nothing happened"


async def _end(polls: list[asyncio.Task[Any]]) -> None:
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
