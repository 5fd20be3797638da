"""The loads that are the same for every number of sync replicas.

1. While the cluster settles: many large rooms are filled; then held polls, which read no marks and begin with
   new sync processes.
2. Nothing: what the replicas take then.
3. Deliveries: a few rooms of some members, and one message to a thousand members.
4. Syncs that are answered at once: increments of readers on all replicas, first syncs of the large rooms.

The gateway gives a user's requests to one replica, as a hint, by the user's lane: so each load has many
users.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.load import large, polls, syncs
from tests.load.meter import idle
from tests.load.systems import Clustered
from tests.load.workloads import World, fanout

COUNTS = (1, 2, 3)
MEMBERS = 50
"""Of each of the few rooms."""
READERS = 12
"""Users whose increments are asked for, all at once."""
WARM = 16
"""First syncs after which each replica has read the large rooms."""


@dataclass(frozen=True)
class Sizes:
    idle_seconds: float
    rooms: int
    room_rates: tuple[float, ...]
    """Sends a second into these rooms together, one after the other."""
    seconds: float
    listeners: int
    """Members of the one room."""
    sends: int
    """Into it."""
    read_rooms: int
    """In which all readers of increments are."""
    syncs: int
    large_rooms: int
    large_members: int
    first_syncs: int
    polls: int
    turns: int
    """How often each of the clusters that run side by side has its deliveries measured."""


FULL = Sizes(10, 4, (20, 50), 10, 1_000, 10, 100, 4_000, 100, 100, 16, 3_000, 5)
QUICK = Sizes(5, 2, (10,), 5, 200, 4, 30, 1_500, 30, 40, 8, 500, 2)


async def loads(system: Clustered, sizes: Sizes) -> dict[str, Any]:
    """``idle``; ``deliveries`` and ``syncs`` by load; ``held``. The system has not settled yet."""
    world = World(system)
    results: dict[str, Any] = {}
    _tell(f"{sizes.large_rooms} rooms of {sizes.large_members} members are filled")
    crowd = await large.fill(world, rooms=sizes.large_rooms, members=sizes.large_members)

    _tell(f"{sizes.polls:,} held polls")
    results["held"] = await polls.held_polls(world, system, count=sizes.polls)

    _tell("nothing, when the cluster has settled")
    await asyncio.to_thread(system.settle)
    results["idle"] = await idle(system, sizes.idle_seconds)

    results["deliveries"] = await _few_rooms(world, sizes) | await _one_room(world, sizes)

    _tell(f"syncs that are answered at once, {READERS} users in {sizes.read_rooms} rooms")
    results["syncs"] = await syncs.increments(
        world, rooms=sizes.read_rooms, syncs=sizes.syncs, readers=READERS, at_once=READERS
    )

    _tell(f"first syncs of {sizes.large_rooms} rooms of {sizes.large_members} members")
    first = await large.large_initial(
        world, system, crowd, rooms=sizes.large_rooms, syncs=sizes.first_syncs, warm=WARM
    )
    title = f"{sizes.large_rooms} rooms of {sizes.large_members}"
    results["syncs"] |= {f"{title}, {name}": found for name, found in first.items()}
    return results


async def in_turn(systems: Mapping[int, Clustered], sizes: Sizes) -> dict[str, Any]:
    """By load and number of replicas: what deliveries take, one figure a turn.

    The clusters run side by side, and have their turns within a minute or two: what the machine gives changes
    from minute to minute by more than a replica takes.
    """
    worlds = {count: World(system) for count, system in systems.items()}
    results: dict[str, Any] = {}
    for load in (_few_rooms, _one_room):
        for turn in range(sizes.turns):
            for count in sorted(worlds, reverse=bool(turn % 2)):
                _tell(f"turn {turn + 1} of {sizes.turns}, {count} sync")
                for name, found in (await load(worlds[count], sizes)).items():
                    results.setdefault(name, {}).setdefault(str(count), []).append(found)
    return results


async def _few_rooms(world: World, sizes: Sizes) -> dict[str, Any]:
    _tell(f"{sizes.rooms} rooms of {MEMBERS} members")
    found = await fanout(
        world, members=MEMBERS, rooms=sizes.rooms, rates=sizes.room_rates, seconds=sizes.seconds
    )
    return {f"{sizes.rooms} rooms of {MEMBERS}, {rate}": figures for rate, figures in found.items()}


async def _one_room(world: World, sizes: Sizes) -> dict[str, Any]:
    _tell(f"one message to {sizes.listeners:,} members")
    found = await syncs.one_to_many(world, members=sizes.listeners, sends=sizes.sends)
    return {f"1 room of {sizes.listeners:,}": found}


def _tell(what: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {what}", flush=True)
