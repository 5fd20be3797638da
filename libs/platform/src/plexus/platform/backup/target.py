"""Looking at the database that is to be overwritten."""

from __future__ import annotations

import time
from collections.abc import Sequence

from plexus.platform.backup.errors import (
    BackupError,
    NewerBackupError,
    TargetInUseError,
    TargetNotEmptyError,
)
from plexus.platform.backup.schema import (
    Connection,
    applied_migrations,
    plexus_schemas,
    tables,
)
from plexus.platform.migrate import migration_files
from psycopg import sql

# What a server that nobody has used yet holds already.
_BOOKKEEPING = frozenset(
    {"lanes.deployment", "lanes.lane", "lanes.segment", "lanes.generation", "lanes.cursor", "platform.lease"}
)

_LEAVING_SECONDS = 2.0

_CONNECTED = """
SELECT application_name FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'plexus-%'
"""


def check(connection: Connection, owners: Sequence[str], *, replace: bool) -> None:
    """Refuse a target where a restore would do harm. Changes nothing."""
    row = connection.execute("SELECT current_setting('server_encoding')").fetchone()
    if row is None or row[0] != "UTF8":
        raise BackupError("the database is not in UTF-8: make it with ENCODING 'UTF8'")
    if _is_in_use(connection):
        raise TargetInUseError("Plexus is running on this database: stop it first (all of its replicas)")
    applied = applied_migrations(connection)
    unknown = [name for name in applied if name not in migration_files(owners)]
    if unknown:
        raise NewerBackupError(
            f"a newer Plexus has used this database: it has the migration {unknown[0]}, which this one does "
            "not know"
        )
    if replace:
        return
    filled = filled_tables(connection, owners)
    if filled:
        raise TargetNotEmptyError(
            f"the database is not empty: it holds rows in {', '.join(filled[:5])}"
            f"{' and others' if len(filled) > 5 else ''}. Take an empty one, or say that what it "
            "holds may be replaced."
        )


def _is_in_use(connection: Connection) -> bool:
    """Whether a Plexus is connected, and stays so: the backends of one that has just been stopped take a
    moment to notice that their clients have gone.
    """
    until = time.monotonic() + _LEAVING_SECONDS
    while connection.execute(_CONNECTED).fetchone() is not None:
        if time.monotonic() > until:
            return True
        time.sleep(0.05)
        # Within a transaction PostgreSQL shows who is connected as it was at the first look.
        connection.execute("SELECT pg_stat_clear_snapshot()")
    return False


def filled_tables(connection: Connection, owners: Sequence[str]) -> list[str]:
    """The tables with rows, apart from what a fresh server has; schemas of ours that are not yet there
    have none.
    """
    filled = []
    for table in tables(connection, plexus_schemas(owners)):
        if table.full_name in _BOOKKEEPING:
            continue
        look = sql.SQL("SELECT FROM {} LIMIT 1").format(table.identifier)
        if connection.execute(look).fetchone() is not None:
            filled.append(table.full_name)
    return filled
