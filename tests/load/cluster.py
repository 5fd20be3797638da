"""`make bench-cluster`: what a cluster does on this machine, as tables, JSON and a plot in tests/load/out.

    python -m tests.load.cluster                        about twenty-five minutes
    python -m tests.load.cluster --quick                about thirteen
    python -m tests.load.cluster --rounds replicas      about ten: the same loads on 1, 2, 3 of sync
    python -m tests.load.cluster --rounds turns         twenty: deliveries on 1, 2, 3 of sync, in turn

Each cluster is one of its own on an empty folder, as `make cluster` starts it, with rate limits off and cheap
password hashes; PostgreSQL runs with its safe settings. All requests go through the gateway. The rounds with
other numbers of sync replicas, and the one that is traced, have clusters of their own.
docs/performance.md says how to read the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Collection, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from deploy.local.program import ProgramError
from tests.load import cluster_report, polls, replicas
from tests.load.hops import by_hop
from tests.load.meter import idle
from tests.load.systems import Clustered, running_cluster
from tests.load.workloads import Figures, World, fanout, sends, steady_sends
from tests.support.otlp import OtlpReceiver

OUT = Path(__file__).parent / "out"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Sizes:
    messages: int
    rates: tuple[float, ...]
    seconds: float
    follow_seconds: float
    traced: int
    """Sends."""
    polls: int
    """Held while the sync replicas follow what interests none of their users."""
    replicas: replicas.Sizes


FULL = Sizes(4_000, (2, 10, 25, 50), 10, 15, 100, 500, replicas.FULL)
QUICK = Sizes(1_000, (2, 10), 5, 6, 25, 100, replicas.QUICK)
MEMBERS = 50
ROUNDS = ("followers", "sends", "fanout", "replicas", "turns", "hops")
FACTS_PER_SECOND = (200, 1_000)


async def followers(system: Clustered, sizes: Sizes) -> dict[str, Any]:
    """What everybody takes while nobody syncs: the sync replicas do nothing but follow. First with no facts
    either: what a cluster costs that has nothing to do. Last with polls of users in other rooms than those in
    which all happens.
    """
    world, results = World(system), {}

    async def measure(label: str, rate: float) -> None:
        used, reached = await steady_sends(world, rooms=64, rate=rate, seconds=sizes.follow_seconds)
        results[label] = {"reached": round(reached), "cpu_pct": used.percent(), **used.shares()}

    results["idle"] = {"reached": 0, **await idle(system, sizes.follow_seconds)}
    for rate in FACTS_PER_SECOND:
        await measure(f"{rate}/s", rate)
    held = await polls.held_elsewhere(world, count=sizes.polls)
    await measure(f"{rate}/s, {sizes.polls} polls", rate)
    woken = sum(poll.done() for poll in held)
    assert not woken, f"{woken} polls were answered for what does not concern them"
    for poll in held:
        poll.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    return results


async def traced(system: Clustered, sizes: Sizes) -> None:
    """A low rate, so that nothing queues; every request is traced."""
    await fanout(World(system), members=MEMBERS, rates=(5,), seconds=sizes.traced / 5)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def measure(folder: Path, sizes: Sizes, rounds: Collection[str]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    if {"followers", "sends", "fanout"} & set(rounds):
        print("· a cluster with two sync replicas", flush=True)
        with running_cluster(folder / "main") as system:
            results |= measure_one(system, sizes, rounds)
    if "replicas" in rounds:
        results["replicas"] = {}
        for count in replicas.COUNTS:
            print(f"· the same loads, sync replicas: {count}", flush=True)
            with running_cluster(folder / f"sync-{count}", sync=count, settle=False) as system:
                results["replicas"][str(count)] = run(replicas.loads(system, sizes.replicas))
    if "turns" in rounds:
        print("· deliveries on 1, 2 and 3 sync replicas, in turn", flush=True)
        results["turns"] = measure_in_turn(folder, sizes.replicas)
    if "hops" in rounds:
        print("· from send to sync by hop", flush=True)
        results["hops"] = measure_hops(folder / "traced", sizes)
    return results


def measure_one(system: Clustered, sizes: Sizes, rounds: Collection[str]) -> dict[str, Any]:
    """What can be measured on one cluster; the followers first, while nobody has synced."""
    results: dict[str, Any] = {}
    if "followers" in rounds:
        print("· followers without users", flush=True)
        results["followers"] = run(followers(system, sizes))
    if "sends" in rounds:
        for name, one_room in (("send_one_room", True), ("send_many_rooms", False)):
            print(f"· {name.replace('_', ' ')}", flush=True)
            sending = sends(World(system), senders=16, messages=sizes.messages, one_room=one_room)
            results[name] = run(sending)
    if "fanout" in rounds:
        print(f"· from send to sync, {MEMBERS} members", flush=True)
        listening = fanout(World(system), members=MEMBERS, rates=sizes.rates, seconds=sizes.seconds)
        results["fanout"] = run(listening)
    return results


def measure_in_turn(folder: Path, sizes: replicas.Sizes) -> dict[str, Any]:
    with ExitStack() as stack:
        systems = {
            count: stack.enter_context(running_cluster(folder / f"turns-{count}", sync=count, settle=False))
            for count in replicas.COUNTS
        }
        for system in systems.values():
            system.settle()
        return run(replicas.in_turn(systems, sizes))


def measure_hops(folder: Path, sizes: Sizes) -> dict[str, Figures]:
    with OtlpReceiver() as receiver:
        settings = {
            "PLEXUS_TELEMETRY__OTLP_ENDPOINT": receiver.url,
            "PLEXUS_TELEMETRY__TRACE_RATIO": "1",
        }
        with running_cluster(folder, settings=settings) as system:
            run(traced(system, sizes))
        # What had not been exported yet came when the services stopped.
        return by_hop(receiver.spans())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--rounds", nargs="+", choices=ROUNDS, default=ROUNDS, help="which to run")
    known = parser.parse_args()
    quick: bool = known.quick
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="plexus-bench-") as folder:
        Path(folder).chmod(0o755)
        try:
            results = measure(Path(folder), QUICK if quick else FULL, known.rounds)
        except ProgramError as error:
            sys.exit(f"no cluster: {error}")
    about = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    (OUT / "cluster.json").write_text(json.dumps(about | results, indent=2) + "\n")
    print(cluster_report.tables(results))
    cluster_report.plot(results, OUT / "cluster.png")
    print(f"written: {OUT / 'cluster.json'}, {OUT / 'cluster.png'}")
    if "hops" in results and not results["hops"]:
        sys.exit("no trace reached a sync replica: the facts came through PostgreSQL, not Kafka")


if __name__ == "__main__":
    main()
