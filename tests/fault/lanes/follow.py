"""A process that follows all lanes and notes every fact it is given, until the lanes end where it is told.

The notes are lines ``family lane position subject``, and ``cut family lane position`` where a new generation
took back what was beyond. A killed follower is started again from its notes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plexus.platform.lanes import Fact, Follower, LaneLog, LaneMap, SyncToken
from plexus.platform.lanes.torture import Shares, TortureFanout
from plexus.platform.postgres import Database, StoreUnavailable

from tests.fault.lanes.notes import Notes
from tests.fault.lanes.sockets import SocketFanout

SHARES = Shares(dropped=0.05, repeated=0.05, late=0.2, latest=0.06)


@dataclass
class Lanes:
    log: LaneLog
    fanout: TortureFanout


async def main(arguments: argparse.Namespace) -> None:
    before = Notes.read(arguments.notes)
    out = os.open(arguments.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    db = Database(arguments.dsn, writers=2, readers=2, wait=5.0)
    log = LaneLog(db, LaneMap())
    while True:
        try:
            await log.start()
            break
        except StoreUnavailable:
            await asyncio.sleep(0.1)
    start = await starting_positions(log, before, out)
    sockets = SocketFanout(arguments.sockets, arguments.name)
    fanout = TortureFanout(sockets, random.randrange(1 << 32), SHARES)
    await fanout.start()

    def handler(family: str, lane: int, facts: Sequence[Fact]) -> None:
        os.write(out, "".join(f"{family} {lane} {f.position} {f.subject}\n" for f in facts).encode())

    def on_generation(old: int, new: int) -> None:
        note_cut(out, follower, new)

    follower = Follower(
        Lanes(log, fanout), ("r", "u"), handler, start=start, name=arguments.name, on_generation=on_generation
    )
    os.write(out, f"generation {log.generation()}\n".encode())
    await follower.start()
    while not (arguments.end.exists() and reached(follower, json.loads(arguments.end.read_text()))):
        if arguments.end.exists() and time.time() > arguments.end.stat().st_mtime + arguments.patience:
            break
        await asyncio.sleep(0.05)
    await follower.stop()
    os.write(out, f"broken {follower.stats.broken}\n".encode())
    os.write(out, f"# {follower.stats} received {sockets.received}\n".encode())
    await fanout.stop()
    await db.close()


async def starting_positions(log: LaneLog, before: Notes, out: int) -> dict[tuple[str, int], int]:
    """Where the notes end, as a client would go on from its token: cut back if its generation is gone."""
    vectors = {"r": [0] * log.lanes.rooms, "u": [0] * log.lanes.users}
    for (family, lane), subjects in before.lanes.items():
        vectors[family][lane] = len(subjects)
    if before.generation is None:
        return {(family, lane): 0 for family, vector in vectors.items() for lane in range(len(vector))}
    token = await log.clamp(SyncToken(before.generation, tuple(vectors["r"]), tuple(vectors["u"])))
    # None: the database has never heard of that generation. Begin anew, as a client does with a full sync.
    rooms, users = (vectors["r"], vectors["u"]) if token is None else (token.rooms, token.users)
    positions = {
        (family, lane): 0 if token is None else position
        for family, vector in (("r", rooms), ("u", users))
        for lane, position in enumerate(vector)
    }
    os.write(out, "".join(f"cut {f} {lane} {p}\n" for (f, lane), p in positions.items()).encode())
    return positions


def note_cut(out: int, follower: Follower, generation: int) -> None:
    lines = [
        f"cut {family} {lane} {position}\n"
        for family in follower.families
        for lane, position in enumerate(follower.positions(family))
    ]
    os.write(out, ("".join(lines) + f"generation {generation}\n").encode())


def reached(follower: Follower, heads: dict[str, list[int]]) -> bool:
    return all(list(follower.positions(family)) == heads[family] for family in follower.families)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--sockets", type=Path, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--patience", type=float, default=20.0)
    parser.add_argument("--end", type=Path, required=True)
    asyncio.run(main(parser.parse_args()))
