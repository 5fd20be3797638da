"""A PostgreSQL that does not answer any more, or is not there: calls end, and the process is not ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from plexus.platform.postgres import Database, StoreUnavailable
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.postgres import TestDatabase

MIGRATIONS = ("platform",)


@dataclass
class Road:
    """A way to PostgreSQL that can be closed, and on which all can stand still."""

    target: str
    port: int = 0
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self) -> None:
        self.flows.set()
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self.target)
        self.writers += (writer, back)
        self.tasks += (
            asyncio.create_task(self._pass_on(reader, back)),
            asyncio.create_task(self._pass_on(there, writer)),
        )

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self.flows.wait()
                writer.write(data)
        except OSError:
            pass
        writer.close()


@asynccontextmanager
async def road_to(database: TestDatabase) -> AsyncIterator[tuple[Road, str]]:
    """The road, and the address at its near end."""
    parts = conninfo_to_dict(database.writer)
    road = Road(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}")
    await road.open()
    try:
        yield road, make_conninfo(database.writer, host="127.0.0.1", port=road.port)
    finally:
        road.close()
        for task in road.tasks:
            task.cancel()
        await asyncio.gather(*road.tasks, return_exceptions=True)


async def call(db: Database) -> object:
    return await db.call("SELECT pg_sleep(20)")


async def read(db: Database) -> object:
    async with db.read() as session:
        return await session.fetch("SELECT pg_sleep(20)")


async def stream(db: Database) -> object:
    async with db.read() as session:
        return [row async for row in session.stream("SELECT 1 FROM pg_sleep(20)")]


async def write(db: Database) -> object:
    async with db.write() as session:
        await session.execute("SELECT 1")
        return await session.execute("SELECT pg_sleep(20)")


@pytest.mark.parametrize("ask", [call, read, stream, write])
@pytest.mark.parametrize("callers", [1, 0])
async def test_an_answer_that_does_not_come_ends_the_call(
    database: TestDatabase, ask: Callable[[Database], Awaitable[object]], callers: int
) -> None:
    async with Database(database.writer, writers=1, readers=1, callers=callers, call_timeout=2) as db:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as ended:
            await ask(db)
        assert ended.value.sqlstate is None, "the outcome is unknown"
        assert 1.5 < time.monotonic() - began < 6
        # The connection is another one now.
        assert await db.call("SELECT 1") == [(1,)]
        async with db.read() as session, db.write() as other:
            assert await session.one("SELECT 2") == (2,)
            assert await other.one("SELECT 3") == (3,)


async def test_what_goes_on_is_not_ended(database: TestDatabase) -> None:
    """Neither a transaction, nor a row of calls, nor rows that come slowly take an answer too long."""
    async with Database(database.writer, writers=1, readers=1, callers=1, call_timeout=2) as db:

        async def transaction() -> None:
            async with db.write() as session:
                for _ in range(6):
                    await session.execute("SELECT pg_sleep(0.8)")

        calls = [db.call("SELECT pg_sleep(0.8)") for _ in range(6)]
        await asyncio.gather(transaction(), *calls)


async def test_a_frozen_road(database: TestDatabase) -> None:
    async with road_to(database) as (road, dsn), Database(dsn, writers=2, callers=2, call_timeout=8) as db:
        await db.call("SELECT 1")
        road.flows.clear()
        began = time.monotonic()
        waiting = [asyncio.create_task(db.call("SELECT 1")) for _ in range(10)]
        while db.watch.why_not_ready() is None:
            await asyncio.sleep(0.1)
            assert time.monotonic() - began < 8
        assert not any(task.done() for task in waiting)
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(one) for one in ended} == {StoreUnavailable}
        assert 7 < time.monotonic() - began < 12
        assert db.watch.why_not_ready() is not None
        road.flows.set()
        await back(db)


async def test_a_closed_road(database: TestDatabase) -> None:
    async with road_to(database) as (road, dsn), Database(dsn, writers=2, callers=2, wait=0.5) as db:
        assert db.watch.why_not_ready() is None
        road.close()
        began = time.monotonic()
        while db.watch.why_not_ready() is None:
            await asyncio.sleep(0.1)
            assert time.monotonic() - began < 8
        with pytest.raises(StoreUnavailable):
            await db.call("SELECT 1")
        await road.open()
        await back(db)


async def back(db: Database) -> None:
    """By itself, and nobody need ask for anything."""
    async with asyncio.timeout(6):
        while db.watch.why_not_ready() is not None:
            await asyncio.sleep(0.1)
    assert await db.call("SELECT 1") == [(1,)]
