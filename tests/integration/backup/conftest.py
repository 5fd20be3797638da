from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import TestDatabase, drop_database, make_database, server
from tests.support.rows import fill


@pytest.fixture(scope="package")
def full() -> Iterator[TestDatabase]:
    """A database with rows that are awkward to copy. Nobody changes it."""
    yield from filled()


@pytest.fixture
def busy() -> Iterator[TestDatabase]:
    """Such a database for a test that goes on writing."""
    yield from filled()


def filled() -> Iterator[TestDatabase]:
    made = make_database()
    with psycopg.connect(made.owner, autocommit=True) as connection:
        fill(connection)
    yield made
    drop_database(made)


@pytest.fixture
def other() -> Iterator[TestDatabase]:
    """Another one, as a server that nobody has used has it."""
    made = make_database()
    yield made
    drop_database(made)


@pytest.fixture
def bare() -> Iterator[str]:
    """The DSN of a database in which nothing is."""
    with psycopg.connect(server().dsn("plexus", "postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS bare WITH (FORCE)")
        connection.execute("CREATE DATABASE bare")
        yield server().dsn("plexus", "bare")
        connection.execute("DROP DATABASE bare WITH (FORCE)")


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Where the backups of a test go."""
    return tmp_path / "copies"
