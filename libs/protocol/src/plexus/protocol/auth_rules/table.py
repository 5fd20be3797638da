"""Which checks apply to which event, in the order of the specification."""

from __future__ import annotations

from collections.abc import Mapping

from plexus.protocol.auth_rules.context import (
    AuthEvent,
    Check,
    Context,
    NamedEvent,
    StateLookup,
    refusal,
)
from plexus.protocol.auth_rules.create import check_create
from plexus.protocol.auth_rules.general import (
    check_aliases,
    check_federate,
    check_own_state_key,
    check_required_level,
    check_room,
    check_sender_joined,
)
from plexus.protocol.auth_rules.membership import check_member
from plexus.protocol.auth_rules.power import check_power_levels
from plexus.protocol.auth_rules.redactions import check_redaction
from plexus.protocol.auth_rules.third_party import check_invitation
from plexus.protocol.room_versions import RoomVersion

_ALL: tuple[Check, ...] = (check_room, check_federate)
_MEMBERS_ONLY: tuple[Check, ...] = (*_ALL, check_sender_joined)
_OTHERS: tuple[Check, ...] = (*_MEMBERS_ONLY, check_required_level, check_own_state_key)

_BY_TYPE: Mapping[str, tuple[Check, ...]] = {
    "m.room.aliases": (*_ALL, check_aliases),
    "m.room.member": (*_ALL, check_member),
    "m.room.third_party_invite": (*_MEMBERS_ONLY, check_invitation),
    "m.room.power_levels": (*_OTHERS, check_power_levels),
    "m.room.redaction": (*_OTHERS, check_redaction),
}


def rules_for(version: RoomVersion, type: str) -> tuple[Check, ...]:
    """The checks for an event of this type, other than m.room.create."""
    rules = _BY_TYPE.get(type)
    return _OTHERS if rules is None or type not in version.auth.own_rules else rules


def check_auth(
    version: RoomVersion,
    event: AuthEvent,
    state: StateLookup,
    *,
    create: NamedEvent | None,
) -> None:
    """`AuthRejected` unless the rules allow ``event`` upon ``state``.

    ``state`` is that of the auth events, before the event, or now: the caller asks as often as it must.
    ``create`` is the room's create event; None, or anything, when the event itself is one. In a room without
    one, nothing else is allowed.
    """
    if event.type == "m.room.create":
        check_create(version, event)
        return
    if create is None:
        name = "room" if version.room_id_is_create_event_hash else "auth_events.no_create"
        raise refusal(version, name, "The room has no create event")
    context = Context(version, event, state, create)
    for check in rules_for(version, event.type):
        if check(context):
            return
