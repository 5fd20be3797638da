"""Sending events. Client-Server API, "Sending events to a room" and "Redactions"."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body as JsonBody
from fastapi import Path
from plexus.client_api.delayed_events.models import Delay, Draft, read_delay
from plexus.client_api.delayed_events.service import schedule
from plexus.client_api.deps import ClientApi, Deps, FullUser
from plexus.client_api.params import EventId, EventType, RoomId, StateKey
from plexus.client_api.sending import service
from plexus.client_api.sending.hot import send_message_route
from plexus.client_api.sending.models import Redaction
from plexus.client_api.server_notices.service import check_may_reject
from plexus.platform.http import HotRoute, Requester, User, make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Room participation"])

Content = Annotated[dict[str, Any], JsonBody(description="The content of the event.")]


def hot(api: ClientApi) -> list[HotRoute]:
    """The routes that are plain ASGI."""
    return [send_message_route(api)]


@router.put("/rooms/{roomId}/state/{eventType}/{stateKey}", operation_id="setRoomStateWithKey")
async def set_room_state_with_key(
    api: Deps,
    requester: User,
    room_id: RoomId,
    event_type: EventType,
    state_key: StateKey,
    body: Content,
    delay: Delay = None,
) -> dict[str, str]:
    """Client-Server API, "Sending events to a room"."""
    return await _set_state(api, requester, Draft(room_id, event_type, state_key, body), delay)


@router.put("/rooms/{roomId}/state/{eventType}", operation_id="setRoomState")
@router.put("/rooms/{roomId}/state/{eventType}/", include_in_schema=False)
async def set_room_state(
    api: Deps, requester: User, room_id: RoomId, event_type: EventType, body: Content, delay: Delay = None
) -> dict[str, str]:
    """The same with an empty state key, for which "the trailing slash on this endpoint is optional"."""
    return await _set_state(api, requester, Draft(room_id, event_type, "", body), delay)


async def _set_state(api: ClientApi, requester: Requester, draft: Draft, delay: str | None) -> dict[str, str]:
    if delay is not None:
        return await schedule(api, requester, None, draft, read_delay(delay))
    await api.platform.limits.check("message", requester.user_id)
    event = await service.state_event(api, draft, is_guest=requester.is_guest)
    of_their_own = (event.type, event.state_key) == ("m.room.member", requester.user_id)
    membership = event.content.get("membership") if of_their_own else None
    if membership == "leave":
        await check_may_reject(api, draft.room_id, requester.user_id)
    comes = membership == "join" and await api.rooms.membership(draft.room_id, requester.user_id) != "join"
    written = await api.rooms.send(draft.room_id, requester.user_id, event)
    api.users.presence.note_active(requester.user_id)
    if comes:
        await api.following.after_join(draft.room_id, requester.user_id)
    if (event.type, event.state_key) == ("m.room.guest_access", ""):
        await api.guests.begin(draft.room_id)
    return {"event_id": written.event_id}


@router.put("/rooms/{roomId}/redact/{eventId}/{txnId}", operation_id="redactEvent")
async def redact_event(
    api: Deps,
    requester: FullUser,
    room_id: RoomId,
    event_id: EventId,
    txn_id: Annotated[str, Path(alias="txnId", description="The transaction ID.")],
    body: Redaction,
) -> dict[str, str]:
    """Client-Server API, "Redactions"."""
    txn = service.txn_of(requester, "redact", event_id, txn_id)
    await api.platform.limits.check("message", requester.user_id)
    event = service.redaction_event(event_id, {} if body.reason is None else {"reason": body.reason})
    if requester.is_suspended:
        await service.check_own_redaction(api, requester.user_id, room_id, event)
    written = await api.rooms.send(room_id, requester.user_id, event, txn=txn)
    api.users.presence.note_active(requester.user_id)
    return {"event_id": written.event_id}
