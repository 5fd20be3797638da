"""A small pool: a free list of autocommit connections, opened when needed, at most ``size``.

Why not a stock pool: on the one-statement path the list saves about 50 µs a call. The last connection given
back is the first taken, so few stay warm. Waiting is fair and bounded; a connection that the server has
closed meanwhile is noticed before use, so that a restart of PostgreSQL costs its users a delay and no errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from plexus.platform.postgres.errors import TRANSIENT, StoreUnavailable
from plexus.platform.postgres.packed import register
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper

log = logging.getLogger(__name__)

RV = TypeVar("RV")


class Connection(psycopg.AsyncConnection[tuple[object, ...]]):
    """``awaited`` is the statement, or the part of one, whose answer is waited for."""

    awaited: object | None = None

    async def wait(self, gen: PQGen[RV], *arguments: Any, **options: Any) -> RV:
        self.awaited = gen
        try:
            return await super().wait(gen, *arguments, **options)
        finally:
            self.awaited = None

    def give_up(self, error: str) -> None:
        """Whoever waits for it finds that it has ended. It is not closed: it is being waited for."""
        with contextlib.suppress(OSError, psycopg.Error):
            ours = socket.socket(fileno=os.dup(self.pgconn.socket))
            with contextlib.closing(ours):
                ours.shutdown(socket.SHUT_RDWR)


OnConnect = Callable[[Connection], Awaitable[None]]

_RETRY_EVERY = 0.05


@dataclass(slots=True)
class PoolStats:
    """Counted since the start, read by the metrics. ``answered`` are pipelined calls."""

    acquired: int = 0
    answered: int = 0
    waited: int = 0
    exhausted: int = 0
    connected: int = 0
    connect_failures: int = 0
    discarded: int = 0


class ConnectionPool:
    def __init__(
        self,
        name: str,
        dsn: str,
        *,
        size: int,
        wait: float,
        prepared: bool,
        at_once: bool = False,
        most_waiting: int = 256,
    ) -> None:
        """``wait``: seconds that a caller may wait for a connection, a new one being made included.
        ``prepared``: statements are, when a connection has been asked for them some times, or ``at_once``.
        ``most_waiting``: callers that may wait at a time; more are refused at once.
        """
        self.name = name
        self.size = size
        self.stats = PoolStats()
        self.on_connect: list[OnConnect] = []
        self._dsn = dsn
        self._wait = wait
        self._most_waiting = most_waiting
        self._prepared = prepared
        self._threshold = (0 if at_once else 5) if prepared else None
        self._free: list[Connection] = []
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._open = 0
        self.connections: set[Connection] = set()
        """Those that are open, in use or not."""
        self._closed = False

    @property
    def in_use(self) -> int:
        return self._open - len(self._free)

    @property
    def idle(self) -> int:
        return len(self._free)

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def acquire(self) -> Connection:
        """A connection, for the caller alone until `release`; `StoreUnavailable` if none comes in time."""
        self.stats.acquired += 1
        while self._free:
            connection = self._free.pop()
            if _alive(connection):
                return connection
            await self._discard(connection)
        return await self._acquire_slowly(time.monotonic() + self._wait)

    async def release(self, connection: Connection) -> None:
        if connection.pgconn.transaction_status != TransactionStatus.IDLE or self._closed:
            await self._discard(connection)
        elif (waiter := self._next_waiter()) is not None:
            waiter.set_result(connection)
        else:
            self._free.append(connection)

    async def forget_idle(self) -> None:
        """Close what is not in use: after a failover the idle connections lead to the old primary."""
        idle, self._free = self._free, []
        for connection in idle:
            await self._discard(connection)

    async def close(self) -> None:
        self._closed = True
        while (waiter := self._next_waiter()) is not None:
            waiter.set_result(None)
        await self.forget_idle()

    async def _acquire_slowly(self, deadline: float) -> Connection:
        while not self._closed:
            if self._open < self.size:
                return await self._connect(deadline)
            if len(self._waiters) >= self._most_waiting:
                self.stats.exhausted += 1
                raise StoreUnavailable("Too many requests wait for the database, try again")
            waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self.stats.waited += 1
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    connection = await waiter
            except BaseException as error:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                await self._give_back(waiter)
                if isinstance(error, TimeoutError):
                    self.stats.exhausted += 1
                    raise StoreUnavailable("All database connections are busy, try again") from None
                raise
            if connection is not None:
                return connection
        raise StoreUnavailable("The server is stopping")

    async def _give_back(self, waiter: asyncio.Future[Connection | None]) -> None:
        # Given in the moment its owner gave up: somebody else must have it.
        if waiter.done() and not waiter.cancelled():
            connection = waiter.result()
            if connection is not None:
                await self.release(connection)
            elif (following := self._next_waiter()) is not None:
                following.set_result(None)

    async def _connect(self, deadline: float) -> Connection:
        self._open += 1
        connection: Connection | None = None
        try:
            while True:
                try:
                    connection = await self._try_to_connect(deadline)
                except TRANSIENT as error:
                    self.stats.connect_failures += 1
                    if self._closed or time.monotonic() + _RETRY_EVERY >= deadline:
                        log.warning("no connection to PostgreSQL (%s): %s", self.name, error)
                        raise StoreUnavailable.of(error) from error
                    await asyncio.sleep(_RETRY_EVERY)
                else:
                    self.stats.connected += 1
                    return connection
        finally:
            if connection is None:
                self._open -= 1
                self._wake_one()

    async def _try_to_connect(self, deadline: float) -> Connection:
        connection = await Connection.connect(
            self._dsn,
            autocommit=True,
            prepare_threshold=self._threshold,
            connect_timeout=max(1, round(deadline - time.monotonic())),
            # A pooler would say SET each time it hands a connection from one name to another.
            application_name=f"plexus-{self.name}" if self._prepared else "plexus",
        )
        # One type for every integer, alone or in a list: a statement has one prepared form, and one plan.
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(list, ListBinaryDumper)
        register(connection.adapters)
        self.connections.add(connection)
        try:
            for hook in self.on_connect:
                await hook(connection)
        except BaseException:
            self.connections.discard(connection)
            await connection.close()
            raise
        return connection

    async def _discard(self, connection: Connection) -> None:
        self._open -= 1
        self.connections.discard(connection)
        self.stats.discarded += 1
        self._wake_one()
        await connection.close()

    def _wake_one(self) -> None:
        if self._open < self.size and (waiter := self._next_waiter()) is not None:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None


def _alive(connection: Connection) -> bool:
    # An idle connection has nothing to say; if its socket is readable, the server has closed it (or is about
    # to).
    if connection.closed:
        return False
    # poll and not select, which refuses descriptors from 1,024 on: a replica holds thousands of long polls.
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)
