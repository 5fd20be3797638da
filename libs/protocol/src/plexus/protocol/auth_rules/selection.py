"""Auth events: which an event must cite, and whether what it cites is right (rules
``auth_events``).

Server-Server API, "Auth events selection".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plexus.protocol.auth_rules.context import NamedEvent, refusal
from plexus.protocol.room_versions import RoomVersion

_WITH_JOIN_RULES = frozenset(("join", "invite", "knock"))


def auth_types_for_event(
    version: RoomVersion,
    type: str,
    state_key: str | None,
    sender: str,
    content: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """The (type, state key) places of the state that an event cites, as far as they are filled; none
    twice.
    """
    if type == "m.room.create":
        return []
    needed = [("m.room.create", "")] if version.auth.create_in_auth_events else []
    needed.append(("m.room.power_levels", ""))
    needed.append(("m.room.member", sender))
    if type == "m.room.member" and state_key is not None:
        needed += _for_member(version, state_key, content)
    return list(dict.fromkeys(needed))


def _for_member(version: RoomVersion, target: str, content: Mapping[str, Any]) -> list[tuple[str, str]]:
    needed = [("m.room.member", target)]
    membership = content.get("membership")
    if not isinstance(membership, str):
        return needed
    if membership in _WITH_JOIN_RULES:
        needed.append(("m.room.join_rules", ""))
    if membership == "invite":
        invite = content.get("third_party_invite")
        signed = invite.get("signed") if isinstance(invite, dict) else None
        token = signed.get("token") if isinstance(signed, dict) else None
        if isinstance(token, str):
            needed.append(("m.room.third_party_invite", token))
    if membership == "join" and version.auth.restricted_join_rules:
        authoriser = content.get("join_authorised_via_users_server")
        if isinstance(authoriser, str):
            needed.append(("m.room.member", authoriser))
    return needed


def check_auth_events(
    version: RoomVersion,
    event: NamedEvent,
    auth_events: Sequence[NamedEvent],
    is_rejected: Callable[[str], bool],
) -> None:
    """`AuthRejected` unless the cited events are those that an event of this kind may cite.

    ``is_rejected`` tells by event ID whether an event was rejected on receipt.
    """
    if event.type == "m.room.create":
        return
    allowed = set(auth_types_for_event(version, event.type, event.state_key, event.sender, event.content))
    seen: set[tuple[str, str]] = set()
    for cited in auth_events:
        if cited.state_key is None:
            raise refusal(version, "auth_events.not_selected", "An auth event is not a state event")
        key = (cited.type, cited.state_key)
        if key in seen:
            raise refusal(version, "auth_events.duplicate", f"Two auth events for {key}")
        seen.add(key)
        if key not in allowed:
            raise refusal(version, "auth_events.not_selected", f"{key} does not authorise this event")
        if is_rejected(cited.event_id):
            raise refusal(version, "auth_events.rejected", "An auth event was rejected")
        if cited.room_id != event.room_id:
            raise refusal(version, "auth_events.room_id", "An auth event is of another room")
    if version.auth.create_in_auth_events and ("m.room.create", "") not in seen:
        raise refusal(version, "auth_events.no_create", "The create event is not among the auth events")
