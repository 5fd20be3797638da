"""`make bench`: what an embedded Plexus does on this machine, as a table, JSON and a plot in tests/load/out.

    python -m tests.load.bench              about seven minutes
    python -m tests.load.bench --quick      about two

The server is a `plexus up` of its own on an empty folder, with rate limits off and cheap password hashes;
PostgreSQL runs with its safe settings. docs/performance.md says how to read the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import uvloop

from tests.load import rooms
from tests.load.meter import Embedded
from tests.load.workloads import Figures, World, fanout, sends
from tests.support.server import PlexusServer

OUT = Path(__file__).parent / "out"


async def measure(server: PlexusServer, quick: bool) -> dict[str, Any]:
    world = World(Embedded(server))
    messages = 1_000 if quick else 4_000
    rates = (2, 10) if quick else (2, 10, 25, 50)
    results: dict[str, Any] = {}
    print("· sends into one room", flush=True)
    results["send_one_room"] = await sends(world, senders=16, messages=messages, one_room=True)
    print("· sends into many rooms", flush=True)
    results["send_many_rooms"] = await sends(world, senders=16, messages=messages, one_room=False)
    print("· from send to sync, 50 members", flush=True)
    results["fanout"] = await fanout(world, members=50, rates=rates, seconds=5 if quick else 10)
    results |= await measure_rooms(world, quick)
    return results


async def measure_rooms(world: World, quick: bool) -> dict[str, Any]:
    """What is done with rooms; small sizes if ``quick``."""
    joiners, members, events = (200, 1_000, 2_000) if quick else (1_000, 10_000, 10_000)
    results: dict[str, Any] = {}
    print("· rooms made", flush=True)
    results["create_room"] = await rooms.creations(world, count=100 if quick else 400)
    print(f"· {members:,} accounts; {joiners:,} join one room at once", flush=True)
    devices = await world.devices(members)
    results["join_storm"] = await rooms.join_storm(world, devices[:joiners])
    print(f"· back through {events:,} messages", flush=True)
    results["messages"] = await rooms.history(world, events=events)
    print(f"· lists of {members:,} members", flush=True)
    results["members"] = await rooms.member_lists(world, devices, rounds=20)
    return results


def table(results: dict[str, Any]) -> str:
    rows: list[tuple[str, Figures]] = [
        ("send, one room", results["send_one_room"]),
        ("send, many rooms", results["send_many_rooms"]),
        *((f"send to sync, 50 members, {label}", figures) for label, figures in results["fanout"].items()),
    ]
    columns = {
        "per_s": "/s",
        "p50_ms": "p50 ms",
        "p95_ms": "p95 ms",
        "p99_ms": "p99 ms",
        "plexus_ms_per_send": "Plexus CPU ms/send",
        "plexus_ms_per_delivery": "/delivery",
        "postgres_ms_per_send": "PostgreSQL ms/send",
        "harness_cpu_pct": "harness %",
    }
    lines = [f"{'':36s}" + "".join(f"{title:>{max(9, len(title) + 2)}s}" for title in columns.values())]
    for name, figures in rows:
        cells = (f"{figures.get(key, ''):>{max(9, len(title) + 2)}}" for key, title in columns.items())
        lines.append(f"{name:36s}" + "".join(cells))
    lines.append(rooms_table(results))
    return "\n".join(lines)


def rooms_table(results: dict[str, Any]) -> str:
    rows: list[tuple[str, str, Figures]] = [
        ("createRoom", "room", results["create_room"]),
        ("join, a storm", "join", results["join_storm"]),
        *((f"a page of {rooms.PAGE} messages, {k}", "page", v) for k, v in results["messages"].items()),
        *((f"of many members, {k}", "list", v) for k, v in results["members"].items()),
    ]
    titles = ("/s", "p50 ms", "p99 ms", "Plexus CPU ms", "PostgreSQL ms", "harness %")
    lines = [f"{'':40s}" + "".join(f"{title:>15s}" for title in titles)]
    for name, what, figures in rows:
        keys = ("per_s", "p50_ms", "p99_ms", f"plexus_ms_per_{what}", f"postgres_ms_per_{what}")
        cells = (f"{figures[key]:>15}" for key in (*keys, "harness_cpu_pct"))
        lines.append(f"{name:40s}" + "".join(cells))
    return "\n".join(lines)


def plot(results: dict[str, Any], target: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    points = list(results["fanout"].values())
    for percent in (50, 95, 99):
        left.plot(
            [p["rate"] for p in points],
            [p[f"p{percent}_ms"] for p in points],
            marker="o",
            label=f"p{percent}",
        )
    left.set(xlabel="sends a second, 50 members", ylabel="ms", title="from send to sync", ylim=(0, None))
    left.legend()
    names = ["one room", "many rooms"]
    runs = [results["send_one_room"], results["send_many_rooms"]]
    middle.bar(names, [run["per_s"] for run in runs])
    middle.set(title="sends a second, 16 senders")
    right.bar(names, [run["plexus_ms_per_send"] for run in runs], label="Plexus")
    right.bar(
        names,
        [run["postgres_ms_per_send"] for run in runs],
        bottom=[run["plexus_ms_per_send"] for run in runs],
        label="PostgreSQL",
    )
    right.set(title="CPU milliseconds a send")
    right.legend()
    figure.savefig(target, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick: bool = parser.parse_args().quick
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
            results = runner.run(measure(server, quick))
    about = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    (OUT / "bench.json").write_text(json.dumps(about | results, indent=2) + "\n")
    plot(results, OUT / "bench.png")
    print(table(results))
    print(f"written: {OUT / 'bench.json'}, {OUT / 'bench.png'}")


if __name__ == "__main__":
    main()
