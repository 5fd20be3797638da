"""Sending: from a request to a `NewEvent`, and the checks that are the client API's own.

Everything that depends on the room (may they, does it fit, has this transaction been seen) is
`plexus.rooms`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.client_api.delayed_events.models import Draft
from plexus.client_api.deps import ClientApi
from plexus.client_api.membership.service import check_guests_may_join, check_invitees
from plexus.platform.http import Requester
from plexus.protocol.errors import BadJson, InvalidParam, MatrixError, NotFound, UserSuspended
from plexus.protocol.identifiers import is_event_id, is_room_alias
from plexus.rooms import NewEvent, Txn

REDACTION = "m.room.redaction"
MESSAGE = "m.room.message"
VOUCHER = "join_authorised_via_users_server"


def txn_of(requester: Requester, endpoint: str, told: str, txn_id: str) -> Txn:
    """The scope of a transaction id: the device, and the path with all that it tells beside the room: the
    type of an event, or the target of a redaction. Client-Server API, "Transaction identifiers".
    """
    # Most are messages, and the row is kept small.
    scope = endpoint if told == MESSAGE else f"{endpoint}/{told}"
    return Txn(requester.user_id, requester.device_id or "", scope, txn_id)


def message_event(event_type: str, content: dict[str, Any]) -> NewEvent:
    """The event of ``sendMessage``. A redaction names its target in the content, for every room version."""
    if event_type != REDACTION:
        return NewEvent(event_type, content)
    target = content.get("redacts")
    if not is_event_id(target):
        raise BadJson("An m.room.redaction names the event it redacts in content.redacts")
    return redaction_event(str(target), {key: value for key, value in content.items() if key != "redacts"})


def redaction_event(target: str, content: Mapping[str, Any]) -> NewEvent:
    """``redacts`` goes where the room version keeps it: the engine knows."""
    return NewEvent(REDACTION, content, redacts=target)


async def check_own_redaction(api: ClientApi, user_id: str, room_id: str, event: NewEvent) -> None:
    """Who is suspended may redact their own events; `UserSuspended` for all others, also for those that are
    not here.
    """
    try:
        target = await api.rooms.event(room_id, event.redacts or "", viewer=None)
    except NotFound:
        raise UserSuspended from None
    if target.sender != user_id:
        raise UserSuspended


async def state_event(api: ClientApi, draft: Draft, *, is_guest: bool) -> NewEvent:
    """The event of ``setRoomStateWithKey`` after the checks that its type needs."""
    room_id, event_type, content = draft.room_id, draft.type, draft.content
    state_key = draft.state_key or ""
    if event_type == "m.room.canonical_alias":
        await _check_canonical_alias(api, room_id, state_key, content)
    elif event_type == "m.room.member":
        if content.get("membership") == "invite":
            await check_invitees(api, [state_key])
        elif is_guest and content.get("membership") == "join":
            await check_guests_may_join(api, room_id)
        # Who vouches for a restricted join is for this server to say: its signature is the proof.
        content = {key: value for key, value in content.items() if key != VOUCHER}
    return NewEvent(event_type, content, state_key=state_key)


async def _check_canonical_alias(
    api: ClientApi, room_id: str, state_key: str, content: Mapping[str, Any]
) -> None:
    """New aliases must be valid and point to this room; those listed already may stay whatever they are.

    ``M_INVALID_PARAM`` and ``M_BAD_ALIAS``: Client-Server API, ``setRoomStateWithKey``.
    """
    new = _aliases(content, strict=True)
    if not new:
        return
    current = await api.rooms.state_event(room_id, "m.room.canonical_alias", state_key)
    for alias in sorted(new - (_aliases(current.content, strict=False) if current else set())):
        found = await api.rooms.resolve_alias(alias)
        if found is None or found.room_id != room_id:
            raise MatrixError(400, "M_BAD_ALIAS", f"The alias {alias!r} does not point to this room")


def _aliases(content: Mapping[str, Any], *, strict: bool) -> set[str]:
    main, others = content.get("alias"), content.get("alt_aliases", [])
    listed = [] if main is None or main == "" else [main]
    listed += others if isinstance(others, list) else [None]
    if strict and not all(is_room_alias(alias) for alias in listed):
        raise InvalidParam("m.room.canonical_alias lists what is not a room alias")
    return {alias for alias in listed if isinstance(alias, str)}
