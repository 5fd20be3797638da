"""Leases of Kubernetes: who was faster, watches that end or lag behind, and an API server in trouble."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from plexus.platform.leadership import fence
from plexus.platform.leases import KubernetesLeases
from plexus.platform.ports import LeaseLost
from plexus.platform.postgres import Database
from plexus.platform.settings import LeadershipSettings, SettingsError
from plexus.protocol.errors import Unavailable

from tests.support.k8s import ApiServer, lease_api

MIGRATIONS = ("platform",)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as opened:
        yield opened


class Replicas:
    """Two processes: what one has seen the other knows nothing of."""

    def __init__(self, first: KubernetesLeases, second: KubernetesLeases) -> None:
        self.first = first
        self.second = second


@pytest.fixture
async def replicas(server: ApiServer, db: Database, tmp_path: Path) -> AsyncIterator[Replicas]:
    api = lease_api(tmp_path, server.address)
    both = Replicas(KubernetesLeases(db, api), KubernetesLeases(db, api))
    yield both
    await both.first.close()
    await both.second.close()


async def until(holds: object, seconds: float = 20) -> None:
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_write_in_between_is_a_conflict_and_not_the_end(
    server: ApiServer, replicas: Replicas
) -> None:
    lease = await replicas.first.acquire("conflict", "a", ttl_ms=60_000)
    assert lease is not None
    server.conflicts = 2
    await replicas.first.renew(lease, ttl_ms=60_000)
    assert server.conflicts == 0
    server.conflicts = 1
    await replicas.first.release(lease)
    server.conflicts = 1
    taken = await replicas.second.acquire("conflict", "b", ttl_ms=60_000)
    assert taken is not None
    assert taken.epoch == lease.epoch + 1
    server.conflicts = 100
    with pytest.raises(LeaseLost):
        await replicas.second.renew(taken, ttl_ms=60_000)


async def test_whoever_sees_a_lease_for_the_first_time_waits_it_out(
    server: ApiServer, replicas: Replicas
) -> None:
    lease = await replicas.first.acquire("first-sight", "a", ttl_ms=1_000)
    assert lease is not None
    spec = server.leases["plexus-first-sight"]["spec"]
    # A clock that is hours late must not give the Lease away, nor one that is early keep it.
    spec["renewTime"] = "2001-01-01T00:00:00.000001Z"
    await asyncio.sleep(1.2)
    assert await replicas.second.acquire("first-sight", "b", ttl_ms=1_000) is None
    spec["renewTime"] = "2101-01-01T00:00:00.000001Z"
    await asyncio.sleep(1.2)
    taken = await replicas.second.acquire("first-sight", "b", ttl_ms=60_000)
    assert taken is not None
    assert taken.epoch > lease.epoch


async def test_a_lease_taken_from_one_that_is_only_slow(
    replicas: Replicas, server: ApiServer, db: Database
) -> None:
    slow = await replicas.first.acquire("slow", "a", ttl_ms=60_000)
    assert slow is not None
    # The Lease has gone to another, whatever the first believes and however long its row is good for.
    server.leases["plexus-slow"]["spec"]["holderIdentity"] = ""
    taken = await replicas.second.acquire("slow", "b", ttl_ms=60_000)
    assert taken is not None
    async with db.write() as session:
        with pytest.raises(LeaseLost):
            await fence(session, slow)
    async with db.write() as session:
        await fence(session, taken)


async def test_a_lease_that_was_removed_begins_with_the_next_epoch(
    server: ApiServer, replicas: Replicas
) -> None:
    lease = await replicas.first.acquire("removed", "a", ttl_ms=60_000)
    assert lease is not None
    await server.delete("plexus-removed")
    with pytest.raises(LeaseLost):
        await replicas.first.check(lease)
    again = await replicas.second.acquire("removed", "b", ttl_ms=60_000)
    assert again is not None
    assert again.epoch == lease.epoch + 1
    assert server.leases["plexus-removed"]["spec"]["leaseTransitions"] == again.epoch


@pytest.mark.parametrize("trouble", ["none", "ends", "410", "410 in the stream"])
async def test_a_lease_given_back_wakes_who_waits(
    server: ApiServer, replicas: Replicas, trouble: str
) -> None:
    name = "wakes"
    lease = await replicas.first.acquire(name, "a", ttl_ms=600_000)
    assert lease is not None
    assert await replicas.second.acquire(name, "b", ttl_ms=600_000) is None
    replicas.second.start()
    await until(lambda: server.watches == 1)
    if trouble == "ends":
        server.end_watches()
        await until(lambda: server.watches >= 2)
        assert server.lists == 1
    elif trouble != "none":
        server.gone_in_stream = trouble != "410"
        # One more change that the watch has not asked for yet when it ends.
        server.version += 1
        server.forget()
        server.end_watches()
        await until(lambda: server.lists == 2)
        await until(lambda: server.watches >= 3)
    waiting = asyncio.create_task(replicas.second.idle(name, 600))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await replicas.first.release(lease)
    await asyncio.wait_for(waiting, 20)
    assert await replicas.second.acquire(name, "b", ttl_ms=60_000) is not None


async def test_an_expired_lease_that_was_watched_is_taken_at_once(replicas: Replicas) -> None:
    replicas.second.start()
    lease = await replicas.first.acquire("watched", "a", ttl_ms=1_000)
    assert lease is not None
    await asyncio.sleep(2)
    assert await replicas.second.acquire("watched", "b", ttl_ms=60_000) is not None


@pytest.mark.parametrize("status", [401, 403, 500, 429])
async def test_an_api_server_that_refuses(
    server: ApiServer, replicas: Replicas, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    lease = await replicas.first.acquire("refused", f"h{status}", ttl_ms=60_000)
    assert lease is not None
    server.refuse = status
    for ask in (
        replicas.second.acquire("refused", "b", ttl_ms=1_000),
        replicas.first.renew(lease, ttl_ms=1_000),
        replicas.first.check(lease),
    ):
        with pytest.raises(Unavailable):
            await ask
    assert str(status) in caplog.text
    server.refuse = None
    await replicas.first.release(lease)


async def test_an_api_server_that_is_not_there(
    replicas: Replicas, server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    await server.__aexit__(None, None, None)
    with caplog.at_level(logging.INFO):
        replicas.second.start()
        with pytest.raises(Unavailable):
            await replicas.first.acquire("away", "a", ttl_ms=1_000)
        await until(lambda: "listing again" in caplog.text)
    assert "cannot be reached" in caplog.text


def test_settings_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leadership"):
        lease_api(tmp_path, "", kubeconfig=tmp_path / "none")
    assert LeadershipSettings().lease_prefix == "plexus-"
