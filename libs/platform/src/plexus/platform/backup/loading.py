"""Writing the tables of a database in: in one transaction, so that it is all there or nothing is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import psycopg
from plexus.platform.backup.errors import BrokenBackupError
from plexus.platform.backup.progress import REPORT_EVERY, Report, Step
from plexus.platform.backup.reading import TEXT_FORM
from plexus.platform.backup.schema import BOOK, Connection, plexus_schemas, tables
from plexus.platform.migrate import migration_files
from psycopg import sql

_PATIENCE = (
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    # Somebody reads or writes although no Plexus should run: say so instead of waiting.
    "SET LOCAL lock_timeout = '5s'",
)


class Rows(Protocol):
    """The rows of one table, in the text format of COPY."""

    @property
    def schema(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """(bytes read for it, text)"""
        ...

    def count(self) -> int:
        """How many there are. Asked after the last block."""
        ...


@dataclass(frozen=True, slots=True)
class Contents:
    """``migrations``: those applied where the rows come from; ``tables`` in the order in which they can be
    loaded; ``sequences`` as ``setval`` takes them: (schema, name, value, called).
    """

    migrations: Sequence[str]
    segments: Sequence[int]
    tables: Sequence[Rows]
    sequences: Sequence[tuple[str, str, int, bool]]


def connect(dsn: str) -> Connection:
    """To a database that is to be written."""
    # Nothing is prepared: it may be a pooler that cannot carry that.
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, application_name="plexus-restore")


def load(
    dsn: str,
    contents: Contents,
    report: Report,
    owners: Sequence[str],
    *,
    phase: Literal["load", "move"],
    reason: str,
) -> int:
    """Make our tables anew as they were where the rows come from, fill them, and begin a generation, whose
    id it returns. The target is as before if anything goes wrong.
    """
    with connect(dsn) as connection, connection.transaction():
        for line in (*_PATIENCE, *TEXT_FORM):
            connection.execute(line.encode())
        _make_tables(connection, contents, owners)
        for number, rows in enumerate(contents.tables, start=1):
            _load_table(
                connection,
                rows,
                Step(phase, f"{rows.schema}.{rows.name}", number, len(contents.tables)),
                report,
            )
        for schema, name, value, called in contents.sequences:
            sequence = sql.Identifier(schema, name).as_string(connection)
            connection.execute("SELECT setval(%s::regclass, %s, %s)", (sequence, value, called))
        row = connection.execute("SELECT lanes.begin_generation(%s)", (reason,)).fetchone()
        assert row is not None
        return int(row[0])


def analyze(dsn: str, owners: Sequence[str]) -> None:
    """Tell the planner what came, instead of leaving it to the first hours."""
    with connect(dsn) as connection:
        for table in tables(connection, plexus_schemas(owners)):
            connection.execute(sql.SQL("ANALYZE {}").format(table.identifier))


def _make_tables(connection: Connection, contents: Contents, owners: Sequence[str]) -> None:
    """The tables as they were where the rows come from, empty, with the partitions that the facts need."""
    known = migration_files(owners)
    for schema in plexus_schemas(owners):
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    applied = set(contents.migrations)
    for name in (name for name in known if name in applied):
        connection.execute(known[name].read_bytes())
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE NOT migration_id = ANY(%s)").format(sql.Identifier(BOOK)),
        (list(contents.migrations),),
    )
    for segment in contents.segments:
        connection.execute("SELECT lanes.make_segment(%s)", (segment,))
    # Migrations may have put rows into them: those that come are all there are.
    found = tables(connection, plexus_schemas(owners))
    names = sql.SQL(", ").join(table.identifier for table in found)
    connection.execute(sql.SQL("TRUNCATE {}").format(names))


def _load_table(connection: Connection, table: Rows, step: Step, report: Report) -> None:
    report(step)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT text, ENCODING 'UTF8')").format(
        sql.Identifier(table.schema, table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    read = told = 0
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for size, block in table.blocks():
                copy.write(block)
                read += size
                if read - told >= REPORT_EVERY:
                    told = read
                    report(step.at(read))
        rows = cursor.rowcount
    if rows != table.count():
        raise BrokenBackupError(f"{step.name} has {rows} rows, and there should be {table.count()}")
    report(step.at(read, done=True))
