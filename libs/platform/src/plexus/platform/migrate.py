"""Migrations: forward only, expand then contract, run by a command and not by every replica at its start.

Each owner keeps numbered ``.sql`` files in a folder ``migrations`` of its package (``0001-rooms.sql``),
tables in a schema of its own, every server-side function in a file of its own. A change to a function is a
new file with the whole function again. The folders are applied in the order of the arrows; yoyo keeps the
book of what is applied.

Each file is one transaction with its entry in the book, so a run that is killed can be repeated. Runs exclude
one another. Rights need no line in any file: what the owner makes, ``plexus_writer`` may use and
``plexus_reader`` read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg

log = logging.getLogger(__name__)

OWNERS = (
    "platform",
    "rooms",
    "users",
    "wire",
    "client_api",
    "federation",
    "media",
    "sync",
    "keys",
)
"""Packages below ``plexus`` that may own migrations, in the order of the arrows."""

WRITER = "plexus_writer"
READER = "plexus_reader"

# Milliseconds. A writer that freezes while it holds a lane costs its lane these two seconds, not more; a
# reader may take long. `force_generic_plan`: a call into partitioned tables takes 142 µs instead of 324, and
# what reads a few rows of them costs a third to a half, because no call is planned anew.
ROLE_SETTINGS: dict[str, dict[str, str]] = {
    WRITER: {
        "statement_timeout": "10000",
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "5000",
        "tcp_user_timeout": "10000",
        "plan_cache_mode": "force_generic_plan",
    },
    READER: {
        "statement_timeout": "30000",
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "30000",
        "tcp_user_timeout": "10000",
        "default_transaction_read_only": "on",
        "plan_cache_mode": "force_generic_plan",
    },
}

_RUN_LOCK = 0x706C6578  # any number that nobody else takes


def migration_files(owners: Sequence[str] = OWNERS) -> dict[str, Path]:
    """Every migration that this code brings, by its name ("rooms/0001-tables"), in the order to apply."""
    found: dict[str, Path] = {}
    for owner in owners:
        if find_spec(f"plexus.{owner}") is None:
            continue  # a service that is not part of this image
        folder = Path(str(files(f"plexus.{owner}"))) / "migrations"
        found |= {f"{owner}/{path.stem}": path for path in sorted(folder.glob("*.sql"))}
    return found


class RolesMissingError(Exception):
    """The roles of the services are not there and cannot be made by who migrates."""


def migrate(
    dsn: str,
    owners: Sequence[str] = OWNERS,
    *,
    role_settings: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> list[str]:
    """Apply what is missing and return its names ("rooms/0001-rooms"). Blocking.

    ``dsn`` leads to the owner of the database. The roles are made when that user may do so; otherwise they
    must exist (``docs/operations.md``), else `RolesMissingError`.
    """
    # Only now, here and below: the services know these names and never migrate.
    from plexus.platform.migration_book import Book, migrations_of

    with psycopg.connect(dsn) as guard:
        # Held in a transaction and not in the session, so that it works through a pooler too.
        guard.execute("SELECT pg_advisory_xact_lock(%s)", (_RUN_LOCK,))
        _make_roles(dsn, role_settings)
        with Book(dsn) as book:
            missing = book.to_apply(migrations_of(owners))
            for migration in missing:
                log.info("migration %s", migration.id)
                book.apply_one(migration)
            return [migration.id for migration in missing]


def pending(dsn: str, owners: Sequence[str] = OWNERS) -> list[str]:
    """The names of what `migrate` would apply. Blocking; changes nothing but yoyo's own tables."""
    from plexus.platform.migration_book import Book, migrations_of

    with Book(dsn) as book:
        return [migration.id for migration in book.to_apply(migrations_of(owners))]


def _make_roles(dsn: str, override: Mapping[str, Mapping[str, str]]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        allowed = connection.execute(
            "SELECT rolcreaterole OR rolsuper, current_database() FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert allowed is not None
        may_create, database = allowed
        for role, settings in ROLE_SETTINGS.items():
            exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
            name = psycopg.sql.Identifier(role)
            if may_create:
                if exists is None:
                    connection.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN").format(name))
                for setting, value in {**settings, **override.get(role, {})}.items():
                    connection.execute(
                        psycopg.sql.SQL("ALTER ROLE {} SET {} = {}").format(
                            name, psycopg.sql.Identifier(setting), psycopg.sql.Literal(value)
                        )
                    )
            elif exists is None:
                raise RolesMissingError(
                    f"the role {role} is missing, and this user may not create it: docs/operations.md, "
                    '"PostgreSQL", has the statements'
                )
        _grant(connection, psycopg.sql.Identifier(database))


def _grant(connection: psycopg.Connection[Any], database: psycopg.sql.Identifier) -> None:
    writer, reader = psycopg.sql.Identifier(WRITER), psycopg.sql.Identifier(READER)
    for line in (
        "GRANT CONNECT ON DATABASE {database} TO {writer}, {reader}",
        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {writer}, {reader}",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {reader}",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {writer}",
        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO {writer}",
    ):
        connection.execute(psycopg.sql.SQL(line).format(database=database, writer=writer, reader=reader))
