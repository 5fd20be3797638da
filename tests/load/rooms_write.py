"""What a send costs in the room engine: CPU microseconds, Python and PostgreSQL apart. No HTTP.

    .venv/bin/python -m tests.load.rooms_write [--sends 5000] [--senders 16]

Each round has its own rooms: one room and one sender (groups of one event), one room and many senders
(chains), many rooms (groups of many rooms), joins. fsync is on. PostgreSQL's share is the CPU time of all its
processes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
import uvloop
from plexus.platform.clock import SystemClock
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.lanes import LaneLog, MemoryFanout, read_lane_map
from plexus.platform.marks import MemoryMarks
from plexus.platform.migrate import migrate
from plexus.platform.postgres import Database
from plexus.protocol.signatures import SigningKey
from plexus.rooms import NewEvent, Rooms, Txn

SERVER = "bench.example.org"
KEY = SigningKey("ed25519:1", bytes(range(32)))
ALICE = f"@alice:{SERVER}"


@dataclass(frozen=True)
class Round:
    name: str
    events: int
    seconds: float
    python: float
    postgres: float

    def line(self) -> str:
        def per(seconds: float) -> str:
            return f"{seconds / self.events * 1e6:7.0f}"

        return (
            f"{self.name:34} {self.events / self.seconds:7.0f}/s {per(self.python)} {per(self.postgres)}"
            f" {per(self.python + self.postgres)}"
        )


def postgres_cpu(server: psutil.Process) -> float:
    """CPU seconds of the server's processes that are alive; none of them ends during a round."""
    total = 0.0
    for process in (server, *server.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


async def measure(
    name: str, server: psutil.Process, events: int, run: Callable[[], Awaitable[None]]
) -> Round:
    gc.collect()
    wall, python, postgres = time.perf_counter(), time.process_time(), postgres_cpu(server)
    await run()
    return Round(
        name,
        events,
        time.perf_counter() - wall,
        time.process_time() - python,
        postgres_cpu(server) - postgres,
    )


def message(number: int) -> NewEvent:
    return NewEvent("m.room.message", {"msgtype": "m.text", "body": f"message number {number}"})


async def make_room(rooms: Rooms) -> str:
    written = await rooms.create(
        ALICE,
        "12",
        [
            NewEvent("m.room.create", {}, ""),
            NewEvent("m.room.member", {"membership": "join", "displayname": "Alice"}, ALICE),
            NewEvent("m.room.power_levels", {"users": {}}, ""),
            NewEvent("m.room.join_rules", {"join_rule": "public"}, ""),
            NewEvent("m.room.history_visibility", {"history_visibility": "shared"}, ""),
        ],
    )
    return written.room_id


async def send_all(rooms: Rooms, room_ids: list[str], senders: int, sends: int) -> None:
    """``sends`` messages by ``senders`` that each wait for their answer, over the rooms in turn."""

    async def sender(number: int) -> None:
        for at in range(number, sends, senders):
            txn = Txn(ALICE, "DEVICE", "send", f"{number}-{at}-{time.monotonic_ns()}")
            await rooms.send(room_ids[at % len(room_ids)], ALICE, message(at), txn=txn)

    await asyncio.gather(*(sender(number) for number in range(senders)))


async def rounds(dsn: str, server: psutil.Process, sends: int, senders: int) -> list[Round]:
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
        many = [await make_room(rooms) for _ in range(200)]
        await send_all(rooms, many, 64, 2_000)  # warm: connections, plans, caches
        gc.freeze()
        one, busy, popular = [await make_room(rooms) for _ in range(3)]

        async def create() -> None:
            for _ in range(200):
                await make_room(rooms)

        async def join_all() -> None:
            async def join(number: int) -> None:
                user = f"@user{number}:{SERVER}"
                await rooms.send(popular, user, NewEvent("m.room.member", {"membership": "join"}, user))

            for start in range(0, 1_000, senders):
                await asyncio.gather(*(join(n) for n in range(start, min(start + senders, 1_000))))

        few = sends // 4
        return [
            await measure("one sender, one room", server, few, lambda: send_all(rooms, [one], 1, few)),
            await measure(
                f"{senders} senders, one room", server, sends, lambda: send_all(rooms, [busy], senders, sends)
            ),
            await measure(
                f"{senders} senders, 200 rooms", server, sends, lambda: send_all(rooms, many, senders, sends)
            ),
            await measure("create a room of five events", server, 200, create),
            await measure(f"join, {senders} at once", server, 1_000, join_all),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=5_000)
    parser.add_argument("--senders", type=int, default=16)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plexus-rooms-write-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres")
    try:
        postgres.start()
        migrate(postgres.dsn(), ("platform", "rooms"))
        assert postgres.pid is not None
        work = rounds(
            postgres.dsn("plexus_writer"), psutil.Process(postgres.pid), options.sends, options.senders
        )
        found = uvloop.run(work)
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{'µs of CPU per operation':34} {'rate':>9} {'Python':>7} {'PostgreSQL':>7} {'both':>5}")
    for one in found:
        print(one.line())


if __name__ == "__main__":
    main()
