"""What a process costs that follows all lanes over Kafka and has no users: CPU by records a second.

    .venv/bin/python -m tests.load.follow [RATE ...]

One process commits facts and publishes each as a record of 1 KB, another follows; both over a Kafka and a
PostgreSQL of their own. The budget is 10 % of a core at 1,000 records a second, and next to nothing read from
PostgreSQL.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from plexus.platform.kafka import KafkaFanout
from plexus.platform.lanes import ROOM, USER, Fact, Follower, Group, LaneFanout, LaneLog, read_lane_map
from plexus.platform.postgres import Database
from plexus.platform.settings.cluster import KafkaSettings
from plexus.platform.telemetry.metrics import Metrics

from deploy.local.kafka import KafkaBroker
from tests.support.lanes import append
from tests.support.postgres import make_database

WARM_UP = 5.0
MEASURED = 10.0
LANES = 64
TURN = 0.02


@dataclass
class Lanes:
    log: LaneLog
    fanout: LaneFanout


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def connect(db: Database, broker: str) -> tuple[Lanes, KafkaFanout]:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    settings = KafkaSettings(bootstrap_servers=[broker], topic_prefix="load")
    fanout = KafkaFanout(settings, log.lanes, Metrics())
    await fanout.start()
    return Lanes(log, fanout), fanout


async def write(dsn: str, broker: str, rate: int) -> None:
    """Commit some facts at once, and publish each as a group of its own, evenly over the time."""
    async with Database(dsn, writers=2, readers=2) as db:
        lanes, fanout = await connect(db, broker)
        body = bytes(1_000)
        began, sent, turn = time.monotonic(), 0, 0
        while True:
            turn += 1
            await asyncio.sleep(max(0.0, began + turn * TURN - time.monotonic()))
            count = int((time.monotonic() - began) * rate) - sent
            if count <= 0:
                continue
            lane = turn % LANES
            first = await append(db, ROOM, lane, [Fact(0, 1, "!room:example.org")] * count)
            for position in range(first, first + count):
                fact = Fact(position, 1, "!room:example.org", position, position, body=body)
                fanout.publish(Group(lanes.log.generation(), ROOM, lane, (fact,)))
                await asyncio.sleep(TURN / 2 / count)
            sent += count


async def follow(dsn: str, broker: str) -> str:
    """Follow for some seconds; what it cost."""
    connected_users: set[str] = set()
    interesting = 0

    def handler(_family: str, _lane: int, facts: Sequence[Fact]) -> None:
        nonlocal interesting
        for fact in facts:
            if fact.subject in connected_users:
                interesting += 1

    async with Database(dsn, writers=2, readers=2) as db:
        lanes, fanout = await connect(db, broker)
        follower = Follower(lanes, (ROOM, USER), handler, name="load")
        await follower.start()
        await asyncio.sleep(WARM_UP)
        before, used, began = follower.stats.delivered, cpu(), time.monotonic()
        read_before = follower.stats.read
        await asyncio.sleep(MEASURED)
        seconds = time.monotonic() - began
        share, delivered = (cpu() - used) / seconds, follower.stats.delivered - before
        read = follower.stats.read - read_before
        await follower.stop()
        await fanout.stop()
    each = share * seconds / delivered * 1e6 if delivered else 0.0
    return (
        f"{delivered / seconds:6.0f} facts/s: {share:6.1%} of a core, {each:4.0f} µs each, "
        f"{read / delivered if delivered else 0.0:6.1%} read from PostgreSQL"
    )


def main(rates: Sequence[int]) -> None:
    database = make_database(["platform"])
    with tempfile.TemporaryDirectory(prefix="plexus-load-") as folder, KafkaBroker(Path(folder)) as broker:
        common = [
            sys.executable,
            "-m",
            "tests.load.follow",
            "--dsn",
            database.writer,
            "--broker",
            broker.address,
        ]
        for rate in rates:
            writer = subprocess.Popen([*common, "--write", str(rate)])
            try:
                subprocess.run([*common, "--follow"], check=True)
            finally:
                writer.kill()
                writer.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rates", nargs="*", type=int, default=[20, 200, 1_000])
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    parser.add_argument("--broker", help=argparse.SUPPRESS)
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--follow", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        uvloop.run(write(arguments.dsn, arguments.broker, arguments.write))
    elif arguments.follow:
        print(uvloop.run(follow(arguments.dsn, arguments.broker)))
    else:
        main(arguments.rates)
