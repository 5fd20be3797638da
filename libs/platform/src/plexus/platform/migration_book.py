"""yoyo's book of the migrations that are applied."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from plexus.platform.migrate import migration_files
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import Migration, MigrationList, default_migration_table


def migrations_of(owners: Sequence[str]) -> MigrationList:
    """All that these owners bring, in their order."""
    return MigrationList(
        _Whole(name, str(path), str(path.parent)) for name, path in migration_files(owners).items()
    )


class _Whole(Migration):  # type: ignore[misc]
    """A file sent to the server as it is. (yoyo would cut it into statements, and stumble over function
    bodies.)
    """

    steps: list[object] | None
    _depends: set[Migration]

    def load(self) -> None:
        if self.steps is None:
            self.source = Path(self.path).read_text()
            self._depends = set()
            self.steps = []


class Book(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's tables and book-keeping, over one connection of ours, each migration in one transaction with its
    entry.

    Runs are excluded by `migrate`, so yoyo's lock row, which a killed run leaves behind, is not used.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        super().__init__(parse_uri("postgresql+psycopg:///"), default_migration_table)
        self.has_transactional_ddl = True
        self.ensure_internal_schema_updated()

    def connect(self, dburi: object) -> psycopg.Connection[Any]:
        return psycopg.connect(self._dsn, autocommit=True)

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:
        migration.load()
        with self.transaction():
            self.connection.execute(migration.source)
            self.mark_one(migration, log=False)

    @contextmanager
    def lock(self, timeout: float = 0) -> Any:
        yield
