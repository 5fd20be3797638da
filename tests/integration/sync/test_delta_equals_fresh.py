"""Delta equals fresh: whatever happens, folding every incremental sync gives what a fresh initial sync gives.

Several users act at random; each syncs at random moments, each in a way of their own (small limits, filters,
``use_state_after``), by replicas that come and go.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sync.building import Building, Replica, SyncPerson, open_building
from tests.integration.sync.folding import Fold, differences
from tests.support.house import V3
from tests.support.http import seg
from tests.support.postgres import TestDatabase

WAYS: list[dict[str, Any]] = [
    {},
    {"use_state_after": "true"},
    {"filter": {"room": {"timeline": {"limit": 2}}}},
    {"filter": {"room": {"timeline": {"limit": 1}}}, "use_state_after": "true"},
    {"filter": {"room": {"timeline": {"types": ["m.room.message"], "limit": 3}}}},
    {"filter": {"room": {"timeline": {"types": []}}}},
]
"""How the users sync, one after the other."""


class Town:
    """Users who do this and that."""

    def __init__(self, building: Building, people: list[SyncPerson], rng: random.Random) -> None:
        self.building = building
        self.people = people
        self.rng = rng
        self.rooms: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.folds = [Fold() for _ in people]
        self.count = 0

    async def act(self) -> None:
        """One random action. What the rules forbid is refused, which is as good as anything."""
        self.count += 1
        person = self.rng.choice(self.people)
        if not self.rooms:
            await self.create(person)
            return
        actions: list[tuple[int, Callable[[SyncPerson], Awaitable[None]]]] = [
            (2, self.create),
            (30, self.message),
            (8, self.state),
            (8, self.move),
            (6, self.name),
            (3, self.redact),
            (5, self.account_data),
            (8, self.receipt),
            (5, self.typing),
        ]
        [action] = self.rng.choices([a for _, a in actions], [weight for weight, _ in actions])
        await action(person)

    async def create(self, person: SyncPerson) -> None:
        if len(self.rooms) < 5:
            preset = self.rng.choice(["public_chat", "private_chat", "trusted_private_chat"])
            others = [p.user_id for p in self.people if p is not person]
            invited = self.rng.sample(others, self.rng.randrange(3))
            version = self.rng.choice(["1", "3", "10", "11", "12"])
            levels = {"users_default": self.rng.choice([0, 60])}
            self.rooms.append(
                await person.create_room(
                    preset=preset, invite=invited, room_version=version, power_level_content_override=levels
                )
            )

    async def own_room(self, person: SyncPerson) -> str:
        """A room that the user is in, mostly."""
        joined = [room.room_id for room in await self.building.rooms.rooms_of(person.user_id)]
        return self.rng.choice(joined if joined and self.rng.random() < 0.9 else self.rooms)

    async def message(self, person: SyncPerson) -> None:
        room_id = await self.own_room(person)
        answer = await person.put(
            f"{person.room(room_id)}/send/m.room.message/{self.count}", {"body": str(self.count)}
        )
        if answer.status == 200:
            self.events.append((room_id, answer.json["event_id"]))

    async def state(self, person: SyncPerson) -> None:
        room_id = await self.own_room(person)
        kind, content = self.rng.choice(
            [
                ("m.room.topic", {"topic": f"topic {self.count}"}),
                ("m.room.name", {"name": f"name {self.count}"}),
                ("m.room.join_rules", {"join_rule": self.rng.choice(["public", "invite", "knock"])}),
                (
                    "m.room.history_visibility",
                    {"history_visibility": self.rng.choice(["shared", "invited", "joined"])},
                ),
            ]
        )
        answer = await person.put(f"{person.room(room_id)}/state/{kind}/", content)
        if answer.status == 200:
            self.events.append((room_id, answer.json["event_id"]))

    async def move(self, person: SyncPerson) -> None:
        room_id = self.rng.choice(self.rooms)
        if self.rng.random() < 0.5:
            room_id = await self.own_room(person)
        action = self.rng.choice(
            ["join", "join", "join", "leave", "invite", "invite", "kick", "ban", "unban"]
        )
        other = None if action in ("join", "leave") else self.rng.choice(self.people).user_id
        if self.rng.random() < 0.1:
            await person.post(f"{V3}/knock/{seg(room_id)}")
        else:
            await person.act(room_id, action, other)

    async def name(self, person: SyncPerson) -> None:
        path = f"{person.room(await self.own_room(person))}/state/m.room.member/{seg(person.user_id)}"
        await person.put(path, {"membership": "join", "displayname": f"name {self.count}"})

    async def redact(self, person: SyncPerson) -> None:
        if self.events:
            room_id, event_id = self.rng.choice(self.events)
            await person.put(f"{person.room(room_id)}/redact/{seg(event_id)}/r{self.count}")

    async def account_data(self, person: SyncPerson) -> None:
        where = self.rng.choice(["", *(f"/rooms/{seg(room_id)}" for room_id in self.rooms)])
        kind = self.rng.choice(["org.example.a", "org.example.b"])
        path = f"{V3}/user/{seg(person.user_id)}{where}/account_data/{kind}"
        await person.put(path, {"n": self.count})

    async def receipt(self, person: SyncPerson) -> None:
        if self.events:
            room_id, event_id = self.rng.choice(self.events[-10:])
            kind = self.rng.choice(["m.read", "m.read", "m.read.private", "m.fully_read"])
            body = {"thread_id": "main"} if kind != "m.fully_read" and self.rng.random() < 0.3 else {}
            await person.post(f"{person.room(room_id)}/receipt/{kind}/{seg(event_id)}", body)

    async def typing(self, person: SyncPerson) -> None:
        path = f"{person.room(await self.own_room(person))}/typing/{seg(person.user_id)}"
        await person.put(path, {"typing": self.rng.random() < 0.6, "timeout": 120_000})

    async def look(self, index: int, replica: Replica) -> None:
        """One user syncs on."""
        fold = self.folds[index]
        fold.take(await self.people[index].at(replica).sync(fold.since, **WAYS[index % len(WAYS)]))

    async def check(self, replica: Replica) -> None:
        """Everybody syncs once more, and then afresh, and compares. Nobody acts meanwhile, and the replica
        has seen everything: between the two nothing happens.
        """
        assert await replica.reach_heads()
        for index, person in enumerate(self.people):
            await self.look(index, replica)
            fresh = Fold()
            fresh.take(await person.at(replica).sync(None, **WAYS[index % len(WAYS)]))
            assert not differences(self.folds[index], fresh), (person.user_id, WAYS[index % len(WAYS)])

    async def replica(self) -> None:
        """One more replica, whose tail holds all, some or nothing; the third last goes."""
        made = (await self.building.replica()).sync.replica
        made.rooms.limit, made.users.limit = self.rng.choice([(2**24, 2**24), (5_000, 500), (0, 0)])
        if len(self.building.replicas) > 2:
            await self.building.replicas[-3].finish()

    def some_replica(self) -> Replica:
        return self.rng.choice(self.building.replicas[-2:])

    async def follow(self, index: int, stop: asyncio.Event) -> None:
        """One user syncs on and on, as a client does, by whichever replica there is."""
        fold = self.folds[index]
        while not stop.is_set():
            way = WAYS[index % len(WAYS)]
            person = self.people[index].at(self.some_replica())
            fold.take(await person.sync(fold.since, timeout=self.rng.choice([0, 100, 400]), **way))


@pytest.mark.parametrize("seed", range(6))
async def test_folding_every_delta_gives_what_a_fresh_sync_gives(
    seed: int, database: TestDatabase, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with open_building(database, tmp_path) as building:
        people = [await building.person(f"user{number}s{seed}") for number in range(len(WAYS))]
        town = Town(building, people, rng)
        for step in range(160):
            if step % 40 == 0:
                await town.replica()
            await town.act()
            if rng.random() < 0.3:
                await town.look(rng.randrange(len(people)), town.some_replica())
            if step % 40 == 39:
                await town.check(town.some_replica())
        assert any(fold.rooms for fold in town.folds)


@pytest.mark.parametrize("seed", range(4))
async def test_it_does_so_while_everybody_acts_and_polls_at_once(
    seed: int, database: TestDatabase, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with open_building(database, tmp_path) as building:
        people = [await building.person(f"at{number}s{seed}") for number in range(len(WAYS))]
        town = Town(building, people, rng)
        stop = asyncio.Event()
        await town.replica()
        async with asyncio.TaskGroup() as group:
            for index in range(len(people)):
                group.create_task(town.follow(index, stop))
            for step in range(60):
                await asyncio.gather(*(town.act() for _ in range(3)))
                await asyncio.sleep(rng.choice([0, 0, 0.02]))
                if step % 20 == 19:
                    await town.replica()
            stop.set()
        await town.check(town.some_replica())
        assert any(fold.rooms for fold in town.folds)
