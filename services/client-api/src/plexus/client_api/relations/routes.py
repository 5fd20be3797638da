"""Relations and threads. Client-Server API, "Relationships API" and "Querying threads in a room"."""

from __future__ import annotations

from plexus.client_api.deps import ClientApi, Deps, FullUser
from plexus.client_api.params import EventId, EventType, RoomId
from plexus.client_api.reading.models import Limit, Token
from plexus.client_api.relations import service
from plexus.client_api.relations.models import (
    DEFAULT_PAGE,
    Direction,
    Include,
    Recurse,
    RelType,
    Start,
    ThreadsLimit,
)
from plexus.client_api.relations.service import Page
from plexus.platform.http import Requester, make_router
from starlette.responses import Response

router = make_router(prefix="/_matrix/client/v1", tags=["Event relationships"])


@router.get("/rooms/{roomId}/relations/{eventId}", operation_id="getRelatingEvents")
async def get_relating_events(
    api: Deps,
    requester: FullUser,
    room_id: RoomId,
    event_id: EventId,
    start: Start = None,
    to: Token = None,
    limit: Limit = None,
    dir: Direction = "b",
    recurse: Recurse = None,
) -> Response:
    """Client-Server API, "Relationships API"."""
    page = Page(start, to, limit, dir, recurse)
    return await _relating(api, requester, room_id, event_id, None, None, page)


@router.get("/rooms/{roomId}/relations/{eventId}/{relType}", operation_id="getRelatingEventsWithRelType")
async def get_relating_events_with_rel_type(
    api: Deps,
    requester: FullUser,
    room_id: RoomId,
    event_id: EventId,
    rel_type: RelType,
    start: Start = None,
    to: Token = None,
    limit: Limit = None,
    dir: Direction = "b",
    recurse: Recurse = None,
) -> Response:
    """Client-Server API, "Relationships API"."""
    page = Page(start, to, limit, dir, recurse)
    return await _relating(api, requester, room_id, event_id, rel_type, None, page)


@router.get(
    "/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}",
    operation_id="getRelatingEventsWithRelTypeAndEventType",
)
async def get_relating_events_with_rel_type_and_event_type(
    api: Deps,
    requester: FullUser,
    room_id: RoomId,
    event_id: EventId,
    rel_type: RelType,
    event_type: EventType,
    start: Start = None,
    to: Token = None,
    limit: Limit = None,
    dir: Direction = "b",
    recurse: Recurse = None,
) -> Response:
    """Client-Server API, "Relationships API"."""
    page = Page(start, to, limit, dir, recurse)
    return await _relating(api, requester, room_id, event_id, rel_type, event_type, page)


async def _relating(
    api: ClientApi,
    requester: Requester,
    room_id: str,
    event_id: str,
    rel_type: str | None,
    event_type: str | None,
    page: Page,
) -> Response:
    body = await service.relating_events(api, requester, room_id, event_id, rel_type, event_type, page)
    return Response(body, media_type="application/json")


@router.get("/rooms/{roomId}/threads", operation_id="getThreadRoots", tags=["Threads"])
async def get_thread_roots(
    api: Deps,
    requester: FullUser,
    room_id: RoomId,
    include: Include = "all",
    limit: ThreadsLimit = DEFAULT_PAGE,
    start: Start = None,
) -> Response:
    """Client-Server API, "Querying threads in a room"."""
    await api.platform.limits.check("query", requester.user_id)
    body = await service.thread_roots(
        api, requester, room_id, only_participated=include == "participated", limit=limit, start=start
    )
    return Response(body, media_type="application/json")
