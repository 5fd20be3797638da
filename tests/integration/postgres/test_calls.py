"""Calls over few connections: each a transaction of its own, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from plexus.platform.postgres import Database, StoreUnavailable

from tests.support.postgres import TestDatabase

MIGRATIONS = ("platform",)


@pytest.fixture(scope="module", autouse=True)
def table(database: TestDatabase) -> None:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA things CREATE TABLE thing (id bigint PRIMARY KEY, data bytea)")


@pytest_asyncio.fixture
async def one(database: TestDatabase) -> AsyncIterator[Database]:
    """One connection carries all calls."""
    async with Database(database.writer, writers=2, readers=1, callers=1, most_waiting=50) as made:
        yield made


INSERT = "INSERT INTO things.thing VALUES (%s, %s) RETURNING id"


async def test_each_call_is_a_transaction_of_its_own(one: Database) -> None:
    results = await asyncio.gather(
        *(one.call(INSERT, (number % 30, b"x")) for number in range(40)), return_exceptions=True
    )
    assert results[:30] == [[(number,)] for number in range(30)]
    assert {type(result) for result in results[30:]} == {psycopg.errors.UniqueViolation}
    assert await one.call("SELECT count(*) FROM things.thing WHERE id < 30") == [(30,)]
    assert one.callers.stats.connected == 1


async def test_answers_of_every_shape(one: Database) -> None:
    assert await one.call("SELECT 1 WHERE false") == []
    assert await one.call("UPDATE things.thing SET data = data WHERE false") == []
    assert await one.call("SELECT generate_series(1, 3)") == [(1,), (2,), (3,)]
    assert await one.call(
        "SELECT %s::text, %s::bytea, %s::bigint, %s::text[], %s::bool, '100%%'",
        ("ä%s", b"\x00\xff", None, ["a", None], True),
    ) == [("ä%s", b"\x00\xff", None, ["a", None], True, "100%")]


async def test_parameters_by_name(one: Database) -> None:
    sql = "SELECT %(b)s::text || %(a)s::text || %(b)s::text, '100%%'"
    assert await one.call(sql, {"a": "1", "b": "2", "c": "unused"}) == [("212", "100%")]
    with pytest.raises(KeyError):
        await one.call(sql, {"a": "1"})


async def test_bad_statements_fail_alone_and_can_be_repeated(one: Database) -> None:
    for _ in range(2):
        good, bad, worse, again = await asyncio.gather(
            one.call("SELECT 1"),
            one.call("SELECT nothing FROM nowhere"),
            one.call("SELECT 1 / %s", (0,)),
            one.call("SELECT 2"),
            return_exceptions=True,
        )
        assert (good, again) == ([(1,)], [(2,)])
        assert isinstance(bad, psycopg.errors.UndefinedTable)
        assert isinstance(worse, psycopg.errors.DivisionByZero)
    # What could not be prepared is prepared once it can be.
    with pytest.raises(psycopg.errors.UndefinedFunction):
        await one.call("SELECT lanes.not_yet()")


async def test_large_values_go_and_come(one: Database) -> None:
    sizes = [3_000_000, 10, 2_000_000, 0, 1_000_000]
    rows = await asyncio.gather(
        *(one.call("SELECT %s::bytea, length(%s::bytea)", (b"x" * n, b"y" * n)) for n in sizes)
    )
    assert [(len(data), length) for [(data, length)] in rows] == [(n, n) for n in sizes]


async def test_a_cancelled_caller_does_not_stop_the_statement_or_the_others(one: Database) -> None:
    slow = asyncio.create_task(one.call("INSERT INTO things.thing SELECT 1000 FROM pg_sleep(1)"))
    after = asyncio.create_task(one.call("SELECT 5"))
    await asyncio.sleep(0.05)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert await after == [(5,)]
    assert await one.call("SELECT id FROM things.thing WHERE id = 1000") == [(1000,)]


async def test_when_the_connection_dies_all_under_way_end_and_the_next_works(
    one: Database, database: TestDatabase
) -> None:
    await one.call("SELECT 1")
    calls = [asyncio.create_task(one.call("SELECT pg_sleep(5)")) for _ in range(5)]
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(5)%'"
    with psycopg.connect(database.owner, autocommit=True) as owner:
        async with asyncio.timeout(4):
            while not owner.execute(query).fetchall():
                await asyncio.sleep(0.02)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    codes = [result.sqlstate for result in results if isinstance(result, StoreUnavailable)]
    # The first is told why, but that may come between a commit and its answer: of none anybody knows.
    assert codes == [None] * 5
    assert await one.call("SELECT 1") == [(1,)]


async def test_more_than_may_wait_are_refused_at_once(one: Database) -> None:
    await one.call("SELECT 1")
    waiting = [asyncio.create_task(one.call("SELECT pg_sleep(0.01)")) for _ in range(50)]
    await asyncio.sleep(0)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await one.call("SELECT 1")
    assert time.monotonic() - began < 0.4
    assert refused.value.headers["Retry-After"] == "1"
    await asyncio.gather(*waiting)
    assert await one.call("SELECT 1") == [(1,)]


async def test_a_call_that_waits_does_not_hold_up_those_on_other_connections(database: TestDatabase) -> None:
    async with Database(database.writer, writers=1, readers=1, callers=2) as db:
        await asyncio.gather(*(db.call("SELECT pg_sleep(0.02)") for _ in range(4)))
        await asyncio.sleep(0.1)
        slow = asyncio.create_task(db.call("SELECT pg_sleep(4)"))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        for _ in range(5):
            await db.call("SELECT 1")
        assert time.monotonic() - began < 2
        assert not slow.done()
        await slow


async def test_calls_that_go_together_wake_one_backend(database: TestDatabase) -> None:
    pid = "SELECT pg_backend_pid()"
    async with Database(database.writer, writers=1, readers=1, callers=4, most_waiting=50) as several:
        apart = await asyncio.gather(*(several.call(pid) for _ in range(4)))
        assert len({row for [row] in apart}) == 4
        together = await asyncio.gather(*(several.call(pid, together=True) for _ in range(4)))
        assert len({row for [row] in together}) == 1

        slow = asyncio.create_task(several.call("SELECT pg_sleep(2)", together=True))
        await asyncio.sleep(0.05)
        # Of another turn: it does not wait for what somebody else has begun.
        async with asyncio.timeout(1):
            await several.call(pid, together=True)
            assert not slow.done()
        slow.cancel()


async def test_what_goes_together_does_not_go_behind_a_call_that_does_not(database: TestDatabase) -> None:
    async with Database(database.writer, writers=1, readers=1, callers=2, most_waiting=50) as several:
        await several.call("SELECT 1", together=True)
        slow = asyncio.create_task(several.call("SELECT pg_sleep(2)"))
        looks = [asyncio.create_task(several.call("SELECT 1", together=True)) for _ in range(3)]
        async with asyncio.timeout(1):
            assert await asyncio.gather(*looks) == [[(1,)]] * 3
        assert not slow.done()
        slow.cancel()


@pytest.mark.parametrize("prepared", [True, False])
async def test_one_of_those_that_go_together_fails_alone(database: TestDatabase, prepared: bool) -> None:
    pid = "SELECT pg_backend_pid()"
    async with Database(
        database.writer, writers=1, readers=1, callers=3, most_waiting=50, prepared=prepared
    ) as several:
        good, bad, after = await asyncio.gather(
            several.call(pid, together=True),
            several.call("SELECT 1 / %s", (0,), together=True),
            several.call(pid, together=True),
            return_exceptions=True,
        )
        assert good == after
        assert isinstance(bad, psycopg.errors.DivisionByZero)


async def test_more_statements_than_are_kept_prepared(one: Database) -> None:
    for number in range(250):
        assert await one.call("SELECT %s /* " + str(number) + " */", (number,)) == [(number,)]
    [(prepared,)] = await one.call("SELECT count(*) FROM pg_prepared_statements")
    assert 190 <= prepared <= 200


async def test_closing_ends_what_is_under_way(database: TestDatabase) -> None:
    db = Database(database.writer, writers=1, readers=1, callers=1)
    await db.open()
    await db.call("SELECT 1")
    slow = asyncio.create_task(db.call("SELECT pg_sleep(5)"))
    await asyncio.sleep(0.05)
    await db.close()
    with pytest.raises(StoreUnavailable):
        await slow
