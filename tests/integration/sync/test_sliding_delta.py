"""Delta equals fresh, by sliding sync: whatever happens, and whatever window was looked through meanwhile,
folding every answer of a connection gives what a new connection gives.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sync.building import Replica, SyncPerson, open_building
from tests.integration.sync.test_sliding import slide
from tests.integration.sync.town import Town
from tests.support.http import Json, seg
from tests.support.postgres import TestDatabase

LIMITS = [1, 2, 5, 20]
"""How many events the connections ask for, one after the other."""

THREADS = "io.element.msc4308.thread_subscriptions"
EXTENSIONS = {"account_data": {"enabled": True}, THREADS: {"enabled": True, "limit": 2}}
UNSTABLE = "/_matrix/client/unstable"

Thread = tuple[str, str]


@dataclass
class SlidingRoom:
    facts: dict[str, Any] = field(default_factory=dict)
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    stripped: set[tuple[str, str]] = field(default_factory=set)
    timeline: list[str] = field(default_factory=list)
    account_data: dict[str, Json] = field(default_factory=dict)


@dataclass
class SlidingFold:
    """What a client knows that goes by what the answers say, and nothing else."""

    limit: int
    conn_id: str
    pos: str | None = None
    rooms: dict[str, SlidingRoom] = field(default_factory=dict)
    account_data: dict[str, Json] = field(default_factory=dict)
    threads: dict[Thread, Json] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    async def look(self, person: SyncPerson, last: int, timeout: int = 0) -> None:
        config = {"timeline_limit": self.limit, "required_state": {"include": [{}]}}
        lists = {"all": {**config, "range": [0, last]}}
        before = self.pos
        answer = await slide(
            person, before, lists=lists, conn_id=self.conn_id, timeout=timeout, extensions=EXTENSIONS
        )
        self.take(answer)
        start = answer["extensions"][THREADS].get("prev_batch")
        while start is not None:
            page = await person.get(
                f"{UNSTABLE}/io.element.msc4308/thread_subscriptions",
                **{"dir": "b", "limit": "3", "from": start},
                **({} if before is None else {"to": before}),
            )
            self.take_threads(page.ok())
            start = page.json.get("end")

    def take_threads(self, told: Json) -> None:
        """ "The update with the higher bump_stamp is later and renders the update with the lower" void."""
        for kind in ("subscribed", "unsubscribed"):
            for room_id, threads in told.get(kind, {}).items():
                for root, new in threads.items():
                    old = self.threads.get((room_id, root))
                    if old is None or old["bump_stamp"] < new["bump_stamp"]:
                        self.threads[room_id, root] = {"kind": kind, **new}

    def take(self, answer: Json) -> None:
        self.pos = answer["pos"]
        for room_id, told in answer["rooms"].items():
            if told.get("initial") or "stripped_state" in told:
                kept = self.rooms.get(room_id, SlidingRoom()).account_data
                self.rooms[room_id] = SlidingRoom(account_data=kept)
            elif room_id not in self.rooms:
                self.complaints.append(f"{room_id} begins without initial")
                continue
            self._take_room(room_id, told)
        self.take_threads(answer["extensions"][THREADS])
        told = answer["extensions"].get("account_data", {})
        for event in told.get("global", ()):
            self.account_data[event["type"]] = event["content"]
        for room_id, events in told.get("rooms", {}).items():
            for event in events:
                self.rooms[room_id].account_data[event["type"]] = event["content"]

    def _take_room(self, room_id: str, told: Json) -> None:
        room = self.rooms[room_id]
        for name in ("membership", "name", "joined_count", "invited_count"):
            if name in told:
                room.facts[name] = told[name]
        for event in told.get("stripped_state", ()):
            room.stripped.add((event["type"], event["state_key"]))
        for event in told.get("required_state", ()):
            key = (event["type"], event["state_key"])
            if "content" in event:
                room.state[key] = event["event_id"]
            else:
                room.state.pop(key, None)
        if told.get("limited") or told.get("expanded_timeline"):
            room.timeline.clear()
        for event in told.get("timeline", ()):
            if event["event_id"] in room.timeline:
                self.complaints.append(f"{event['event_id']} twice in {room_id}")
            room.timeline.append(event["event_id"])


def differences(folded: SlidingFold, fresh: SlidingFold) -> list[str]:
    """In what a folded picture differs from that of a new connection, in words."""
    found = list(folded.complaints)
    if folded.account_data != fresh.account_data:
        found.append(f"account data {folded.account_data} and {fresh.account_data}")
    if folded.threads != fresh.threads:
        found.append(f"threads {folded.threads} and {fresh.threads}")
    for room_id in folded.rooms.keys() - fresh.rooms.keys():
        # Left by oneself, or kept out of a room one never was in.
        if folded.rooms[room_id].facts["membership"] not in ("leave", "ban"):
            found.append(f"{room_id} is not there any more")
    for room_id, room in fresh.rooms.items():
        old = folded.rooms.get(room_id)
        if old is None:
            found.append(f"{room_id} is missing")
            continue
        facts = {name: value for name, value in old.facts.items() if value is not None}
        if facts != room.facts:
            found.append(f"{room_id}: {facts} and {room.facts}")
        if old.stripped != room.stripped:
            found.append(f"{room_id}: stripped {old.stripped ^ room.stripped}")
        if old.state != room.state:
            found.append(f"{room_id}: state {set(old.state.items()) ^ set(room.state.items())}")
        if room.facts["membership"] == "join" and old.account_data != room.account_data:
            found.append(f"{room_id}: account data {old.account_data} and {room.account_data}")
        shared = min(len(old.timeline), len(room.timeline))
        if room.facts["membership"] == "join" and (
            old.timeline[-shared:] != room.timeline[-shared:] or (room.timeline and not shared)
        ):
            found.append(f"{room_id}: timeline {old.timeline} and {room.timeline}")
    return found


class SlidingTown(Town):
    """The same users, who look through windows."""

    connections: list[SlidingFold]

    async def act(self) -> None:
        if self.events and self.rng.random() < 0.2:
            await self.subscribe(self.rng.choice(self.people))
        else:
            await super().act()

    async def subscribe(self, person: SyncPerson) -> None:
        """To a thread, or from it. Who may not see its root is refused."""
        room_id, root = self.rng.choice(self.events[-20:])
        path = f"{UNSTABLE}/io.element.msc4306/rooms/{seg(room_id)}/thread/{seg(root)}/subscription"
        answer = await (person.delete(path) if self.rng.random() < 0.4 else person.put(path, {}))
        assert answer.status in (200, 404), answer

    async def look(self, index: int, replica: Replica) -> None:
        await self.connections[index].look(self.people[index].at(replica), self.rng.choice([0, 1, 3, 99]))

    async def check(self, replica: Replica) -> None:
        assert await replica.reach_heads()
        for index, person in enumerate(self.people):
            folded = self.connections[index]
            await folded.look(person.at(replica), 99)
            fresh = SlidingFold(folded.limit, "fresh")
            await fresh.look(person.at(replica), 99)
            assert not differences(folded, fresh), (person.user_id, folded.limit)

    async def follow(self, index: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            person = self.people[index].at(self.some_replica())
            await self.connections[index].look(
                person, self.rng.choice([0, 1, 99]), self.rng.choice([0, 100, 400])
            )


@pytest.mark.parametrize("seed", range(4))
async def test_folding_every_answer_gives_what_a_new_connection_gives(
    seed: int, database: TestDatabase, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with open_building(database, tmp_path) as building:
        people = [await building.person(f"slide{number}s{seed}") for number in range(len(LIMITS))]
        town = SlidingTown(building, people, rng)
        town.connections = [SlidingFold(limit, "main") for limit in LIMITS]
        for step in range(120):
            if step % 40 == 0:
                await town.replica()
            await town.act()
            if rng.random() < 0.4:
                await town.look(rng.randrange(len(people)), town.some_replica())
            if step % 40 == 39:
                await town.check(town.some_replica())
        assert any(connection.rooms for connection in town.connections)
        assert any(connection.threads for connection in town.connections)


@pytest.mark.parametrize("seed", range(2))
async def test_it_does_so_while_everybody_acts_and_polls_at_once(
    seed: int, database: TestDatabase, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with open_building(database, tmp_path) as building:
        people = [await building.person(f"sliding{number}s{seed}") for number in range(len(LIMITS))]
        town = SlidingTown(building, people, rng)
        town.connections = [SlidingFold(limit, "main") for limit in LIMITS]
        stop = asyncio.Event()
        await town.replica()
        async with asyncio.TaskGroup() as group:
            for index in range(len(people)):
                group.create_task(town.follow(index, stop))
            for step in range(40):
                await asyncio.gather(*(town.act() for _ in range(3)))
                await asyncio.sleep(rng.choice([0, 0, 0.02]))
                if step % 20 == 19:
                    await town.replica()
            stop.set()
        await town.check(town.some_replica())
        assert any(connection.rooms for connection in town.connections)
        assert any(connection.threads for connection in town.connections)
