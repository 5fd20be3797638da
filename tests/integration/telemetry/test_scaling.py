"""By what the number of sync replicas is chosen: it is there, under the names that the operator is told."""

from __future__ import annotations

import asyncio
import re
import secrets
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.exposed import Series, read
from tests.support.matrix import Client
from tests.support.otlp import OtlpReceiver
from tests.support.server import PlexusServer

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
OTLP = {
    "plexus.lanes.follower.behind",
    "plexus.lanes.follower.lag",
    "plexus.sync.answers",
    "plexus.sync.full.refused",
    "plexus.sync.full.waiting",
    "plexus.sync.held",
    "plexus.sync.tail",
    "plexus.sync.turns.waiting",
    "plexus.sync.wake.duration",
}


async def shown(server: PlexusServer) -> list[Series]:
    def get() -> str:
        with urllib.request.urlopen(f"{server.internal_url}/metrics") as answer:
            return str(answer.read().decode())

    return read(await asyncio.to_thread(get))


def value(series: list[Series], name: str, *labels: tuple[str, str]) -> float:
    return sum(one.value for one in series if one.name == name and set(labels) <= set(one.labels))


async def test_long_polls_their_wakes_and_the_tail_are_measured(server: PlexusServer) -> None:
    """Those of /sync, of sliding sync and of /events."""
    slide = {
        "lists": {"all": {"required_state": {}, "timeline_limit": 1, "range": [0, 9]}},
        "timeout": 20_000,
    }
    async with aiohttp.ClientSession() as session:
        alice = await Client(session, server.base_url).register(f"alice{secrets.token_hex(4)}")
        readers = [
            await Client(session, server.base_url).register(f"{name}{secrets.token_hex(4)}")
            for name in ("bob", "carol", "dave")
        ]
        room_id = await alice.create_room(preset="public_chat")
        for reader in readers:
            await reader.join(room_id)
        bob, carol, dave = readers
        quiet = '{"presence":{"not_types":["*"]}}'

        async def hold() -> list[asyncio.Task[Any]]:
            since = [(await reader.sync(filter=quiet))["next_batch"] for reader in (bob, dave)]
            pos = (await carol.request("POST", "client/v4/sync", {**slide, "timeout": 0}))["pos"]
            stream = {"from": since[1], "timeout": 20_000}
            return [
                asyncio.create_task(bob.sync(since[0], timeout_ms=20_000, filter=quiet)),
                asyncio.create_task(carol.request("POST", "client/v4/sync", {**slide, "pos": pos})),
                asyncio.create_task(dave.request("GET", "client/v3/events", query=stream)),
            ]

        async with asyncio.timeout(20):
            held = await hold()
            while value(before := await shown(server), "plexus_sync_held") < len(held):
                if any(poll.done() for poll in held):
                    # That others have joined came late, as a tortured fan-out may bring it.
                    await alice.send(room_id, "once more")
                    await asyncio.gather(*held)
                    held = await hold()
                await asyncio.sleep(0.1)
        await alice.send(room_id, "wake up")
        await asyncio.gather(*held)
        after = await shown(server)

    def more(name: str, *labels: tuple[str, str]) -> float:
        return value(after, name, *labels) - value(before, name, *labels)

    assert value(after, "plexus_sync_held") == 0
    assert more("plexus_sync_wake_duration_seconds_count") == len(held)
    assert 0 < more("plexus_sync_wake_duration_seconds_sum") < 5
    # The event stream of old knows no tail.
    assert more("plexus_sync_answers_total", ("kind", "tail")) == 2
    assert more("plexus_sync_answers_total", ("kind", "database")) == 0
    assert more("plexus_sync_tail_bytes") > 0
    assert value(after, "plexus_lanes_follower_behind_seconds", ("follower", "sync")) == 0


async def test_the_page_names_what_there_is(server: PlexusServer, receiver: OtlpReceiver) -> None:
    page = PAGE.read_text()
    section = page[page.index("## How many sync replicas") :].partition("\n## ")[0]
    told = set(re.findall(r"`((?:plexus|process)_[a-z_]+)", section))
    assert len(told) >= 8
    series = {one.name for one in await shown(server)}
    # A histogram is shown by its parts.
    assert {name for name in told if not {name, f"{name}_bucket"} & series} == set()
    assert await asyncio.to_thread(
        receiver.wait, lambda: {metric.name for metric in receiver.metrics()} >= OTLP
    )
