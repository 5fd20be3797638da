"""Calls with packed parameters: answers meet their calls, errors stay with theirs, dead lines go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from plexus.platform.postgres import Database, PackedStatement, StoreUnavailable
from plexus.rooms.packing import int4, int8, oid_of

from tests.support.postgres import TestDatabase

MIGRATIONS = ("platform",)
# Answers the number it is given and divides by it, so that 0 is refused; sleeps the milliseconds given.
STATEMENT = PackedStatement(
    b"SELECT ($1)[1], 1 / ($1)[1], pg_sleep(($2)[1] / 1000.0)", (oid_of(int4([1])), oid_of(int8([1])))
)
CALLERS = 4
_WRITERS = "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'plexus_writer'"
_ACTIVE = f"SELECT count(*) {_WRITERS} AND state = 'active'"


@pytest_asyncio.fixture(params=[True, False], ids=["prepared", "unprepared"])
async def db(database: TestDatabase, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    opened = Database(
        database.writer,
        database.reader,
        writers=12,
        callers=CALLERS,
        most_waiting=400,
        prepared=request.param,
    )
    async with opened:
        yield opened
        assert opened.writers.in_use == 0


async def ask(db: Database, number: int, sleep: int = 0) -> int:
    result = await db.call_packed(STATEMENT, [int4([number]), int8([sleep])])
    value = result.get_value(0, 0)
    assert value is not None
    return int.from_bytes(value, "big")


async def test_many_calls_at_once(db: Database) -> None:
    numbers = list(range(1, 300))
    assert await asyncio.gather(*(ask(db, n) for n in numbers)) == numbers
    assert db.callers.stats.connected <= CALLERS


async def test_an_error_is_only_its_own(db: Database) -> None:
    found = await asyncio.gather(*(ask(db, n % 5) for n in range(50)), return_exceptions=True)
    for n, answer in enumerate(found):
        if n % 5 == 0:
            assert isinstance(answer, psycopg.errors.DivisionByZero)
        else:
            assert answer == n % 5


async def test_who_gives_up_disturbs_nobody(db: Database) -> None:
    slow = [asyncio.create_task(ask(db, n, 100)) for n in range(1, 9)]
    await asyncio.sleep(0.02)
    for task in slow[::2]:
        task.cancel()
    assert await asyncio.gather(*(ask(db, n) for n in range(1, 9))) == list(range(1, 9))
    assert await asyncio.gather(*slow[1::2]) == [2, 4, 6, 8]


async def test_a_line_that_dies(db: Database, database: TestDatabase) -> None:
    """Calls under way do not know what became of them; the next ones go elsewhere."""
    assert await ask(db, 1) == 1
    under_way = asyncio.gather(*(ask(db, n, 2_000) for n in range(1, 9)), return_exceptions=True)
    with psycopg.connect(database.owner, autocommit=True) as connection:
        async with asyncio.timeout(10):
            while connection.execute(_ACTIVE).fetchone() != (CALLERS,):
                await asyncio.sleep(0.02)
        connection.execute(f"SELECT pg_terminate_backend(pid) {_WRITERS}")
    answers = await under_way
    assert all(isinstance(a, StoreUnavailable) and a.sqlstate is None for a in answers), answers
    assert await asyncio.gather(*(ask(db, n) for n in range(1, 9))) == list(range(1, 9))


async def test_an_idle_line_that_died(db: Database, database: TestDatabase) -> None:
    assert await ask(db, 1) == 1
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid, 10000) {_WRITERS}")
    await asyncio.sleep(0.1)
    assert await ask(db, 2) == 2
