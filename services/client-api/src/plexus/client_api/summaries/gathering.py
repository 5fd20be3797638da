"""Reading rooms for one requester: a fixed number of queries for any number of rooms.

Client-Server API, ``GET /rooms/{roomId}/hierarchy``: who may be told of a room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.protocol.identifiers import is_room_id
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms import RoomRef, StoredEvent, Wanted

SPACE_CHILD = "m.space.child"
SPACE = "m.space"

SHOWN = frozenset(
    (
        "m.room.avatar",
        "m.room.canonical_alias",
        "m.room.create",
        "m.room.encryption",
        "m.room.guest_access",
        "m.room.history_visibility",
        "m.room.join_rules",
        "m.room.name",
        "m.room.topic",
    )
)
"""What a summary is made of."""

_MEMBERSHIPS = ("join", "invite", "knock", "leave", "ban")


@dataclass(frozen=True)
class Room:
    """A room as it is now, as far as summaries speak of it. ``state`` is by (type, state key)."""

    ref: RoomRef
    joined_members: int
    state: Mapping[tuple[str, str], StoredEvent]

    @property
    def room_id(self) -> str:
        return self.ref.room_id

    def value(self, event_type: str, key: str) -> Any:
        """What the content of a state event with an empty state key has under ``key``; None if nothing."""
        event = self.state.get((event_type, ""))
        return None if event is None else event.content.get(key)

    @cached_property
    def join_rule(self) -> str:
        """A room without the event is one by invitation."""
        rule = self.value("m.room.join_rules", "join_rule")
        return rule if isinstance(rule, str) else "invite"

    @cached_property
    def is_restricted(self) -> bool:
        return self.join_rule in ROOM_VERSIONS[self.ref.room_version].auth.restricted_join_rules

    @cached_property
    def is_knockable(self) -> bool:
        return self.join_rule in ROOM_VERSIONS[self.ref.room_version].auth.knock_join_rules

    @cached_property
    def allowed_room_ids(self) -> list[str]:
        """Of a restricted room: the rooms whose members may join."""
        allow = self.value("m.room.join_rules", "allow") if self.is_restricted else None
        return [
            condition["room_id"]
            for condition in (allow if isinstance(allow, list) else ())
            if isinstance(condition, dict)
            and condition.get("type") == "m.room_membership"
            and isinstance(condition.get("room_id"), str)
            and is_room_id(condition["room_id"])
        ]

    @property
    def is_world_readable(self) -> bool:
        return bool(self.value("m.room.history_visibility", "history_visibility") == "world_readable")

    @property
    def is_space(self) -> bool:
        return bool(self.value("m.room.create", "type") == SPACE)

    @property
    def children(self) -> list[StoredEvent]:
        """Its m.space.child events, if it is a space."""
        if not self.is_space:
            return []
        return [event for (event_type, _), event in self.state.items() if event_type == SPACE_CHILD]


@dataclass(frozen=True, slots=True)
class Eyes:
    """Who asks: their membership by room ID. ``anybody`` is who has not said who they are."""

    memberships: Mapping[str, str]
    anybody: bool = False

    @classmethod
    async def of(cls, api: ClientApi, user_id: str | None) -> Eyes:
        if user_id is None:
            return cls({}, anybody=True)
        rooms = await api.rooms.rooms_of(user_id, _MEMBERSHIPS)
        return cls({room.room_id: room.membership for room in rooms})

    def may_know(self, room: Room) -> bool:
        """Whether they are in the room, may join it, knock at it, or read it without. Somebody banned may do
        none of these, unless everybody may read.
        """
        membership = self.memberships.get(room.room_id)
        if membership in ("join", "invite") or room.is_world_readable:
            return True
        if membership == "ban":
            return False
        if room.join_rule == "public" or room.is_knockable:
            return True
        return any(self.memberships.get(allowed) == "join" for allowed in room.allowed_room_ids)


async def gather(api: ClientApi, room_ids: Sequence[str], *, with_children: bool = False) -> dict[str, Room]:
    """The rooms of these that are here."""
    refs = list((await api.rooms.refs(room_ids)).values())
    heads = await api.rooms.heads(refs)
    wanted = Wanted(types=SHOWN | {SPACE_CHILD} if with_children else SHOWN)
    here = [ref for ref in refs if ref in heads]
    states = await api.rooms.states([(ref, heads[ref].snapshot, wanted) for ref in here])
    return {
        ref.room_id: Room(ref, heads[ref].joined_members, state)
        for ref, state in zip(here, states, strict=True)
    }
