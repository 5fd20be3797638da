"""Users who act at random and sync in ways of their own, and what must hold whenever they stand still."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from plexus.rooms import StoredEvent
from plexus.users import OneTimeKey

from tests.integration.sync.building import Building, Replica, SyncPerson
from tests.integration.sync.folding import Fold, differences
from tests.support.house import V3
from tests.support.http import seg

Way = dict[str, Any]

LAZY = {"lazy_load_members": True}
LEAN = {"not_types": ["m.room.member"]}
WAYS: list[Way] = [
    {"filter": {"room": {"timeline": {"limit": 100}}}},
    {"use_state_after": "true"},
    {"filter": {"room": {"timeline": {"limit": 2}}}},
    {"filter": {"room": {"timeline": {"limit": 1}}}, "use_state_after": "true"},
    {"filter": {"room": {"timeline": {"types": ["m.room.message"], "limit": 3}}}},
    {"filter": {"room": {"timeline": {"types": []}}}},
    {"filter": {"room": {"state": LAZY}}},
    {"filter": {"room": {"state": LAZY, "timeline": {"limit": 2}}}, "use_state_after": "true"},
    {"filter": {"room": {"state": LAZY | {"include_redundant_members": True}, "timeline": {"limit": 3}}}},
    {"filter": {"room": {"state": LEAN, "timeline": LEAN | {"limit": 4}}}},
]
"""How the users sync, one after the other."""

ENCRYPTION = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


def lazy(way: Way) -> bool:
    return bool(way.get("filter", {}).get("room", {}).get("state", {}).get("lazy_load_members"))


def is_lean(way: Way) -> bool:
    return bool(way.get("filter", {}).get("room", {}).get("state") == LEAN)


def eager(way: Way) -> Way:
    """The same, with all members: against which what was loaded lazily is held."""
    room = way["filter"]["room"]
    return way | {"filter": {"room": {name: room[name] for name in room if name != "state"}}}


class Town:
    """People, their rooms and their folds. ``versions`` counts the changes of each user's devices, ``mail``
    has what was sent to each user's device, ``met`` with whom each has shared an encrypted room.
    """

    def __init__(
        self,
        building: Building,
        people: list[SyncPerson],
        rng: random.Random,
        others: Sequence[SyncPerson] = (),
    ) -> None:
        self.building = building
        self.people = people
        self.others = others
        self.rng = rng
        self.rooms: list[str] = []
        self.encrypted: set[str] = set()
        self.events: list[tuple[str, str]] = []
        self.versions: dict[str, int] = {}
        self.mail: dict[str, list[int]] = defaultdict(list)
        self.posting = asyncio.Lock()
        self.met: dict[str, set[str]] = defaultdict(set)
        self.folds = [Fold(self.versions) for _ in people]
        self.count = 0

    @classmethod
    async def found(cls, building: Building, name: str, rng: random.Random) -> Town:
        """Everybody with two devices: one that syncs on, and one for fresh looks."""
        people = [await building.person(f"{name}{number}") for number in range(len(WAYS))]
        return cls(building, people, rng, [await building.device(person) for person in people])

    # --- what they do

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
            (3, self.devices),
            (3, self.keys),
            (4, self.post),
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
            encrypted = self.rng.random() < 0.5
            room_id = await person.create_room(
                preset=preset,
                invite=invited,
                room_version=version,
                power_level_content_override=levels,
                initial_state=[ENCRYPTION] if encrypted else [],
            )
            self.rooms.append(room_id)
            if encrypted:
                self.encrypted.add(room_id)

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

    async def devices(self, person: SyncPerson) -> None:
        """The identity keys of a device change."""
        keys = b'{"algorithms":[],"device_id":"%b","keys":{"n":"%d"},"signatures":{},"user_id":"%b"}' % (
            person.device_id.encode(),
            self.count,
            person.user_id.encode(),
        )
        # Others may be told before this is answered, and then fetch what has been written.
        self.versions[person.user_id] = self.versions.get(person.user_id, 0) + 1
        await self.building.users.upload_keys(person.user_id, person.device_id, keys)

    async def keys(self, person: SyncPerson) -> None:
        """One-time and fallback keys come and go."""
        users, key = self.building.users, (person.user_id, person.device_id, "signed_curve25519")
        if self.rng.random() < 0.5:
            await users.claim_keys([key])
            return
        made = [OneTimeKey("signed_curve25519", f"k{self.count}", b"{}")]
        kinds: dict[str, Any] = self.rng.choice([{"one_time": made}, {"fallback": made}])
        await users.upload_keys(person.user_id, person.device_id, None, **kinds)

    async def post(self, person: SyncPerson) -> None:
        """A message to a device."""
        to, number = self.rng.choice(self.people), self.count
        contents = {to.user_id: {to.device_id: {"n": number}}}
        # One at a time: else nobody knows in which order they were written.
        async with self.posting:
            self.mail[to.user_id].append(number)
            await self.building.users.put_messages(person.user_id, "org.example.note", contents)

    # --- how they sync

    def way(self, index: int) -> Way:
        return WAYS[index % len(WAYS)]

    async def look(self, index: int, replica: Replica) -> None:
        """One user syncs on; now and then they want the whole state besides."""
        fold, more = self.folds[index], {"full_state": "true"} if self.rng.random() < 0.05 else {}
        fold.take(await self.people[index].at(replica).sync(fold.since, **self.way(index), **more))

    async def follow(self, index: int, stop: asyncio.Event) -> None:
        """One user syncs on and on, as a client does, by whichever replica there is."""
        fold = self.folds[index]
        while not stop.is_set():
            person = self.people[index].at(self.some_replica())
            wait = self.rng.choice([0, 100, 400])
            fold.take(await person.sync(fold.since, timeout=wait, **self.way(index)))

    async def replica(self) -> None:
        """One more replica, whose tail holds all, some or nothing; the third last goes."""
        made = (await self.building.replica()).sync.replica
        made.rooms.limit, made.users.limit = self.rng.choice([(2**24, 2**24), (5_000, 500), (0, 0)])
        if len(self.building.replicas) > 2:
            await self.building.replicas[-3].finish()

    def some_replica(self) -> Replica:
        return self.rng.choice(self.building.replicas[-2:])

    # --- what must hold

    async def check(self, replica: Replica) -> None:
        """Everybody syncs once more, and then afresh, and compares. Nobody acts meanwhile, and the replica
        has seen everything: between the two nothing happens.
        """
        assert await replica.reach_heads()
        for index, person in enumerate(self.people):
            await self.look(index, replica)
            way, fold, fresh = self.way(index), self.folds[index], Fold()
            is_lazy = lazy(way)
            fresh.take(await self.others[index].at(replica).sync(None, **(eager(way) if is_lazy else way)))
            found = differences(fold, fresh, lazy=is_lazy, lean=is_lean(way))
            found += [each for room_id in fold.rooms for each in await self.lost(index, room_id)]
            found += await self.of_the_device(person, fold)
            found += await self.of_device_lists(person, fold)
            found += await self.of_other_rooms(person, fold)
            assert not found, (person.user_id, way, found)

    async def lost(self, index: int, room_id: str) -> list[str]:
        """What is missing in a timeline since it last began: it is the end of what the user may see."""
        user_id, folded = self.people[index].user_id, self.folds[index].rooms[room_id]
        wanted = self.way(index).get("filter", {}).get("room", {}).get("timeline", {})
        types, not_types = wanted.get("types"), wanted.get("not_types", ())
        if not folded.timeline:
            return []
        page = await self.building.rooms.timeline(
            room_id,
            limit=len(folded.timeline),
            viewer=user_id,
            event_filter=lambda event: (types is None or event.type in types) and event.type not in not_types,
        )
        there = [event.event_id for event in reversed(page.events)]
        return [] if there == folded.timeline else [f"{room_id} is {there}, told {folded.timeline}"]

    async def of_the_device(self, person: SyncPerson, fold: Fold) -> list[str]:
        """Messages to the device, each once and in order, and the number of its keys."""
        found = []
        if fold.messages != self.mail[person.user_id]:
            found.append(f"messages: sent {self.mail[person.user_id]}, told {fold.messages}")
        counts = await self.building.users.key_counts(person.user_id, person.device_id)
        there = {
            "device_one_time_keys_count": {"signed_curve25519": 0} | counts.one_time,
            "device_unused_fallback_key_types": counts.unused_fallback_types,
        }
        if fold.key_counts != there:
            found.append(f"keys: {there}, told {fold.key_counts}")
        return found

    async def of_device_lists(self, person: SyncPerson, fold: Fold) -> list[str]:
        """Of those with whom an encrypted room is shared every change is known, since the first sync at
        least; those with whom nothing is shared any more have left.
        """
        neighbours: dict[str, set[str]] = {"any": set(), "encrypted": set()}
        for room in await self.building.rooms.rooms_of(person.user_id):
            members = set(await self.building.rooms.member_ids(room.ref)) - {person.user_id}
            neighbours["any"] |= members
            if room.room_id in self.encrypted:
                neighbours["encrypted"] |= members
        found = []
        for user_id in neighbours["encrypted"]:
            known, there = fold.known.get(user_id, 0), self.versions.get(user_id, 0)
            if known != there:
                found.append(f"devices of {user_id}: {there} changes, {known} told")
        for user_id in (self.met[person.user_id] - neighbours["any"]) & fold.tracked:
            # Who came into a room that is not encrypted may be followed for nothing.
            if not await self.met_in_the_open(person.user_id, user_id):
                found.append(f"{user_id} has left, and it was not told")
        self.met[person.user_id] = neighbours["encrypted"]
        return found

    async def met_in_the_open(self, *users: str) -> bool:
        """Whether two users have ever been in a room together that is not encrypted."""
        open_rooms = await self.building.rooms.refs(set(self.rooms) - self.encrypted)
        eyes = [await self.building.rooms.viewers(list(open_rooms.values()), user_id) for user_id in users]
        return any(
            a.membership == b.membership == "join" and a.start < b.end and b.start < a.end
            for ref in open_rooms.values()
            for a in eyes[0][ref].memberships
            for b in eyes[1][ref].memberships
        )

    async def of_other_rooms(self, person: SyncPerson, fold: Fold) -> list[str]:
        """Each event told is of the room it was told in, and the user may see it."""
        found = []
        for room_id, event_ids in fold.seen.items():
            ref = await self.building.rooms.ref(room_id)
            assert ref is not None
            eyes = (await self.building.rooms.viewers([ref], person.user_id))[ref]
            for event_id in event_ids:
                event: StoredEvent = await self.building.rooms.event(None, event_id, viewer=None)
                is_own = event.type == "m.room.member" and event.state_key == person.user_id
                if event.ref != ref or not (is_own or eyes.sees(event)):
                    found.append(f"{event_id} in {room_id} is not for {person.user_id}")
        fold.seen.clear()
        return found
