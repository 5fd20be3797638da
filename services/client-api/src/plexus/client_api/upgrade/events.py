"""The events that make the room which replaces another. Pure.

What goes along is what the spec recommends: join rules, history visibility, guest access, server ACLs,
encryption, name, topic, avatar, power levels. Besides

- ``type`` and ``m.federate`` of the create event,
- the canonical aliases that move,
- the children of a space, which is nothing without them,
- bans, because nobody expects that an upgrade lifts them (docs/decisions/0021).

No other membership: nobody can be made to join.

Client-Server API, "Room Upgrades".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plexus.client_api.upgrade.power import NewPower, is_canonical
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms import NewEvent

TRANSFERRED = (
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
)
MOST_BANS_AT_ONCE = 500
"""In the write that makes the room, which is built in one go and holds up everybody else by 0.1 ms an event.
Further bans are sent one by one."""

_OF_EVERY_VERSION = frozenset(("public", "invite"))
_TYPES = ("m.room.create", "m.room.power_levels", "m.room.canonical_alias", "m.space.child", *TRANSFERRED)
READ = frozenset(_TYPES)
"""The types of state that an upgrade looks at."""


@dataclass(frozen=True, slots=True)
class OldRoom:
    """What an upgrade needs to know of the room. ``state`` holds contents, ``bans`` the contents of the
    member events of who is banned, ``aliases`` those of this server that lead here.
    """

    room_id: str
    last_event_id: str | None
    state: Mapping[tuple[str, str], Mapping[str, Any]]
    bans: Mapping[str, Mapping[str, Any]]
    aliases: Collection[str]


def replacement_events(
    old: OldRoom,
    version: RoomVersion,
    upgrader: str,
    member: Mapping[str, Any],
    additional_creators: Sequence[str],
    power: NewPower,
) -> list[NewEvent]:
    """All events of the new room; ``member`` is the content of the join of who makes it."""
    state = old.state
    events = [
        NewEvent("m.room.create", _create_content(old, version, additional_creators), state_key=""),
        NewEvent("m.room.member", member, state_key=upgrader),
        NewEvent("m.room.power_levels", power.first, state_key=""),
    ]
    transferred = [(name, state.get((name, ""))) for name in TRANSFERRED]
    for name, content in transferred:
        if content:
            kept = _join_rules(content, version) if name == "m.room.join_rules" else content
            events.append(NewEvent(name, kept, state_key=""))
    alias = canonical_alias(state.get(("m.room.canonical_alias", ""), {}), old.aliases, inside=True)
    if alias:
        events.append(NewEvent("m.room.canonical_alias", alias, state_key=""))
    if state[("m.room.create", "")].get("type") == "m.space":
        events += [
            NewEvent("m.space.child", content, state_key=state_key)
            for (name, state_key), content in state.items()
            if name == "m.space.child" and content.get("via")
        ]
    levels, default = power.first["users"], power.first.get("users_default", 0)
    creators = {upgrader, *additional_creators}
    bans = [
        ban_event(user, content)
        for user, content in old.bans.items()
        if user not in creators and levels.get(user, default) < power.limit
    ]
    events += bans[:MOST_BANS_AT_ONCE]
    if power.last is not None:
        events.append(NewEvent("m.room.power_levels", power.last, state_key=""))
    return [event for event in events if is_canonical(event.content)]


def ban_event(user_id: str, content: Mapping[str, Any]) -> NewEvent:
    """The ban of a user who is banned in the old room with this content."""
    reason = content.get("reason")
    kept = {"membership": "ban", **({"reason": reason} if isinstance(reason, str) else {})}
    return NewEvent("m.room.member", kept, state_key=user_id)


def canonical_alias(content: Mapping[str, Any], aliases: Collection[str], *, inside: bool) -> dict[str, Any]:
    """What m.room.canonical_alias says of these aliases, or, unless ``inside``, of all others."""
    kept: dict[str, Any] = {}
    alias, others = content.get("alias"), content.get("alt_aliases")
    if isinstance(alias, str) and alias and (alias in aliases) is inside:
        kept["alias"] = alias
    if isinstance(others, list):
        listed = [each for each in others if isinstance(each, str) and (each in aliases) is inside]
        if listed:
            kept["alt_aliases"] = listed
    return kept


def _create_content(old: OldRoom, version: RoomVersion, additional_creators: Sequence[str]) -> dict[str, Any]:
    create = old.state[("m.room.create", "")]
    predecessor = {"room_id": old.room_id}
    if old.last_event_id is not None:
        predecessor["event_id"] = old.last_event_id
    content: dict[str, Any] = {"predecessor": predecessor}
    if isinstance(create.get("type"), str):
        content["type"] = create["type"]
    if create.get("m.federate") is False:
        content["m.federate"] = False
    if version.auth.additional_creators and additional_creators:
        content["additional_creators"] = list(additional_creators)
    return content


def _join_rules(content: Mapping[str, Any], version: RoomVersion) -> Mapping[str, Any]:
    """A rule that the new version does not know would let nobody in, not even who is invited."""
    rules = version.auth
    known = rules.invite_join_rules | rules.restricted_join_rules | rules.knock_join_rules
    return content if content.get("join_rule") in known | _OF_EVERY_VERSION else {"join_rule": "invite"}
