"""Reading a room. Client-Server API, "Getting events for a room", "Event Context"."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Response
from plexus.client_api.deps import ClientApi, Deps, FullUser
from plexus.client_api.params import EventId, EventType, RoomId, StateKey
from plexus.client_api.reading import service
from plexus.client_api.reading.models import (
    FilterJson,
    Limit,
    Membership,
    Token,
    page_size,
    read_filter,
)
from plexus.platform.http import Requester, User, make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Room participation"])

Format = Annotated[Literal["content", "event"], Query(description="Only the content, or the whole event.")]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


@router.get("/rooms/{roomId}/event/{eventId}", operation_id="getOneRoomEvent")
async def get_one_room_event(api: Deps, requester: User, room_id: RoomId, event_id: EventId) -> Response:
    """Client-Server API, "Getting events for a room"."""
    return _json(await service.one_event(api, requester, room_id, event_id))


@router.get("/rooms/{roomId}/state/{eventType}/{stateKey}", operation_id="getRoomStateWithKey")
async def get_room_state_with_key(
    api: Deps,
    requester: User,
    room_id: RoomId,
    event_type: EventType,
    state_key: StateKey,
    format: Format = "content",
) -> Any:
    """Client-Server API, "Getting events for a room"."""
    return await _state_entry(api, requester, room_id, event_type, state_key, format)


@router.get("/rooms/{roomId}/state/{eventType}", operation_id="getRoomStateWithEmptyKey")
@router.get("/rooms/{roomId}/state/{eventType}/", include_in_schema=False)
async def get_room_state_with_empty_key(
    api: Deps, requester: User, room_id: RoomId, event_type: EventType, format: Format = "content"
) -> Any:
    """The same with an empty state key, for which "the trailing slash on this endpoint is optional"."""
    return await _state_entry(api, requester, room_id, event_type, "", format)


async def _state_entry(
    api: ClientApi, requester: Requester, room_id: str, event_type: str, state_key: str, format: str
) -> Any:
    if format == "event":
        return _json(await service.whole_state_entry(api, requester, room_id, event_type, state_key))
    return (await service.state_entry(api, requester, room_id, event_type, state_key)).content


@router.get("/rooms/{roomId}/state", operation_id="getRoomState")
async def get_room_state(api: Deps, requester: User, room_id: RoomId) -> Response:
    """Client-Server API, "Getting events for a room"."""
    return _json(await service.room_state(api, requester, room_id))


@router.get("/rooms/{roomId}/members", operation_id="getMembersByRoom")
async def get_members_by_room(
    api: Deps,
    requester: User,
    room_id: RoomId,
    at: Token = None,
    membership: Membership | None = None,
    not_membership: Membership | None = None,
) -> Response:
    """Client-Server API, "Getting events for a room"."""
    body = await service.members(
        api, requester, room_id, at=at, membership=membership, not_membership=not_membership
    )
    return _json(body)


@router.get("/rooms/{roomId}/joined_members", operation_id="getJoinedMembersByRoom")
async def get_joined_members_by_room(api: Deps, requester: FullUser, room_id: RoomId) -> Response:
    """Client-Server API, "Getting events for a room": for those who are in the room."""
    return _json(await service.joined_members(api, requester, room_id))


@router.get("/rooms/{roomId}/messages", operation_id="getRoomEvents")
async def get_room_events(
    api: Deps,
    requester: User,
    room_id: RoomId,
    dir: Annotated[Literal["b", "f"], Query(description="Backwards or forwards.")],
    start: Annotated[str | None, Query(alias="from", description="Where to begin.")] = None,
    to: Token = None,
    limit: Limit = None,
    filter_json: FilterJson = None,
) -> Response:
    """Client-Server API, "Getting events for a room"."""
    event_filter = read_filter(filter_json)
    body = await service.messages(
        api,
        requester,
        room_id,
        direction=dir,
        start=start,
        end=to,
        limit=page_size(limit, event_filter),
        event_filter=event_filter,
    )
    return _json(body)


@router.get("/rooms/{roomId}/context/{eventId}", operation_id="getEventContext")
async def get_event_context(
    api: Deps,
    requester: User,
    room_id: RoomId,
    event_id: EventId,
    limit: Limit = None,
    filter_json: FilterJson = None,
) -> Response:
    """Client-Server API, "Event Context"."""
    event_filter = read_filter(filter_json)
    body = await service.context(
        api,
        requester,
        room_id,
        event_id,
        limit=page_size(limit, event_filter),
        event_filter=event_filter,
    )
    return _json(body)
