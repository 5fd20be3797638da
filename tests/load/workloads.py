"""The measured stretches. Each checks that what it counts really happened, and returns plain figures.

Rates are per second, times milliseconds, CPU milliseconds of user and system time, memory bytes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import count as counting
from typing import Any
from urllib.parse import quote

from tests.load.meter import System, Used, usage
from tests.load.wire import Device, RefusedError

Figures = dict[str, float]
"""By name: ``per_s``, ``p99_ms``, ``<process>_ms_per_send``, ``harness_cpu_pct``."""
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

    system: System
    made: int = 0

    async def device(self) -> Device:
        self.made += 1
        device = Device(self.system.base_url)
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


async def insist_to_join(device: Device, room_id: str) -> int:
    """Join, and ask again when the server says that it is too busy; returns how often."""
    for again in counting():
        try:
            await join(device, room_id)
        except RefusedError as error:
            if ": 503 " not in str(error):
                raise
        else:
            return again
        await asyncio.sleep(0.5)
    raise AssertionError


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
    before = usage(world.system)
    await asyncio.gather(*(loop(device, room, each, times) for device, room in pairs))
    used = Used.between(before, usage(world.system))
    count = each * senders
    for device in devices:
        device.close()
    return {
        "per_s": round(count / used.elapsed, 1),
        **latencies(times),
        **used.per("send", count),
        **used.shares(),
    }


async def fanout(
    world: World, *, members: int, rates: Sequence[float], seconds: float, rooms: int = 1
) -> dict[str, Figures]:
    """Open loop: sends at fixed rates into rooms where every member holds a poll; from send to sync.

    ``members`` in each of the ``rooms``, which take the sends in turn; nobody is in two of them.
    """
    groups = [await world.devices(members) for _ in range(rooms)]
    room_ids = [await create_room(group[0]) for group in groups]
    for group, room_id in zip(groups, room_ids, strict=True):
        await asyncio.gather(*(insist_to_join(device, room_id) for device in group[1:]))
    watched = [(device, room_id) for group, room_id in zip(groups, room_ids, strict=True) for device in group]
    sent_at: dict[str, float] = {}
    arrivals: list[float] = []
    seen: set[tuple[int, str]] = set()

    async def receive(number: int, device: Device, room_id: str, since: str) -> None:
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

    positions = [(await sync(device, None, 0))["next_batch"] for device, _ in watched]
    pollers = [device.twin() for device, _ in watched]
    receivers = [
        asyncio.create_task(receive(number, poller, room_id, since))
        for number, (poller, (_, room_id), since) in enumerate(zip(pollers, watched, positions, strict=True))
    ]
    results: dict[str, Figures] = {}

    async def burst(rate: float, length: float, label: str) -> None:
        sent_at.clear()
        seen.clear()
        arrivals.clear()
        count = max(1, int(rate * length))
        begun = time.perf_counter()
        pending: list[Awaitable[str]] = []
        acks: list[float] = []
        twins = [[device.twin() for device in group[:16]] for group in groups]
        free: list[asyncio.Queue[Device]] = [asyncio.Queue() for _ in groups]
        for queue, waiting in zip(free, twins, strict=True):
            for twin in waiting:
                queue.put_nowait(twin)

        async def one(room: int, body: str) -> str:
            device = await free[room].get()
            sent_at[body] = time.perf_counter()
            try:
                event_id = await send(device, room_ids[room], body)
                acks.append(time.perf_counter() - sent_at[body])
                return event_id
            finally:
                free[room].put_nowait(device)

        before = usage(world.system)
        for number in range(count):
            await asyncio.sleep(max(0, begun + number / rate - time.perf_counter()))
            pending.append(asyncio.ensure_future(one(number % rooms, f"{label} {number}")))
        await asyncio.gather(*pending)
        deadline = time.perf_counter() + 20
        while len(seen) < count * members and time.perf_counter() < deadline:
            await asyncio.sleep(0.02)
        used = Used.between(before, usage(world.system))
        assert len(seen) == count * members, f"{count * members - len(seen)} deliveries never came"
        results[label] = {
            "rate": rate,
            **latencies(arrivals),
            "ack_p50_ms": latencies(acks)["p50_ms"],
            **used.per("send", count),
            **used.per("delivery", len(seen)),
            **used.shares(),
        }
        for twin in (twin for waiting in twins for twin in waiting):
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
        # A poll whose client is gone is not held any more: the next load begins without them.
        for device in (*pollers, *(device for device, _ in watched)):
            device.close()
    for outcome in ended:
        if not isinstance(outcome, asyncio.CancelledError) and isinstance(outcome, BaseException):
            raise outcome
    return results


async def steady_sends(world: World, *, rooms: int, rate: float, seconds: float) -> tuple[Used, float]:
    """Sends at a fixed rate into many rooms while nobody syncs: what that took, and the rate that was
    reached. A send is a fact.

    A sender a room, whose sends do not wait for the answers to the ones before, but for a free connection.
    """
    devices = await world.devices(rooms)
    room_ids = await asyncio.gather(*(create_room(device) for device in devices))
    free = [asyncio.Queue[Device]() for _ in devices]
    twins = [[device, device.twin(), device.twin()] for device in devices]
    for queue, waiting in zip(free, twins, strict=True):
        for twin in waiting:
            queue.put_nowait(twin)

    async def one(number: int) -> None:
        room = number % rooms
        device = await free[room].get()
        try:
            await send(device, room_ids[room], f"message {number}")
        finally:
            free[room].put_nowait(device)

    async def run(count: int) -> None:
        begun, pending = time.perf_counter(), []
        for number in range(count):
            late = begun + number / rate - time.perf_counter()
            if late > 0:
                await asyncio.sleep(late)
            pending.append(asyncio.ensure_future(one(number)))
        await asyncio.gather(*pending)

    await run(int(rate))  # warm
    count = int(rate * seconds)
    before = usage(world.system)
    await run(count)
    used = Used.between(before, usage(world.system))
    for twin in (twin for waiting in twins for twin in waiting):
        twin.close()
    return used, count / used.elapsed
