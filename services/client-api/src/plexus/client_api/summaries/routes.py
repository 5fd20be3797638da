"""Summaries of rooms, and the trees of spaces."""

from __future__ import annotations

from fastapi import Request, Response
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.params import RoomId, RoomIdOrAlias
from plexus.client_api.summaries import service
from plexus.client_api.summaries.models import Depth, From, PageLimit, SuggestedOnly, Via
from plexus.platform.http import OptionalUser, make_router

router = make_router(prefix="/_matrix/client/v1", tags=["Spaces"])


@router.get("/room_summary/{roomIdOrAlias}", operation_id="getRoomSummary")
async def get_room_summary(
    api: Deps, request: Request, requester: OptionalUser, room: RoomIdOrAlias, via: Via = None
) -> Response:
    """Client-Server API, "Room summaries". Without a token: of rooms that anybody may join, knock at or
    read.
    """
    caller = request.scope["client_addr"] if requester is None else requester.user_id
    await api.platform.limits.check("query", caller)
    body = await service.room_summary(api, None if requester is None else requester.user_id, room)
    return Response(body, media_type="application/json")


@router.get("/rooms/{roomId}/hierarchy", operation_id="getSpaceHierarchy")
async def get_space_hierarchy(
    api: Deps,
    requester: FullUser,
    room_id: RoomId,
    suggested_only: SuggestedOnly = False,
    limit: PageLimit = None,
    max_depth: Depth = None,
    start: From = None,
) -> Response:
    """Client-Server API, "Spaces"."""
    await api.platform.limits.check("query", requester.user_id)
    body = await service.hierarchy(
        api,
        requester.user_id,
        room_id,
        suggested_only=suggested_only,
        limit=limit,
        max_depth=max_depth,
        start=start,
    )
    return Response(body, media_type="application/json")
