from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from plexus.platform.doctor import Finding
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.migrate import WRITER, migrate
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key
from psycopg.sql import SQL, Composed, Identifier

_numbers = count(1)
NO_PORTS: dict[str, Any] = {name: {"port": 0} for name in ("client", "federation", "internal")}


def told(findings: list[Finding], topic: str) -> list[tuple[str, str]]:
    """(level, words) of what is not well with a topic."""
    bad = [finding for finding in findings if finding.topic == topic and finding.level != "ok"]
    assert all(finding.do for finding in bad), "what to do belongs to it"
    return [(finding.level, finding.says) for finding in bad]


@dataclass
class Patient:
    """A server as a cluster has it: a migrated database by address, and a data folder with a key."""

    server: EmbeddedPostgres
    name: str
    folder: Path

    @property
    def owner(self) -> str:
        return self.server.dsn(database=self.name)

    def execute(self, statement: str | Composed) -> None:
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute(statement.encode() if isinstance(statement, str) else statement)

    def settings(self, *, dsn: str | None = None, **more: Any) -> Settings:
        given: dict[str, Any] = {"server_name": "here.example.org", "data_dir": self.folder}
        given["database"] = {"dsn": dsn or self.server.dsn(WRITER, self.name), **more.pop("database", {})}
        given["listeners"] = {**NO_PORTS, **more.pop("listeners", {})}
        return Settings(**given | more)


@pytest.fixture(scope="package")
def server() -> Iterator[EmbeddedPostgres]:
    """With the settings of a real one; the shared one of the tests is unsafe."""
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    with EmbeddedPostgres(folder / "postgres") as made:
        migrate(made.dsn())
        yield made
    shutil.rmtree(folder)


def make_database(server: EmbeddedPostgres, how: LiteralString, owners: tuple[str, ...] = ()) -> str:
    """A new database, made with ``how``, with the tables of ``owners``; its name."""
    name = f"patient_{next(_numbers)}"
    with psycopg.connect(server.dsn(database="postgres"), autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} {}").format(Identifier(name), SQL(how)))
    if owners:
        migrate(server.dsn(database=name), owners)
    return name


@pytest.fixture
def patient(server: EmbeddedPostgres, tmp_path: Path) -> Patient:
    """Its database is everybody's: not to be changed."""
    folder = tmp_path / "data"
    folder.mkdir()
    create_signing_key(folder / "signing.key")
    return Patient(server, "plexus", folder)


@pytest.fixture
def wounded(patient: Patient) -> Iterator[Patient]:
    """With a database of its own."""
    patient.name = make_database(patient.server, "TEMPLATE plexus")
    yield patient
    with psycopg.connect(patient.server.dsn(database="postgres"), autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(patient.name)))
