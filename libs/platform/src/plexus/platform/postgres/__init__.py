"""PostgreSQL, which holds the truth.

    async with Database(writer_dsn, reader_dsn) as db:
        rows = await db.call("SELECT rooms.write(%s, %s)", (lane, room))   # one statement, committed
        async with db.write() as session: ...                              # a transaction
        async with db.read() as session: ...                               # statement by statement

There is no ORM and no query builder: who owns a table writes its SQL. Every query runs on PostgreSQL 15 and
18 and through a pooler in transaction mode; so no LISTEN, no session-level advisory lock, no SET.
"""

from plexus.platform.postgres.database import Database
from plexus.platform.postgres.errors import StoreUnavailable
from plexus.platform.postgres.pipeline import PackedStatement
from plexus.platform.postgres.sessions import ReadSession, WriteSession

__all__ = ["Database", "PackedStatement", "ReadSession", "StoreUnavailable", "WriteSession"]
