"""Every process is restarted under load, one by one: no request fails, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import time

import pytest

from deploy.local.asking import ask
from deploy.local.cluster import Cluster
from tests.support.callers import calling
from tests.support.crowd import crowd
from tests.support.exposed import read
from tests.support.storm import Load, storm

USERS = 1_000
ROUNDS = 5


@pytest.mark.timeout(300)
async def test_rolling_restart_of_every_service(cluster: Cluster) -> None:
    async with storm(cluster.base_url) as load, calling(cluster.base_url, "caller") as callers:
        for process in cluster.services:
            answered = sum(caller.answered for caller in callers if caller.service == process.service)
            seconds = await asyncio.to_thread(cluster.restart, process.name)
            print(f"restart {process.name:14s} {seconds:5.2f} s, {load.failures} failed requests", flush=True)
            assert not load.failures, f"requests failed while {process.name} was restarted"
            asked = [caller for caller in callers if caller.service == process.service]
            assert not asked or sum(caller.answered for caller in asked) > answered + 20
            failed = {caller.service: caller.failed for caller in callers if caller.failed}
            assert not failed, f"while {process.name} was restarted"
        assert load.answered > 500
    assert not load.failures, load.complaints


def held(cluster: Cluster) -> dict[str, float]:
    """Long polls that each sync replica holds."""
    found = {}
    for process in cluster.of("sync"):
        answer = ask(process.internal_port, "/metrics", patience=10)
        assert answer is not None, process.name
        found[process.name] = sum(one.value for one in read(answer[1]) if one.name == "plexus_sync_held")
    return found


async def restart_all(cluster: Cluster, load: Load) -> None:
    """One sync replica after the other, once nearly everybody is held again."""
    for process in cluster.of("sync"):
        deadline = time.monotonic() + 60
        while sum((before := await asyncio.to_thread(held, cluster)).values()) < USERS * 0.8:
            assert time.monotonic() < deadline, before
            await asyncio.sleep(0.2)
        seconds = await asyncio.to_thread(cluster.restart, process.name)
        print(f"restart {process.name} of {before}: {seconds:.2f} s, {load.failures} failed", flush=True)
        assert not load.failures, load.complaints


@pytest.mark.timeout(300)
async def test_rolling_restart_of_sync_under_a_thousand_syncing_users(cluster: Cluster) -> None:
    """By /sync, by sliding sync and by /events: no request fails, no event is lost or told twice."""
    async with crowd(cluster, USERS) as load:
        await restart_all(cluster, load)
    assert not load.failures, load.complaints


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_sync_is_restarted_again_and_again_under_a_thousand_syncing_users(cluster: Cluster) -> None:
    async with crowd(cluster, USERS) as load:
        for _ in range(ROUNDS):
            await restart_all(cluster, load)
            await asyncio.sleep(20)
    assert not load.failures, load.complaints
