"""Making a backup."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import psycopg
from plexus.platform.backup import files as data
from plexus.platform.backup.disk import flush_folder, flush_folders, write_file
from plexus.platform.backup.errors import BackupError
from plexus.platform.backup.manifest import (
    FORMAT,
    MANIFEST,
    MANIFEST_SUM,
    Manifest,
    SequenceValue,
    StoredFile,
    Table,
)
from plexus.platform.backup.progress import REPORT_EVERY, Report, Step, silent
from plexus.platform.backup.reading import read_rows, segments, snapshot
from plexus.platform.backup.schema import (
    Connection,
    TableInfo,
    applied_migrations,
    plexus_schemas,
    sequences,
    tables,
)
from plexus.platform.migrate import OWNERS

_LEVEL = 1  # a fifth of the size for little time: JSON in hexadecimal packs well


def backup(
    dsn: str,
    target: Path,
    *,
    server_name: str,
    files: Mapping[str, Path] | None = None,
    report: Report = silent,
    owners: Sequence[str] = OWNERS,
) -> Manifest:
    """Copy the database at ``dsn`` (a role that may read everything) into the new folder ``target``, or into
    a file if its name ends in ``.tar``. Blocking. The server may run: all rows are of one moment.

    ``files``: what else to copy, by the name it gets in the backup (`data_files`); media are copied after the
    rows, so that every file that a row names is there. ``owners``: whose tables, as in
    `plexus.platform.migrate`. `BackupError` says why there is no backup.
    """
    if target.exists():
        raise BackupError(f"{target} is there already; a backup replaces nothing")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    aside.mkdir(mode=0o700)
    try:
        manifest = _fill(dsn, aside, server_name, files or {}, report, plexus_schemas(owners))
        if target.suffix == ".tar":
            _pack(aside, target)
        else:
            flush_folders(aside)
            aside.rename(target)
            flush_folder(target.parent)
    except psycopg.Error as error:
        raise BackupError(f"the database could not be copied: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def _fill(
    dsn: str,
    folder: Path,
    server_name: str,
    files: Mapping[str, Path],
    report: Report,
    schemas: Sequence[str],
) -> Manifest:
    (folder / "tables").mkdir(mode=0o700)
    with snapshot(dsn, schemas, name="plexus-backup") as connection:
        generation, room_heads, user_heads = _lanes(connection)
        found = tables(connection, schemas)
        manifest = Manifest(
            format=FORMAT,
            plexus=version("plexus-platform"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            server_name=server_name,
            postgres=connection.info.server_version,
            migrations=applied_migrations(connection),
            generation=generation,
            room_heads=room_heads,
            user_heads=user_heads,
            segments=segments(connection),
            tables=[
                _copy(connection, table, folder, number, len(found), report)
                for number, table in enumerate(found, start=1)
            ],
            # After the rows: a sequence knows no snapshot, so now it is behind none of them.
            sequences=[SequenceValue(*row) for row in sequences(connection, schemas)],
            files=[],
            without=[],
        )
    stored = data.save(files, folder, report)
    manifest = _with_files(manifest, stored, files)
    text = manifest.to_json()
    write_file(folder / MANIFEST, MANIFEST, [text])
    line = f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n"
    write_file(folder / MANIFEST_SUM, MANIFEST_SUM, [line.encode()])
    return manifest


def _lanes(connection: Connection) -> tuple[int, list[int], list[int]]:
    rows = connection.execute("SELECT family, head FROM lanes.lane ORDER BY family, lane").fetchall()
    newest = connection.execute("SELECT id FROM lanes.generation ORDER BY number DESC LIMIT 1").fetchone()
    if not rows or newest is None:
        raise BackupError("the database has no lanes: run `plexus db migrate`, then `plexus doctor`")
    heads = {family: [head for name, head in rows if name == family] for family in ("r", "u")}
    return int(newest[0]), heads["r"], heads["u"]


def _copy(
    connection: Connection, table: TableInfo, folder: Path, number: int, total: int, report: Report
) -> Table:
    report(Step("copy", table.full_name, number, total))
    name = f"tables/{table.full_name}.copy.gz"
    told = 0

    def tell(size: int) -> None:
        nonlocal told
        if size - told >= REPORT_EVERY:
            told = size
            report(Step("copy", table.full_name, number, total, size))

    with connection.cursor() as cursor:
        stored = write_file(folder / name, name, _gzip(read_rows(cursor, table)), tell)
        rows = cursor.rowcount
    report(Step("copy", table.full_name, number, total, stored.size, done=True))
    return Table(table.schema, table.name, list(table.columns), rows, stored)


def _gzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, wbits=31)
    for block in blocks:
        if packed := packer.compress(block):
            yield packed
    yield packer.flush()


def _with_files(manifest: Manifest, stored: list[StoredFile], files: Mapping[str, Path]) -> Manifest:
    inside = {file.path.split("/")[1] for file in stored}
    # A folder that was asked for and is empty is not missing.
    inside |= {name for name, place in files.items() if place.is_dir()}
    without = [words for name, words in data.WITHOUT.items() if name not in inside]
    return msgspec.structs.replace(manifest, files=stored, without=without)


def _pack(folder: Path, target: Path) -> None:
    aside = target.with_name(folder.name + ".tar")
    try:
        with aside.open("xb") as out:
            aside.chmod(0o600)
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                # The manifest first: `tar -xOf` finds it at once.
                names = sorted(path for path in folder.rglob("*") if path.is_file())
                for path in sorted(names, key=lambda path: path.parent != folder):
                    tar.add(path, arcname=path.relative_to(folder).as_posix(), recursive=False)
            out.flush()
            os.fsync(out.fileno())
        aside.rename(target)
        flush_folder(target.parent)
    finally:
        aside.unlink(missing_ok=True)
