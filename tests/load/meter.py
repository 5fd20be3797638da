"""What a server's processes used, from /proc: CPU seconds and memory, Plexus and its PostgreSQL apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import PlexusServer

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far."""

    plexus: float
    postgres: float
    harness: float

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.plexus - other.plexus, self.postgres - other.postgres, self.harness - other.harness)


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of these processes and of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile: its time now counts as its parent's
        total += sum(int(x) for x in fields[11:15])
    return total / TICK


def usage(server: PlexusServer) -> Usage:
    plexus, postgres = server.tree()
    return Usage(cpu_seconds(plexus), cpu_seconds(postgres), cpu_seconds([os.getpid()]))


def memory_bytes(pids: Sequence[int]) -> int:
    """Proportional set size: pages shared between processes are counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total
