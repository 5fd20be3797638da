"""kill -9 and SIGSTOP of each part of a cluster under load: nothing answered is lost, nothing comes twice.

The load is 16 senders and 50 syncing members (`tests.support.storm`). After each strike the time is printed
until every sender has an answer again and every member has been told all of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable

import pytest

from deploy.local.cluster import Cluster
from tests.support.backends import backends
from tests.support.storm import Load, storm

SERVICES = (
    "client-api-1", "client-api-2", "sync-1", "sync-2", "keys-1", "federation-1", "media-1", "worker-1",
)  # fmt: skip
BELOW = ("redis", "kafka", "pgbouncer", "postgres")
FROZEN_SECONDS = 10.0
SECONDS = float(os.environ.get("PLEXUS_TEST_KILL_SECONDS", "600"))


def within(name: str) -> float:
    """Seconds in which all goes on after this part has died."""
    return 30 if name == "kafka" else 15


async def kill(cluster: Cluster, load: Load, name: str) -> None:
    recovery = await load.strike(f"kill -9 {name}", cluster[name].kill)
    assert recovery.syncs < within(name), recovery
    await asyncio.to_thread(cluster.wait_ready, name)


async def crash(cluster: Cluster, load: Load) -> None:
    """One backend of PostgreSQL dies: it throws all connections out and recovers."""

    def strike() -> None:
        random.choice(backends(cluster["postgres"].pid, "plexus_writer")).kill()

    recovery = await load.strike("kill -9 a backend", strike)
    assert recovery.syncs < within("postgres"), recovery


async def freeze(cluster: Cluster, load: Load, name: str) -> None:
    program = cluster[name]
    await load.strike(f"SIGSTOP {name}", program.freeze, program.thaw, after=FROZEN_SECONDS)
    await asyncio.to_thread(cluster.wait_ready, name)


@pytest.mark.timeout(400)
async def test_kill_9_of_each_part(cluster: Cluster) -> None:
    async with storm(cluster.base_url) as load:
        for name in (*SERVICES, *BELOW):
            await kill(cluster, load, name)
        await crash(cluster, load)
        while load.answered < 2_000:
            await asyncio.sleep(0.5)


@pytest.mark.timeout(240)
async def test_without_kafka_and_redis_sends_and_syncs_go_on(cluster: Cluster) -> None:
    """Both are down for ten seconds, not only for a moment: slower, and it heals."""
    async with storm(cluster.base_url) as load:
        for name in ("kafka", "redis"):
            await asyncio.to_thread(cluster.hold, name, kill=True)
        try:
            before = load.answered
            recovery = await load.strike("without kafka and redis", lambda: time.sleep(5))
            assert recovery.syncs < 15, recovery
            assert load.answered > before + 20, "hardly anything was sent meanwhile"
        finally:
            for name in ("kafka", "redis"):
                await asyncio.to_thread(cluster.release, name)
        await asyncio.to_thread(cluster.wait_ready)
        await load.strike("kafka and redis are back", lambda: time.sleep(1))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
async def test_ten_minutes_of_kills_and_freezes(cluster: Cluster) -> None:
    seed = int(os.environ.get("PLEXUS_TEST_KILL_SEED", str(random.randrange(10**6))))
    print(f"seed {seed}: PLEXUS_TEST_KILL_SEED={seed} strikes in the same order", flush=True)
    dice = random.Random(seed)
    ends = time.monotonic() + SECONDS
    strikes: list[tuple[Callable[..., object], str]] = []
    async with storm(cluster.base_url, patience=60) as load:
        while time.monotonic() < ends:
            if not strikes:
                every = [(kill, name) for name in (*SERVICES, *BELOW)]
                every += [(freeze, name) for name in (*SERVICES, "redis", "kafka", "pgbouncer")]
                strikes = dice.sample(every, len(every))
            strike, name = strikes.pop()
            if strike is kill:
                await kill(cluster, load, name)
            else:
                await freeze(cluster, load, name)
            if dice.random() < 0.1:
                await crash(cluster, load)
