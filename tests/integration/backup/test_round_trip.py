"""What comes back is what was there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from plexus.platform.backup import BackupError, Step, backup, restore, verify
from plexus.platform.backup.schema import plexus_schemas
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.embedded.binaries import wheel_binaries
from plexus.platform.migrate import migrate, migration_files, pending

from tests.support.postgres import TestDatabase
from tests.support.rows import append, contents, fill

SERVER = "here.example.org"
GENERATIONS = {"lanes.generation", "lanes.lane"}
OLD = {"the 16 of the wheel": wheel_binaries(18).parent.parent / "pginstall" / "bin"}
if (debian := Path("/usr/lib/postgresql/15/bin")).exists():
    OLD["Debian's 15"] = debian


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Not one of pytest's, which are closed: Debian's initdb, as another account, must pass through it."""
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def compare(before: dict[str, list[str]], after: dict[str, list[str]]) -> None:
    """The same but for the generation that began."""
    assert before.keys() == after.keys()
    for table in before.keys() - GENERATIONS:
        assert before[table] == after[table], table
    assert len(after["lanes.generation"]) == len(before["lanes.generation"]) + 1
    assert set(before["lanes.generation"]) < set(after["lanes.generation"])


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_every_row_comes_back_as_it_was(
    full: TestDatabase, other: TestDatabase, copies: Path, name: str
) -> None:
    steps: list[Step] = []
    made = backup(full.owner, copies / name, server_name=SERVER, report=steps.append)
    assert (copies / name).is_file() == name.endswith(".tar")
    assert verify(copies / name) == made
    done = restore(copies / name, other.owner, server_name=SERVER, report=steps.append)
    with psycopg.connect(full.owner) as ours, psycopg.connect(other.owner) as theirs:
        before, after = contents(ours), contents(theirs)
        compare(before, after)
        assert {table.full_name: table.rows for table in made.tables} == {
            table: len(rows) for table, rows in before.items()
        }
        newest = theirs.execute(
            "SELECT id, parent, reason FROM lanes.generation ORDER BY number DESC LIMIT 1"
        )
        assert newest.fetchone() == (done.generation, made.generation, "restore")
        assert theirs.execute("SELECT DISTINCT generation FROM lanes.lane").fetchall() == [(done.generation,)]
    assert done.migrated == []
    ended = [(step.phase, step.name) for step in steps if step.done]
    assert len(ended) == len(set(ended)) == 3 * len(made.tables), "each table copied, verified and loaded"


def test_a_restored_database_takes_writes(full: TestDatabase, bare: str, copies: Path) -> None:
    """Into a database without any table; partitions of the facts included."""
    made = backup(full.owner, copies / "copy", server_name=SERVER)
    restore(copies / "copy", bare, server_name=SERVER)
    assert pending(bare) == []
    with psycopg.connect(bare.replace("user=plexus ", "user=plexus_writer "), autocommit=True) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("plexus_writer",)
        assert append(connection, "r", 5) == made.room_heads[5] + 1
        assert append(connection, "u", 5) == made.user_heads[5] + 1
    with psycopg.connect(bare) as connection:
        compare_partitions(connection, made.segments)


def compare_partitions(connection: psycopg.Connection[tuple[object, ...]], segments: list[int]) -> None:
    found = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'lanes.fact'::regclass ORDER BY 1"
    ).fetchall()
    assert found == [(f"lanes.fact_{number}",) for number in segments] != []


@pytest.mark.slow
@pytest.mark.parametrize("binaries", OLD.values(), ids=OLD.keys())
def test_between_the_major_versions_of_postgresql(
    full: TestDatabase, other: TestDatabase, open_folder: Path, binaries: Path
) -> None:
    """To an older one, and back from it."""
    with EmbeddedPostgres(open_folder / "old", binaries=binaries, settings={"fsync": "off"}) as old:
        first = backup(full.owner, open_folder / "first.tar", server_name=SERVER)
        restore(open_folder / "first.tar", old.dsn(), server_name=SERVER)
        second = backup(old.dsn(), open_folder / "second.tar", server_name=SERVER)
        assert second.postgres // 10_000 < first.postgres // 10_000
        restore(open_folder / "second.tar", other.owner, server_name=SERVER)
        with (
            psycopg.connect(full.owner) as ours,
            psycopg.connect(old.dsn()) as olds,
            psycopg.connect(other.owner) as theirs,
        ):
            before = contents(ours)
            compare(before, contents(olds))
            compare(contents(olds), contents(theirs))


def test_the_backup_says_what_it_is(full: TestDatabase, copies: Path) -> None:
    made = backup(full.owner, copies / "copy", server_name=SERVER)
    assert made.server_name == SERVER
    assert made.migrations == list(migration_files())
    assert made.segments == [1, 2, 3]
    assert made.room_heads == [lane % 5 + 2 for lane in range(64)]
    assert made.user_heads == [1] * 16
    assert [words.split(" (")[0] for words in made.without] == ["the signing key", "the media files"]
    # With what every system has.
    checked = subprocess.run(["sha256sum", "-c", "manifest.json.sha256"], cwd=copies / "copy", check=False)
    assert checked.returncode == 0
    rows = subprocess.run(
        ["zcat", "tables/media.item.copy.gz"], cwd=copies / "copy", capture_output=True, check=True
    ).stdout
    assert rows.count(b"\n") == 500


def test_only_its_owner_can_read_a_backup(full: TestDatabase, copies: Path) -> None:
    backup(full.owner, copies / "copy", server_name=SERVER)
    backup(full.owner, copies / "copy.tar", server_name=SERVER)
    for path in (copies / "copy", copies / "copy.tar", *(copies / "copy").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_backup_replaces_nothing(full: TestDatabase, copies: Path) -> None:
    copies.mkdir()
    (copies / "copy").mkdir()
    (copies / "copy.tar").write_text("mine")
    for name in ("copy", "copy.tar"):
        with pytest.raises(BackupError, match="is there already"):
            backup(full.owner, copies / name, server_name=SERVER)
    assert (copies / "copy.tar").read_text() == "mine"


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_what_fails_half_way_leaves_nothing(full: TestDatabase, copies: Path, name: str) -> None:
    def fail(step: Step) -> None:
        if step.name == "rooms.event":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(full.owner, copies / name, server_name=SERVER, report=fail)
    assert os.listdir(copies) == []


def test_nothing_to_back_up(bare: str, copies: Path) -> None:
    with pytest.raises(BackupError, match="no tables of Plexus"):
        backup(bare, copies / "copy", server_name=SERVER)
    with pytest.raises(BackupError, match="could not be copied"):
        backup(bare.replace("dbname=bare", "dbname=nowhere"), copies / "copy", server_name=SERVER)
    assert os.listdir(copies) == []


def test_every_schema_of_ours_is_known(bare: str) -> None:
    """A migration that makes a schema in another way would be left out of backups."""
    migrate(bare)
    with psycopg.connect(bare) as connection:
        fill(connection)
        found = connection.execute(
            "SELECT nspname::text FROM pg_namespace "
            "WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema') ORDER BY 1"
        ).fetchall()
        left = connection.execute(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^_?yoyo'"
        ).fetchall()
    assert [name for (name,) in found] == plexus_schemas()
    assert left == []
