"""The composition of the platform: which adapter stands behind each port.

`open_platform` opens everything in order and closes it in reverse order; tests and commands use the same.

    settings ─ telemetry ─ signing keys ─ PostgreSQL (embedded: started, migrated) ─ lanes ─ ports

An adapter that not every process has is imported where it is opened: a server without Kafka and Redis starts
sooner without their clients, and so does a cluster's process without the embedded PostgreSQL.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from plexus.platform.cache import MemoryCache
from plexus.platform.calls import HttpCalls, open_calls
from plexus.platform.clock import Clock, SystemClock
from plexus.platform.context import Platform
from plexus.platform.drain import DrainSignal
from plexus.platform.ephemeral import MemoryEphemeral
from plexus.platform.lanes import LaneFanout, LaneLog, LaneMap, MemoryFanout, Segments, read_lane_map
from plexus.platform.lanes.metrics import observe_segments
from plexus.platform.lanes.torture import tortured
from plexus.platform.leadership import LeasedRows
from plexus.platform.limits import RateLimiter
from plexus.platform.marks import Marks, MemoryMarks, NoMarks
from plexus.platform.migrate import READER, WRITER, migrate
from plexus.platform.objects import open_objects
from plexus.platform.periodic import PeriodicJob
from plexus.platform.ports import Cache, Ephemeral, Leadership
from plexus.platform.postgres import Database
from plexus.platform.postgres.metrics import observe
from plexus.platform.schema import require_schema
from plexus.platform.settings import DatabaseSettings, LeadershipSettings, Settings
from plexus.platform.settings.cluster import KafkaSettings
from plexus.platform.signing import SigningKeys, create_signing_key
from plexus.platform.telemetry import Telemetry
from plexus.platform.telemetry.metrics import Metrics
from plexus.platform.watch import Watcher

if TYPE_CHECKING:
    from plexus.platform.embedded import EmbeddedPostgres

logger = logging.getLogger(__name__)

_WITHOUT_JOBS = ("cli", "test")
"""Processes that are here for a moment and leave the periodic jobs to others."""


@asynccontextmanager
async def open_platform(
    settings: Settings, *, service: str, clock: Clock | None = None, alone: bool = True
) -> AsyncIterator[Platform]:
    """Everything a service stands on, for the time of the block.

    ``service`` names the process in traces (``all``, ``client-api``, ``cli``). Not ``alone``: other processes
    serve the same users. Raises `SigningKeysError`,
    `EmbeddedPostgresError`, `StoreUnavailable` or `SchemaError` with a message for the operator when it
    cannot start.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        telemetry = Telemetry(settings.telemetry, service)
        stack.push_async_callback(asyncio.to_thread, telemetry.shutdown)

        if settings.embedded and settings.signing.key_file is None:
            # A new deployment. On a cluster all replicas share a key, so none may make one.
            await asyncio.to_thread(create_signing_key, settings.signing_key_file)
        keys = SigningKeys(settings.signing_key_file, settings.old_keys_file, clock)
        watcher = Watcher(settings.signing.reload_seconds)
        watcher.add(keys.watched)
        await watcher.start()
        stack.push_async_callback(watcher.stop)

        writer, reader = await _addresses(settings, stack)
        db = await stack.enter_async_context(_database(settings.database, writer, reader))
        observe(telemetry.metrics, db)

        await require_schema(db)
        lanes = await read_lane_map(db)
        log = LaneLog(db, lanes)
        await log.start(embedded=settings.embedded)
        fanout = tortured(_fanout(settings.kafka, lanes, telemetry.metrics))
        await fanout.start()
        stack.push_async_callback(fanout.stop)

        leadership = await _leadership(settings.leadership, db)
        stack.push_async_callback(leadership.close)
        if service not in _WITHOUT_JOBS:
            facts = settings.facts
            segments = Segments(
                db,
                log,
                length=facts.segment_hours * 3600,
                keep=facts.retention_days * 86_400,
                ahead=facts.segments_ahead,
            )
            observe_segments(telemetry.metrics, segments)
            job = PeriodicJob(leadership, "lanes.segments", segments.maintain, every=60)
            await job.start()
            stack.push_async_callback(job.stop)
            watch = asyncio.create_task(segments.watch(), name="lanes.segments.watch")
            stack.push_async_callback(_cancelled, watch)

        calls = open_calls(settings.calls, telemetry)
        stack.push_async_callback(calls.close)
        if isinstance(calls, HttpCalls) and calls.tls is not None:
            watcher.add(calls.tls.watched)

        marks, cache, ephemeral = await _shared_state(settings, stack, telemetry, clock, alone=alone)

        yield Platform(
            settings=settings,
            clock=clock,
            db=db,
            lanes=lanes,
            log=log,
            fanout=fanout,
            marks=marks,
            cache=cache,
            ephemeral=ephemeral,
            objects=open_objects(settings.media, settings.data_dir),
            limits=RateLimiter(ephemeral, settings.rate_limits),
            leadership=leadership,
            calls=calls,
            keys=keys,
            telemetry=telemetry,
            drain=DrainSignal(),
        )


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """The embedded server of these settings, not yet started; its folder is ``<data_dir>/postgres``."""
    from plexus.platform.embedded import EmbeddedPostgres

    options = settings.database.embedded
    return EmbeddedPostgres(
        postgres_folder(settings),
        port=options.port or None,
        settings={
            "shared_buffers": f"{options.shared_buffers_mb}MB",
            "max_connections": str(options.max_connections),
            "commit_delay": str(options.commit_delay_us),
        },
    )


def postgres_folder(settings: Settings) -> Path:
    return settings.data_dir / "postgres"


def role_settings(settings: DatabaseSettings) -> Mapping[str, Mapping[str, str]]:
    """What `migrate` gives to the roles, because ``SET`` does not survive a pooler."""
    timeouts = {
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(settings.lock_timeout_ms),
    }
    # A statement that is planned for each call had better be planned for what it asks.
    plans = {} if settings.prepared_statements else {"plan_cache_mode": "auto"}
    return {WRITER: timeouts, READER: timeouts | plans}


async def _addresses(settings: Settings, stack: AsyncExitStack) -> tuple[str, str | None]:
    """The DSNs of the writer and of the reader; starts and migrates the embedded server if it is ours."""
    dsn = settings.database.dsn
    if dsn is not None:
        reader = settings.database.reader_dsn
        return dsn.get_secret_value(), reader.get_secret_value() if reader is not None else None
    server = embedded_postgres(settings)
    await asyncio.to_thread(server.start)
    stack.push_async_callback(asyncio.to_thread, server.stop)
    applied = await asyncio.to_thread(migrate, server.dsn(), role_settings=role_settings(settings.database))
    if applied:
        logger.info("Applied %d migrations", len(applied))
    return server.dsn(WRITER), server.dsn(READER)


def _fanout(settings: KafkaSettings, lanes: LaneMap, metrics: Metrics) -> LaneFanout:
    if not settings.bootstrap_servers:
        return MemoryFanout()
    from plexus.platform.kafka import KafkaFanout

    return KafkaFanout(settings, lanes, metrics)


async def _shared_state(
    settings: Settings, stack: AsyncExitStack, telemetry: Telemetry, clock: Clock, *, alone: bool
) -> tuple[Marks, Cache, Ephemeral]:
    """What replicas share for a moment: in Redis if there is one, which need not answer now."""
    marks: Marks
    cache: Cache
    ephemeral: Ephemeral
    if settings.redis.url is None:
        marks = MemoryMarks(clock) if alone else NoMarks()
        cache, ephemeral = MemoryCache(clock), MemoryEphemeral(clock)
    else:
        from plexus.platform.redis import RedisCache, RedisConnection, RedisEphemeral, RedisMarks

        redis = RedisConnection(settings.redis, telemetry.metrics)
        kept = RedisMarks(redis)
        marks, cache, ephemeral = kept, RedisCache(redis), RedisEphemeral(redis, clock)
        await redis.start()
        stack.push_async_callback(redis.close)
        await kept.start()
    stack.push_async_callback(cache.close)
    stack.push_async_callback(ephemeral.close)
    return marks, cache, ephemeral


async def _leadership(settings: LeadershipSettings, db: Database) -> Leadership:
    if settings.kind == "database":
        return LeasedRows(db)
    # Its client takes a second to import: only for those who asked for it.
    from plexus.platform.leases import KubernetesLeases, connect

    leases = KubernetesLeases(db, await asyncio.to_thread(connect, settings))
    leases.start()
    return leases


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _database(settings: DatabaseSettings, writer: str, reader: str | None) -> Database:
    return Database(
        writer,
        reader,
        writers=settings.writer_pool,
        readers=settings.reader_pool,
        callers=settings.call_pool,
        wait=settings.acquire_timeout_ms / 1000,
        call_timeout=settings.call_timeout_ms / 1000,
        most_waiting=settings.max_waiting,
        prepared=settings.prepared_statements,
    )
