"""The iterative auth checks: events are replayed one by one, and those that the rules refuse are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from plexus.protocol.auth_rules.context import StateLookup
from plexus.protocol.auth_rules.selection import auth_types_for_event
from plexus.protocol.auth_rules.table import check_auth
from plexus.protocol.errors import AuthRejected
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.state_resolution.lookups import Room, StateEvent, StateKey

EventLookup: TypeAlias = Callable[[str, str], StateEvent | None]


def apply_allowed(
    version: RoomVersion,
    room: Room,
    events: Iterable[StateEvent],
    resolved: dict[StateKey, StateEvent],
    initial: EventLookup,
) -> None:
    """Put those of ``events`` that are allowed, in their order, into ``resolved``.

    An event is judged upon ``resolved``, then ``initial``; what neither has is taken from the event's own
    auth events, unless that one was rejected.
    """
    for event in events:
        if event.state_key is None:
            continue  # only a forged auth chain has it, and it is no state

        def state(type: str, state_key: str, event: StateEvent = event) -> StateEvent | None:
            found = resolved.get((type, state_key)) or initial(type, state_key)
            if found is None:
                found = room.cited(event, type, state_key)
                if found is not None and room.is_rejected(found.event_id):
                    return None
            return found

        if is_allowed(version, room, event, state):
            resolved[event.type, event.state_key] = event


def is_allowed(version: RoomVersion, room: Room, event: StateEvent, state: EventLookup) -> bool:
    """Whether the authorisation rules allow the event upon this state."""
    if version.auth.create_in_auth_events:
        create = state("m.room.create", "")
    else:
        create = create_event_for(version, room, event)
    if create is None and event.type != "m.room.create":
        return False
    lookup: StateLookup = state
    try:
        check_auth(version, event, lookup, create=create)
    except AuthRejected:
        return False
    return True


def create_event_for(version: RoomVersion, room: Room, event: StateEvent) -> StateEvent | None:
    """The create event that the event names: as an auth event, or by the room ID."""
    if event.type == "m.room.create":
        return event
    if version.auth.create_in_auth_events:
        return room.cited(event, "m.room.create", "")
    return None if event.room_id is None else room.get("$" + event.room_id[1:])


def cited_for(version: RoomVersion, event: StateEvent) -> list[str]:
    """The events that the event itself names when it is judged: its auth events and the create event."""
    if version.auth.create_in_auth_events or event.room_id is None or event.type == "m.room.create":
        return list(event.auth_events)
    return [*event.auth_events, "$" + event.room_id[1:]]


def unconflicted_for(version: RoomVersion, room: Room, event: StateEvent) -> list[str]:
    """The unconflicted state events that the event may be judged upon."""
    keys = auth_types_for_event(version, event.type, event.state_key, event.sender, event.content)
    found = (room.unconflicted(*key) for key in keys)
    return [event_id for event_id in found if event_id is not None]
