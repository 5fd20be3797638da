"""Users who act at random and sync in ways of their own, and what must hold whenever they stand still."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
from plexus.rooms import StoredEvent

from tests.integration.sync.acts import UNSTABLE, Acts
from tests.integration.sync.building import SOON, Building, Replica, SyncPerson
from tests.integration.sync.folding import Fold, differences, presence_differences
from tests.integration.sync.sliding_folding import THREADS, SlidingFold, sliding_differences
from tests.integration.sync.unstable_folding import UnstableFold
from tests.support.http import Answer

Way = dict[str, Any]

LAZY = {"lazy_load_members": True}
LEAN = {"not_types": ["m.room.member"]}
WAYS: list[Way] = [
    {"filter": {"room": {"timeline": {"limit": 100, "unread_thread_notifications": True}}}},
    {"use_state_after": "true"},
    {"filter": {"room": {"timeline": {"limit": 2}}}},
    {"filter": {"room": {"timeline": {"limit": 1}}}, "use_state_after": "true"},
    {"filter": {"room": {"timeline": {"types": ["m.room.message"], "limit": 3}}}},
    {"filter": {"room": {"timeline": {"types": []}}}},
    {"filter": {"room": {"timeline": {"limit": 0}}}},
    {"filter": {"room": {"state": LAZY}}},
    {"filter": {"room": {"state": LAZY, "timeline": {"limit": 2}}}, "use_state_after": "true"},
    {"filter": {"room": {"state": LAZY | {"include_redundant_members": True}, "timeline": {"limit": 3}}}},
    {"filter": {"room": {"state": LEAN, "timeline": LEAN | {"limit": 4}}}},
]
"""How the users sync, one after the other."""

SCOPED = ("account_data", "receipts", "typing")
"""The extensions that a client may restrict to some lists and rooms."""

LIMITS = [1, 2, 5, 20]
"""How many events their sliding connections ask for, likewise."""


def lazy(way: Way) -> bool:
    return bool(way.get("filter", {}).get("room", {}).get("state", {}).get("lazy_load_members"))


def is_lean(way: Way) -> bool:
    return bool(way.get("filter", {}).get("room", {}).get("state") == LEAN)


def eager(way: Way) -> Way:
    """The same, with all members: against which what was loaded lazily is held."""
    room = way["filter"]["room"]
    return way | {"filter": {"room": {name: room[name] for name in room if name != "state"}}}


class Town(Acts):
    """People, their rooms and their folds. The clients of each go their own ways, from ``way`` on in `WAYS`.
    ``eyes`` are the devices for fresh looks; ``met`` has with whom each has shared an encrypted room.
    """

    def __init__(
        self,
        building: Building,
        people: Sequence[SyncPerson],
        sliders: Sequence[SyncPerson],
        eyes: Sequence[SyncPerson],
        rng: random.Random,
        way: int = 0,
    ) -> None:
        super().__init__(building, people, sliders, rng)
        self.eyes = eyes
        self.ways = [WAYS[(way + index) % len(WAYS)] for index in range(len(people))]
        self.met: dict[str, set[str]] = defaultdict(set)
        self.folds = [Fold(self.versions) for _ in people]
        self.connections = [
            self._connection(number, person.user_id) for number, person in enumerate(people, way)
        ]

    @classmethod
    async def found(
        cls, building: Building, name: str, rng: random.Random, size: int = len(WAYS), way: int = 0
    ) -> Town:
        people = [await building.person(f"{name}{number}") for number in range(size)]
        sliders, eyes = [[await building.device(person) for person in people] for _ in range(2)]
        town = cls(building, people, sliders, eyes, rng, way)
        await town.meet()
        return town

    def _connection(self, number: int, user_id: str) -> SlidingFold:
        limit, lazy = LIMITS[number % len(LIMITS)], number % 3 == 0
        # Each limit in each form.
        if (number + number // len(LIMITS)) % 2:
            return UnstableFold(limit, "main", self.versions, lazy=lazy, user_id=user_id)
        return SlidingFold(limit, "main", self.versions, lazy=lazy)

    # --- how they sync

    async def look(self, index: int, replica: Replica, timeout: int = 0) -> None:
        """One user syncs on; now and then they want the whole state besides."""
        whole = self.rng.random() < 0.05 and not timeout
        more = {"full_state": "true"} if whole else {}
        more["set_presence"] = self.rng.choice(["offline", "offline", "unavailable", "online"])
        await self._sync(index, replica, timeout=timeout, **more)

    async def _sync(self, index: int, replica: Replica, **more: Any) -> None:
        fold, person = self.folds[index], self.people[index].at(replica)
        more.setdefault("set_presence", "offline")
        answer = await person.ask_sync(fold.since, **self.ways[index], **more)
        fold.take(answer.ok())
        fold.complaints += await self.foreign(person, answer.body)

    async def slide(self, index: int, replica: Replica, timeout: int = 0) -> None:
        """One user looks through a window, which may be another one than before: some of their lists, some
        of the rooms, little of each or much.
        """
        connection, rng = self.connections[index], self.rng
        state = rng.choice(SOME_STATE) | ({"lazy_members": True} if connection.lazy else {})
        few = {"timeline_limit": rng.choice([0, 1, 9]), "required_state": state}
        much = connection.much
        lists: dict[str, Any] = {"all": {**much, "range": [0, rng.choice([0, 1, 3, 99])]}}
        if rng.random() < 0.3:
            lists["all"] = {**few, "range": [0, rng.choice([0, 99])]}
        if rng.random() < 0.4:
            filters = rng.choice([{"is_encrypted": True}, {"is_invited": True}, {"tags": ["m.favourite"]}])
            lists["some"] = {**rng.choice([few, much]), "range": [0, 5], "filters": filters}
        # Any rooms: what is not theirs to see is not told.
        named = rng.sample(self.rooms, min(len(self.rooms), rng.choice([0, 0, 1, 2])))
        body = {"lists": lists, "room_subscriptions": {room_id: rng.choice([few, much]) for room_id in named}}
        scopes = {name: self._scope() for name in SCOPED if rng.random() < 0.5}
        await self._slide(index, replica, scopes, timeout=timeout, set_presence="offline", **body)

    def _scope(self) -> dict[str, Any]:
        """What an extension is about for once: any lists and rooms, or nothing."""
        some = [[], ["*"], ["all"], ["some"]]
        few = [[], ["*"], self.rng.sample(self.rooms, min(len(self.rooms), 1))]
        return self.rng.choice(
            [
                {"enabled": False},
                {"rooms": self.rng.choice(few)},
                {"lists": self.rng.choice(some), "rooms": self.rng.choice(few)},
            ]
        )

    async def _slide(
        self, index: int, replica: Replica, scopes: dict[str, Any] | None = None, **body: Any
    ) -> None:
        connection, person = self.connections[index], self.sliders[index].at(replica)
        answer = await self._asked(person, connection, scopes, **body)
        connection.complaints += await self.foreign(person, answer.body)

    async def _asked(
        self, person: SyncPerson, connection: SlidingFold, scopes: dict[str, Any] | None = None, **body: Any
    ) -> Answer:
        """The answer to a connection; with the pages of thread subscriptions for which it has no place."""
        before = connection.pos
        answer = await connection.ask(person, before, **body, **connection.asks(scopes))
        connection.take(answer.ok())
        start = answer.json["extensions"][THREADS].get("prev_batch")
        while start is not None:
            query = {"dir": "b", "limit": "3", "from": start, "to": before}
            page = await person.get(f"{UNSTABLE}/io.element.msc4308/thread_subscriptions", **query)
            connection.take_threads(page.ok())
            start = page.json.get("end")
        return answer

    async def begin_anew(self, index: int) -> None:
        replica, fold, connection = self.building.replicas[-1], self.folds[index], self.connections[index]
        # What has come so far is acknowledged, so it does not come again.
        for _ in range(2):
            await self._sync(index, replica)
            await self._slide(index, replica)
        self.folds[index] = Fold(self.versions, messages=fold.messages, complaints=fold.complaints)
        self.connections[index] = connection.anew()

    async def follow(self, index: int, stop: asyncio.Event) -> None:
        """One user syncs on and on, as a client does, by whichever replica there is."""
        while not stop.is_set():
            await self.look(index, self.some_replica(), self.rng.choice([0, 100, 400]))

    async def watch(self, index: int, stop: asyncio.Event) -> None:
        """The same, through windows."""
        while not stop.is_set():
            await self.slide(index, self.some_replica(), self.rng.choice([0, 100, 400]))

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
            found = await self._check_sync(index, replica) + await self._check_sliding(index, replica)
            found += await self._check_presence(index, replica)
            self.met[person.user_id] = (await self.neighbours(person))[1]
            assert not found, (person.user_id, self.ways[index], self.connections[index].limit, found)

    async def _check_sync(self, index: int, replica: Replica) -> list[str]:
        await self._sync(index, replica)
        person, way, fold, fresh = self.people[index], self.ways[index], self.folds[index], Fold()
        is_lazy = lazy(way)
        whole = eager(way) if is_lazy else way
        fresh.take(await self.eyes[index].at(replica).sync(None, set_presence="offline", **whole))
        for room_id in self.models:
            forget_what_is_gone(fold, fresh, room_id)
        found = differences(fold, fresh, lazy=is_lazy, lean=is_lean(way))
        wanted = way.get("filter", {}).get("room", {}).get("timeline", {})
        for room_id, room in fold.rooms.items():
            found += await self.lost(person, room_id, room.timeline, wanted)
        if fold.messages != self.mail[person.user_id]:
            found.append(f"messages: sent {self.mail[person.user_id]}, told {fold.messages}")
        found += await self.of_keys(person, fold.key_counts)
        found += await self.of_device_lists(person, fold.known, fold.tracked)
        found += await self.of_other_rooms(person, fold.seen)
        return found

    async def _check_presence(self, index: int, replica: Replica) -> list[str]:
        """Of all who share a room the client knows what somebody is told who begins. Changes are gathered for
        a moment before they are told, and leases end, so it is looked at again for a while.
        """
        person, fold = self.people[index], self.folds[index]
        others = (await self.neighbours(person))[0] - self.ignored.get(person.user_id, frozenset())
        end = asyncio.get_running_loop().time() + 2 * SOON
        while True:
            fresh, way = Fold(), {"filter": {"room": {"rooms": []}}, "set_presence": "offline"}
            fresh.take(await self.eyes[index].at(replica).sync(None, **way))
            found = presence_differences(fold, fresh, others)
            if not found or asyncio.get_running_loop().time() > end:
                return found
            await asyncio.sleep(0.05)
            await self._sync(index, replica)

    async def _check_sliding(self, index: int, replica: Replica) -> list[str]:
        person, folded = self.sliders[index], self.connections[index]
        everything: dict[str, Any] = {"lists": {"all": {**folded.much, "range": [0, 99]}}}
        everything["set_presence"] = "offline"
        # Messages are acknowledged by the next request.
        await self._slide(index, replica, **everything)
        fresh = folded.fresh("fresh")
        await self._asked(person.at(replica), fresh, **everything)
        if isinstance(folded, UnstableFold):
            folded.forget_what_is_gone(fresh, self.models)
        found = sliding_differences(folded, fresh, forked=self.models)
        for room_id, room in folded.rooms.items():
            if room.facts.get("membership") == "join":
                found += await self.lost(person, room_id, room.timeline, {})
        if folded.messages != self.mail[person.user_id]:
            found.append(f"sliding messages: sent {self.mail[person.user_id]}, told {folded.messages}")
        found += await self.of_keys(person, folded.key_counts)
        found += await self.of_device_lists(person, folded.known, folded.tracked)
        found += await self.of_other_rooms(person, folded.seen)
        return [f"sliding: {each}" for each in found]

    async def foreign(self, person: SyncPerson, body: bytes) -> list[str]:
        """What stands in an answer of rooms with which the user never had to do: an ID of the room, which all
        that is said in it names too, or of one of its events.
        """
        rooms = self.building.rooms
        refs = await rooms.refs(self.rooms)
        eyes = await rooms.viewers(list(refs.values()), person.user_id)
        near = {room_id for room_id, ref in refs.items() if eyes[ref].memberships}
        allowed = near.union(*(self.replaced[room_id] for room_id in near))
        found = [room_id for room_id in self.rooms if room_id not in allowed and room_id.encode() in body]
        found += [
            event_id
            for room_id, event_id in self.events
            if room_id not in near and orjson.dumps(event_id)[1:-1] in body
        ]
        return [f"{each} is told, and is of another room" for each in found]

    async def lost(
        self, person: SyncPerson, room_id: str, timeline: Sequence[str], wanted: dict[str, Any]
    ) -> list[str]:
        """What is missing in a timeline since it last began: it is the end of what the user may see."""
        types, not_types = wanted.get("types"), wanted.get("not_types", ())
        ignored = self.ignored.get(person.user_id, frozenset())
        if not timeline:
            return []
        page = await self.building.rooms.timeline(
            room_id,
            limit=len(timeline),
            viewer=person.user_id,
            event_filter=lambda event: (
                (types is None or event.type in types)
                and event.type not in not_types
                and (event.sender not in ignored or event.state_key is not None)
            ),
        )
        there = [event.event_id for event in reversed(page.events)]
        return [] if there == list(timeline) else [f"{room_id} is {there}, told {timeline}"]

    async def of_keys(self, device: SyncPerson, told: dict[str, Any]) -> list[str]:
        """The number of a device's keys."""
        counts = await self.building.users.key_counts(device.user_id, device.device_id)
        there = {
            "device_one_time_keys_count": {"signed_curve25519": 0} | counts.one_time,
            "device_unused_fallback_key_types": counts.unused_fallback_types,
        }
        return [] if told == there else [f"keys: {there}, told {told}"]

    async def neighbours(self, person: SyncPerson) -> tuple[set[str], set[str]]:
        """With whom a user shares a room, and with whom an encrypted one."""
        anywhere, encrypted = set(), set()
        for room in await self.building.rooms.rooms_of(person.user_id):
            members = set(await self.building.rooms.member_ids(room.ref)) - {person.user_id}
            anywhere |= members
            if room.room_id in self.encrypted:
                encrypted |= members
        return anywhere, encrypted

    async def of_device_lists(
        self, person: SyncPerson, known: dict[str, int], tracked: set[str]
    ) -> list[str]:
        """Of those with whom an encrypted room is shared every change is known, since the first sync at
        least; those with whom nothing is shared any more have left.
        """
        anywhere, encrypted = await self.neighbours(person)
        found = []
        for user_id in encrypted:
            fetched, there = known.get(user_id, 0), self.versions.get(user_id, 0)
            if fetched != there:
                found.append(f"devices of {user_id}: {there} changes, {fetched} told")
        for user_id in (self.met[person.user_id] - anywhere) & tracked:
            # Who came into a room that is not encrypted may be followed for nothing.
            if not await self.met_in_the_open(person.user_id, user_id):
                found.append(f"{user_id} has left, and it was not told")
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

    async def of_other_rooms(self, person: SyncPerson, seen: dict[str, set[str]]) -> list[str]:
        """Each event told is of the room it was told in, and the user may see it."""
        found = []
        for room_id, event_ids in seen.items():
            ref = await self.building.rooms.ref(room_id)
            assert ref is not None
            eyes = (await self.building.rooms.viewers([ref], person.user_id))[ref]
            for event_id in event_ids:
                event: StoredEvent = await self.building.rooms.event(None, event_id, viewer=None)
                is_own = event.type == "m.room.member" and event.state_key == person.user_id
                if event.ref != ref or not (is_own or eyes.sees(event)):
                    found.append(f"{event_id} in {room_id} is not for {person.user_id}")
        seen.clear()
        return found


SOME_STATE: list[dict[str, Any]] = [
    {},
    {"include": [{"type": "m.room.name"}, {"type": "m.room.topic"}]},
    {"include": [{"type": "m.room.member"}], "lazy_members": True},
    {"include": [{}], "exclude": [{"type": "m.room.topic"}]},
]
"""What a window with little of each room has of its state."""


def forget_what_is_gone(fold: Fold, fresh: Fold, room_id: str) -> None:
    """In a room that forks a resolution can take an entry away, and there is no way to tell a client so. By
    branches unread counts may differ between replicas until they are counted anew.
    """
    if room_id in fold.rooms and room_id in fresh.rooms:
        folded, there = fold.rooms[room_id], fresh.rooms[room_id]
        folded.unread, folded.threads = there.unread, there.threads
        for key in folded.state.keys() - there.state.keys():
            del folded.state[key]
