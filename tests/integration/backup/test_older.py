"""Backups of an older Plexus: newer migrations come after the rows, so those that move data see them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import plexus
import psycopg
import pytest
from plexus.platform.backup import backup, restore
from plexus.platform.migrate import OWNERS, migrate, pending

from tests.support.postgres import TestDatabase, drop_database, make_database

SERVER = "here.example.org"

FIRST = """
CREATE SCHEMA attic;
CREATE TABLE attic.shelf (
    shelf integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    loud text GENERATED ALWAYS AS (upper(name)) STORED
);
-- Its name comes before the one of the table that it refers to.
CREATE TABLE attic.box (
    box bigserial PRIMARY KEY,
    shelf integer NOT NULL REFERENCES attic.shelf,
    inside bigint REFERENCES attic.box
);
INSERT INTO attic.shelf (name) VALUES ('made by the migration');
"""

SECOND = """
ALTER TABLE attic.shelf ADD COLUMN boxes integer NOT NULL DEFAULT 0;
UPDATE attic.shelf AS s SET boxes = (SELECT count(*) FROM attic.box AS b WHERE b.shelf = s.shelf);
ALTER TABLE attic.box DROP COLUMN inside;
"""


@pytest.fixture
def attic(tmp_path: Path) -> Iterator[Path]:
    """One more owner of migrations, an installed package like the others; its folder."""
    folder = tmp_path / "site" / "plexus" / "attic" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    sys.path.append(str(tmp_path / "site"))
    assert str(folder.parent.parent) in list(plexus.__path__)
    yield folder
    sys.path.remove(str(tmp_path / "site"))
    sys.modules.pop("plexus.attic", None)


@pytest.fixture
def empty() -> Iterator[TestDatabase]:
    made = make_database()
    yield made
    drop_database(made)


def test_references_identities_and_data_that_move(
    attic: Path, empty: TestDatabase, other: TestDatabase, copies: Path
) -> None:
    owners = (*OWNERS, "attic")
    (attic / "0001-attic.sql").write_text(FIRST)
    migrate(empty.owner, owners)
    with psycopg.connect(empty.owner) as connection:
        connection.execute("DELETE FROM attic.shelf")
        connection.execute("INSERT INTO attic.shelf (name) VALUES ('shelf 1'), ('shelf 2'), ('shelf 3')")
        connection.execute("INSERT INTO attic.box (shelf) VALUES (2), (2), (3)")
        connection.execute("INSERT INTO attic.box (shelf, inside) VALUES (4, 1)")
        connection.execute("DELETE FROM attic.box WHERE box = 4")
    made = backup(empty.owner, copies / "copy", server_name=SERVER, owners=owners)
    names = [table.full_name for table in made.tables]
    assert names.index("attic.shelf") < names.index("attic.box")

    (attic / "0002-count.sql").write_text(SECOND)
    migrate(other.owner, owners)  # as `plexus up` of the newer code does first
    done = restore(copies / "copy", other.owner, server_name=SERVER, replace=True, owners=owners)
    assert done.migrated == ["attic/0002-count"]
    assert pending(other.owner, owners) == []
    with psycopg.connect(other.owner) as connection:
        shelves = connection.execute("SELECT shelf, name, loud, boxes FROM attic.shelf ORDER BY 1").fetchall()
        assert shelves == [
            (2, "shelf 1", "SHELF 1", 2),
            (3, "shelf 2", "SHELF 2", 1),
            (4, "shelf 3", "SHELF 3", 0),
        ]
        added = connection.execute(
            "INSERT INTO attic.shelf (name) VALUES ('next') RETURNING shelf"
        ).fetchone()
        assert added == (5,)
        boxed = connection.execute("INSERT INTO attic.box (shelf) VALUES (5) RETURNING box").fetchone()
        assert boxed == (5,), "the sequence is where it was, though its last row is gone"
        columns = connection.execute("SELECT * FROM attic.box").description
        assert [column.name for column in columns or ()] == ["box", "shelf"]


def test_a_backup_from_before_a_service_had_tables(bare: str, other: TestDatabase, copies: Path) -> None:
    without_media = tuple(owner for owner in OWNERS if owner != "media")
    migrate(bare, without_media)
    made = backup(bare, copies / "copy", server_name=SERVER)
    assert not any(table.schema == "media" for table in made.tables)
    done = restore(copies / "copy", other.owner, server_name=SERVER)
    assert done.migrated
    assert all(name.startswith("media/") for name in done.migrated)
    assert pending(other.owner) == []
