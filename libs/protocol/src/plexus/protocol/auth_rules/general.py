"""The rules that every event but m.room.create passes: 2, 4, 6, 8 and 9."""

from __future__ import annotations

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.errors import AuthRejected
from plexus.protocol.identifiers import server_of


def check_room(context: Context) -> bool:
    """Rule 2: the room ID is the create event's ID with the sigil ``!``; before room version 12, its room ID.

    (There the same is said of every auth event, the create event among them: rule 2.5.)
    """
    create = context.create
    expected = "!" + create.event_id[1:] if context.version.room_id_is_create_event_hash else create.room_id
    if context.event.room_id != expected:
        raise AuthRejected("2", "The event is not of this room")
    return False


def check_federate(context: Context) -> bool:
    """Rule 4: a room that is not federated is for the creator's server alone."""
    create = context.create
    if create.content.get("m.federate") is False and server_of(context.event.sender) != server_of(
        create.sender
    ):
        raise AuthRejected("4", "This room is not federated")
    return False


def check_sender_joined(context: Context) -> bool:
    """Rule 6."""
    if context.membership(context.event.sender) != "join":
        raise AuthRejected("6", "You are not in this room")
    return False


def check_required_level(context: Context) -> bool:
    """Rule 8."""
    event = context.event
    if context.power.event_level(event.type, event.state_key is not None) > context.sender_level:
        raise AuthRejected("8", f"You do not have the power to send {event.type}")
    return False


def check_own_state_key(context: Context) -> bool:
    """Rule 9: a state key that is a user ID belongs to that user."""
    state_key = context.event.state_key
    if state_key is not None and state_key.startswith("@") and state_key != context.event.sender:
        raise AuthRejected("9", "This state belongs to another user")
    return False
