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
BEGINNING = '{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}'
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
    failed: list[str] = field(default_factory=list)
    """Why requests had no answer, or 5xx."""
    poll_ms: int = POLL_MS

    @property
    def failures(self) -> int:
        return len(self.failed)

    async def begin(self) -> None:
        """Take the first token, and in each room the last event: what is sent from now on must be told."""
        self._take(await self.client.sync(filter=BEGINNING), {})

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._poll()
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failed.append(repr(error))
                await asyncio.sleep(AGAIN)
            except MatrixError as error:
                if error.status < 500:
                    raise
                self.failed.append(str(error))
                await asyncio.sleep(AGAIN)

    async def _poll(self) -> None:
        """Ask once, and note what was told. Nothing is noted of an answer that did not come whole."""
        answer = await self.client.sync(self.since, timeout_ms=self.poll_ms, filter=FILTER)
        self._take(answer, await self._gaps(answer))

    async def _gaps(self, answer: Json) -> dict[str, list[Json]]:
        """What limited timelines leave out, oldest first, back to the event told last."""
        found: dict[str, list[Json]] = {}
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            timeline = room["timeline"]
            if not timeline.get("limited") or room_id not in self.last:
                continue
            found[room_id] = await self._gap(room_id, timeline["prev_batch"])
        return found

    async def _gap(self, room_id: str, start: str | None) -> list[Json]:
        """What lies between the event told last in a room and this place, oldest first."""
        missing: list[Json] = []
        while start is not None:
            path = f"client/v3/rooms/{quote(room_id, safe='')}/messages"
            page = await self.client.request("GET", path, query={"dir": "b", "limit": 200, "from": start})
            ids = [event["event_id"] for event in page["chunk"]]
            if self.last[room_id] in ids:
                missing += page["chunk"][: ids.index(self.last[room_id])]
                break
            missing += page["chunk"]
            start = page.get("end")
        return missing[::-1]

    def _take(self, answer: Json, gaps: dict[str, list[Json]]) -> None:
        self.since = answer["next_batch"]
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            self._note(room_id, [*gaps.get(room_id, ()), *room["timeline"]["events"]])

    def _note(self, room_id: str, events: list[Json]) -> None:
        now = time.monotonic()
        for event in events:
            self.last[room_id] = event["event_id"]
            if event["type"] == "m.room.message":
                self.told[room_id].append(event["event_id"])
                self.heard_at.setdefault(event["event_id"], now)


@dataclass
class SlidingWatcher(Watcher):
    """The same by sliding sync: all rooms in one list. A connection that has to begin anew fails the test."""

    async def begin(self) -> None:
        await self._slide(0)

    async def _poll(self) -> None:
        await self._slide(self.poll_ms)

    async def _slide(self, timeout_ms: int) -> None:
        wanted = {"required_state": {}, "timeline_limit": 50, "range": [0, 99]}
        body = {"lists": {"all": wanted}, "timeout": timeout_ms}
        if self.since is not None:
            body["pos"] = self.since
        answer = await self.client.request("POST", "client/v4/sync", body, timeout=timeout_ms / 1000 + 60)
        rooms = answer["rooms"]
        gaps = {
            room_id: await self._gap(room_id, room["prev_batch"])
            for room_id, room in rooms.items()
            if room.get("limited") and room_id in self.last
        }
        self.since = answer["pos"]
        for room_id, room in rooms.items():
            self._note(room_id, [*gaps.get(room_id, ()), *room.get("timeline", ())])


@dataclass
class EventsWatcher(Watcher):
    """The same by the event stream of old."""

    async def begin(self) -> None:
        await super().begin()
        await self._stream(0)

    async def _poll(self) -> None:
        await self._stream(self.poll_ms)

    async def _stream(self, timeout_ms: int) -> None:
        query = {"from": self.since, "timeout": timeout_ms}
        answer = await self.client.request(
            "GET", "client/v3/events", query=query, timeout=timeout_ms / 1000 + 60
        )
        self.since = answer["end"]
        for event in answer["chunk"]:
            self._note(event["room_id"], [event])


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
        await watcher.begin()
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
