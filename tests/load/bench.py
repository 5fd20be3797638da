"""`make bench`: what an embedded Plexus does on this machine, as a table, JSON and a plot in tests/load/out.

    python -m tests.load.bench              about four minutes
    python -m tests.load.bench --quick      about one

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

from tests.load.meter import Embedded
from tests.load.workloads import Figures, World, fanout, held_polls, sends
from tests.support.server import PlexusServer

OUT = Path(__file__).parent / "out"


async def measure(server: PlexusServer, quick: bool) -> dict[str, Any]:
    """All workloads, the one that wants a fresh server last (it restarts it)."""
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
    print("· held polls", flush=True)
    results["held_polls"] = await held_polls(world, server, count=500 if quick else 2_000)
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
    held = results["held_polls"]
    lines.append(
        f"{held['held']} held polls: {held['kb_per_poll']} kB each ({held['fresh_mib']} MiB fresh, "
        f"{held['held_mib']} MiB held), idle CPU {held['idle_plexus_cpu_pct']} % Plexus, "
        f"{held['idle_postgres_cpu_pct']} % PostgreSQL"
    )
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
