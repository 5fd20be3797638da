"""The algorithm of room version 1: place by place, in passes, by depth.

It is known to reset state to older values, and kept because rooms of version 1 exist.

Room version 1, "State resolution".
"""

from __future__ import annotations

from hashlib import sha1

from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.state_resolution.iterative import EventLookup, is_allowed, unconflicted_for
from plexus.protocol.state_resolution.lookups import Room, StateEvent, StateKey

_IN_PASSES = ("m.room.power_levels", "m.room.join_rules", "m.room.member")


def resolve_v1(version: RoomVersion, room: Room) -> dict[StateKey, str]:
    """A place that only some states fill, all with the same event, is not in conflict here."""
    candidates: dict[StateKey, set[str]] = {}
    for entries in room.conflicted:
        for key, event_id in entries.items():
            candidates.setdefault(key, set()).add(event_id)
    _load(version, room, candidates)

    resolved: dict[StateKey, StateEvent] = {}
    conflicts: dict[StateKey, list[StateEvent]] = {}
    for key, event_ids in candidates.items():
        events = [room.get(event_id) for event_id in event_ids]
        if len(events) == 1:
            resolved[key] = events[0]
        else:
            # Deepest first; events of one depth by the hash of their ID.
            conflicts[key] = sorted(events, key=lambda event: (-event.depth, _hash(event)))

    def state(type: str, state_key: str) -> StateEvent | None:
        found = resolved.get((type, state_key))
        if found is None and (event_id := room.unconflicted(type, state_key)) is not None:
            found = room.get(event_id)
        return found

    for kind in _IN_PASSES:
        # What one place comes to does not count for others before the pass is over.
        found = {
            key: _last_of_line(version, room, key, events, state)
            for key, events in conflicts.items()
            if key[0] == kind
        }
        resolved.update(found)
    others = {
        key: next((event for event in events if is_allowed(version, room, event, state)), events[-1])
        for key, events in conflicts.items()
        if key[0] not in _IN_PASSES
    }
    return {key: event.event_id for key, event in (resolved | others).items()}


def _last_of_line(
    version: RoomVersion,
    room: Room,
    key: StateKey,
    deepest_first: list[StateEvent],
    state: EventLookup,
) -> StateEvent:
    """The last of those that follow each other: the shallowest is taken as it is, each further one must be
    allowed upon the one before.
    """
    *further, current = deepest_first
    for event in reversed(further):

        def state_with_current(type: str, state_key: str, current: StateEvent = current) -> StateEvent | None:
            return current if (type, state_key) == key else state(type, state_key)

        if not is_allowed(version, room, event, state_with_current):
            break
        current = event
    return current


def _hash(event: StateEvent) -> bytes:
    return sha1(event.event_id.encode(), usedforsecurity=False).digest()


def _load(version: RoomVersion, room: Room, candidates: dict[StateKey, set[str]]) -> None:
    in_conflict: set[str] = set().union(*candidates.values())
    room.demand(in_conflict)
    room.demand(set().union(*(unconflicted_for(version, room, room.get(each)) for each in in_conflict)))
