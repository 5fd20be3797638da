"""`make bench`, the part of sync: a table, JSON and a plot in tests/load/out.

    python -m tests.load.sync              about ten minutes
    python -m tests.load.sync --quick      about one

What needs a cluster (facts that interest nobody, the same load on more replicas) is in ``cluster``.
docs/performance.md says how to read the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import uvloop

from tests.load import large, polls, syncs
from tests.load.meter import Embedded
from tests.load.workloads import Figures, World
from tests.support.server import PlexusServer

OUT = Path(__file__).parent / "out"
ROUNDS = ("increments", "lean", "many", "large", "held")


@dataclass(frozen=True)
class Sizes:
    syncs: int
    listeners: int
    sends: int
    rooms: int
    members: int
    polls: int


FULL = Sizes(syncs=4_000, listeners=1_000, sends=10, rooms=300, members=300, polls=5_000)
QUICK = Sizes(syncs=500, listeners=200, sends=4, rooms=40, members=40, polls=500)


async def measure(server: PlexusServer, sizes: Sizes, rounds: tuple[str, ...]) -> dict[str, Any]:
    """What was asked for; held polls last, for they begin with a new server."""
    system = Embedded(server)
    world = World(system)
    results: dict[str, Any] = {}
    if "increments" in rounds:
        print("· syncs that are answered at once, 100 rooms", flush=True)
        results["increments"] = await syncs.increments(world, rooms=100, syncs=sizes.syncs)
    if "lean" in rounds:
        print("· first syncs of 100 rooms of 20 messages", flush=True)
        results["lean"] = await syncs.lean_initial(world, rooms=100, messages=20, syncs=30)
    if "many" in rounds:
        print(f"· one message to {sizes.listeners:,} members", flush=True)
        results["many"] = await syncs.one_to_many(world, members=sizes.listeners, sends=sizes.sends)
    if "large" in rounds:
        print(f"· first syncs of {sizes.rooms} rooms of {sizes.members} members", flush=True)
        crowd = await large.fill(world, rooms=sizes.rooms, members=sizes.members)
        results["large"] = await large.large_initial(world, system, crowd, rooms=sizes.rooms, syncs=8)
    if "held" in rounds:
        print(f"· {sizes.polls:,} held polls", flush=True)
        results["held"] = await polls.held_polls(world, system, count=sizes.polls)
    return results


def table(results: Mapping[str, Any], sizes: Sizes) -> str:
    rows = {f"increment, {name}": x for name, x in results.get("increments", {}).items()}
    rows |= {f"first sync, 100 rooms, {name}": x for name, x in results.get("lean", {}).items()}
    large = f"first sync, {sizes.rooms} rooms of {sizes.members}"
    rows |= {f"{large}, {name}": x for name, x in results.get("large", {}).items()}
    titles = {
        "per_s": "/s",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "plexus_ms_per_sync": "Plexus CPU ms",
        "postgres_ms_per_sync": "PostgreSQL ms",
        "peak_mib": "peak MiB",
        "harness_cpu_pct": "harness %",
        "other_cpu_pct": "others %",
    }
    lines = [f"{'':44s}" + "".join(f"{title:>15s}" for title in titles.values())] if rows else []
    for name, figures in rows.items():
        lines.append(f"{name:44s}" + "".join(f"{figures.get(key, ''):>15}" for key in titles))
    if "many" in results:
        many = results["many"]
        lines.append(
            f"one message to {many['members']:,} members: p50 {many['p50_ms']} ms, p99 {many['p99_ms']} ms; "
            f"CPU ms a delivery {many['plexus_ms_per_delivery']} Plexus, "
            f"{many['postgres_ms_per_delivery']} PostgreSQL; harness {many['harness_cpu_pct']} %, "
            f"others {many['other_cpu_pct']} %"
        )
    if "held" in results:
        lines.append(held_line(results["held"]))
    return "\n".join(lines)


def held_line(held: Figures) -> str:
    return (
        f"{held['held']:,} held polls: {held['kb_per_poll']} kB each ({held['fresh_mib']} MiB fresh, "
        f"{held['held_mib']} MiB held), idle CPU {held['idle_plexus_cpu_pct']} % Plexus, "
        f"{held['idle_postgres_cpu_pct']} % PostgreSQL"
    )


def plot(results: Mapping[str, Any], target: Path) -> None:
    """What was measured; the place of another stays empty."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(13, 8), layout="constrained")
    (increments, lean), (large, many) = axes
    bars(increments, results.get("increments", {}), "CPU ms a sync, answered at once, 100 rooms")
    bars(lean, results.get("lean", {}), "CPU ms a first sync, 100 rooms, lazy-loading")
    bars(large, results.get("large", {}), "CPU ms a first sync, large rooms")
    if "many" in results:
        found = results["many"]
        many.bar(["p50", "p95", "p99"], [found[f"p{p}_ms"] for p in (50, 95, 99)], color="lightsteelblue")
        many.set(title=f"one message to {found['members']:,} members: ms from send to sync")
    if "held" in results:
        figure.suptitle(held_line(results["held"]), fontsize=10)
    figure.savefig(target, dpi=100)


def bars(axes: Any, found: Mapping[str, Figures], title: str) -> None:
    axes.set(title=title)
    if not found:
        return
    names = [name.replace(", ", ",\n") for name in found]
    own = [figures["plexus_ms_per_sync"] for figures in found.values()]
    axes.bar(names, own, label="Plexus", color="steelblue")
    below = [figures["postgres_ms_per_sync"] for figures in found.values()]
    axes.bar(names, below, bottom=own, label="PostgreSQL", color="lightsteelblue")
    for at, whole in enumerate(map(sum, zip(own, below, strict=True))):
        axes.annotate(f"{whole:.3g} ms", (at, whole), ha="center", va="bottom")
    axes.margins(y=0.15)
    axes.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--rounds", nargs="+", choices=ROUNDS, default=ROUNDS, help="which to run")
    known = parser.parse_args()
    sizes = QUICK if known.quick else FULL
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plexus-bench-") as folder:
        Path(folder).chmod(0o755)
        quiet = {"PLEXUS_TELEMETRY__LOG_LEVEL": "warning"}
        with (
            PlexusServer(Path(folder) / "data", quiet) as server,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            results = runner.run(measure(server, sizes, tuple(known.rounds)))
    (OUT / "sync.json").write_text(json.dumps({"quick": known.quick} | results, indent=2) + "\n")
    plot(results, OUT / "sync.png")
    print(table(results, sizes))
    print(f"written: {OUT / 'sync.json'}, {OUT / 'sync.png'}")


if __name__ == "__main__":
    main()
