"""What `Leadership` promises, of each adapter, and the fence of the leased row."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from plexus.platform.leadership import LeasedRows, fence
from plexus.platform.leases import KubernetesLeases
from plexus.platform.periodic import PeriodicJob
from plexus.platform.ports import Leadership, Lease, LeaseLost
from plexus.platform.postgres import Database
from plexus.protocol.errors import Unavailable

from tests.support.k8s import ApiServer, lease_api

MIGRATIONS = ("platform",)
REAL = os.environ.get("PLEXUS_TEST_KUBECONFIG")
"""Of a real API server (`make interop-k8s`); without it the Leases are those of ours."""


@pytest.fixture(params=["leased row", "Lease"])
async def leadership(
    request: pytest.FixtureRequest, db: Database, tmp_path: Path
) -> AsyncIterator[Leadership]:
    if request.param == "leased row":
        yield LeasedRows(db)
        return
    async with AsyncExitStack() as stack:
        if REAL is None:
            server = await stack.enter_async_context(ApiServer())
            api = lease_api(tmp_path, server.address)
        else:
            # Leases of the test's own: rows and Leases of one name belong together.
            api = lease_api(tmp_path, "", prefix=f"t{os.urandom(4).hex()}-", kubeconfig=Path(REAL))
        leases = KubernetesLeases(db, api)
        leases.start()
        stack.push_async_callback(leases.close)
        yield leases


async def test_one_holder_at_a_time(leadership: Leadership) -> None:
    lease = await leadership.acquire("one", "a", ttl_ms=60_000)
    assert lease is not None
    assert await leadership.acquire("one", "b", ttl_ms=60_000) is None
    other = await leadership.acquire("two", "b", ttl_ms=60_000)
    assert other is not None
    again = await leadership.acquire("one", "a", ttl_ms=60_000)
    assert again == lease
    await leadership.check(lease)
    await leadership.renew(lease, ttl_ms=60_000)


async def test_a_released_lease_is_free_at_once(leadership: Leadership) -> None:
    lease = await leadership.acquire("released", "a", ttl_ms=60_000)
    assert lease is not None
    await leadership.release(lease)
    with pytest.raises(LeaseLost):
        await leadership.check(lease)
    taken = await leadership.acquire("released", "b", ttl_ms=60_000)
    assert taken is not None
    assert taken.epoch > lease.epoch
    await leadership.release(lease)
    await leadership.check(taken)


async def test_the_epoch_tells_a_zombie(leadership: Leadership) -> None:
    lease = await leadership.acquire("zombie", "a", ttl_ms=300)
    assert lease is not None
    await asyncio.sleep(0.4)
    with pytest.raises(LeaseLost):
        await leadership.check(lease)
    with pytest.raises(LeaseLost):
        await leadership.renew(lease, ttl_ms=60_000)
    taken = await leadership.acquire("zombie", "b", ttl_ms=300)
    assert taken is not None
    assert taken.epoch > lease.epoch
    await asyncio.sleep(0.4)
    # The first holder comes back: that is another epoch than the one it had.
    back = await leadership.acquire("zombie", "a", ttl_ms=60_000)
    assert back is not None
    assert back.epoch > taken.epoch
    for lost in (lease, taken):
        with pytest.raises(LeaseLost):
            await leadership.renew(lost, ttl_ms=60_000)


async def test_of_many_who_ask_at_once_one_gets_it(leadership: Leadership) -> None:
    found = await asyncio.gather(
        *(leadership.acquire("race", f"h{number}", ttl_ms=60_000) for number in range(8))
    )
    assert len([lease for lease in found if lease is not None]) == 1


async def test_what_is_asked_for_at_once_is_given_each_by_itself(leadership: Leadership) -> None:
    taken = await leadership.acquire("at-once-1", "b", ttl_ms=60_000)
    assert taken is not None
    asked = [(f"at-once-{number}", "a") for number in range(4)] + [("at-once-1", "b"), ("at-once-2", "b")]
    found = await asyncio.gather(*(leadership.acquire(*who, ttl_ms=60_000) for who in asked))
    given = [lease is not None for lease in found]
    assert given[:2] + given[3:5] == [True, False, True, True]
    assert given[2] is not given[5], "of two who ask for one lease one gets it"
    assert found[4] == taken
    for lease, (name, holder) in zip(found, asked, strict=True):
        if lease is not None:
            assert (lease.name, lease.holder) == (name, holder)
            await leadership.check(lease)


async def test_who_goes_away_leaves_the_others_their_leases(leadership: Leadership) -> None:
    first = asyncio.create_task(leadership.acquire("gone", "a", ttl_ms=60_000))
    second = asyncio.create_task(leadership.acquire("stayed", "a", ttl_ms=60_000))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None


async def test_rows_asked_for_in_one_turn_are_one_statement(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    call = db.call

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return await call(*args, **kwargs)

    monkeypatch.setattr(db, "call", counted)
    rows = LeasedRows(db)
    names = [f"one statement {number}" for number in range(5)]
    found = await asyncio.gather(*(rows.acquire(name, "a", ttl_ms=60_000) for name in names))
    assert [lease.name for lease in found if lease is not None] == names
    assert calls == 1


async def test_a_locked_row_costs_nobody_else_a_lease(db: Database) -> None:
    rows = LeasedRows(db)
    names = [f"locked {number}" for number in range(3)]
    for name in names:
        assert await rows.acquire(name, "a", ttl_ms=60_000) is not None
    async with db.write() as session:
        await session.execute("SELECT FROM platform.lease WHERE name = %s FOR UPDATE", (names[1],))
        heads = asyncio.create_task(db.call("SELECT 1", together=True))
        found = await asyncio.gather(
            *(rows.acquire(name, "a", ttl_ms=60_000) for name in names), return_exceptions=True
        )
        assert heads.done()
    assert isinstance(found[0], Lease)
    assert isinstance(found[1], Unavailable)
    assert isinstance(found[2], Lease)


async def test_a_fenced_transaction_keeps_the_lease_until_it_ends(
    leadership: Leadership, db: Database
) -> None:
    lease = await leadership.acquire("fence", "a", ttl_ms=1_000)
    assert lease is not None
    async with db.write() as session:
        await fence(session, lease)
        await asyncio.sleep(1.1)
        # Expired by now, and still nobody else can take it: what this transaction writes is ours to write.
        taking = asyncio.create_task(leadership.acquire("fence", "b", ttl_ms=60_000))
        await asyncio.sleep(0.2)
        assert not taking.done()
    assert await taking is not None
    with pytest.raises(LeaseLost):
        async with db.write() as session:
            await fence(session, lease)


async def test_a_periodic_job_runs_in_one_process(leadership: Leadership) -> None:
    done: list[str] = []

    async def work(name: str) -> None:
        done.append(name)

    first = PeriodicJob(leadership, "job", lambda: work("first"), every=30)
    second = PeriodicJob(leadership, "job", lambda: work("second"), every=30)
    assert await first.round()
    assert not await second.round()
    await first.start()
    async with asyncio.timeout(20):
        while len(done) < 2:
            await asyncio.sleep(0.02)
    await first.stop()
    assert await second.round()
    assert done == ["first", "first", "second"]
