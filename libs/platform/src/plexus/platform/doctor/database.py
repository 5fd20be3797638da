"""PostgreSQL itself: its version and settings, its roles, and whether our tables are up to date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from plexus.platform.backup.schema import APPLIED, BOOK_EXISTS
from plexus.platform.clock import Clock
from plexus.platform.doctor.findings import Finding, failure, ok, warning
from plexus.platform.migrate import READER, ROLE_SETTINGS, WRITER, migration_files
from plexus.platform.settings import Settings

OLDEST, NEWEST = 15, 18

_LITTLE_SKEW, _MUCH_SKEW = 1.0, 60.0  # seconds

# Off means that what was answered can be gone, or the whole database.
_UNSAFE = {
    "fsync": "a power cut can ruin the whole database",
    "full_page_writes": "a power cut can ruin the whole database",
    "synchronous_commit": "a crash loses messages that were answered",
}

_TIMEOUTS = tuple(name for name in ROLE_SETTINGS[WRITER] if name.endswith("_timeout"))

IDENTITY: LiteralString = """
SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())
  FROM pg_control_system()
"""
"""The same in a database and its physical copies."""

_ROLE_SETTINGS = """
SELECT r.rolname::text, coalesce(array_agg(c ORDER BY s.setdatabase) FILTER (WHERE c IS NOT NULL), '{}')
  FROM pg_roles AS r
  LEFT JOIN pg_db_role_setting AS s ON s.setrole = r.oid
       AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  LEFT JOIN LATERAL unnest(s.setconfig) AS c ON true
 WHERE r.rolname = ANY(%s) GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Store:
    """An open connection, as the role in the settings (embedded: as the owner)."""

    connection: psycopg.AsyncConnection[tuple[Any, ...]]
    settings: Settings
    clock: Clock

    async def fetch(self, query: LiteralString, params: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return await (await self.connection.execute(query, params)).fetchall()

    async def value(self, query: LiteralString) -> Any:
        """The first column of the first row, None without one."""
        rows = await self.fetch(query)
        return rows[0][0] if rows else None


async def version(store: Store) -> list[Finding]:
    return [judge_version(store.connection.info.server_version // 10_000)]


def judge_version(major: int) -> Finding:
    if major < OLDEST:
        return failure(
            "database",
            f"this is PostgreSQL {major}, and Plexus needs {OLDEST} or newer",
            "upgrade PostgreSQL",
        )
    if major > NEWEST:
        return warning(
            "database",
            f"this is PostgreSQL {major}; Plexus was tried with {OLDEST} to {NEWEST}",
            f"take PostgreSQL {NEWEST}, or a newer Plexus",
        )
    return ok("database", f"this is PostgreSQL {major}")


async def primary(store: Store) -> list[Finding]:
    if await store.value("SELECT pg_is_in_recovery()"):
        return [
            failure(
                "database",
                "this is a standby: nothing can be written",
                "let database.dsn lead to the primary; a standby can serve database.reader_dsn",
            )
        ]
    return []


async def unsafe_settings(store: Store) -> list[Finding]:
    found = []
    by_role = await _settings_of_roles(store, [WRITER])
    for name, loss in _UNSAFE.items():
        rows = await store.fetch("SELECT current_setting(%s)", (name,))
        value = by_role.get(WRITER, {}).get(name, rows[0][0])
        if value == "off":
            do = f"take {name} = off out of PostgreSQL's settings and reload it"
            if name in by_role.get(WRITER, {}):
                do = f"ALTER ROLE {WRITER} RESET {name}"
            found.append(failure("database", f"{name} is off: {loss}", do))
        else:
            found.append(ok("database", f"{name} is {value}"))
    return found


async def locale(store: Store) -> list[Finding]:
    encoding = await store.value("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        return [
            failure(
                "locale",
                f"the database is in {encoding} and cannot hold every message",
                "back up, make it anew with ENCODING 'UTF8' and restore",
            )
        ]
    if await store.value("SELECT lower('ÄÖÜ')") != "äöü":
        return [
            failure(
                "locale",
                "the database does not know that ä is the small Ä, so searches miss words",
                "back up, make the database anew with the locale C.UTF-8 (from 17 on LOCALE_PROVIDER builtin "
                "BUILTIN_LOCALE 'C.UTF-8') and restore",
            )
        ]
    return [ok("locale", "umlauts are lower-cased")]


async def roles(store: Store) -> list[Finding]:
    """A writer that freezes while it holds a lane stops the lane until a timeout frees it."""
    wanted = [WRITER, READER]
    ours = str(await store.value("SELECT current_user"))
    if not store.settings.embedded and ours not in wanted:
        wanted.append(ours)
    given = await _settings_of_roles(store, wanted)
    found = []
    for role in wanted:
        if role not in given:
            found.append(failure("roles", f"the role {role} is missing", "run `plexus db migrate`"))
            continue
        lacking = [name for name in _TIMEOUTS if re.fullmatch(r"(0\D*)?", given[role].get(name, ""))]
        if not lacking:
            found.append(ok("roles", f"{role} has its timeouts"))
            continue
        tell = warning if role == READER else failure
        values = ROLE_SETTINGS.get(role, ROLE_SETTINGS[WRITER])
        alter = "; ".join(f"ALTER ROLE {role} SET {name} = '{values[name]}'" for name in lacking)
        if role in ROLE_SETTINGS:
            do = f"run `plexus db migrate` with an owner who has CREATEROLE, or as an administrator: {alter}"
        else:  # which migrations know nothing of; an owner's must not be bounded
            do = f"let database.dsn connect as {WRITER}; or, for a role that owns nothing: {alter}"
        found.append(
            tell(
                "roles",
                f"{role} has no {', '.join(lacking)}: a process that freezes can stop others for good",
                do,
            )
        )
    return found


async def clock(store: Store) -> list[Finding]:
    before = store.clock.now_ms()
    theirs = float(await store.value("SELECT extract(epoch FROM clock_timestamp())::float8"))
    after = store.clock.now_ms()
    apart = abs(theirs - (before + after) / 2000) - (after - before) / 2000
    if apart <= _LITTLE_SKEW:
        return [ok("clock", "the clocks of this machine and of the database agree")]
    tell = failure if apart > _MUCH_SKEW else warning
    return [
        tell(
            "clock",
            f"the clocks of this machine and of the database are {apart:.0f} seconds apart",
            "keep both right with NTP: signatures, certificates and time stamps depend on it",
        )
    ]


async def migrations(store: Store) -> list[Finding]:
    applied = await applied_migrations(store)
    known = migration_files()
    unknown = [name for name in applied if name not in known]
    if unknown:
        return [
            failure(
                "migrations",
                f"a newer Plexus has used this database: it has {unknown[0]}, which this one does not know",
                "run that newer Plexus, or restore a backup from before it",
            )
        ]
    missing = [name for name in known if name not in set(applied)]
    if missing:
        return [
            failure(
                "migrations",
                f"{len(missing)} are to be applied, beginning with {missing[0]}",
                "run `plexus db migrate` (`plexus up` does it too)",
            )
        ]
    return [ok("migrations", "all are applied")]


async def replica(store: Store) -> list[Finding]:
    """The address for reads, if there is one, leads to a copy of the same database."""
    dsn = store.settings.database.reader_dsn
    if dsn is None:
        return []
    try:
        async with await psycopg.AsyncConnection.connect(dsn.get_secret_value(), connect_timeout=5) as reader:
            row = await (await reader.execute(IDENTITY)).fetchone()
    except psycopg.OperationalError as error:
        return [
            failure("database", f"database.reader_dsn leads nowhere: {_words(error)}", "mend the address")
        ]
    [ours] = await store.fetch(IDENTITY)
    if row != ours:
        other = "PostgreSQL" if row is None or row[0] != ours[0] else "database of that PostgreSQL"
        return [
            failure(
                "database",
                f"database.reader_dsn leads to another {other}, not to database.dsn's or a copy of it",
                "let both lead to the same database; the one for reads may be a standby's",
            )
        ]
    return [ok("database", "the address for reads leads to the same database")]


async def applied_migrations(store: Store) -> list[str]:
    if not await store.value(BOOK_EXISTS):
        return []
    return [name for (name,) in await store.fetch(APPLIED)]


def unreachable(error: psycopg.Error) -> Finding:
    return failure(
        "database",
        f"PostgreSQL cannot be reached: {_words(error)}",
        "see that it runs, and that database.dsn has the right address, name and password",
    )


def _words(error: psycopg.Error) -> str:
    # psycopg tells no password.
    return " ".join(str(error).split())


async def _settings_of_roles(store: Store, names: list[str]) -> Mapping[str, Mapping[str, str]]:
    """What ALTER ROLE has given to the roles that there are; in this database goes over everywhere."""
    rows = await store.fetch(_ROLE_SETTINGS, (names,))
    return {role: dict(item.split("=", 1) for item in items) for role, items in rows}
