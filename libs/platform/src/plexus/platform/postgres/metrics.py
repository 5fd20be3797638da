"""The pools' state as metrics, read when somebody collects: the hot path only counts in plain integers.

Names are OpenTelemetry's for database clients, and ours for what it has no name for.
"""

from __future__ import annotations

from collections.abc import Callable

from plexus.platform.postgres.database import Database
from plexus.platform.postgres.pool import ConnectionPool
from plexus.platform.telemetry.metrics import Attributes, Metrics

_POOL = "db.client.connection.pool.name"
_STATE = "db.client.connection.state"


def observe(metrics: Metrics, db: Database) -> None:
    """Register the gauges of the pools."""
    pools = (db.writers, db.callers, db.readers)

    def each(read: Callable[[ConnectionPool], float]) -> Callable[[], dict[Attributes, float]]:
        return lambda: {((_POOL, pool.name),): read(pool) for pool in pools}

    def by_state() -> dict[Attributes, float]:
        found: dict[Attributes, float] = {}
        for pool in pools:
            found[(_POOL, pool.name), (_STATE, "used")] = pool.in_use
            found[(_POOL, pool.name), (_STATE, "idle")] = pool.idle
        return found

    metrics.gauge("db.client.connection.count", by_state, "{connection}", "Open now, by state.")
    metrics.gauge("db.client.connection.max", each(lambda pool: pool.size), "{connection}", "The budget.")
    waiting = each(lambda pool: pool.waiting)
    metrics.gauge("db.client.connection.pending_requests", waiting, "{request}", "Callers waiting now.")
    for name, read in (
        ("acquired", lambda pool: pool.stats.acquired),
        ("waited", lambda pool: pool.stats.waited),
        ("exhausted", lambda pool: pool.stats.exhausted),
        ("connected", lambda pool: pool.stats.connected),
        ("connect_failures", lambda pool: pool.stats.connect_failures),
    ):
        metrics.gauge(f"plexus.postgres.{name}", each(read), "1", "Since the start of the process.")
