"""A process that writes at random and publishes, until it is stopped or killed.

Every write that was answered is noted in a file (family, lane, position, subject), after the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
from itertools import count
from pathlib import Path

import psycopg
from plexus.platform.lanes import Fact, Group, LaneLog, LaneMap
from plexus.platform.postgres import Database, StoreUnavailable

from tests.fault.lanes.sockets import SocketFanout

LANES = [("r", 0), ("r", 1), ("r", 2), ("r", 3), ("u", 0), ("u", 1)]
AT_ONCE = 3
FAILING = 0.03
"""Writes of the sound way that are rolled back. The broken ways have none: they are to be found by their
order alone, and not by a hole that any rolled-back write would leave."""

SOUND = 'SELECT proof.sound(%s::text::"char", %s::smallint, %s::text[], %s)'
EARLY = 'SELECT proof.early(%s::text::"char", %s::smallint, %s::text[], %s)'
RESERVE = 'SELECT proof.reserve(%s::text::"char", %s::smallint, %s::integer)'
RELEASED = 'SELECT proof.released(%s::text::"char", %s::smallint, %s, %s::text[], %s)'


async def write(db: Database, way: str, family: str, lane: int, subjects: list[str], fails: bool) -> int:
    """One write in this way; the first position."""
    if way == "released":
        [(reserved,)] = await db.call(RESERVE, (family, lane, len(subjects)))
        await asyncio.sleep(random.random() * 0.02 if random.random() < 0.1 else 0)
        await db.call(RELEASED, (family, lane, reserved, subjects, fails))
        return int(reserved)
    [(first,)] = await db.call(SOUND if way == "sound" else EARLY, (family, lane, subjects, fails))
    return int(first)


async def write_on(
    db: Database, log: LaneLog, fanout: SocketFanout, way: str, names: str, notes: int, pause: float
) -> None:
    for number in count():
        family, lane = random.choice(LANES)
        subjects = [
            f"{names}-{number}-{i}" for i in range(1 if way == "early" else random.choice((1, 1, 1, 2, 5)))
        ]
        try:
            first = await write(db, way, family, lane, subjects, way == "sound" and random.random() < FAILING)
        except (StoreUnavailable, psycopg.errors.RaiseException, psycopg.errors.UniqueViolation):
            await asyncio.sleep(0.01)
            continue
        facts = tuple(Fact(first + i, 1, subject) for i, subject in enumerate(subjects))
        os.write(notes, "".join(f"{family} {lane} {f.position} {f.subject}\n" for f in facts).encode())
        fanout.publish(Group(log.generation(), family, lane, facts))
        await asyncio.sleep(random.expovariate(1 / pause))


async def main(arguments: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    notes = os.open(arguments.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    fanout = SocketFanout(arguments.sockets, "unused")
    db = Database(arguments.dsn, writers=AT_ONCE + 1, readers=1, wait=20.0)
    log = LaneLog(db, LaneMap())
    await log.start()
    tasks = [
        asyncio.create_task(
            write_on(db, log, fanout, arguments.way, f"{os.getpid()}-{i}", notes, arguments.pause)
        )
        for i in range(AT_ONCE)
    ]
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        # One that has ended by itself has failed, and this raises what it raised.
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await db.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--way", choices=["sound", "early", "released"], required=True)
    parser.add_argument("--sockets", type=Path, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--pause", type=float, default=0.02)
    asyncio.run(main(parser.parse_args()))
