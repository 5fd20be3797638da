"""Members that sync while a server dies under them, as a client does, and remember what they were told.

A watcher keeps its token until an answer has arrived whole, comes back after every failure, and fills a
limited timeline from ``/messages``. What it was told of a room must be, event for event, what the room's
history holds from its first event on: nothing missing, nothing twice, in that order.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp

from tests.support.matrix import Client, Json, MatrixError
from tests.support.senders import Ledger

POLL_MS = 10_000
AGAIN = 0.1
FILTER = '{"room":{"timeline":{"limit":200},"state":{"lazy_load_members":true}}}'


@dataclass
class Watcher:
    """One syncing device. ``told`` has the ids of messages by room in the order in which they came."""

    client: Client
    since: str | None = None
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    last: dict[str, str] = field(default_factory=dict)
    """By room the event told last, of any type: where a gap begins."""
    heard_at: dict[str, float] = field(default_factory=dict)
    """By event id the monotonic time when it came."""
    failures: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                answer = await self.client.sync(self.since, timeout_ms=POLL_MS, filter=FILTER)
                gaps = await self._gaps(answer)
            except (aiohttp.ClientError, TimeoutError):
                self.failures += 1
                await asyncio.sleep(AGAIN)
            except MatrixError as error:
                if error.status < 500:
                    raise
                self.failures += 1
                await asyncio.sleep(AGAIN)
            else:
                self._take(answer, gaps)

    async def _gaps(self, answer: Json) -> dict[str, list[Json]]:
        """What limited timelines leave out, oldest first, back to the event told last."""
        found: dict[str, list[Json]] = {}
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            timeline = room["timeline"]
            if not timeline.get("limited") or room_id not in self.last:
                continue
            missing: list[Json] = []
            start = timeline["prev_batch"]
            while start is not None:
                path = f"client/v3/rooms/{quote(room_id, safe='')}/messages"
                page = await self.client.request("GET", path, query={"dir": "b", "limit": 200, "from": start})
                ids = [event["event_id"] for event in page["chunk"]]
                if self.last[room_id] in ids:
                    missing += page["chunk"][: ids.index(self.last[room_id])]
                    break
                missing += page["chunk"]
                start = page.get("end")
            found[room_id] = missing[::-1]
        return found

    def _take(self, answer: Json, gaps: dict[str, list[Json]]) -> None:
        now = time.monotonic()
        self.since = answer["next_batch"]
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            for event in [*gaps.get(room_id, ()), *room["timeline"]["events"]]:
                self.last[room_id] = event["event_id"]
                if event["type"] == "m.room.message":
                    self.told[room_id].append(event["event_id"])
                    self.heard_at.setdefault(event["event_id"], now)


async def make_watchers(
    session: aiohttp.ClientSession, base_url: str, ledgers: list[Ledger], count: int
) -> list[Watcher]:
    """``count`` syncing members: every sender, and others who join the senders' rooms in turn. They have
    taken their first token when this returns, before anything is sent.
    """
    watchers = [Watcher(ledger.client) for ledger in ledgers]
    rooms = list(dict.fromkeys(ledger.room_id for ledger in ledgers))
    run = secrets.token_hex(3)
    for number in range(count - len(watchers)):
        client = await Client(session, base_url).register(f"watcher{number}-{run}")
        await client.join(rooms[0])
        if number % len(rooms):
            await client.join(rooms[number % len(rooms)])
        watchers.append(Watcher(client))
    for watcher in watchers:
        watcher._take(await watcher.client.sync(filter=FILTER), {})
    return watchers


def unheard(ledgers: list[Ledger], watchers: list[Watcher]) -> int:
    """How many deliveries of answered events have not come yet."""
    answered: dict[str, set[str]] = defaultdict(set)
    for ledger in ledgers:
        answered[ledger.room_id] |= set(ledger.answered.values())
    return sum(
        len(answered[room_id] - set(watcher.told[room_id]))
        for watcher in watchers
        for room_id in watcher.last
        if room_id in answered
    )


async def check_told(ledgers: list[Ledger], watchers: list[Watcher], patience: float) -> int:
    """Every answered event is told to every member once, in the order of the room's history.

    :returns: the number of deliveries looked at.
    """
    deadline = time.monotonic() + patience
    while (missing := unheard(ledgers, watchers)) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert not missing, f"{missing} deliveries of answered events did not come within {patience:g} s"
    looked_at = 0
    by_room = {ledger.room_id: ledger.client for ledger in ledgers}
    for room_id, reader in by_room.items():
        history = [
            event["event_id"]
            for event in reversed(await reader.history(room_id))
            if event["type"] == "m.room.message"
        ]
        for watcher in watchers:
            if room_id not in watcher.last:
                continue
            told = watcher.told[room_id]
            assert len(told) == len(set(told)), f"{watcher.client.user_id} was told something twice"
            wrong = next((n for n, (a, b) in enumerate(zip(told, history, strict=False)) if a != b), None)
            assert wrong is None, (
                f"{watcher.client.user_id} was told {told[wrong : wrong + 3]} as number {wrong} of "
                f"{room_id}, whose history has {history[wrong : wrong + 3]}"
            )
            assert len(told) <= len(history), "more was told than there is"
            looked_at += len(told)
    return looked_at
