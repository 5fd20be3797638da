"""Rooms as fixtures: made by the package itself, event by event, each judged before it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from plexus.protocol import (
    ROOM_VERSIONS,
    Draft,
    Event,
    RoomVersion,
    SigningKey,
    auth_types_for_event,
    build_event,
    check_auth,
    get_room_version,
)
from plexus.protocol.events import reference_hash_of

SEED = bytes(range(32))
ALICE, BOB, CAROL, MALLORY = "@alice:one", "@bob:two", "@carol:three", "@mallory:evil"


class Room:
    """A room in memory. `send` judges and keeps an event; `draft` and `judge` only judge."""

    def __init__(self, version: str, creator: str = ALICE, **create_content: Any) -> None:
        self.version: RoomVersion = get_room_version(version)
        self.key = SigningKey("ed25519:a_test", SEED)
        self.state: dict[tuple[str, str], Event] = {}
        self.hashes: dict[str, str] = {}
        self.tip: tuple[str, ...] = ()
        self.depth = 0
        self.create: Event | None = None
        self.room_id: str | None = None
        if not self.version.room_id_is_create_event_hash:
            self.room_id = f"!room:{creator.partition(':')[2]}"
        if self.version.auth.create_needs_creator:
            create_content.setdefault("creator", creator)
        self.create = self.send(
            "m.room.create", creator, {"room_version": version, **create_content}, state_key=""
        )
        self.room_id = self.create.room_id
        self.send("m.room.member", creator, {"membership": "join"}, state_key=creator)

    def lookup(self, type: str, state_key: str) -> Event | None:
        return self.state.get((type, state_key))

    def judge(
        self,
        type: str,
        sender: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        redacts: str | None = None,
    ) -> None:
        event_id = self.next_id(sender)
        draft = Draft(type, sender, content, self.room_id, state_key, self.tip, event_id, redacts)
        check_auth(self.version, draft, self.lookup, create=self.create)

    def next_id(self, sender: str) -> str | None:
        if self.version.event_ids != "given":
            return None
        return f"${self.depth}:{sender.partition(':')[2]}"

    def send(
        self,
        type: str,
        sender: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        redacts: str | None = None,
    ) -> Event:
        self.judge(type, sender, content, state_key, redacts)
        wanted = auth_types_for_event(self.version, type, state_key, sender, content)
        event = build_event(
            self.version,
            room_id=self.room_id,
            type=type,
            sender=sender,
            content=content,
            state_key=state_key,
            redacts=redacts,
            event_id=self.next_id(sender),
            prev_events=self.tip,
            auth_events=[self.state[key].event_id for key in wanted if key in self.state],
            reference_hashes=self.hashes,
            depth=self.depth + 1,
            origin_server_ts=1_700_000_000_000 + self.depth,
            server_name=sender.partition(":")[2],
            key=self.key,
        )
        check_auth(self.version, event, self.lookup, create=self.create)
        self.depth += 1
        self.tip = (event.event_id,)
        self.hashes[event.event_id] = reference_hash_of(self.version, event.raw)
        if event.is_state:
            self.state[event.key] = event
        return event

    def member(self, user: str, membership: str, *, by: str | None = None, **content: Any) -> Event:
        return self.send("m.room.member", by or user, {"membership": membership, **content}, state_key=user)

    def join_rule(self, rule: str, *, by: str = ALICE) -> Event:
        return self.send("m.room.join_rules", by, {"join_rule": rule}, state_key="")

    def power(self, *, by: str = ALICE, **content: Any) -> Event:
        return self.send("m.room.power_levels", by, content, state_key="")


@pytest.fixture
def key() -> SigningKey:
    return SigningKey("ed25519:a_test", SEED)


@pytest.fixture(params=ROOM_VERSIONS)
def version(request: pytest.FixtureRequest) -> RoomVersion:
    return get_room_version(request.param)


@pytest.fixture
def new_room() -> Callable[..., Room]:
    return Room


@pytest.fixture(params=ROOM_VERSIONS)
def public_room(request: pytest.FixtureRequest) -> Room:
    """Alice's public room, in every version. Up to 11 she has 100 by the power levels event, in 12 she is
    beyond numbers.
    """
    room = Room(request.param)
    creators_are_listed = not room.version.auth.creators_have_infinite_power
    room.power(users={ALICE: 100} if creators_are_listed else {})
    room.join_rule("public")
    return room


@pytest.fixture
def busy_room(public_room: Room) -> Room:
    """The public room with Bob as a moderator (50) and Carol as a member (0)."""
    room = public_room
    users = dict(room.state["m.room.power_levels", ""].content["users"])
    room.member(BOB, "join")
    room.member(CAROL, "join")
    room.power(users={**users, BOB: 50})
    return room
