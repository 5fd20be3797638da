"""How a cluster's PostgreSQL is reached and kept: its three roles, a pooler in between, a second copy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString, NamedTuple

import psycopg
from plexus.platform.doctor.database import IDENTITY, Store
from plexus.platform.doctor.findings import Finding, failure, ok, warning
from plexus.platform.migrate import READER, WRITER

_MAY: LiteralString = """
SELECT current_user::text,
       has_table_privilege('lanes.lane', 'UPDATE'),
       has_table_privilege('lanes.lane', 'SELECT'),
       pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'lanes.lane'::regclass), 'USAGE')
"""

_CONNECTIONS: LiteralString = """
SELECT current_setting('max_connections')::integer
       - current_setting('superuser_reserved_connections')::integer
"""


async def roles(store: Store) -> list[Finding]:
    """The writer, the reader and the owner of the settings can connect, and may do what they must."""
    if store.settings.embedded:
        return []
    given = store.settings.database
    found = []
    [ours] = await store.fetch(IDENTITY)
    for name, dsn, judge in (
        ("dsn", given.dsn, _judge_writer),
        ("reader_dsn", given.reader_dsn, _judge_reader),
        ("owner_dsn", given.owner_dsn, _judge_owner),
    ):
        if dsn is None:
            continue
        try:
            async with _connected(dsn.get_secret_value()) as connection:
                there = await (await connection.execute(IDENTITY)).fetchone()
                row = await (await connection.execute(_MAY)).fetchone() if there == ours else None
        except psycopg.OperationalError as error:
            if name == "reader_dsn":
                continue  # database.replica has said it
            says = f"database.{name} leads nowhere: {' '.join(str(error).split())}"
            found.append(failure("database", says, "mend its address, name or password"))
            continue
        if row is not None:
            found.append(judge(f"database.{name} connects as {row[0]}, who", _Rights(*row[1:])))
        elif name == "owner_dsn":
            says = f"database.{name} leads to another database than database.dsn, which commands would change"
            found.append(failure("database", says, "let both lead to the same database"))
    return found


class _Rights(NamedTuple):
    """What a role may do with a table of ours."""

    write: bool
    read: bool
    own: bool


def _judge_writer(who: str, may: _Rights) -> Finding:
    if not may.write:
        return failure("roles", f"{who} may not write Plexus' tables", f"let it connect as {WRITER}")
    if may.own:
        says = f"{who} owns Plexus' tables: a service could drop them, and nothing bounds its statements"
        return warning("roles", says, f"let it connect as {WRITER}; the owner is for database.owner_dsn")
    return ok("roles", f"{who} may write Plexus' tables")


def _judge_reader(who: str, may: _Rights) -> Finding:
    if not may.read:
        return failure("roles", f"{who} may not read Plexus' tables", f"let it connect as {READER}")
    if may.write:
        says = f"{who} may write Plexus' tables, which who reads need not"
        return warning("roles", says, f"let it connect as {READER}")
    return ok("roles", f"{who} may read Plexus' tables")


def _judge_owner(who: str, may: _Rights) -> Finding:
    if not may.own:
        do = "let it connect as the owner of its tables"
        return failure("roles", f"{who} does not own Plexus' tables", do)
    return ok("roles", f"{who} owns Plexus' tables")


async def pooler(store: Store) -> list[Finding]:
    """Whether a pooler is in between, and prepared statements survive it."""
    if store.settings.embedded:
        return []
    if not await _is_pooled(store):
        return [ok("pooler", "no pooler is between Plexus and PostgreSQL")]
    if not store.settings.database.prepared_statements:
        return [ok("pooler", "a pooler is between, and nothing is prepared")]
    dsn = store.settings.database.dsn
    if dsn is not None and not await _carries_prepared(dsn.get_secret_value()):
        return [
            failure(
                "pooler",
                "the pooler in between loses prepared statements, and with them every other write",
                "set database.prepared_statements = false",
            )
        ]
    return [
        warning(
            "pooler",
            "a pooler is between, and gets several calls on a connection before it has answered the first, "
            "which one that pools transactions may mix up",
            "set database.prepared_statements = false, unless it pools sessions",
        )
    ]


async def replication(store: Store) -> list[Finding]:
    """A commit that was answered is on two machines."""
    if store.settings.embedded:
        return []
    names = str(await store.value("SELECT current_setting('synchronous_standby_names')"))
    if names.strip():
        return [ok("standby", f"commits wait for a standby ({names})")]
    return [
        warning(
            "standby",
            "commits wait for no standby: a failover loses the last messages that were answered",
            "set synchronous_standby_names, so that a second machine has what was answered",
        )
    ]


async def connections(store: Store) -> list[Finding]:
    """PostgreSQL takes the connections of one process of each service. Behind a pooler it need not."""
    given = store.settings.database
    if store.settings.embedded or await _is_pooled(store):
        return []
    most = int(await store.value(_CONNECTIONS))
    each = given.writer_pool + given.reader_pool + given.call_pool
    if each * 6 > most:
        return [
            warning(
                "connections",
                f"a process takes up to {each} connections, and PostgreSQL has {most}: enough for "
                f"{most // each} processes",
                "raise max_connections, make database.writer_pool, reader_pool and call_pool smaller, or put "
                "a pgbouncer in between",
            )
        ]
    return [ok("connections", f"PostgreSQL has connections for {most // each} processes")]


async def _is_pooled(store: Store) -> bool:
    """A pooler tells its client of a backend that PostgreSQL does not have."""
    told = store.connection.info.backend_pid
    return int(await store.value("SELECT pg_backend_pid()")) != told


async def _carries_prepared(dsn: str) -> bool:
    """Prepare on one server connection, and use it while somebody else has that one."""
    query: LiteralString = "SELECT 'plexus-doctor'"
    async with _connected(dsn) as first, _connected(dsn) as second:
        first.prepare_threshold = 0
        try:
            await first.execute(query, prepare=True)
            await second.execute("BEGIN")
            await second.execute("SELECT 1")
            await first.execute(query, prepare=True)
        except (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement):
            return False
        return True


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    async with await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, prepare_threshold=None, connect_timeout=5, application_name="plexus-doctor"
    ) as connection:
        yield connection
