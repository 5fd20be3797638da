"""Searches over many messages: what they cost, and that they find what there is.

    python -m tests.load.search              100,000 messages on a `plexus up`
    python -m tests.load.search --quick      10,000
    python -m tests.load.search --peer       5,000, and the same on Synapse

All messages are in one room: one word is in each of them, one in every thousandth, the others as often as
words are in a language. A search is by rank with ten results; the first page of each is checked. docs/
performance.md says how to read the figures, which go to tests/load/out/search.json as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.load import synapse
from tests.load.meter import Embedded, System, Used, usage, with_children
from tests.load.postgres_twin import PostgresRecipe
from tests.load.wire import Device
from tests.load.workloads import Figures, World, create_room, join, latencies, send
from tests.support.server import PlexusServer

OUT = Path(__file__).parent / "out"
SENDERS = 16
RARE_EVERY = 1_000
_COMMON, _RARE, _NOWHERE = "everywhere", "seldom", "nowhere"


@dataclass(frozen=True)
class Peer:
    """Synapse under load."""

    base_url: str
    pids: Mapping[str, Sequence[int]]

    def processes(self) -> Mapping[str, Sequence[int]]:
        return {name: [pid for top in tops for pid in with_children(top)] for name, tops in self.pids.items()}


def texts(count: int) -> list[str]:
    """The same at each run: some 4 to 20 words of 20,000, the k-th as often as 1/k."""
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefghiklmnoprstuvwz", k=chance.randint(3, 9))) for _ in range(20_000)]
    weights = [1 / (place + 5) for place in range(len(words))]
    made = []
    for number in range(count):
        said = [_COMMON, *chance.choices(words, weights, k=chance.randint(4, 20))]
        if number % RARE_EVERY == RARE_EVERY // 2:
            said.append(_RARE)
        made.append(" ".join(said))
    return made


async def search(device: Device, term: str, **criteria: Any) -> Any:
    body = {"search_categories": {"room_events": {"search_term": term, "keys": ["content.body"], **criteria}}}
    answer = await device.call("POST", "/_matrix/client/v3/search", body)
    return answer["search_categories"]["room_events"]


async def searches(world: World, *, messages: int, rounds: int) -> dict[str, Figures]:
    """Filled first, and indexed; then each kind of search ``rounds`` times, by one who waits for each answer,
    after as many that are not measured: each connection to PostgreSQL must have come to keep its plans.
    """
    devices = await world.devices(SENDERS)
    room_id = await create_room(devices[0])
    await asyncio.gather(*(join(device, room_id) for device in devices[1:]))
    said = iter(texts(messages))

    async def say(device: Device) -> None:
        for text in said:
            await send(device, room_id, text)

    before = usage(world.system)
    began = time.perf_counter()
    await asyncio.gather(*(say(device) for device in devices))
    sent = time.perf_counter() - began
    while (
        len((await search(devices[0], _RARE))["results"]) < min(10, messages // RARE_EVERY)
        or (await search(devices[0], f"{_COMMON} {_RARE}"))["count"] < messages // RARE_EVERY
    ):
        await asyncio.sleep(0.2)
    filled = Used.between(before, usage(world.system))
    results: dict[str, Figures] = {
        "filling, a message": {
            "per_s": round(messages / sent, 1),
            "behind_ms": round((time.perf_counter() - began - sent) * 1000, 1),
            **filled.per("search", messages),
            **filled.shares(),
        }
    }
    kinds: dict[str, tuple[str, dict[str, Any], int]] = {
        "a word in all": (_COMMON, {}, 10),
        "a word in all, recent": (_COMMON, {"order_by": "recent"}, 10),
        "a word in 1 of 1,000": (_RARE, {}, min(10, messages // RARE_EVERY)),
        "both": (f"{_COMMON} {_RARE}", {}, min(10, messages // RARE_EVERY)),
        "a word in none": (_NOWHERE, {}, 0),
        "a word in all, with context": (
            _COMMON,
            {"event_context": {"before_limit": 1, "after_limit": 1, "include_profile": True}},
            10,
        ),
    }
    for name, (term, criteria, expected) in kinds.items():
        for _ in range(rounds):
            await search(devices[0], term, **criteria)
        times: list[float] = []
        start = usage(world.system)
        for _ in range(rounds):
            at = time.perf_counter()
            found = await search(devices[0], term, **criteria)
            times.append(time.perf_counter() - at)
            bodies = [result["result"]["content"]["body"] for result in found["results"]]
            assert len(bodies) == expected, f"{name}: {len(bodies)} of {expected}"
            assert all(word in body for body in bodies for word in term.split())
        used = Used.between(start, usage(world.system))
        results[name] = {
            "per_s": round(rounds / used.elapsed, 1),
            **latencies(times),
            **used.per("search", rounds),
            **used.shares(),
        }
    for device in devices:
        device.close()
    return results


def table(results: Mapping[str, Figures]) -> str:
    keys = {"per_s": "/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}
    names = {key for figures in results.values() for key in figures if key.endswith("_ms_per_search")}
    keys |= {key: f"{key.removesuffix('_ms_per_search')} CPU ms" for key in sorted(names)}
    lines = [f"{'':30s}" + "".join(f"{title:>18s}" for title in keys.values())]
    for name, figures in results.items():
        lines.append(f"{name:30s}" + "".join(f"{figures.get(key, ''):>18}" for key in keys))
    return "\n".join(lines)


def run(system: System, messages: int, rounds: int) -> dict[str, Figures]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(searches(World(system), messages=messages, rounds=rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 messages")
    parser.add_argument("--peer", action="store_true", help="5,000 messages, and Synapse too")
    options = parser.parse_args()
    messages = 5_000 if options.peer else 10_000 if options.quick else 100_000
    OUT.mkdir(exist_ok=True)
    results: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="plexus-search-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with PlexusServer(folder / "data", {"PLEXUS_TELEMETRY__LOG_LEVEL": "warning"}) as server:
            print(f"· {messages:,} messages, then searches", flush=True)
            results["plexus"] = run(Embedded(server), messages, 100)
            postgres = server.postgres_pid()
            assert postgres is not None
            recipe = PostgresRecipe.of(postgres)
        print(table(results["plexus"]), flush=True)
        if options.peer:
            (folder / "synapse").mkdir()
            with synapse.running(recipe, folder / "synapse") as peer:
                print("· the same on Synapse", flush=True)
                results["synapse"] = run(Peer(peer.base_url, peer.pids), messages, 50)
            print(table(results["synapse"]), flush=True)
    target = OUT / ("search-peer.json" if options.peer else "search.json")
    target.write_text(json.dumps({"messages": messages, **results}, indent=2) + "\n")
    print(f"written: {target}")


if __name__ == "__main__":
    main()
