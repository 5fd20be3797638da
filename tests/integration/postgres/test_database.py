"""Sessions, the pool and its budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from plexus.platform.postgres import Database, StoreUnavailable
from plexus.platform.postgres.metrics import observe
from plexus.platform.telemetry.metrics import Gauge, Metrics

from tests.support.postgres import TestDatabase

MIGRATIONS = ("platform",)


@pytest.fixture(scope="module", autouse=True)
def table(database: TestDatabase) -> None:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA things CREATE TABLE thing (id bigint PRIMARY KEY, what text)")


@pytest_asyncio.fixture
async def small(database: TestDatabase) -> AsyncIterator[Database]:
    """Two connections to write, one to read, and little patience."""
    made = Database(database.writer, database.reader, writers=2, readers=1, wait=1.5, most_waiting=3)
    async with made:
        yield made


async def test_a_call_is_committed_when_it_returns(db: Database) -> None:
    sql = "INSERT INTO things.thing VALUES (%s, %s) RETURNING id, what"
    assert await db.call(sql, (1, "ä")) == [(1, "ä")]
    async with db.read() as session:
        assert await session.one("SELECT what FROM things.thing WHERE id = %s", (1,)) == ("ä",)
        assert await session.one("SELECT what FROM things.thing WHERE id = %s", (99,)) is None


async def test_a_write_is_whole_or_not_at_all(db: Database) -> None:
    async with db.write() as session:
        assert await session.execute("INSERT INTO things.thing VALUES (10, 'a'), (11, 'b')") == 2
    with pytest.raises(psycopg.errors.UniqueViolation):  # noqa: PT012
        async with db.write() as session:
            await session.execute("INSERT INTO things.thing VALUES (12, 'c')")
            await session.execute("INSERT INTO things.thing VALUES (10, 'again')")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with db.write() as session:
            await session.execute("INSERT INTO things.thing VALUES (13, 'd')")
            raise ZeroDivisionError
    async with db.read() as session:
        assert await session.fetch("SELECT id FROM things.thing WHERE id > 9 ORDER BY id") == [(10,), (11,)]


async def test_a_reader_cannot_write(db: Database) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        async with db.read() as session:
            await session.fetch("INSERT INTO things.thing VALUES (20, 'x') RETURNING id")
    assert refused.value.sqlstate == "25006"


async def test_rows_are_streamed_with_what_comes_after(db: Database) -> None:
    async with db.read() as session:
        total = 0
        async for (number,) in session.stream("SELECT generate_series(1, %s)", (5_000,)):
            total += number
        assert total == 5_000 * 5_001 // 2
        assert await session.one("SELECT 1") == (1,)


async def test_generic_plans_and_timeouts_are_by_role(db: Database) -> None:
    [(plan, lock, idle)] = await db.call(
        "SELECT current_setting('plan_cache_mode'), current_setting('lock_timeout'),"
        " current_setting('idle_in_transaction_session_timeout')"
    )
    assert (plan, lock, idle) == ("force_generic_plan", "2s", "5s")
    async with db.read() as session:
        found = await session.one(
            "SELECT current_setting('plan_cache_mode'), current_setting('lock_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')"
        )
    assert found == ("force_generic_plan", "2s", "30s")


async def ask(db: Database, number: int = 1) -> object:
    async with db.write() as session:
        return await session.one("SELECT %s", (number,))


async def test_an_exhausted_pool_answers_503_with_retry_after(small: Database) -> None:
    release = asyncio.Event()

    async def hold() -> None:
        async with small.write() as session:
            await session.fetch("SELECT 1")
            await release.wait()

    holders = [asyncio.create_task(hold()) for _ in range(2)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await ask(small)
    assert 1.25 < time.monotonic() - began < 5
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
    waiting = [asyncio.create_task(ask(small)) for _ in range(3)]
    await asyncio.sleep(0)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await ask(small)
    assert time.monotonic() - began < 1
    assert small.writers.waiting == 3
    release.set()
    assert await asyncio.gather(*waiting) == [(1,)] * 3
    await asyncio.gather(*holders)
    assert small.writers.stats.exhausted == 2
    assert small.writers.in_use == 0


async def test_a_cancelled_caller_gives_its_place_back(small: Database) -> None:
    release = asyncio.Event()

    async def hold() -> None:
        async with small.write():
            await release.wait()

    holders = [asyncio.create_task(hold()) for _ in range(2)]
    await asyncio.sleep(0.05)
    first, second = (asyncio.create_task(ask(small, 7)) for _ in range(2))
    await asyncio.sleep(0.05)
    # The first gets a connection in the moment it is cancelled.
    release.set()
    first.cancel()
    assert await second == (7,)
    await asyncio.gather(*holders)

    async def sleep() -> None:
        async with small.write() as session:
            await session.fetch("SELECT pg_sleep(5)")

    running = asyncio.create_task(sleep())
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert small.writers.in_use == 0
    assert await asyncio.gather(*(ask(small) for _ in range(2))) == [(1,)] * 2


async def test_connections_that_the_server_closed_are_noticed_before_use(
    small: Database, database: TestDatabase
) -> None:
    await asyncio.gather(ask(small), ask(small), small.call("SELECT 1"))
    before = small.writers.stats.connected, small.callers.stats.connected
    with psycopg.connect(database.owner, autocommit=True) as owner:
        query = (
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'plexus_writer'"
        )
        owner.execute(query)
    await asyncio.sleep(0.1)
    assert await ask(small) == (1,)
    assert await small.call("SELECT 1") == [(1,)]
    assert small.writers.stats.connected > before[0]
    assert small.callers.stats.connected > before[1]


@pytest.mark.parametrize("callers", [0, 2])
async def test_a_connection_that_dies_in_a_call_is_503_and_replaced(
    database: TestDatabase, callers: int
) -> None:
    async with Database(database.writer, database.reader, writers=2, callers=callers) as db:
        with pytest.raises(StoreUnavailable) as lost:
            await db.call("SELECT pg_terminate_backend(pg_backend_pid())")
        assert lost.value.sqlstate in (None, "57P01")
        assert await db.call("SELECT 1") == [(1,)]
        assert db.writers.in_use == 0


async def test_a_server_that_is_not_there_is_503(tmp_path: object) -> None:
    nowhere = Database(f"host={tmp_path} dbname=plexus", wait=0.2)
    with pytest.raises(StoreUnavailable):
        await nowhere.open()
    assert nowhere.writers.stats.connect_failures >= 2


async def test_without_prepared_statements_none_are_made(database: TestDatabase) -> None:
    async with Database(database.writer, writers=1, prepared=False) as plain:
        for number in range(8):
            assert await plain.call("SELECT %s", (number,)) == [(number,)]
        assert await plain.call("SELECT count(*) FROM pg_prepared_statements") == [(0,)]


async def test_one_statement_has_one_prepared_form_whatever_the_integers(small: Database) -> None:
    for number in (1, 2**20, 2**40, -1):
        assert await small.call("SELECT %s + 1", (number,)) == [(number + 1,)]
        assert await small.call("SELECT (%s::bigint[])[1]", ([number],)) == [(number,)]
    rows = await small.call("SELECT statement FROM pg_prepared_statements")
    assert sum("+ 1" in statement for (statement,) in rows) == 1


async def test_the_pools_are_seen_by_the_metrics(small: Database) -> None:
    metrics = Metrics()
    observe(metrics, small)
    gauges = {gauge.name: dict(gauge.readings()) for gauge in metrics.all() if isinstance(gauge, Gauge)}
    pool, state = "db.client.connection.pool.name", "db.client.connection.state"
    assert gauges["db.client.connection.max"] == {
        ((pool, "writer"),): 2,
        ((pool, "call"),): 8,
        ((pool, "reader"),): 1,
    }
    async with small.write():
        gauges = {gauge.name: dict(gauge.readings()) for gauge in metrics.all() if isinstance(gauge, Gauge)}
        assert gauges["db.client.connection.count"][(pool, "writer"), (state, "used")] == 1
        assert gauges["db.client.connection.pending_requests"][(pool, "writer"),] == 0
