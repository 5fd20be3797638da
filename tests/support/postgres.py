"""A PostgreSQL for tests: one embedded server a pytest run, one fresh database a test module.

In a ``conftest.py``::

    from tests.support.postgres import database, db  # noqa: F401

``database`` (module) has the DSNs of a new migrated database; ``db`` (function) is an open `Database` on it.
A module that needs only some owners' tables says so: ``MIGRATIONS = ("platform", "rooms")``.

Each run has a server and a folder of its own, so runs side by side do not meet. ``PLEXUS_TEST_PG_BIN`` names
the folder of other server programs (say ``/usr/lib/postgresql/15/bin``) to test against.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.migrate import OWNERS, migrate
from plexus.platform.postgres import Database
from psycopg.sql import SQL, Identifier

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """One database of the run's server; ``owner`` may do anything in it."""

    __test__ = False

    name: str
    owner: str
    writer: str
    reader: str

    def open(self, *, writers: int = 4, readers: int = 4) -> Database:
        return Database(self.writer, self.reader, writers=writers, readers=readers)


def binaries() -> Path | None:
    """Other server programs to test against, if the environment names some."""
    named = os.environ.get("PLEXUS_TEST_PG_BIN")
    return Path(named) if named else None


@cache
def server() -> EmbeddedPostgres:
    """The server of this run; it ends with it. Nothing is flushed to disk: no test of durability
    may use it.
    """
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    settings = {"fsync": "off", "full_page_writes": "off", "commit_delay": "0", "max_connections": "200"}
    made = EmbeddedPostgres(folder / "postgres", binaries=binaries(), settings=settings)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(made.stop)
    made.start()
    return made


def make_database(owners: Sequence[str] = OWNERS) -> TestDatabase:
    """A new database with the migrations of ``owners``."""
    template = _template(tuple(owners))
    name = f"test_{next(_numbers)}"
    _on_server(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
    dsn = server().dsn
    return TestDatabase(name, dsn("plexus", name), dsn("plexus_writer", name), dsn("plexus_reader", name))


def drop_database(database: TestDatabase) -> None:
    _on_server(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(database.name)))


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest) -> Iterator[TestDatabase]:
    made = make_database(getattr(request.module, "MIGRATIONS", OWNERS))
    yield made
    drop_database(made)


@pytest_asyncio.fixture
async def db(database: TestDatabase) -> AsyncIterator[Database]:
    async with database.open() as opened:
        yield opened


@cache
def _template(owners: tuple[str, ...]) -> str:
    name = f"template_{next(_numbers)}"
    _on_server(SQL("CREATE DATABASE {}").format(Identifier(name)))
    migrate(server().dsn("plexus", name), owners)
    return name


def _on_server(statement: psycopg.sql.Composed) -> None:
    with psycopg.connect(server().dsn("plexus", "postgres"), autocommit=True) as connection:
        connection.execute(statement)
