"""Reading a room. Client-Server API, "Getting events for a room", "Event Context"."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Response
from plexus.client_api.deps import ClientApi, Deps
from plexus.client_api.params import EventId, EventType, RoomId, StateKey
from plexus.client_api.reading import service
from plexus.client_api.reading.hot import reading_routes
from plexus.client_api.reading.models import (
    FilterJson,
    Limit,
    page_size,
    read_filter,
)
from plexus.platform.http import HotRoute, Requester, User, make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Room participation"])

Format = Annotated[Literal["content", "event"], Query(description="Only the content, or the whole event.")]


def hot(api: ClientApi) -> list[HotRoute]:
    """The routes that are plain ASGI."""
    return reading_routes(api)


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
