"""Reading the tables of a database out: all of one moment, each as the text of COPY."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from plexus.platform.backup.errors import BackupError
from plexus.platform.backup.schema import Connection, Cursor, TableInfo, applied_migrations, tables
from psycopg import sql

TEXT_FORM: tuple[str, ...] = (
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL extra_float_digits = 1",
)
"""Values that change how a row is written as text: the same when it is written and when it is read."""

# A copy takes as long as it takes. Through a pooler only what is local to the transaction holds.
_PATIENCE = (
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL lock_timeout = '10s'",
)


@contextmanager
def snapshot(dsn: str, schemas: Sequence[str], *, name: str) -> Iterator[Connection]:
    """A connection that sees one moment, and keeps the tables from being dropped. ``name``: for the server's
    list of who is connected.
    """
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None, application_name=name) as connection:
        if "platform/0001-lanes" not in applied_migrations(connection):
            raise BackupError("there is nothing to copy: the database has no tables of Plexus")
        before = tables(connection, schemas)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            for line in (*_PATIENCE, *TEXT_FORM):
                connection.execute(line.encode())
            # Before the snapshot: else a partition of facts could be dropped between the two.
            names = sql.SQL(", ").join(table.identifier for table in before)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
            if tables(connection, schemas) != before:
                raise BackupError("a migration is changing the tables: try again when it is done")
            yield connection


def segments(connection: Connection) -> list[int]:
    """The partitions that the facts are in."""
    return [row[0] for row in connection.execute("SELECT number FROM lanes.segment ORDER BY 1")]


def read_rows(cursor: Cursor, table: TableInfo) -> Iterator[bytes]:
    """The rows of a table and of all its partitions; after the last ``cursor.rowcount`` is their number."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    # A query, because a partitioned table itself cannot be copied before PostgreSQL 18.
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT text, ENCODING 'UTF8')").format(
        columns, table.identifier
    )
    with cursor.copy(statement) as copy:
        for block in copy:
            yield bytes(block)
