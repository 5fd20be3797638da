"""The measured stretches. Each checks that what it counts really happened, and returns plain figures.

Rates are per second, times milliseconds, CPU milliseconds of user and system time, memory bytes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.load.meter import memory_bytes, usage
from tests.load.wire import Device
from tests.support.server import PlexusServer

Figures = dict[str, float]
SYNC_FILTER = quote(
    '{"presence":{"not_types":["*"]},"account_data":{"not_types":["*"]},"room":{"timeline":{"limit":100},'
    '"state":{"lazy_load_members":true},"ephemeral":{"not_types":["*"]},"account_data":{"not_types":["*"]}}}'
)


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank, of at least one value."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-percent * len(ordered) // 100) - 1))]


def latencies(seconds: Sequence[float]) -> Figures:
    return {f"p{p}_ms": round(percentile(seconds, p) * 1000, 2) for p in (50, 95, 99)}


@dataclass
class World:
    """A running server and the devices made on it so far."""

    server: PlexusServer
    made: int = 0

    async def device(self) -> Device:
        self.made += 1
        device = Device(self.server.base_url)
        name = f"bench{self.made}-{secrets.token_hex(3)}"
        auth = {"type": "m.login.dummy"}
        body = {"username": name, "password": "a long enough pass phrase", "auth": auth}
        answer = await device.call("POST", "/_matrix/client/v3/register", body)
        device.user_id, device.access_token = answer["user_id"], answer["access_token"]
        return device

    async def devices(self, count: int) -> list[Device]:
        made: list[Device] = []
        while len(made) < count:
            made += await asyncio.gather(*(self.device() for _ in range(min(16, count - len(made)))))
        return made


async def create_room(device: Device) -> str:
    body = {"preset": "public_chat"}
    answer = await device.call("POST", "/_matrix/client/v3/createRoom", body)
    return str(answer["room_id"])


async def join(device: Device, room_id: str) -> None:
    await device.call("POST", f"/_matrix/client/v3/join/{quote(room_id, safe='')}", {})


async def send(device: Device, room_id: str, body: str) -> str:
    room, txn = quote(room_id, safe=""), secrets.token_hex(8)
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}"
    return str((await device.call("PUT", path, {"msgtype": "m.text", "body": body}))["event_id"])


async def sync(device: Device, since: str | None, timeout_ms: int) -> Any:
    query = f"filter={SYNC_FILTER}&timeout={timeout_ms}" + (f"&since={quote(since)}" if since else "")
    return await device.call("GET", f"/_matrix/client/v3/sync?{query}")


async def sends(world: World, *, senders: int, messages: int, one_room: bool) -> Figures:
    """A closed loop of `senders`: its latency is mostly queueing; read its rate and its CPU."""
    devices = await world.devices(senders)
    rooms = [await create_room(device) for device in (devices[:1] if one_room else devices)]
    if one_room:
        await asyncio.gather(*(join(device, rooms[0]) for device in devices[1:]))
    pairs = list(zip(devices, rooms * senders if one_room else rooms, strict=False))
    times: list[float] = []

    async def loop(device: Device, room_id: str, count: int, keep: list[float]) -> None:
        for number in range(count):
            started = time.perf_counter()
            await send(device, room_id, f"message {number} of {count}")
            keep.append(time.perf_counter() - started)

    await asyncio.gather(*(loop(device, room, 10, []) for device, room in pairs))  # warm
    each = messages // senders
    before, started = usage(world.server), time.perf_counter()
    await asyncio.gather(*(loop(device, room, each, times) for device, room in pairs))
    elapsed, used = time.perf_counter() - started, usage(world.server) - before
    count = each * senders
    return {
        "per_s": round(count / elapsed, 1),
        **latencies(times),
        "plexus_ms_per_send": round(used.plexus / count * 1000, 3),
        "postgres_ms_per_send": round(used.postgres / count * 1000, 3),
        "harness_cpu_pct": round(used.harness / elapsed * 100, 1),
    }


async def fanout(world: World, *, members: int, rates: Sequence[float], seconds: float) -> dict[str, Figures]:
    """Open loop: sends at a fixed rate into a room where every member holds a poll; from send to sync."""
    devices = await world.devices(members)
    room_id = await create_room(devices[0])
    await asyncio.gather(*(join(device, room_id) for device in devices[1:]))
    sent_at: dict[str, float] = {}
    arrivals: list[float] = []
    seen: set[tuple[int, str]] = set()

    async def receive(number: int, device: Device, since: str) -> None:
        while True:
            answer = await sync(device, since, 30_000)
            now, since = time.perf_counter(), answer["next_batch"]
            room = answer.get("rooms", {}).get("join", {}).get(room_id, {})
            for event in room.get("timeline", {}).get("events", ()):
                body = event["content"].get("body", "")
                if body in sent_at:
                    assert (number, body) not in seen, f"{body} came twice"
                    seen.add((number, body))
                    arrivals.append(now - sent_at[body])

    positions = [(await sync(device, None, 0))["next_batch"] for device in devices]
    receivers = [
        asyncio.create_task(receive(number, device.twin(), since))
        for number, (device, since) in enumerate(zip(devices, positions, strict=True))
    ]
    results: dict[str, Figures] = {}

    async def burst(rate: float, length: float, label: str) -> None:
        sent_at.clear()
        seen.clear()
        arrivals.clear()
        count = max(1, int(rate * length))
        begun = time.perf_counter()
        pending: list[Awaitable[str]] = []
        twins = [device.twin() for device in devices[:16]]
        free: asyncio.Queue[Device] = asyncio.Queue()
        for twin in twins:
            free.put_nowait(twin)

        async def one(body: str) -> str:
            device = await free.get()
            sent_at[body] = time.perf_counter()
            try:
                return await send(device, room_id, body)
            finally:
                free.put_nowait(device)

        before = usage(world.server)
        for number in range(count):
            await asyncio.sleep(max(0, begun + number / rate - time.perf_counter()))
            pending.append(asyncio.ensure_future(one(f"{label} {number}")))
        await asyncio.gather(*pending)
        deadline = time.perf_counter() + 20
        while len(seen) < count * members and time.perf_counter() < deadline:
            await asyncio.sleep(0.02)
        elapsed, used = time.perf_counter() - begun, usage(world.server) - before
        assert len(seen) == count * members, f"{count * members - len(seen)} deliveries never came"
        results[label] = {
            "rate": rate,
            **latencies(arrivals),
            "plexus_ms_per_send": round(used.plexus / count * 1000, 3),
            "plexus_ms_per_delivery": round(used.plexus / len(seen) * 1000, 3),
            "postgres_ms_per_send": round(used.postgres / count * 1000, 3),
            "harness_cpu_pct": round(used.harness / elapsed * 100, 1),
        }
        for twin in twins:
            twin.close()

    try:
        await burst(5, 2, "warm")
        del results["warm"]
        for rate in rates:
            await burst(rate, seconds, f"{rate:g}/s")
    finally:
        for receiver in receivers:
            receiver.cancel()
        ended = await asyncio.gather(*receivers, return_exceptions=True)
    for outcome in ended:
        if not isinstance(outcome, asyncio.CancelledError) and isinstance(outcome, BaseException):
            raise outcome
    return results


async def held_polls(world: World, *, count: int) -> Figures:
    """Memory of a server that was just started, before and while it holds `count` polls of as many users."""
    devices = await world.devices(count)
    since = [(await sync(device, None, 0))["next_batch"] for device in devices]
    for device in devices:
        device.close()
    await asyncio.to_thread(world.server.stop)
    await asyncio.to_thread(world.server.start)
    witness = await world.device()
    await sync(witness, None, 0)
    await asyncio.sleep(2)
    before = memory_bytes(world.server.tree()[0])
    polls = []
    for number, (device, token) in enumerate(zip(devices, since, strict=True)):
        polls.append(asyncio.create_task(sync(device, token, 110_000)))
        if number % 20 == 0:  # a fresh server reads each user once: do not come all at the same moment
            await asyncio.sleep(0.1)
    await asyncio.sleep(5)
    early = sum(poll.done() for poll in polls)
    assert not early, f"{early} of {count} polls were answered though nothing happened"
    held = memory_bytes(world.server.tree()[0])
    idle_before, started = usage(world.server), time.perf_counter()
    await asyncio.sleep(5)
    idle = usage(world.server) - idle_before
    elapsed = time.perf_counter() - started
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
    for device in devices:
        device.close()
    return {
        "held": count,
        "fresh_mib": round(before / 2**20, 1),
        "held_mib": round(held / 2**20, 1),
        "kb_per_poll": round((held - before) / count / 1000, 1),
        "idle_plexus_cpu_pct": round(idle.plexus / elapsed * 100, 2),
        "idle_postgres_cpu_pct": round(idle.postgres / elapsed * 100, 2),
    }
