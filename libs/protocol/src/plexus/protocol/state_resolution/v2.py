"""The algorithm of room versions 2 to 11 (v2), and of 12 (v2.1).

Room versions 2 and 12, "State resolution".
"""

from __future__ import annotations

from collections.abc import Set

from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.state_resolution.chains import auth_difference
from plexus.protocol.state_resolution.iterative import EventLookup, apply_allowed, cited_for, unconflicted_for
from plexus.protocol.state_resolution.lookups import Room, StateEvent, StateKey
from plexus.protocol.state_resolution.ordering import mainline_ordered, power_ordered
from plexus.protocol.state_resolution.subgraph import conflicted_subgraph

_ALWAYS_POWER = frozenset(("m.room.power_levels", "m.room.join_rules"))


def resolve_v2(version: RoomVersion, room: Room) -> dict[StateKey, str]:
    """Events are replayed upon the unconflicted state."""

    def unconflicted(type: str, state_key: str) -> StateEvent | None:
        event_id = room.unconflicted(type, state_key)
        return None if event_id is None else room.get(event_id)

    full = _in_conflict(room) | auth_difference(room)
    room.demand(full)
    room.demand(set().union(*(unconflicted_for(version, room, room.get(each)) for each in full)))
    return _replay(version, room, full, unconflicted)


def resolve_v2_1(version: RoomVersion, room: Room) -> dict[StateKey, str]:
    """Events are replayed upon nothing but their own auth events, and those between conflicted ones too."""

    def empty(type: str, state_key: str) -> None:
        return None

    in_conflict = _in_conflict(room)
    full = in_conflict | auth_difference(room) | conflicted_subgraph(room, in_conflict)
    return _replay(version, room, full, empty)


def _in_conflict(room: Room) -> Set[str]:
    """The conflicted state set."""
    return frozenset().union(*(state.values() for state in room.conflicted))


def _replay(version: RoomVersion, room: Room, full: Set[str], initial: EventLookup) -> dict[StateKey, str]:
    """Steps 1 to 5 upon the full conflicted set."""
    room.demand(full)
    room.demand(set().union(*(cited_for(version, room.get(each)) for each in full)))

    power = _power_events(room, full)
    resolved: dict[StateKey, StateEvent] = {}
    apply_allowed(version, room, power_ordered(version, room, power), resolved, initial)

    levels = resolved.get(("m.room.power_levels", "")) or initial("m.room.power_levels", "")
    others = mainline_ordered(room, levels, map(room.get, full - power))
    apply_allowed(version, room, others, resolved, initial)

    return {key: event.event_id for key, event in resolved.items() if room.unconflicted(*key) is None}


def _power_events(room: Room, full: Set[str]) -> set[str]:
    """The power events of the full conflicted set, and what in it they stand on."""
    stack = [event_id for event_id in full if is_power_event(room.get(event_id))]
    found: set[str] = set()
    while stack:
        event_id = stack.pop()
        if event_id not in found:
            found.add(event_id)
            stack.extend(cited for cited in room.get(event_id).auth_events if cited in full)
    return found


def is_power_event(event: StateEvent) -> bool:
    """Whether the event might take away somebody's ability to do something."""
    if event.state_key is None:
        return False
    if event.type == "m.room.member":
        return event.content.get("membership") in ("leave", "ban") and event.sender != event.state_key
    return event.type in _ALWAYS_POWER
