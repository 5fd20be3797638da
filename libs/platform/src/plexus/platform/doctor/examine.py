"""All checks, in the order in which one thing needs the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
from plexus.platform.clock import Clock, SystemClock
from plexus.platform.compose import embedded_postgres, postgres_folder
from plexus.platform.doctor import cluster, database, disk, keys, lanes, policy, primary
from plexus.platform.doctor.database import Store
from plexus.platform.doctor.findings import Finding, failure, ok
from plexus.platform.doctor.kafka import kafka
from plexus.platform.doctor.media import media
from plexus.platform.doctor.ports import ports
from plexus.platform.embedded import EmbeddedPostgresError, running
from plexus.platform.settings import Settings, SettingsError

Check = Callable[[Store], Awaitable[list[Finding]]]

_HERE: tuple[Callable[[Settings, Clock], list[Finding]], ...] = (
    lambda settings, _: policy.name(settings),
    lambda settings, _: policy.registration(settings),
    lambda settings, _: policy.rate_limits(settings),
    lambda settings, _: policy.proxies(settings),
    keys.signing_key,
    keys.certificate,
    lambda settings, _: keys.authorities(settings),
    lambda settings, _: disk.writable(settings),
    lambda settings, _: disk.space(settings),
    lambda settings, _: disk.files(settings),
)
_SERVER: tuple[Check, ...] = (
    database.version,
    database.primary,
    database.unsafe_settings,
    database.locale,
    database.roles,
    database.clock,
    primary.pooler,
    primary.replication,
    primary.connections,
    database.replica,
    database.migrations,
)
_LANES: tuple[Check, ...] = (primary.roles, lanes.deployment, lanes.segments, lanes.generation)

_OWNER = "run this as the user that Plexus runs as, and let that user own the data folder"
_CONNECT_SECONDS = 5


async def examine(settings: Settings, *, clock: Clock | None = None) -> list[Finding]:
    """Look at everything, and change nothing: what it writes to try whether it may, it takes away again.
    Raises nothing that is wrong with the server.
    """
    clock = clock or SystemClock()
    found = [finding for check in _HERE for finding in _tell_here(check, settings, clock)]
    found += await ports(settings, runs=_runs(settings))
    found += await media(settings)
    found += await cluster.calls(settings)
    found += await cluster.redis(settings, clock)
    found += await kafka(settings)
    if settings.embedded and not (postgres_folder(settings) / "data").exists():
        found.append(ok("database", "there is none yet: the first `plexus up` makes it"))
        return found
    try:
        async with _open(settings) as connection:
            found += await _look_at(Store(connection, settings, clock))
    except EmbeddedPostgresError as error:
        found.append(
            failure(
                "database",
                f"the embedded PostgreSQL does not start: {error}",
                f"{postgres_folder(settings) / 'log'} has the details",
            )
        )
    except psycopg.Error as error:
        found.append(database.unreachable(error))
    except OSError as error:
        found.append(failure("database", f"the embedded PostgreSQL does not start: {error}", _OWNER))
    return found


def settings_findings(error: SettingsError) -> list[Finding]:
    """For settings that cannot be read: one finding for each problem."""
    return [
        failure("settings", problem, "correct it in the settings file or the environment; docs/settings.md")
        for problem in error.problems
    ]


async def _look_at(store: Store) -> list[Finding]:
    found: list[Finding] = []
    for check in _SERVER:
        found += await _tell(check, store)
    if "platform/0005-lanes-create" in await database.applied_migrations(store):
        for check in _LANES:
            found += await _tell(check, store)
    return found


def _tell_here(
    check: Callable[[Settings, Clock], list[Finding]], settings: Settings, clock: Clock
) -> list[Finding]:
    try:
        return check(settings, clock)
    except OSError as error:
        return [failure("disk", f"{error.filename} cannot be looked at: {error.strerror}", _OWNER)]


async def _tell(check: Check, store: Store) -> list[Finding]:
    try:
        return await check(store)
    except psycopg.OperationalError:
        raise  # the connection is gone: so are the other checks
    except psycopg.Error as error:
        what = (check.__doc__ or check.__name__).split("\n")[0]
        return [
            failure(
                "database",
                f"a check could not be made ({check.__name__}): {error}",
                f"see that the role in database.dsn may read Plexus' tables; the check: {what}",
            )
        ]


def _runs(settings: Settings) -> bool | None:
    return running(postgres_folder(settings)) is not None if settings.embedded else None


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection[tuple[object, ...]]]:
    """To the database in the settings; to the embedded one as its owner, started if it does not run."""
    if settings.database.dsn is not None:
        async with _connect(settings.database.dsn.get_secret_value()) as connection:
            yield connection
        return
    beside = running(postgres_folder(settings))
    if beside is not None:
        async with _connect(beside.dsn()) as connection:
            yield connection
        return
    server = embedded_postgres(settings)
    await asyncio.to_thread(server.start)
    try:
        async with _connect(server.dsn()) as connection:
            yield connection
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def _connect(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[object, ...]]]:
    async with await psycopg.AsyncConnection.connect(
        dsn,
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=_CONNECT_SECONDS,
        application_name="plexus-doctor",
        client_encoding="utf8",  # also where the server holds another one: that is a finding
    ) as connection:
        yield connection
