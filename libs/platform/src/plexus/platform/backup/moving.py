"""From one database into another: what a restore does, with the rows read from where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import psycopg
from plexus.platform.backup import target as targets
from plexus.platform.backup.errors import BackupError, NewerBackupError, OtherServerError
from plexus.platform.backup.loading import Contents, analyze, connect, load
from plexus.platform.backup.progress import Report, silent
from plexus.platform.backup.reading import read_rows, segments, snapshot
from plexus.platform.backup.schema import (
    Connection,
    TableInfo,
    applied_migrations,
    plexus_schemas,
    sequences,
    tables,
)
from plexus.platform.migrate import OWNERS, RolesMissingError, migrate, migration_files

OLDEST = 15


@dataclass(frozen=True, slots=True)
class Moved:
    """``generation`` is the one that began; ``rows`` and ``tables``: how many were copied; ``migrated``: the
    migrations that the source lacked, applied after them.
    """

    generation: int
    rows: int
    tables: int
    migrated: list[str]


def check_target(dsn: str, *, replace: bool = False, owners: Sequence[str] = OWNERS) -> None:
    """`BackupError` if nothing may be moved to ``dsn``. Changes nothing."""
    try:
        with connect(dsn) as connection:
            major = connection.info.server_version // 10_000
            if major < OLDEST:
                raise BackupError(f"the target is PostgreSQL {major}, and Plexus needs {OLDEST} or newer")
            targets.check(connection, owners, replace=replace)
    except psycopg.Error as error:
        raise BackupError(f"the target cannot be used: {error}") from error


def move(
    source: str,
    target: str,
    *,
    server_name: str,
    replace: bool = False,
    report: Report = silent,
    owners: Sequence[str] = OWNERS,
    role_settings: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Moved:
    """Copy every table of the database ``source`` into the database ``target`` (its owner's role), in one
    transaction, and begin a generation there. Blocking; no Plexus may run on either.

    The source is only read. ``replace``: what the target holds may be lost. `BackupError` says why nothing
    was moved; then, and after a crash, the target is as it was, and it may be tried again.
    """
    check_target(target, replace=replace, owners=owners)
    try:
        with snapshot(source, plexus_schemas(owners), name="plexus-move") as reading:
            _check_source(reading, server_name, owners)
            # Roles, rights and the book. Its tables are made anew below, as the source has them.
            migrate(target, owners, role_settings=role_settings)
            schemas = plexus_schemas(owners)
            found = [_Streamed(reading, table) for table in tables(reading, schemas)]
            contents = Contents(
                applied_migrations(reading), segments(reading), found, sequences(reading, schemas)
            )
            generation = load(target, contents, report, owners, phase="move", reason="move")
        migrated = migrate(target, owners, role_settings=role_settings)
        analyze(target, owners)
    except psycopg.Error as error:
        raise BackupError(f"the database could not be moved: {error}") from error
    except RolesMissingError as error:
        raise BackupError(f"the target cannot be prepared: {error}") from error
    return Moved(generation, sum(table.count() for table in found), len(found), migrated)


@dataclass(slots=True)
class _Streamed:
    """A table of the source. Text and not binary: its form is the same in all versions."""

    connection: Connection
    table: TableInfo
    schema: str = field(init=False)
    name: str = field(init=False)
    columns: Sequence[str] = field(init=False)
    rows: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self.schema, self.name, self.columns = self.table.schema, self.table.name, self.table.columns

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        with self.connection.cursor() as cursor:
            for block in read_rows(cursor, self.table):
                yield len(block), block
            self.rows = cursor.rowcount

    def count(self) -> int:
        return self.rows


def _check_source(source: Connection, server_name: str, owners: Sequence[str]) -> None:
    row = source.execute("SELECT server_name FROM lanes.deployment").fetchone()
    kept = None if row is None else row[0]
    if kept not in (None, server_name):
        raise OtherServerError(
            f"this is the server {kept}, and the target is to be {server_name}. The name is part of all "
            "users, rooms and events; set the target's server_name to it."
        )
    known = migration_files(owners)
    unknown = [name for name in applied_migrations(source) if name not in known]
    if unknown:
        raise NewerBackupError(
            f"a newer Plexus has used this server: it has the migration {unknown[0]}, which this one does "
            "not know. Move it with that Plexus."
        )
