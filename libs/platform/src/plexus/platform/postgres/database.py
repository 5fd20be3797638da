"""The database as services see it: a pool to write, a pool to read, and one call for the hot path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import LiteralString, Self, TypeVar

import psycopg
from plexus.platform.postgres.errors import (
    GENERATION_ENDED,
    READ_ONLY_SQL_TRANSACTION,
    TRANSIENT,
    StoreUnavailable,
)
from plexus.platform.postgres.pipeline import PackedStatement, PipelinedCalls, error_of
from plexus.platform.postgres.places import lead_to_one_server
from plexus.platform.postgres.pool import Connection, ConnectionPool, OnConnect
from plexus.platform.postgres.sessions import Params, ReadSession, Row, WriteSession
from plexus.platform.postgres.watch import StoreWatch, Watched
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

T = TypeVar("T")


class Database:
    """``writers`` and ``readers`` are the connection budget of this process; ``wait`` the seconds that a
    caller may wait for a connection before it answers 503, ``most_waiting`` how many may do so.
    ``reader_dsn`` may lead to a replica; where it leads to the same server as ``writer_dsn``, it does not.

    ``callers`` connections carry `call`; 0: it takes one of the writers, which costs twice the CPU. Measured
    with writers on 16 lanes or more: 8 connections 76 µs a commit and 27 µs of our CPU, 3 connections 149 and
    44; more than 8 gain nothing.

    ``call_timeout``: seconds that PostgreSQL may take for an answer; then the connection is given up, and
    what waits for it fails with an unknown outcome. 0: for ever.

    ``prepared`` off is for a pooler that cannot carry prepared statements. Timeouts and the choice of plans
    belong to the roles ``plexus_writer`` and ``plexus_reader``, because ``SET`` does not survive a pooler.
    """

    def __init__(
        self,
        writer_dsn: str,
        reader_dsn: str | None = None,
        *,
        writers: int = 8,
        readers: int = 8,
        callers: int = 8,
        wait: float = 2.0,
        call_timeout: float = 0,
        most_waiting: int = 256,
        prepared: bool = True,
    ) -> None:
        self.has_replica = reader_dsn is not None and not lead_to_one_server(writer_dsn, reader_dsn)
        self.replica_lags: Callable[[ReadSession], Awaitable[bool]] | None = None
        """Whether the replica that it leads to lacks what this process must see; None: nobody minds."""
        self._prepare = None if prepared else False
        self._prepare_call = prepared
        self.writers = ConnectionPool(
            "writer", writer_dsn, size=writers, wait=wait, prepared=prepared, most_waiting=most_waiting
        )
        # Readers keep their first plan, so a statement is planned once a connection and not six times.
        self.readers = ConnectionPool(
            "reader",
            reader_dsn or writer_dsn,
            size=readers,
            wait=wait,
            prepared=prepared,
            at_once=True,
            most_waiting=most_waiting,
        )
        self.callers = ConnectionPool("call", writer_dsn, size=callers, wait=wait, prepared=prepared)
        self._pipelined = (
            PipelinedCalls(self.callers, most_under_way=most_waiting, prepared=prepared) if callers else None
        )
        self.watch = StoreWatch(self._connections, self._answers, self._look, seconds=call_timeout)
        self._renew: Callable[[], Awaitable[object]] | None = None
        self._renewing: asyncio.Future[object] | None = None

    def on_connect(self, hook: OnConnect) -> None:
        """Await ``hook`` with each new connection that can write, before it is used."""
        for pool in (self.writers, self.callers):
            pool.on_connect.append(hook)

    def on_generation_ended(self, renew: Callable[[], Awaitable[object]]) -> None:
        """Await ``renew`` when a statement is refused because its lane is of a timeline that has ended."""
        self._renew = renew

    async def renew(self, error: psycopg.Error) -> None:
        """After an error of a statement: return if it may be repeated now, because nothing was written and
        a new generation has begun. Raise it otherwise.
        """
        if error.sqlstate != GENERATION_ENDED or self._renew is None:
            raise error
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.ensure_future(self._renew())
        await asyncio.shield(self._renewing)

    async def open(self) -> None:
        """Make some connections of each kind, so that a wrong address is told at the start."""
        for pool in (self.writers, self.readers):
            await pool.release(await pool.acquire())
        if self._pipelined is not None:
            await self._pipelined.open()
        self.watch.start()

    async def close(self) -> None:
        await self.watch.stop()
        if self._pipelined is not None:
            await self._pipelined.close()
        await self.callers.close()
        await self.writers.close()
        await self.readers.close()

    def _connections(self) -> Iterator[Watched]:
        for pool in (self.writers, self.readers, self.callers):
            yield from pool.connections
        if self._pipelined is not None:
            yield from self._pipelined.lines

    def _answers(self) -> int:
        return self.callers.stats.answered

    async def _look(self) -> None:
        await self._call("SELECT 1", None, together=True)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, sql: LiteralString, params: Params = None, *, together: bool = False) -> list[Row]:
        """One statement, which is one transaction, on a writer connection; its rows.

        The way to write while holding a lane: no client round trip lies between the first lock and the
        commit. Prepared, binary both ways; integers go as ``bigint``: cast narrower parameters
        (``%s::smallint``). `StoreUnavailable` without ``sqlstate`` leaves the outcome unknown. A caller that
        is cancelled does not stop the statement. What was refused because a generation has ended is
        repeated in the new one.

        ``together``: those of one turn of the event loop go to one connection, and wake one backend of
        PostgreSQL. For what only looks: what waits, for a lock or a commit, holds up the others.
        """
        try:
            return await self._call(sql, params, together=together)
        except psycopg.Error as error:
            await self.renew(error)
            return await _once_more(self._call(sql, params, together=together))

    async def _call(self, sql: LiteralString, params: Params, *, together: bool) -> list[Row]:
        if self._pipelined is not None:
            return await self._pipelined.call(sql, params, together=together)
        connection = await self.writers.acquire()
        try:
            cursor = await connection.execute(sql, params, prepare=self._prepare_call, binary=True)
            return await cursor.fetchall() if cursor.description else []
        except TRANSIENT as error:
            await self._after_failure(connection, error)
            raise StoreUnavailable.of(error) from error
        finally:
            await self.writers.release(connection)

    async def call_packed(self, statement: PackedStatement, values: Sequence[bytes | None]) -> PGresult:
        """`call` for parameters in PostgreSQL's binary format, without psycopg's adaptation; libpq's result.

        Errors as of `call`.
        """
        try:
            return await self._call_packed(statement, values)
        except psycopg.Error as error:
            await self.renew(error)
            return await _once_more(self._call_packed(statement, values))

    async def _call_packed(self, statement: PackedStatement, values: Sequence[bytes | None]) -> PGresult:
        if self._pipelined is not None:
            return await self._pipelined.call_packed(statement, values)
        connection = await self.writers.acquire()
        try:
            return await connection.wait(_execute(connection.pgconn, statement, values))
        except TRANSIENT as error:
            await self._after_failure(connection, error)
            raise StoreUnavailable.of(error) from error
        finally:
            await self.writers.release(connection)

    @asynccontextmanager
    async def read(self, *, primary: bool | None = None) -> AsyncIterator[ReadSession]:
        """Read-only statements. ``primary``: not from a replica, which may be behind; False: from it however
        far behind it is.
        """
        pool = self.writers if primary else self.readers
        if primary is None and self.replica_lags is not None:
            async with self._session(self.readers) as session:
                # Asked on the connection itself: who waits for one waits once.
                if not await self.replica_lags(session):
                    yield session
                    return
            pool = self.writers
        async with self._session(pool) as session:
            yield session

    @asynccontextmanager
    async def _session(self, pool: ConnectionPool) -> AsyncIterator[ReadSession]:
        connection = await pool.acquire()
        try:
            yield ReadSession(connection, self._prepare)
        except TRANSIENT as error:
            raise StoreUnavailable.of(error) from error
        finally:
            await pool.release(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """One transaction. Take no lane row in it: each round trip under that lock delays the whole lane."""
        connection = await self.writers.acquire()
        try:
            async with connection.transaction():
                yield WriteSession(connection, self._prepare)
        except TRANSIENT as error:
            await self._after_failure(connection, error)
            raise StoreUnavailable.of(error) from error
        finally:
            await self.writers.release(connection)

    async def _after_failure(self, connection: Connection, error: psycopg.Error) -> None:
        # The server has become a standby. The idle connections lead there too.
        if error.sqlstate == READ_ONLY_SQL_TRANSACTION:
            await connection.close()
            await self.writers.forget_idle()


async def _once_more(attempt: Awaitable[T]) -> T:
    try:
        return await attempt
    except psycopg.Error as error:
        if error.sqlstate == GENERATION_ENDED:
            # Another failover meanwhile, or connections to two servers.
            raise StoreUnavailable.of(error) from error
        raise


def _execute(pgconn: PGconn, statement: PackedStatement, values: Sequence[bytes | None]) -> PQGen[PGresult]:
    """One statement, unprepared, for a pooler that cannot carry prepared ones."""
    formats = [Format.BINARY] * len(values)
    pgconn.send_query_params(statement.sql, values, statement.types, formats, Format.BINARY)
    results: list[PGresult] = yield from generators.execute(pgconn)
    result = results[-1]
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise error_of(result)
    return result
