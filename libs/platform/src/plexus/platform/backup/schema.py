"""Which migrations, schemas, tables and sequences are ours: by the migration files, and by what is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, LiteralString

import psycopg
from plexus.platform.backup.errors import BackupError
from plexus.platform.migrate import OWNERS, migration_files
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]

BOOK = "_yoyo_migration"
"""The table in which `plexus.platform.migrate` keeps what is applied."""

APPLIED: LiteralString = "SELECT migration_id FROM _yoyo_migration ORDER BY applied_at_utc, migration_id"
BOOK_EXISTS: LiteralString = "SELECT to_regclass('_yoyo_migration') IS NOT NULL"

_CREATE_SCHEMA = re.compile(r"^CREATE SCHEMA (?:IF NOT EXISTS )?([a-z_]+);", re.MULTILINE)

# Partitions come with their parents, and what is generated is generated again.
_TABLES = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text,
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              ORDER BY a.attnum)
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
 ORDER BY n.nspname, c.relname
"""

_REFERENCES = """
SELECT conrelid::bigint, confrelid::bigint FROM pg_constraint
 WHERE contype = 'f' AND conparentid = 0 AND conrelid <> confrelid
"""

_SEQUENCES = """
SELECT n.nspname::text, c.relname::text
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind = 'S' ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table that is no partition; ``columns`` are those that can be written."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def plexus_schemas(owners: Sequence[str] = OWNERS) -> list[str]:
    """The schemas that the migrations create."""
    texts = [path.read_text() for path in migration_files(owners).values()]
    return sorted({name for text in texts for name in _CREATE_SCHEMA.findall(text)})


def applied_migrations(connection: Connection) -> list[str]:
    """Those applied to this database, in order; none if it has never been migrated."""
    row = connection.execute(BOOK_EXISTS).fetchone()
    assert row is not None
    return [str(name) for (name,) in connection.execute(APPLIED)] if row[0] else []


def tables(connection: Connection, schemas: Sequence[str]) -> list[TableInfo]:
    """All tables of these schemas, each after those that it refers to."""
    found = {
        oid: TableInfo(oid, schema, name, tuple(columns))
        for oid, schema, name, columns in connection.execute(_TABLES, (list(schemas),))
    }
    order: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(found, ()))
    for child, parent in connection.execute(_REFERENCES):
        if child in found and parent in found:
            order.add(child, parent)
    try:
        return [found[oid] for oid in order.static_order()]
    except CycleError as error:
        names = ", ".join(found[oid].full_name for oid in error.args[1])
        raise BackupError(f"tables refer to one another in a circle: {names}") from None


def sequences(connection: Connection, schemas: Sequence[str]) -> list[tuple[str, str, int, bool]]:
    """(schema, name, value, called) of all sequences, those of identity columns included."""
    found = []
    for schema, name in connection.execute(_SEQUENCES, (list(schemas),)).fetchall():
        statement = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
        row = connection.execute(statement).fetchone()
        assert row is not None
        found.append((schema, name, int(row[0]), bool(row[1])))
    return found
