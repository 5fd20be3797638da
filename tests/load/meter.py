"""What the processes under load used, from /proc: CPU seconds by name, and memory.

CPU is user and system time of a process and of its children that have ended. The kernel counts in ticks of 10
ms, so measure stretches that use some tenths of a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.support.server import PlexusServer

TICK = os.sysconf("SC_CLK_TCK")
HARNESS = "harness"


class System(Protocol):
    """A server under load, of one process or of many."""

    @property
    def base_url(self) -> str: ...

    def processes(self) -> Mapping[str, Sequence[int]]:
        """Process ids by the name that the figures have, at this moment."""
        ...


class Replaceable(System, Protocol):
    """A Plexus whose processes that answer syncs are known, so that their memory can be read."""

    def syncing(self) -> Mapping[str, Sequence[int]]:
        """Their process ids by name, each with its children after it."""
        ...

    def renew(self) -> None:
        """Start them anew and wait until they are ready."""
        ...


@dataclass(frozen=True)
class Embedded:
    """A `plexus up`: itself, and its PostgreSQL."""

    server: PlexusServer

    @property
    def base_url(self) -> str:
        return self.server.base_url

    def processes(self) -> Mapping[str, Sequence[int]]:
        plexus, postgres = self.server.tree()
        return {"plexus": plexus, "postgres": postgres}

    def syncing(self) -> Mapping[str, Sequence[int]]:
        return {"plexus": self.server.tree()[0]}

    def renew(self) -> None:
        self.server.stop()
        self.server.start()


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far, by name; of the harness; of the whole machine."""

    at: float
    seconds: Mapping[str, float]
    harness: float
    machine: float


@dataclass(frozen=True)
class Used:
    """What a stretch of ``elapsed`` seconds took."""

    elapsed: float
    seconds: Mapping[str, float]
    harness: float
    other: float

    @classmethod
    def between(cls, before: Usage, after: Usage) -> Used:
        seconds = {name: after.seconds[name] - before.seconds.get(name, 0.0) for name in after.seconds}
        harness = after.harness - before.harness
        machine = after.machine - before.machine
        other = max(0.0, machine - harness - sum(seconds.values()))
        return cls(after.at - before.at, seconds, harness, other)

    def per(self, what: str, count: int) -> dict[str, float]:
        """Milliseconds for each of ``count`` operations, as ``<name>_ms_per_<what>``."""
        return {f"{name}_ms_per_{what}": round(x / count * 1000, 3) for name, x in self.seconds.items()}

    def shares(self) -> dict[str, float]:
        """The harness, and everything on the machine that is not measured, in percent of one core."""
        return {
            "harness_cpu_pct": round(self.harness / self.elapsed * 100, 1),
            "other_cpu_pct": round(self.other / self.elapsed * 100, 1),
        }

    def percent(self) -> dict[str, float]:
        """Of one core, by name."""
        return {name: round(x / self.elapsed * 100, 2) for name, x in self.seconds.items()}


def usage(system: System) -> Usage:
    seconds = {name: cpu_seconds(pids) for name, pids in system.processes().items()}
    return Usage(time.perf_counter(), seconds, cpu_seconds([os.getpid()]), machine_seconds())


async def idle(system: System, seconds: float) -> dict[str, Any]:
    """What everybody takes while nothing happens, after a moment in which that begins."""
    await asyncio.sleep(5)
    before = usage(system)
    await asyncio.sleep(seconds)
    used = Used.between(before, usage(system))
    return {"cpu_pct": used.percent(), **used.shares()}


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes and of their children that have ended."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile: its time now counts as its parent's
        total += sum(int(x) for x in fields[11:15])
    return total / TICK


def machine_seconds() -> float:
    """Of all processes of this machine: neither idle, nor waiting for a disk, nor taken by its host."""
    line = Path("/proc/stat").read_text().split("\n", 1)[0]
    user, nice, system, _idle, _iowait, irq, softirq = (int(x) for x in line.split()[1:8])
    return (user + nice + system + irq + softirq) / TICK


def with_children(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def memory_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: pages shared between processes are counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def begin_peak(pid: int) -> int:
    """Look for the largest memory of a process from now on; returns what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_bytes(pid)


def peak_bytes(pid: int) -> int:
    """The largest resident set since `begin_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} is not here any more")
