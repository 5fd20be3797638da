"""A restore that would do harm is refused, and then the target is as it was."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest
from plexus.platform.backup import (
    BackupError,
    BrokenBackupError,
    Manifest,
    NewerBackupError,
    OtherServerError,
    TargetInUseError,
    TargetNotEmptyError,
    backup,
    restore,
    verify,
)
from plexus.platform.backup.schema import plexus_schemas, tables

from tests.support.postgres import TestDatabase
from tests.support.rows import append, contents

SERVER = "here.example.org"
EVENTS = "tables/lanes.fact.copy.gz"


@pytest.fixture(scope="module")
def whole(full: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "copy"
    backup(full.owner, folder, server_name=SERVER)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A backup for the test to spoil."""
    return shutil.copytree(whole, tmp_path / "copy")


def rewrite(copy: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Another manifest, with the right sum: what only a mistake in the program could write."""
    text = change(Manifest.from_json((copy / "manifest.json").read_bytes())).to_json()
    (copy / "manifest.json").write_bytes(text)
    (copy / "manifest.json.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")


def untouched(dsn: str) -> bool:
    """Nothing of ours is there."""
    with psycopg.connect(dsn) as connection:
        return tables(connection, [*plexus_schemas(), "public"]) == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda copy: flip(copy / EVENTS),
    "a file cut off": lambda copy: (copy / EVENTS).write_bytes((copy / EVENTS).read_bytes()[:-9]),
    "a file too long": lambda copy: (copy / EVENTS).write_bytes((copy / EVENTS).read_bytes() + b"x"),
    "a file missing": lambda copy: (copy / EVENTS).unlink(),
    "a flipped bit in the manifest": lambda copy: flip(copy / "manifest.json"),
    "no manifest": lambda copy: (copy / "manifest.json").unlink(),
    "no sum of the manifest": lambda copy: (copy / "manifest.json.sha256").unlink(),
    "an empty sum of the manifest": lambda copy: (copy / "manifest.json.sha256").write_text(""),
}


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_broken_backup(copy: Path, bare: str, how: str) -> None:
    assert verify(copy).server_name == SERVER
    BREAKAGES[how](copy)
    with pytest.raises(BrokenBackupError):
        verify(copy)
    with pytest.raises(BrokenBackupError):
        restore(copy, bare, server_name=SERVER)
    assert untouched(bare)


def test_a_broken_tar(full: TestDatabase, copies: Path, bare: str) -> None:
    backup(full.owner, copies / "copy.tar", server_name=SERVER)
    whole = (copies / "copy.tar").read_bytes()
    with tarfile.open(copies / "copy.tar") as tar:
        place = tar.getmember(EVENTS).offset_data
    for broken in (whole[:place], whole[:place] + b"?" + whole[place + 1 :], whole[:100], b"", b"?" * 2000):
        (copies / "copy.tar").write_bytes(broken)
        with pytest.raises(BrokenBackupError):
            restore(copies / "copy.tar", bare, server_name=SERVER)
    with pytest.raises(BrokenBackupError, match="there is no backup"):
        restore(copies / "nowhere", bare, server_name=SERVER)
    assert untouched(bare)


def test_a_backup_of_another_server(copy: Path, bare: str) -> None:
    with pytest.raises(OtherServerError, match=r"here\.example\.org.*there\.example\.org"):
        restore(copy, bare, server_name="there.example.org")
    assert untouched(bare)


def test_a_backup_of_a_newer_plexus(copy: Path, bare: str) -> None:
    rewrite(
        copy,
        lambda made: msgspec.structs.replace(made, migrations=[*made.migrations, "rooms/9999-to-come"]),
    )
    with pytest.raises(NewerBackupError, match="rooms/9999-to-come"):
        restore(copy, bare, server_name=SERVER)
    rewrite(copy, lambda made: msgspec.structs.replace(made, format=2))
    with pytest.raises(NewerBackupError, match="format 2"):
        restore(copy, bare, server_name=SERVER)
    assert untouched(bare)


def test_a_database_that_a_newer_plexus_has_used(copy: Path, other: TestDatabase) -> None:
    with psycopg.connect(other.owner) as connection:
        connection.execute(
            "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) "
            "VALUES ('h', 'rooms/9999-to-come', now())"
        )
    with pytest.raises(NewerBackupError, match="rooms/9999-to-come"):
        restore(copy, other.owner, server_name=SERVER, replace=True)


def test_a_database_that_is_not_empty(copy: Path, other: TestDatabase) -> None:
    with psycopg.connect(other.owner, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO users.account (lane, user_id, created_ts, guest, admin) "
            "VALUES (0, '@a:x', 0, false, true)"
        )
        before = contents(connection)
        with pytest.raises(TargetNotEmptyError, match=r"users\.account"):
            restore(copy, other.owner, server_name=SERVER)
        assert contents(connection) == before
        restore(copy, other.owner, server_name=SERVER, replace=True)
        accounts = contents(connection)["users.account"]
    assert len(accounts) == 16
    assert accounts != before["users.account"]


async def test_a_database_in_use(copy: Path, other: TestDatabase) -> None:
    async with other.open(), other.open():
        for replace in (False, True):
            with pytest.raises(TargetInUseError, match="stop it first"):
                restore(copy, other.owner, server_name=SERVER, replace=replace)
    restore(copy, other.owner, server_name=SERVER)


@pytest.mark.parametrize("fault", ["a row too few", "a column that is gone", "rows that are none"])
def test_a_restore_that_fails_half_way(
    full: TestDatabase, copy: Path, other: TestDatabase, fault: str
) -> None:
    """Even with leave to replace, what was there is there if the new does not come."""
    with psycopg.connect(other.owner) as connection:
        append(connection, "r", 3)

    def change(made: Manifest) -> Manifest:
        *early, last = made.tables
        assert last.full_name == "wire.server_key"
        if fault == "a row too few":
            last = msgspec.structs.replace(last, rows=last.rows + 1)
        elif fault == "a column that is gone":
            last = msgspec.structs.replace(last, columns=[*last.columns[:-1], "gone"])
        else:
            last = msgspec.structs.replace(last, file=early[-1].file)
        return msgspec.structs.replace(made, tables=[*early, last])

    shutil.copytree(copy, copy.with_name("altered"))
    rewrite(copy.with_name("altered"), change)
    with psycopg.connect(other.owner, autocommit=True) as connection:
        before = contents(connection)
        with pytest.raises(BackupError):
            restore(copy.with_name("altered"), other.owner, server_name=SERVER, replace=True)
        assert contents(connection) == before
