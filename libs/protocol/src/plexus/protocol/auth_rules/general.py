"""The rules that every event but m.room.create passes, and ``aliases``, which comes before most of them."""

from __future__ import annotations

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.identifiers import server_of


def check_room(context: Context) -> bool:
    """``room``: the room ID is the create event's ID with the sigil ``!``.

    Before room version 12 it is the create event's room ID; there the same is said of all auth events, the
    create event among them (``auth_events.room_id``).
    """
    create = context.create
    if context.version.room_id_is_create_event_hash:
        if context.event.room_id != "!" + create.event_id[1:]:
            raise context.refusal("room", "The event is not of this room")
    elif context.event.room_id != create.room_id:
        raise context.refusal("auth_events.room_id", "The event is not of this room")
    return False


def check_federate(context: Context) -> bool:
    """``federate``: a room that is not federated is for the creator's server alone."""
    create = context.create
    if create.content.get("m.federate") is False and server_of(context.event.sender) != server_of(
        create.sender
    ):
        raise context.refusal("federate", "This room is not federated")
    return False


def check_aliases(context: Context) -> bool:
    """``aliases``: a server speaks of its own aliases, whether its user is in the room or not. Decides."""
    event = context.event
    if event.state_key is None:
        raise context.refusal("aliases.no_state_key", "Aliases are state, with the server's name as key")
    if server_of(event.sender) != event.state_key:
        raise context.refusal("aliases.other_server", "These are the aliases of another server")
    return True


def check_sender_joined(context: Context) -> bool:
    """``sender``: only members speak."""
    if context.membership(context.event.sender) != "join":
        raise context.refusal("sender", "You are not in this room")
    return False


def check_required_level(context: Context) -> bool:
    """``required_level``: the event type's level."""
    event = context.event
    if context.power.event_level(event.type, event.state_key is not None) > context.sender_level:
        raise context.refusal("required_level", f"You do not have the power to send {event.type}")
    return False


def check_own_state_key(context: Context) -> bool:
    """``state_key``: a state key that is a user ID belongs to that user."""
    state_key = context.event.state_key
    if state_key is not None and state_key.startswith("@") and state_key != context.event.sender:
        raise context.refusal("state_key", "This state belongs to another user")
    return False
