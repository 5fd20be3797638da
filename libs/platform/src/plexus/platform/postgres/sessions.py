"""What a caller may do inside `Database.read` and `Database.write`: two types, so a reader cannot write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, LiteralString

from plexus.platform.postgres.pool import Connection

Params = Sequence[Any] | Mapping[str, Any] | None
Row = tuple[Any, ...]


class ReadSession:
    """Statements that each see what is committed when they begin; no snapshot outlives a statement."""

    __slots__ = ("_connection", "_prepare")

    def __init__(self, connection: Connection, prepare: bool | None) -> None:
        self._connection = connection
        self._prepare = prepare

    async def fetch(self, sql: LiteralString, params: Params = None) -> list[Row]:
        cursor = await self._connection.execute(sql, params, prepare=self._prepare, binary=True)
        return await cursor.fetchall()

    async def one(self, sql: LiteralString, params: Params = None) -> Row | None:
        """The first row, or None."""
        cursor = await self._connection.execute(sql, params, prepare=self._prepare, binary=True)
        return await cursor.fetchone()

    async def stream(
        self, sql: LiteralString, params: Params = None, *, size: int = 500
    ) -> AsyncIterator[Row]:
        """The rows of one statement, held ``size`` at a time. Nothing else runs on the session meanwhile."""
        async with self._connection.cursor(binary=True) as cursor:
            async for row in cursor.stream(sql, params, binary=True, size=size):
                yield row


class WriteSession(ReadSession):
    """A transaction: committed when its block ends, rolled back when the block raises."""

    __slots__ = ()

    async def execute(self, sql: LiteralString, params: Params = None) -> int:
        """The number of rows touched."""
        cursor = await self._connection.execute(sql, params, prepare=self._prepare)
        return cursor.rowcount
