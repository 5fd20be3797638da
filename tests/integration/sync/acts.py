"""What users do at random. What the rules forbid is refused, which is as good as anything."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from plexus.protocol.errors import AuthRejected
from plexus.users import OneTimeKey

from tests.integration.rooms.forking import Model, adopt
from tests.integration.sync.building import Building, SyncPerson
from tests.support.house import V3
from tests.support.http import Json, seg

AFAR = ("@root:afar", "@dan:beyond")
"""Members of other servers."""

UNSTABLE = "/_matrix/client/unstable"

MOST_ROOMS = 6

ENCRYPTION = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


class Acts:
    """People and their rooms. Each ``people`` has a device that follows /v3/sync, each of ``sliders`` is a
    second one of theirs that follows sliding sync. ``versions`` counts the changes of each user's devices,
    ``mail`` has what was sent to each user's devices. What is said in a room names the room.
    """

    def __init__(
        self,
        building: Building,
        people: Sequence[SyncPerson],
        sliders: Sequence[SyncPerson],
        rng: random.Random,
    ) -> None:
        self.building = building
        self.people = people
        self.sliders = sliders
        self.rng = rng
        self.rooms: list[str] = []
        self.encrypted: set[str] = set()
        self.events: list[tuple[str, str]] = []
        self.replaced: dict[str, set[str]] = defaultdict(set)
        self.models: dict[str, Model] = {}
        self.room_versions: dict[str, str] = {}
        self.ignored: dict[str, frozenset[str]] = {}
        self.versions: dict[str, int] = {}
        self.mail: dict[str, list[int]] = defaultdict(list)
        self.posting = asyncio.Lock()
        self.count = 0

    async def act(self) -> None:
        """One random action of somebody."""
        kinds, weights = zip(*self.EVERYDAY, strict=True)
        [kind] = self.rng.choices(kinds, weights)
        await self.do(kind, self.rng.randrange(len(self.people)))

    async def do(self, kind: str, index: int) -> None:
        self.count += 1
        await getattr(self, kind)(self.people[index])

    async def meet(self) -> None:
        """A room where everybody is at the beginning."""
        room_id = await self.people[0].create_room(preset="public_chat", room_version="11")
        self._found(room_id, "11", encrypted=False)
        for person in self.people[1:]:
            await person.join(room_id)

    EVERYDAY: Sequence[tuple[str, int]] = (
        ("create", 2),
        ("message", 24),
        ("relation", 8),
        ("state", 8),
        ("move", 8),
        ("name", 5),
        ("redact", 3),
        ("account_data", 4),
        ("direct", 2),
        ("tag", 2),
        ("receipt", 8),
        ("read_markers", 2),
        ("typing", 5),
        ("presence", 6),
        ("devices", 3),
        ("keys", 3),
        ("post", 4),
        ("forget", 1),
        ("subscribe", 12),
    )
    """What may be done while others do something, and how often."""

    RARE = ("upgrade", "ignore", "afar", "afar", "afar")
    """What is only done while nobody does anything else."""

    async def create(self, person: SyncPerson) -> None:
        if len(self.rooms) < MOST_ROOMS:
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
            self._found(room_id, version, encrypted)

    def _found(self, room_id: str, version: str, encrypted: bool) -> None:
        self.rooms.append(room_id)
        self.room_versions[room_id] = version
        if encrypted:
            self.encrypted.add(room_id)

    async def own_room(self, person: SyncPerson) -> str:
        """A room that the user is in, mostly."""
        joined = {room.room_id for room in await self.building.rooms.rooms_of(person.user_id)}
        # In the order in which they were made: the same chances lead to the same story.
        own = [room_id for room_id in self.rooms if room_id in joined]
        return self.rng.choice(own if own and self.rng.random() < 0.9 else self.rooms)

    async def _send(self, person: SyncPerson, room_id: str, type: str, content: Json) -> None:
        path = f"{person.room(room_id)}/send/{type}/{self.count}"
        answer = await person.put(path, {"body": f"{self.count} in {room_id}", **content})
        if answer.status == 200:
            self.events.append((room_id, answer.json["event_id"]))

    async def message(self, person: SyncPerson) -> None:
        content = {}
        if self.rng.random() < 0.2:
            content = {"m.mentions": {"user_ids": [self.rng.choice(self.people).user_id]}}
        await self._send(person, await self.own_room(person), "m.room.message", content)

    async def relation(self, person: SyncPerson) -> None:
        """A reaction, an edit or an answer in a thread, to something that was said in the room."""
        room_id = await self.own_room(person)
        said = [event_id for room, event_id in self.events if room == room_id]
        if not said:
            return
        parent = self.rng.choice(said[-6:])
        kind = self.rng.choice(["m.annotation", "m.replace", "m.thread", "m.thread"])
        relates: Json = {"rel_type": kind, "event_id": parent}
        if kind == "m.annotation":
            relates["key"] = str(self.count % 3)
        content: Json = {"m.relates_to": relates}
        if kind == "m.replace":
            content["m.new_content"] = {"body": f"rather {self.count} in {room_id}"}
        await self._send(
            person, room_id, "m.reaction" if kind == "m.annotation" else "m.room.message", content
        )

    async def state(self, person: SyncPerson) -> None:
        room_id = await self.own_room(person)
        kind, content = self.rng.choice(
            [
                ("m.room.topic", {"topic": f"topic {self.count} of {room_id}"}),
                ("m.room.name", {"name": f"name {self.count} of {room_id}"}),
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

    async def forget(self, person: SyncPerson) -> None:
        await person.post(f"{person.room(self.rng.choice(self.rooms))}/forget")

    async def upgrade(self, person: SyncPerson) -> None:
        if len(self.rooms) > MOST_ROOMS:
            return
        room_id, version = await self.own_room(person), self.rng.choice(["11", "12"])
        answer = await person.post(f"{person.room(room_id)}/upgrade", {"new_version": version})
        if answer.status == 200:
            new = answer.json["replacement_room"]
            self._found(new, version, room_id in self.encrypted)
            # The tombstone of the one names the other.
            self.replaced[room_id].add(new)
            self.replaced[new].add(room_id)

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

    async def direct(self, person: SyncPerson) -> None:
        """Take other rooms for direct chats."""
        joined = {room.room_id for room in await self.building.rooms.rooms_of(person.user_id)}
        rooms = [room_id for room_id in self.rooms if room_id in joined and self.rng.random() < 0.3]
        path = f"{V3}/user/{seg(person.user_id)}/account_data/m.direct"
        (await person.put(path, {person.user_id: rooms})).ok()

    async def tag(self, person: SyncPerson) -> None:
        path = f"{V3}/user/{seg(person.user_id)}/rooms/{seg(await self.own_room(person))}/tags"
        tag = self.rng.choice(["m.favourite", "u.work"])
        if self.rng.random() < 0.7:
            await person.put(f"{path}/{tag}", {"order": 0.5})
        else:
            await person.delete(f"{path}/{tag}")

    async def ignore(self, person: SyncPerson) -> None:
        """Ignore somebody, or nobody. What clients do then is to begin anew."""
        others = [p.user_id for p in self.people if p is not person]
        ignored = frozenset({self.rng.choice(others)} if self.rng.random() < 0.7 else ())
        path = f"{V3}/user/{seg(person.user_id)}/account_data/m.ignored_user_list"
        (await person.put(path, {"ignored_users": {user: {} for user in ignored}})).ok()
        self.ignored[person.user_id] = ignored
        await self.begin_anew(self.people.index(person))

    async def begin_anew(self, index: int) -> None:
        """The clients of a user forget what they know."""

    async def receipt(self, person: SyncPerson) -> None:
        if self.events:
            room_id, event_id = self.rng.choice(self.events[-10:])
            kind = self.rng.choice(["m.read", "m.read", "m.read.private", "m.fully_read"])
            body: Json = {}
            if kind != "m.fully_read" and self.rng.random() < 0.4:
                roots = [each for room, each in self.events if room == room_id]
                body = {"thread_id": self.rng.choice(["main", "main", *roots[-4:]])}
            await person.post(f"{person.room(room_id)}/receipt/{kind}/{seg(event_id)}", body)

    async def read_markers(self, person: SyncPerson) -> None:
        if self.events:
            room_id, event_id = self.rng.choice(self.events[-10:])
            kinds = self.rng.sample(["m.fully_read", "m.read", "m.read.private"], self.rng.randint(1, 3))
            await person.post(f"{person.room(room_id)}/read_markers", dict.fromkeys(kinds, event_id))

    async def typing(self, person: SyncPerson) -> None:
        path = f"{person.room(await self.own_room(person))}/typing/{seg(person.user_id)}"
        await person.put(path, {"typing": self.rng.random() < 0.6, "timeout": 120_000})

    async def presence(self, person: SyncPerson) -> None:
        state = self.rng.choice(["online", "online", "unavailable", "offline"])
        status = self.rng.choice([{}, {"status_msg": f"status {self.count}"}])
        path = f"{V3}/presence/{seg(person.user_id)}/status"
        (await person.put(path, {"presence": state, **status})).ok()

    async def subscribe(self, person: SyncPerson) -> None:
        """To a thread, or from it. Who may not see its root is refused."""
        if self.events:
            room_id, root = self.rng.choice(self.events[-20:])
            path = f"{UNSTABLE}/io.element.msc4306/rooms/{seg(room_id)}/thread/{seg(root)}/subscription"
            answer = await (person.delete(path) if self.rng.random() < 0.4 else person.put(path, {}))
            assert answer.status in (200, 404), answer

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
        users, person = self.building.users, self.rng.choice(self._devices(person))
        key = (person.user_id, person.device_id, "signed_curve25519")
        if self.rng.random() < 0.5:
            await users.claim_keys([key])
            return
        made = [OneTimeKey("signed_curve25519", f"k{self.count}", b"{}")]
        kinds: dict[str, Any] = self.rng.choice([{"one_time": made}, {"fallback": made}])
        await users.upload_keys(person.user_id, person.device_id, None, **kinds)

    async def post(self, person: SyncPerson) -> None:
        """A message to the devices of somebody."""
        to, number = self.rng.choice(self.people), self.count
        contents = {to.user_id: {device.device_id: {"n": number} for device in self._devices(to)}}
        # One at a time: else nobody knows in which order they were written.
        async with self.posting:
            self.mail[to.user_id].append(number)
            await self.building.users.put_messages(person.user_id, "org.example.note", contents)

    def _devices(self, person: SyncPerson) -> tuple[SyncPerson, SyncPerson]:
        return person, self.sliders[self.people.index(person)]

    async def afar(self, person: SyncPerson) -> None:
        """Members of other servers act, upon one of the last events of a room: it forks."""
        room_id = await self.own_room(person)
        model = await self._model(room_id)
        live = [step.event_id for step in model.steps]
        sender, at = self.rng.choice(AFAR), (self.rng.choice(live[-3:]),)
        kinds: list[tuple[str, Json, str | None]] = [
            ("m.room.message", {"body": f"{self.count} in {room_id}"}, None),
            ("m.room.topic", {"topic": f"topic {self.count} of {room_id}"}, ""),
            ("m.room.member", {"membership": "join", "displayname": str(self.count)}, sender),
            ("m.room.member", {"membership": "leave"}, sender),
            ("m.room.member", {"membership": "ban"}, person.user_id),
        ]
        state = model.graph.state_before(at)
        event_id = state.get(("m.room.member", sender))
        joined = event_id and model.graph.events[event_id].content.get("membership") == "join"
        kind, content, key = self.rng.choice(kinds) if joined else kinds[2]
        with suppress(AuthRejected):
            event = model.graph.send(kind, sender, content, key, after=at)
            received = await self.building.rooms.receive(event)
            assert received.fate is model.take(event), received.reason
            self.events.append((room_id, event.event_id))
            # Nobody here has written it, so nobody waits to see it.
            for replica in self.building.replicas:
                assert replica.ended or await replica.reach_heads()

    async def _model(self, room_id: str) -> Model:
        """What the room must be, with all that was sent here meanwhile."""
        model = self.models.get(room_id)
        if model is None:
            model = await adopt(self.building.rooms, room_id, self.room_versions[room_id])
            self.models[room_id] = model
        page = await self.building.rooms.timeline(room_id, backwards=False, limit=1000)
        for stored in page.events:
            if stored.event_id not in model.fates:
                model.graph.adopt(stored.event)
                model.take(stored.event)
        return model
