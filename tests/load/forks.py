"""What a fork costs in a large room, over PostgreSQL: milliseconds to receive an event that needs a
resolution.

    .venv/bin/python -m tests.load.forks [--members 10000] [--conflicts 100]

A room forks. On either branch the same members change their names, so that each event of the second branch
that arrives makes one more place of the state conflicted, and the states of both are resolved anew. Beside
the whole (reading, resolving, writing with fsync) stands what the pure resolution takes of it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop
from plexus.platform.clock import SystemClock
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.lanes import LaneLog, MemoryFanout, read_lane_map
from plexus.platform.marks import MemoryMarks
from plexus.platform.migrate import migrate
from plexus.platform.postgres import Database
from plexus.protocol import Event, auth_types_for_event, build_event
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms import NewEvent, Rooms, resolving
from plexus.rooms.values import RoomRef

from tests.load.rooms_write import ALICE, KEY, SERVER, make_room

VERSION = ROOM_VERSIONS["12"]


class Branch:
    """Events made elsewhere, one after the other."""

    def __init__(self, rooms: Rooms, ref: RoomRef, tip: Event) -> None:
        self.rooms = rooms
        self.ref = ref
        self.tip = tip
        self.ts = tip.origin_server_ts

    async def rename(self, user: str, name: str) -> Event:
        content = {"membership": "join", "displayname": name}
        keys = auth_types_for_event(VERSION, "m.room.member", user, user, content)
        cited = [await self.rooms.state_event(self.ref.room_id, *key) for key in keys]
        self.ts += 1
        self.tip = build_event(
            VERSION,
            room_id=self.ref.room_id,
            type="m.room.member",
            sender=user,
            content=content,
            state_key=user,
            prev_events=[self.tip.event_id],
            auth_events=[event.event_id for event in cited if event is not None],
            depth=self.tip.depth + 1,
            origin_server_ts=self.ts,
            server_name=user.partition(":")[2],
            key=KEY,
        )
        return self.tip


async def fill(rooms: Rooms, room_id: str, members: int) -> None:
    async def join(number: int) -> None:
        user = f"@user{number}:{SERVER}"
        await rooms.send(room_id, user, NewEvent("m.room.member", {"membership": "join"}, user))

    for start in range(0, members, 200):
        await asyncio.gather(*(join(n) for n in range(start, min(start + 200, members))))


async def measure(dsn: str, members: int, conflicts: int) -> None:
    async with Database(dsn, dsn, writers=8, readers=8) as db:
        lanes = await read_lane_map(db)
        log = LaneLog(db, lanes)
        await log.start(embedded=True)
        rooms = Rooms(
            SimpleNamespace(
                settings=SimpleNamespace(server_name=SERVER),
                clock=SystemClock(),
                db=db,
                lanes=lanes,
                log=log,
                fanout=MemoryFanout(),
                marks=MemoryMarks(),
                keys=SimpleNamespace(current=lambda: KEY),
            )
        )
        room_id = await make_room(rooms)
        await fill(rooms, room_id, members)
        fork = await rooms.send(room_id, ALICE, NewEvent("m.room.message", {"body": "the fork"}))
        ref = await rooms.ref(room_id)
        assert ref is not None
        tip = (await rooms.event(room_id, fork.event_id, viewer=None)).event
        users = [f"@user{n * (members // conflicts)}:{SERVER}" for n in range(conflicts)]
        left, right = Branch(rooms, ref, tip), Branch(rooms, ref, tip)
        # Both branches cite the joins of before, so they are made before either arrives.
        lefts = [await left.rename(user, "left") for user in users]
        rights = [await right.rename(user, "right") for user in users]

        linear = await timed(rooms, lefts)
        pure: list[float] = []
        setattr(resolving, "resolve", timing(getattr(resolving, "resolve"), pure))  # noqa: B009, B010 - not exported
        forked: list[float] = []
        alone: list[float] = []
        for event in rights:
            pure.clear()
            forked += await timed(rooms, [event])
            alone.append(sum(pure) * 1000)
        print(f"{members} members; linear events {sorted(linear)[len(linear) // 2]:.1f} ms each")
        for at in sorted({0, 4, 9, 19, 49, 99, conflicts - 1}):
            if at < conflicts:
                near = slice(max(0, at - 2), at + 3)
                whole, own = min(forked[near]), min(alone[near])
                print(f"{at + 1:5} places in conflict: {whole:7.1f} ms, of which resolution {own:6.1f} ms")


async def timed(rooms: Rooms, events: list[Event]) -> list[float]:
    found = []
    for event in events:
        start = time.perf_counter()
        await rooms.receive(event)
        found.append((time.perf_counter() - start) * 1000)
    return found


def timing(function: Callable[..., Any], found: list[float]) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        start = time.thread_time()
        try:
            return function(*args)
        finally:
            found.append(time.thread_time() - start)

    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--conflicts", type=int, default=100)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plexus-forks-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        migrate(postgres.dsn(), ("platform", "rooms"))
        uvloop.run(measure(postgres.dsn("plexus_writer"), options.members, options.conflicts))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
