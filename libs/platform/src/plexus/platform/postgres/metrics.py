"""The pools' state as metrics, read when somebody collects: the hot path only counts in plain integers."""

from __future__ import annotations

from collections.abc import Callable

from plexus.platform.postgres.database import Database
from plexus.platform.postgres.pool import ConnectionPool
from plexus.platform.telemetry.metrics import Attributes, Metrics


def observe(metrics: Metrics, db: Database) -> None:
    """Register the gauges of the pools."""
    pools = (db.writers, db.callers, db.readers)

    def each(read: Callable[[ConnectionPool], float]) -> Callable[[], dict[Attributes, float]]:
        return lambda: {(("pool", pool.name),): read(pool) for pool in pools}

    metrics.gauge("plexus.postgres.connections.used", each(lambda pool: pool.in_use), "1", "In use now.")
    metrics.gauge("plexus.postgres.connections.max", each(lambda pool: pool.size), "1", "The budget.")
    metrics.gauge("plexus.postgres.waiting", each(lambda pool: pool.waiting), "1", "Callers waiting now.")
    for name, read in (
        ("acquired", lambda pool: pool.stats.acquired),
        ("waited", lambda pool: pool.stats.waited),
        ("exhausted", lambda pool: pool.stats.exhausted),
        ("connected", lambda pool: pool.stats.connected),
        ("connect_failures", lambda pool: pool.stats.connect_failures),
    ):
        metrics.gauge(f"plexus.postgres.{name}", each(read), "1", "Since the start of the process.")
