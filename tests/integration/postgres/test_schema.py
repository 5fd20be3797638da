"""A service looks whether the database has the form that it wants, and migrates nothing itself."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from plexus.platform.compose import open_platform
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.migrate import WRITER, migrate
from plexus.platform.postgres import Database
from plexus.platform.schema import SchemaError, require_schema
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key

from deploy.local.installing import need
from deploy.local.program import ProgramError, free_port
from tests.support.pooler import Pooler
from tests.support.postgres import TestDatabase


def execute(database: TestDatabase, statement: str) -> None:
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute(statement.encode())


def settings(database: TestDatabase, folder: Path) -> Settings:
    made = Settings(
        server_name="here.example.org",
        data_dir=folder,
        database={"dsn": database.writer, "reader_dsn": database.reader},
    )
    create_signing_key(made.signing_key_file)
    return made


LAST = "rooms/0004-write"


async def test_a_service_does_not_start_on_a_database_that_is_behind(
    database: TestDatabase, tmp_path: Path
) -> None:
    made = settings(database, tmp_path)
    async with open_platform(made, service="test"):
        pass
    execute(database, f"UPDATE _yoyo_migration SET migration_id = 'x' WHERE migration_id = '{LAST}'")
    with pytest.raises(SchemaError, match=f"lacks 1 migrations .* {LAST}: run `plexus db migrate`"):
        async with open_platform(made, service="test"):
            pass
    execute(database, f"UPDATE _yoyo_migration SET migration_id = '{LAST}' WHERE migration_id = 'x'")


async def test_it_starts_on_one_that_is_ahead(database: TestDatabase, tmp_path: Path) -> None:
    execute(
        database,
        "INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) "
        "VALUES ('of a later version', 'rooms/9999-later', now())",
    )
    async with open_platform(settings(database, tmp_path), service="test") as platform:
        assert await platform.db.call("SELECT 1") == [(1,)]


async def test_the_writer_may_look_also_through_a_pooler(tmp_path: Path) -> None:
    try:
        need("pgbouncer")
    except ProgramError as error:
        pytest.skip(str(error))
    port = free_port()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with (
        EmbeddedPostgres(tmp_path / "postgres", port=port) as server,
        Pooler(tmp_path / "pooler", port) as pooler,
    ):
        migrate(server.dsn(), ("platform",))
        async with Database(pooler.dsn(WRITER), writers=1, readers=1, prepared=False) as db:
            await require_schema(db, ("platform",))
            with pytest.raises(SchemaError, match="rooms/0001-tables"):
                await require_schema(db)
            migrate(server.dsn())
            await require_schema(db)
