"""The write call on libpq itself: prepared once, and pipelined.

A write is one statement and one transaction, so nothing is gained by waiting for one before the next is sent:
each is followed by a Sync, which makes it a transaction of its own. A few connections (`MOST_LINES`, at most
half of the writers) carry nothing else; a call takes an idle one, or the one with the fewest calls ahead.
psycopg's cursor would cost more than the statement; what is used of psycopg here is its wrapper of libpq.

A pooler that cannot carry prepared statements gets one call a time, unprepared.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import psycopg
from plexus.platform.postgres import Database, StoreUnavailable
from plexus.platform.postgres.errors import READ_ONLY_SQL_TRANSACTION, TRANSIENT
from psycopg import pq

if TYPE_CHECKING:
    from plexus.platform.postgres.pool import Connection
    from psycopg.pq.abc import PGresult

MOST_LINES = 4

_NAME = b"plexus_write"
_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Pipeline:
    """One statement, called many times, each call committed by itself."""

    def __init__(self, db: Database, statement: bytes, types: Sequence[int]) -> None:
        self._db = db
        self._statement = statement
        self._types = types
        self._lines: list[_Line] = []
        self._opening = asyncio.Lock()
        self._most = max(1, min(MOST_LINES, db.writers.size // 2))

    async def call(self, values: Sequence[bytes]) -> PGresult:
        """The result of one call; `StoreUnavailable` (without a code the outcome is unknown), or what
        PostgreSQL says against it.
        """
        line = self._choose()
        try:
            if line is None:
                async with self._opening:
                    line = self._choose() or await self._open()
            return await line.call(values)
        except TRANSIENT as error:
            if line is not None and error.sqlstate == READ_ONLY_SQL_TRANSACTION:
                # The server has become a standby: the next call finds the new primary.
                line.break_off(error)
                await self._db.writers.forget_idle()
            raise StoreUnavailable.of(error) from error
        finally:
            await self._sweep()

    async def close(self) -> None:
        """Give the connections back. Nothing may be under way."""
        lines, self._lines = self._lines, []
        for line in lines:
            line.leave()
            await self._db.writers.release(line.connection)

    def _choose(self) -> _Line | None:
        """The line to take; None if one more is to be opened."""
        whole = [line for line in self._lines if not line.is_broken]
        best = min(whole, key=lambda line: line.load, default=None)
        if best is None or best.load == 0:
            return best
        return best if len(whole) >= self._most else None

    async def _open(self) -> _Line:
        line = _Line(await self._db.writers.acquire(), self._statement, self._types)
        # In the list from now on, so that it is given back whatever happens.
        self._lines.append(line)
        await line.prepare()
        return line

    async def _sweep(self) -> None:
        """Give broken connections back; the pool throws them away."""
        for line in [line for line in self._lines if line.is_broken]:
            self._lines.remove(line)
            await self._db.writers.release(line.connection)


class _Line:
    """One connection in pipeline mode."""

    def __init__(self, connection: Connection, statement: bytes, types: Sequence[int]) -> None:
        self.connection = connection
        self.is_broken = False
        self._pgconn = connection.pgconn
        self._statement = statement
        self._types = types
        self._formats = [pq.Format.BINARY] * len(types)
        self._may_prepare = connection.prepare_threshold is not None
        self._pending: deque[asyncio.Future[PGresult]] = deque()
        self._results: list[PGresult] = []
        self._has_ended = False
        self._is_writing = False
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._pgconn.enter_pipeline_mode()
        self._socket = self._pgconn.socket
        self._loop.add_reader(self._socket, self._read)

    @property
    def load(self) -> int:
        return len(self._pending)

    async def prepare(self) -> None:
        if self._may_prepare:
            await self._send(lambda: self._pgconn.send_prepare(_NAME, self._statement, self._types))

    async def call(self, values: Sequence[bytes]) -> PGresult:
        if self._may_prepare:
            return await self._send(
                lambda: self._pgconn.send_query_prepared(_NAME, values, self._formats, pq.Format.BINARY)
            )
        async with self._turn:
            return await self._send(
                lambda: self._pgconn.send_query_params(
                    self._statement, values, self._types, self._formats, pq.Format.BINARY
                )
            )

    def leave(self) -> None:
        """Back to ordinary mode."""
        self._loop.remove_reader(self._socket)
        if not self.is_broken:
            self._pgconn.exit_pipeline_mode()

    def break_off(self, error: BaseException) -> None:
        """The connection is of no more use: nobody knows what became of the calls under way."""
        if self.is_broken:
            return
        self.is_broken = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._pgconn.finish()
        for pending in self._pending:
            if not pending.done():
                pending.set_exception(psycopg.OperationalError(str(error)))
        self._pending.clear()

    def _send(self, command: Callable[[], None]) -> asyncio.Future[PGresult]:
        """Queue a command and its Sync; its result."""
        done: asyncio.Future[PGresult] = self._loop.create_future()
        try:
            command()
            self._pgconn.pipeline_sync()
        except psycopg.OperationalError as error:
            self.break_off(error)
            done.set_exception(error)
            return done
        self._pending.append(done)
        # A Sync has flushed what the socket would take; this waits for the rest.
        self._flush()
        return done

    def _flush(self) -> None:
        try:
            is_more = bool(self._pgconn.flush())
        except psycopg.OperationalError as error:
            self.break_off(error)
            return
        if is_more != self._is_writing:
            self._is_writing = is_more
            if is_more:
                self._loop.add_writer(self._socket, self._flush)
            else:
                self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    # The end of one command; twice in a row there is nothing more to come.
                    if self._has_ended:
                        break
                    self._has_ended = True
                    continue
                self._has_ended = False
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._finish()
                else:
                    self._results.append(result)
        except psycopg.OperationalError as error:
            self.break_off(error)

    def _finish(self) -> None:
        """A call's Sync has come: what came before it is its answer."""
        results, self._results = self._results, []
        if len(results) != 1 or not self._pending:
            self.break_off(psycopg.OperationalError("answers and calls are out of step"))
            return
        [result] = results
        done = self._pending.popleft()
        if done.done():
            return
        if result.status in _OK:
            done.set_result(result)
        else:
            done.set_exception(psycopg.errors.error_from_result(result))
