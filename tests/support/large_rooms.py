"""A large room with two branches, for what must not depend on its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plexus.protocol import Event, RoomVersion, auth_types_for_event
from plexus.protocol.state_resolution import StateKey

from tests.support.making_events import Events

CREATOR = "@alice:one"
MODERATORS = ("@bob:two", "@carol:three")


@dataclass(frozen=True)
class ForkedRoom:
    """``events`` come in an order in which each is after those it names, so their places in it are ranks;
    ``states`` are those after the last event of each branch.
    """

    version: RoomVersion
    events: dict[str, Event]
    ranks: Mapping[str, int]
    states: tuple[dict[StateKey, str], dict[StateKey, str]]


def forked_room(version: RoomVersion, members: int, conflicts: int, *, real: bool = True) -> ForkedRoom:
    """A public room with so many members, and two branches with so many places in conflict (at least 10).

    Half of the conflicted places are members who change their names on both branches; a fifth is banned on
    one and renamed on the other; the others join on one branch only. Besides, power levels and the topic
    change on both, and join rules on one.
    """
    if conflicts < 10 or members < conflicts:
        raise ValueError("A branch needs at least ten conflicts, and not more than there are members")
    made = Events(version, CREATOR, real=real)
    trunk = _Branch(made)
    trunk.add("m.room.create", CREATOR, made.create_content(), "")
    trunk.member(CREATOR, "join")
    trunk.add("m.room.power_levels", CREATOR, _levels(version, 50), "")
    trunk.add("m.room.join_rules", CREATOR, {"join_rule": "public"}, "")
    trunk.add("m.room.topic", CREATOR, {"topic": "trunk"}, "")
    users = [f"@user{number}:server{number % 500}" for number in range(members - 1 - len(MODERATORS))]
    for user in (*MODERATORS, *users):
        trunk.member(user, "join")

    left, right = trunk.fork(), trunk.fork()
    of_people = conflicts - 3
    renamed, banned = of_people // 2, of_people // 5
    for branch, moderator, name in ((left, MODERATORS[0], "left"), (right, MODERATORS[1], "right")):
        branch.add("m.room.topic", moderator, {"topic": name}, "")
        for user in users[:renamed]:
            branch.member(user, "join", displayname=name)
    for user in users[renamed : renamed + banned]:
        left.member(user, "ban", by=MODERATORS[0])
        right.member(user, "join", displayname="right")
    left.add("m.room.power_levels", CREATOR, _levels(version, 60), "")
    right.add("m.room.power_levels", CREATOR, _levels(version, 55), "")
    right.add("m.room.join_rules", CREATOR, {"join_rule": "invite"}, "")
    for number in range(of_people - renamed - banned):
        left.member(f"@new{number}:server{number % 500}", "join")
    events = made.by_id
    return ForkedRoom(
        version, events, {event_id: rank for rank, event_id in enumerate(events)}, (left.state, right.state)
    )


def _levels(version: RoomVersion, of_moderators: int) -> dict[str, Any]:
    users = dict.fromkeys(MODERATORS, of_moderators)
    return {"users": users if version.auth.creators_have_infinite_power else {CREATOR: 100, **users}}


@dataclass
class _Branch:
    """Events are not judged here: whoever writes a branch knows what is allowed on it."""

    made: Events
    state: dict[StateKey, str] = field(default_factory=dict)
    tip: tuple[str, ...] = ()

    def fork(self) -> _Branch:
        return _Branch(self.made, dict(self.state), self.tip)

    def member(self, user: str, membership: str, *, by: str | None = None, **content: str) -> None:
        self.add("m.room.member", by or user, {"membership": membership, **content}, user)

    def add(self, type: str, sender: str, content: dict[str, Any], state_key: str) -> None:
        keys = auth_types_for_event(self.made.version, type, state_key, sender, content)
        cited = [self.state[key] for key in keys if key in self.state]
        event = self.made.make(type, sender, content, state_key, prev_events=self.tip, auth_events=cited)
        self.state[event.key] = event.event_id
        self.tip = (event.event_id,)
