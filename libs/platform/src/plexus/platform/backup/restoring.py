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
from plexus.platform.backup.errors import BackupError, NewerBackupError, OtherServerError
from plexus.platform.backup.loading import Contents, analyze, connect, load
from plexus.platform.backup.manifest import Manifest, Table
from plexus.platform.backup.progress import Report, silent
from plexus.platform.backup.source import Source, open_source, verify_source
from plexus.platform.migrate import OWNERS, migrate, migration_files


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
            with connect(dsn) as connection:
                targets.check(connection, owners, replace=replace)
            data.check(opened, manifest, places, replace=replace)
            # Roles, rights and the book. Its tables are made anew below, as the backup knew them.
            migrate(dsn, owners, role_settings=role_settings)
            written = data.bring_back(opened, manifest, places, report)
            generation = load(
                dsn,
                _contents(opened, manifest),
                report,
                owners,
                phase="load",
                reason="restore",
            )
            migrated = migrate(dsn, owners, role_settings=role_settings)
            analyze(dsn, owners)
        except psycopg.Error as error:
            raise BackupError(f"the backup could not be restored: {error}") from error
    return Restored(manifest, generation, migrated, written)


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


@dataclass(frozen=True, slots=True)
class _Stored:
    """A table of the backup."""

    source: Source
    table: Table

    @property
    def schema(self) -> str:
        return self.table.schema

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def columns(self) -> Sequence[str]:
        return self.table.columns

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        with self.source.open(self.table.file.path) as stream:
            yield from _gunzip(stream)

    def count(self) -> int:
        return self.table.rows


def _contents(source: Source, manifest: Manifest) -> Contents:
    return Contents(
        manifest.migrations,
        manifest.segments,
        [_Stored(source, table) for table in manifest.tables],
        [(value.schema, value.name, value.value, value.called) for value in manifest.sequences],
    )


def _gunzip(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(bytes read, bytes they hold)"""
    unpacker = zlib.decompressobj(wbits=31)
    for chunk in read_chunks(stream):
        yield len(chunk), unpacker.decompress(chunk)
    yield 0, unpacker.flush()
