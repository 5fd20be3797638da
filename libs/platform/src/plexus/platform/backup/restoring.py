"""Bringing a backup back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

import psycopg
from plexus.platform.backup import files as data
from plexus.platform.backup import target as targets
from plexus.platform.backup.disk import read_chunks
from plexus.platform.backup.errors import BackupError, BrokenBackupError, NewerBackupError, OtherServerError
from plexus.platform.backup.manifest import Manifest, Table
from plexus.platform.backup.progress import REPORT_EVERY, Report, Step, silent
from plexus.platform.backup.saving import TEXT_FORM
from plexus.platform.backup.schema import BOOK, Connection, migration_files, plexus_schemas, tables
from plexus.platform.backup.source import Source, open_source, verify_source
from plexus.platform.migrate import OWNERS, migrate
from psycopg import sql

_PATIENCE = (
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    # Somebody reads or writes although no Plexus should run: say so instead of waiting.
    "SET LOCAL lock_timeout = '5s'",
)


@dataclass(frozen=True, slots=True)
class Restored:
    """``generation`` is the one that began; ``migrated``: the migrations that are newer than the backup,
    applied after it; ``files``: how many were written.
    """

    manifest: Manifest
    generation: int
    migrated: list[str]
    files: int


def restore(
    source: Path,
    dsn: str,
    *,
    server_name: str,
    replace: bool = False,
    files: Mapping[str, Path] | None = None,
    report: Report = silent,
    owners: Sequence[str] = OWNERS,
    role_settings: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Restored:
    """Load the backup ``source`` into the database at ``dsn`` (its owner's role). Blocking. Plexus must not
    run on it.

    ``replace``: what the database holds, and files that differ, may be lost. ``files``: where the files of
    the backup belong (`data_files`); those that it does not name stay in the backup. ``owners`` and
    ``role_settings`` as in `plexus.platform.migrate`. `BackupError` says why nothing was restored; then the
    database is as it was.
    """
    with open_source(source) as opened:
        manifest = verify_source(opened, report)
        _check_origin(manifest, server_name, owners)
        places = files or {}
        try:
            with _connect(dsn) as connection:
                targets.check(connection, owners, replace=replace)
            data.check(opened, manifest, places, replace=replace)
            # Roles, rights and the book. Its tables are made anew below, as the backup knew them.
            migrate(dsn, owners, role_settings=role_settings)
            written = data.bring_back(opened, manifest, places, report)
            generation = _load(dsn, opened, manifest, report, owners)
            migrated = migrate(dsn, owners, role_settings=role_settings)
            _analyze(dsn, owners)
        except psycopg.Error as error:
            raise BackupError(f"the backup could not be restored: {error}") from error
    return Restored(manifest, generation, migrated, written)


def _connect(dsn: str) -> Connection:
    # Nothing is prepared: it may be a pooler that cannot carry that.
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, application_name="plexus-restore")


def _check_origin(manifest: Manifest, server_name: str, owners: Sequence[str]) -> None:
    if manifest.server_name != server_name:
        raise OtherServerError(
            f"this is a backup of {manifest.server_name}, and this server is {server_name}. The name is "
            "part of all users, rooms and events; set server_name to the backup's."
        )
    known = migration_files(owners)
    unknown = [name for name in manifest.migrations if name not in known]
    if unknown:
        raise NewerBackupError(
            f"the backup was made by Plexus {manifest.plexus}, which is newer than this one: it has the "
            f"migration {unknown[0]}. Restore it with that Plexus."
        )


def _load(dsn: str, source: Source, manifest: Manifest, report: Report, owners: Sequence[str]) -> int:
    with (
        _connect(dsn) as connection,
        connection.transaction(),
    ):
        for line in (*_PATIENCE, *TEXT_FORM):
            connection.execute(line.encode())
        _make_tables(connection, manifest, owners)
        for number, table in enumerate(manifest.tables, start=1):
            _load_table(connection, source, table, number, len(manifest.tables), report)
        for sequence in manifest.sequences:
            name = sql.Identifier(sequence.schema, sequence.name).as_string(connection)
            connection.execute("SELECT setval(%s::regclass, %s, %s)", (name, sequence.value, sequence.called))
        row = connection.execute("SELECT lanes.begin_generation('restore')").fetchone()
        assert row is not None
        return int(row[0])


def _make_tables(connection: Connection, manifest: Manifest, owners: Sequence[str]) -> None:
    """The tables as they were when the backup was made, empty, with the partitions that the facts need."""
    known = migration_files(owners)
    for schema in plexus_schemas(owners):
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    applied = set(manifest.migrations)
    for name in (name for name in known if name in applied):
        connection.execute(known[name].read_bytes())
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE NOT migration_id = ANY(%s)").format(sql.Identifier(BOOK)),
        (manifest.migrations,),
    )
    for segment in manifest.segments:
        connection.execute("SELECT lanes.make_segment(%s)", (segment,))
    # Migrations may have put rows into them: those of the backup are all there are.
    found = tables(connection, plexus_schemas(owners))
    names = sql.SQL(", ").join(table.identifier for table in found)
    connection.execute(sql.SQL("TRUNCATE {}").format(names))


def _load_table(
    connection: Connection, source: Source, table: Table, number: int, total: int, report: Report
) -> None:
    report(Step("load", table.full_name, number, total))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT text, ENCODING 'UTF8')").format(
        sql.Identifier(table.schema, table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    read = told = 0
    with connection.cursor() as cursor:
        with source.open(table.file.path) as stream, cursor.copy(statement) as copy:
            for packed, block in _gunzip(stream):
                copy.write(block)
                read += packed
                if read - told >= REPORT_EVERY:
                    told = read
                    report(Step("load", table.full_name, number, total, read))
        rows = cursor.rowcount
    if rows != table.rows:
        raise BrokenBackupError(f"{table.full_name} has {rows} rows, and the manifest says {table.rows}")
    report(Step("load", table.full_name, number, total, read, done=True))


def _gunzip(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(bytes read, bytes they hold)"""
    unpacker = zlib.decompressobj(wbits=31)
    for chunk in read_chunks(stream):
        yield len(chunk), unpacker.decompress(chunk)
    yield 0, unpacker.flush()


def _analyze(dsn: str, owners: Sequence[str]) -> None:
    """Tell the planner what came, instead of leaving it to the first hours."""
    with _connect(dsn) as connection:
        for table in tables(connection, plexus_schemas(owners)):
            connection.execute(sql.SQL("ANALYZE {}").format(table.identifier))
