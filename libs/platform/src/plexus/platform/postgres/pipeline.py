"""Many one-statement transactions on few connections, without waiting for one before the next is sent.

Each call is one prepared statement and a Sync after it, so it is a transaction of its own and its commit is
flushed like any other. libpq writes it to the socket with that Sync; what the socket does not take is written
when it does. Answers are read as they come, by one reader that stays registered.

Calls on a connection are executed in order, so one that waits for a lock holds up those behind it. Hence
several connections, each call on the one with the least under way, and a short ``lock_timeout``. Calls that
only look are no trouble to one another: those of one turn may go together, and wake one backend.

Through a pooler each call waits for the answer to the one before it on its connection: a pooler that sees the
answer while it has but a part of the next call gives the connection to PostgreSQL to somebody else, and the
rest of the call goes elsewhere (decision 0016).
"""

from __future__ import annotations

import asyncio
import re
import select
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from plexus.platform.postgres.errors import TRANSIENT, StoreUnavailable
from plexus.platform.postgres.pool import Connection, ConnectionPool, PoolStats
from plexus.platform.postgres.sessions import Params, Row
from plexus.platform.postgres.watch import Watched
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult

_MOST_PREPARED = 200

_Form = tuple[str | bytes, tuple[int, ...]]
"""A statement and the types of its parameters."""


@dataclass(frozen=True, slots=True)
class PackedStatement:
    """A statement (``$1``, ``$2`` ...) whose caller packs the parameters and unpacks the result.

    For the one hottest call, where psycopg's adaptation of 50 arrays would cost more than the statement.
    """

    sql: bytes
    types: tuple[int, ...]


class PipelinedCalls:
    """``pool`` gives the connections and bounds their number; they are kept. ``most_under_way``: calls that
    may be under way at a time; more are refused at once. ``prepared`` off: each statement is parsed anew, and
    sent when the one before it is answered, for a pooler that cannot carry prepared ones.
    """

    def __init__(self, pool: ConnectionPool, *, most_under_way: int, prepared: bool = True) -> None:
        self._pool = pool
        self._prepared = prepared
        self._most = most_under_way
        self._lines: list[_Line] = []
        self._opening: asyncio.Task[_Line] | None = None
        self._together: _Line | None = None
        """Where calls go that go together, for the turn in which the first of them was made and the next."""

    async def open(self) -> None:
        """Make all connections: opened one by one when busy, the first calls would stand behind
        one another.
        """
        while len(self._lines) < self._pool.size:
            await self._open()

    async def call(self, sql: str, params: Params, *, together: bool = False) -> list[Row]:
        """Execute one statement with ``%s`` or ``%(name)s`` parameters; its rows. A caller that goes away
        does not stop it. ``together``: on the connection of others that say so in this turn.
        """
        if not together:
            return await (await self._choose()).call(sql, params)
        line = self._together
        if line is None or line.closed:
            line = self._together = await self._choose()
            loop = asyncio.get_running_loop()
            # Who asks by way of a task of its own does so one turn later.
            loop.call_soon(loop.call_soon, self._end_together)
        else:
            self._pool.stats.acquired += 1
        return await line.call(sql, params)

    def _end_together(self) -> None:
        self._together = None

    async def _choose(self) -> _Line:
        """The connection with the least under way."""
        best: _Line | None = None
        total = 0
        for line in self._lines:
            waiting = len(line.under_way)
            total += waiting
            if not line.closed and (best is None or waiting < len(best.under_way)):
                best = line
                if not waiting:
                    break  # As long as one has nothing to do, few are under way.
        else:
            if total >= self._most:
                self._pool.stats.exhausted += 1
                raise StoreUnavailable("Too many requests wait for the database, try again")
        if best is None:
            best = await asyncio.shield(self._open())
        elif best.under_way and len(self._lines) < self._pool.size:
            self._open()  # for those who come later
        self._pool.stats.acquired += 1
        return best

    async def call_packed(self, statement: PackedStatement, values: Sequence[bytes | None]) -> PGresult:
        """The same for parameters that are packed already; the result as libpq gives it."""
        return await (await self._choose()).call_packed(statement, values)

    @property
    def lines(self) -> Sequence[Watched]:
        return self._lines

    async def close(self) -> None:
        if self._opening is not None and not self._opening.done():
            await asyncio.wait([self._opening])
        lines, self._lines = self._lines, []
        for line in lines:
            line.close()
            await self._pool.release(line.connection)

    def _open(self) -> asyncio.Task[_Line]:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(_retrieve)
        return self._opening

    async def _connect(self) -> _Line:
        for line in [line for line in self._lines if line.closed]:
            self._lines.remove(line)
            await self._pool.release(line.connection)
        line = _Line(await self._pool.acquire(), self._pool.stats, prepared=self._prepared)
        self._lines.append(line)
        return line


def _retrieve(task: asyncio.Task[_Line]) -> None:
    # Whoever awaits it is told; if nobody does, the next caller tries again.
    if not task.cancelled():
        task.exception()


class _Call:
    __slots__ = ("answer", "error", "form", "formats", "found", "is_packed", "preparing", "query", "values")

    def __init__(
        self,
        answer: asyncio.Future[Any],
        form: _Form,
        query: bytes,
        values: Sequence[Any],
        formats: Sequence[Format] | None,
        *,
        is_packed: bool,
    ) -> None:
        self.answer = answer
        self.form = form
        self.query = query
        self.values = values
        self.formats = formats
        self.is_packed = is_packed
        self.preparing: _Form | None = None
        self.found: list[Row] | PGresult = []
        self.error: psycopg.Error | None = None


class _Line:
    """One connection in pipeline mode. ``under_way`` are the calls without an answer; not ``prepared``, the
    first of them is sent and the others wait.
    """

    def __init__(self, connection: Connection, stats: PoolStats, *, prepared: bool) -> None:
        self.connection = connection
        self._stats = stats
        self._one_by_one = not prepared
        self._most_prepared = _MOST_PREPARED if prepared else 0
        self.under_way: deque[_Call] = deque()
        self.closed = False
        self._pgconn = connection.pgconn
        self._socket = self._pgconn.socket
        self._loop = asyncio.get_running_loop()
        self._transformer = Transformer(connection)
        self._prepared: dict[_Form, bytes] = {}
        self._names = count()
        self._is_flushing = False
        self._broken = select.poll()
        self._broken.register(self._socket, 0)  # errors and hang-ups alone
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._read)

    def call(self, sql: str, params: Params) -> asyncio.Future[list[Row]]:
        """Send, soon, and give the rows when they come; `StoreUnavailable` or what PostgreSQL says."""
        query, names = _numbered(sql)
        if isinstance(params, Mapping):
            params = [params[name] for name in names]
        values, types, formats = self._dump(params)
        return self._send((sql, types), query, values, formats, is_packed=False)

    def call_packed(
        self, statement: PackedStatement, values: Sequence[bytes | None]
    ) -> asyncio.Future[PGresult]:
        formats = [Format.BINARY] * len(values)
        form = (statement.sql, statement.types)
        return self._send(form, statement.sql, values, formats, is_packed=True)

    def _send(
        self,
        form: _Form,
        query: bytes,
        values: Sequence[Any],
        formats: Sequence[Format] | None,
        *,
        is_packed: bool,
    ) -> asyncio.Future[Any]:
        call = _Call(self._loop.create_future(), form, query, values, formats, is_packed=is_packed)
        if not (self._one_by_one and self.under_way):
            try:
                self._put(call)
            except psycopg.OperationalError as error:
                self._fail(error)
                raise StoreUnavailable.of(error) from error
        self.under_way.append(call)
        return call.answer

    def _put(self, call: _Call) -> None:
        """Give a call to libpq, and soon to the socket."""
        form = call.form
        name = self._prepared.get(form)
        if name is None and len(self._prepared) < self._most_prepared:
            call.preparing = form
            name = self._prepared[form] = b"plexus_%d" % next(self._names)
            self._pgconn.send_prepare(name, call.query, form[1])
        if name is None:
            self._pgconn.send_query_params(call.query, call.values, form[1], call.formats, Format.BINARY)
        else:
            self._pgconn.send_query_prepared(name, call.values, call.formats, Format.BINARY)
        self._pgconn.pipeline_sync()
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """What is under way ends with `StoreUnavailable`: its outcome is unknown."""
        self._fail(psycopg.OperationalError("the connection was closed"))

    @property
    def awaited(self) -> object | None:
        return self.under_way[0] if self.under_way else None

    def give_up(self, error: str) -> None:
        self._fail(psycopg.OperationalError(error))

    def _dump(
        self, params: Sequence[Any] | None
    ) -> tuple[Sequence[Any], tuple[int, ...], Sequence[Format] | None]:
        if not params:
            return (), (), None
        transformer = self._transformer
        values = transformer.dump_sequence(params, [PyFormat.AUTO] * len(params))
        return values, tuple(transformer.types or ()), transformer.formats

    def _flush(self) -> None:
        self._is_flushing = False
        if self.closed:
            return
        try:
            if self._pgconn.flush():
                self._is_flushing = True
                self._loop.add_writer(self._socket, self._flush_rest)
        except psycopg.OperationalError as error:
            self._fail(error)

    def _flush_rest(self) -> None:
        self._loop.remove_writer(self._socket)
        self._flush()

    def _read(self) -> None:
        if self.closed:
            return
        pgconn = self._pgconn
        try:
            pgconn.consume_input()
            if self._broken.poll(0):
                # uvloop (libuv) tells of a reset connection once, though answers may still lie before the
                # reset.
                self._loop.call_soon(self._read)
            while self.under_way and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is not None:
                    self._take(result)
                elif pgconn.status != ConnStatus.OK:
                    self._fail(psycopg.OperationalError("the server closed the connection"))
        except psycopg.OperationalError as error:
            self._fail(error)

    def _take(self, result: PGresult) -> None:
        call = self.under_way[0]
        status = result.status
        if status == ExecStatus.TUPLES_OK:
            if call.is_packed:
                call.found = result
            else:
                self._transformer.set_pgresult(result)
                call.found = self._transformer.load_rows(0, result.ntuples, tuple)
        elif status == ExecStatus.PIPELINE_SYNC:
            self.under_way.popleft()
            self._stats.answered += 1
            _finish(call)
            if self._one_by_one and self.under_way:
                self._put(self.under_way[0])
        elif status == ExecStatus.COMMAND_OK:
            call.preparing = None  # it is prepared; or a statement without rows is done
        elif status == ExecStatus.FATAL_ERROR:
            call.error = error_of(result)
            if call.preparing is not None:
                self._prepared.pop(call.preparing, None)

    def _fail(self, error: psycopg.Error) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._pgconn.finish()
        while self.under_way:
            call = self.under_way.popleft()
            if call.error is None:
                call.error = error
            _finish(call)


def error_of(result: PGresult) -> psycopg.Error:
    """What PostgreSQL says against a statement.

    What ends the connection may come between a commit and its answer, so it has no code: the outcome is
    unknown.
    """
    error = error_from_result(result)
    if result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) == b"FATAL":
        return psycopg.OperationalError(str(error))
    return error


def _finish(call: _Call) -> None:
    error = call.error
    if call.answer.done():
        return  # its caller has gone away
    if error is None:
        call.answer.set_result(call.found)
    elif isinstance(error, TRANSIENT):
        unavailable = StoreUnavailable.of(error)
        unavailable.__cause__ = error
        call.answer.set_exception(unavailable)
    else:
        call.answer.set_exception(error)


@lru_cache(maxsize=1_000)
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """``%s`` and ``%(name)s`` as ``$1``, ``$2``...; ``%%`` as ``%``. And the names, in that order."""
    numbers: dict[str, int] = {}
    found = 0

    def number(match: re.Match[str]) -> str:
        nonlocal found
        kind = match.group()
        if kind == "%%":
            return "%"
        if kind == "%s":
            found += 1
            return f"${found}"
        return f"${numbers.setdefault(match.group(1), len(numbers) + 1)}"

    return _PLACES.sub(number, sql).encode(), tuple(numbers)


_PLACES = re.compile(r"%%|%s|%\((\w+)\)s")
