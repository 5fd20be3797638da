"""`Database` behind pgbouncer in transaction mode, which carries no prepared statements.

Many calls wait there for a few connections, and it hands PostgreSQL's from one to another. Each answer must
be its caller's, however the bytes come and whatever is killed meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import uvloop
from plexus.platform.migrate import READER, WRITER, migrate
from plexus.platform.postgres import Database, StoreUnavailable

from deploy.local.installing import need
from deploy.local.pgbouncer import Pgbouncer
from deploy.local.postgres import PostgresServer
from deploy.local.program import ProgramError, free_port

TABLE = "CREATE SCHEMA proof CREATE TABLE row (id bigint PRIMARY KEY, text text)"


class Pooled:
    def __init__(self, folder: Path) -> None:
        self.postgres = PostgresServer(folder / "postgres", free_port())
        # Fewer connections than callers: they are handed from one to another.
        self.pgbouncer = Pgbouncer(folder / "pgbouncer", free_port(), self.postgres.port, pool=4)

    def database(self, port: int | None = None) -> Database:
        """By this port instead of the pooler's own, if one is given."""
        dsns = [self.pgbouncer.dsn(role) for role in (WRITER, READER)]
        if port is not None:
            dsns = [psycopg.conninfo.make_conninfo(dsn, port=port) for dsn in dsns]
        return Database(*dsns, wait=10, most_waiting=100_000, prepared=False)

    def ids(self) -> set[int]:
        with psycopg.connect(self.postgres.dsn()) as connection:
            return {row[0] for row in connection.execute("SELECT id FROM proof.row")}


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooled]:
    try:
        need("pg_ctl", "pgbouncer")
    except ProgramError as error:
        pytest.skip(str(error))
    made = Pooled(tmp_path_factory.mktemp("pooled"))
    with made.postgres, made.pgbouncer:
        migrate(made.postgres.dsn())
        with psycopg.connect(made.postgres.dsn(), autocommit=True) as connection:
            connection.execute(TABLE)
        yield made


@pytest.fixture
async def db(pooled: Pooled) -> AsyncIterator[Database]:
    async with pooled.database() as opened:
        yield opened


async def call(db: Database, number: int) -> bool | None:
    """One call of some kind; whether its answer is its own, None if it has none. Even numbers write."""
    try:
        if number % 2 == 0:
            sql = "INSERT INTO proof.row VALUES (%s, %s) RETURNING id"
            return await db.call(sql, (number, "v" * random.randrange(2_000))) == [(number,)]
        if number % 5 == 0:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await db.call("SELECT 1 / (%s::bigint - %s::bigint)", (number, number))
            return True
        if number % 500 == 499:
            # However fast the machine: some are under way when it is killed.
            await db.call("SELECT pg_sleep(0.2)")
            return True
        if number % 3 == 0:
            many = range(number, number + random.randrange(1, 500))
            rows = await db.call("SELECT generate_series(%s::bigint, %s::bigint)", (many[0], many[-1]))
            return [row[0] for row in rows] == list(many)
        return await db.call("SELECT %s::bigint, %s::text", (number, "x")) == [(number, "x")]
    except StoreUnavailable:
        return None


async def test_each_answer_is_for_its_caller(db: Database) -> None:
    for start in range(0, 8_000, 2_000):
        answers = await asyncio.gather(*(call(db, number) for number in range(start, start + 2_000)))
        assert answers == [True] * 2_000


async def test_also_if_calls_come_in_pieces(pooled: Pooled) -> None:
    """As a pooler gets them on a busy machine: the end of a call is not there yet when the call before it is
    answered. What has begun must end on the connection to PostgreSQL on which it began.
    """
    async with in_pieces(pooled.pgbouncer.port) as port, pooled.database(port) as db:
        answers = await asyncio.gather(*(call(db, number) for number in range(3_000_000, 3_001_500)))
    assert answers == [True] * 1_500


@asynccontextmanager
async def in_pieces(port: int) -> AsyncIterator[int]:
    """A port that leads to another one, for what comes there in pieces, one after the other."""

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(random.randrange(1, most)):
                writer.write(piece)
                await writer.drain()
                if most < 10_000:
                    await asyncio.sleep(random.uniform(0, 0.002))
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(lead(reader, inner_writer, 800), lead(inner_reader, writer, 100_000))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("victim", ["pgbouncer", "connections"])
def test_kills_in_between(pooled: Pooled, victim: str) -> None:
    """On uvloop, as servers run. Nothing hangs; what was acknowledged is there, once."""
    base = 1_000_000 if victim == "pgbouncer" else 2_000_000

    async def run() -> list[bool | None]:
        answers: list[bool | None] = []
        async with pooled.database() as db:
            for start in range(base, base + 12_000, 2_000):
                numbers = range(start, start + 2_000)
                under_way = asyncio.gather(*(call(db, number) for number in numbers))
                await asyncio.sleep(random.uniform(0.02, 0.15))
                if victim == "pgbouncer":
                    await asyncio.to_thread(pooled.pgbouncer.kill)
                    await asyncio.to_thread(pooled.pgbouncer.start)
                else:
                    await asyncio.to_thread(end_connections, pooled)
                answers += await asyncio.wait_for(under_way, 30)
            assert await db.call("SELECT 1::bigint") == [(1,)], "it has recovered"
        return answers

    answers = uvloop.run(run())
    assert False not in answers, "an answer went to another caller"
    assert None in answers, "nothing was under way when it was killed"
    acknowledged = {base + index for index, answer in enumerate(answers) if answer and index % 2 == 0}
    assert acknowledged <= pooled.ids()


def end_connections(pooled: Pooled) -> None:
    with psycopg.connect(pooled.postgres.dsn(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (WRITER,)
        )


async def test_the_roles_bring_their_settings(db: Database) -> None:
    [(lock_timeout, plans)] = await db.call(
        "SELECT current_setting('lock_timeout'), current_setting('plan_cache_mode')"
    )
    assert (lock_timeout, plans) == ("2s", "force_generic_plan")
    async with db.read() as session:
        assert await session.one("SELECT current_setting('transaction_read_only')") == ("on",)


async def undone(db: Database) -> None:
    async with db.write() as session:
        await session.execute("INSERT INTO proof.row VALUES (%s, %s)", (-2, "b"))
        raise ZeroDivisionError


async def test_sessions(db: Database) -> None:
    async with db.write() as session:
        assert await session.execute("INSERT INTO proof.row VALUES (%s, %s)", (-1, "a")) == 1
    with pytest.raises(ZeroDivisionError):
        await undone(db)
    async with db.read() as session:
        for _ in range(10):  # psycopg would prepare it by itself
            assert await session.fetch("SELECT id FROM proof.row WHERE id < %s", (0,)) == [(-1,)]
        rows = [row async for row in session.stream("SELECT generate_series(%s::bigint, 2000)", (1,))]
    assert len(rows) == 2_000


async def test_all_connections_have_one_name(db: Database, pooled: Pooled) -> None:
    """Else the pooler says SET whenever it hands a connection from a writer to a caller."""
    await db.call("SELECT 1")
    async with db.write() as session:
        await session.fetch("SELECT 1")
    names = {row["application_name"] for row in pooled.pgbouncer.show("CLIENTS") if row["user"] == WRITER}
    assert names == {"plexus"}
