"""Rules ``create``: m.room.create. It stands at the start of the room, so there is no state to look at."""

from __future__ import annotations

from typing import Any

from plexus.protocol.auth_rules.context import AuthEvent, refusal
from plexus.protocol.identifiers import is_user_id, parse_room_id, server_of
from plexus.protocol.room_versions import ROOM_VERSIONS, RoomVersion


def check_create(version: RoomVersion, event: AuthEvent) -> None:
    """In their order; each step rejects or passes on."""
    if event.prev_events:
        raise refusal(version, "create.prev_events", "A create event has no events before it")
    _check_room_id(version, event)
    room_version: Any = event.content.get("room_version")
    # "Recognised" is what this server knows; absent means room version 1, which is not for this rule to
    # judge.
    if room_version is not None and (not isinstance(room_version, str) or room_version not in ROOM_VERSIONS):
        raise refusal(version, "create.room_version", "The room version is not known")
    if version.auth.create_needs_creator and "creator" not in event.content:
        raise refusal(version, "create.creator", "The create event names no creator")
    if version.auth.additional_creators and "additional_creators" in event.content:
        creators = event.content["additional_creators"]
        if not isinstance(creators, list) or not all(is_user_id(user) for user in creators):
            raise refusal(
                version, "create.additional_creators", "additional_creators is not a list of user IDs"
            )


def _check_room_id(version: RoomVersion, event: AuthEvent) -> None:
    """``create.room_id``: the room ID belongs to the sender's server, or is not in the event at all."""
    if version.room_id_is_create_event_hash:
        # An Event carries the room ID made from its own ID; one that came in a PDU is found by `check_pdu`.
        event_id = event.event_id
        if event.room_id is not None and (event_id is None or event.room_id[1:] != event_id[1:]):
            raise refusal(version, "create.room_id", "The create event must not have a room ID")
        return
    parts = None if event.room_id is None else parse_room_id(event.room_id)
    if parts is None or parts[1] != server_of(event.sender):
        raise refusal(version, "create.room_id", "The room ID is not of the sender's server")
