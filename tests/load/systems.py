"""A cluster under load: which processes it has, by the names that the figures use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plexus.platform.marks import TTL_SECONDS

from deploy.local.cluster import REPLICAS, Cluster
from tests.load.meter import with_children
from tests.support.server import OPEN

BELOW = ("postgres", "pgbouncer", "kafka", "redis", "gateway")
"""Programs of a cluster that are not ours. All others are services of Plexus."""

STORE = ("postgres", "pgbouncer")
"""What a service does not do itself, and a leaner service could not save."""

QUIET = OPEN | {"PLEXUS_TELEMETRY__LOG_LEVEL": "warning"}
"""No rate limits, cheap password hashes, no log of requests."""


@dataclass(frozen=True)
class Clustered:
    """Each program by its name: ``client-api-1``, ``sync-2``, ``postgres``, ``gateway``."""

    cluster: Cluster
    settled_at: float
    """By the monotonic clock: as long as its new Redis may lack marks, each sync reads PostgreSQL's heads
    instead.
    """

    @property
    def base_url(self) -> str:
        return self.cluster.base_url

    def processes(self) -> Mapping[str, Sequence[int]]:
        return {program.name: with_children(program.pid) for program in self.cluster.programs}

    def syncing(self) -> Mapping[str, Sequence[int]]:
        return {process.name: with_children(process.pid) for process in self.cluster.of("sync")}

    def renew(self) -> None:
        for process in self.cluster.of("sync"):
            self.cluster.restart(process.name)

    def settle(self) -> None:
        """Wait for what is left of the time in which it does more than it will."""
        time.sleep(max(0.0, self.settled_at - time.monotonic()))


@contextmanager
def running_cluster(
    folder: Path,
    *,
    sync: int = REPLICAS["sync"],
    settings: Mapping[str, str] | None = None,
    settle: bool = True,
) -> Iterator[Clustered]:
    """A cluster of one's own on an empty folder, with this many sync replicas, when it has settled; else who
    takes it prepares something meanwhile, and waits then.
    """
    replicas = {**REPLICAS, "sync": sync}
    with Cluster(folder, replicas=replicas, settings=QUIET | dict(settings or {})) as cluster:
        system = Clustered(cluster, time.monotonic() + TTL_SECONDS + 5)
        if settle:
            system.settle()
        yield system


def service_of(program: str) -> str:
    """``sync`` of ``sync-2``; what is not a service of Plexus is itself."""
    return program if program in BELOW else program.rpartition("-")[0]


def by_service(figures: Mapping[str, float]) -> dict[str, float]:
    """The sum over the replicas of each."""
    sums: dict[str, float] = {}
    for program, value in figures.items():
        name = service_of(program)
        sums[name] = sums.get(name, 0.0) + value
    return sums
