"""Aliases and the directory. Client-Server API, "Room aliases" and "Published room directory"."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.directory import service
from plexus.client_api.directory.models import AliasTarget, DirectoryQuery, RoomVisibility
from plexus.client_api.params import RoomAlias, RoomId
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Room directory"])

Server = Annotated[str | None, Query(description="Whose directory; this server's if absent.")]


@router.get("/directory/room/{roomAlias}", operation_id="getRoomIdByAlias")
async def get_room_id_by_alias(api: Deps, alias: RoomAlias) -> dict[str, Any]:
    """Client-Server API, "Room aliases"."""
    return await service.room_of_alias(api, alias)


@router.put("/directory/room/{roomAlias}", operation_id="setRoomAlias")
async def set_room_alias(
    api: Deps, requester: FullUser, alias: RoomAlias, body: AliasTarget
) -> dict[str, str]:
    """Client-Server API, "Room aliases"."""
    await service.set_alias(api, requester.user_id, alias, body.room_id)
    return {}


@router.delete("/directory/room/{roomAlias}", operation_id="deleteRoomAlias")
async def delete_room_alias(api: Deps, requester: FullUser, alias: RoomAlias) -> dict[str, str]:
    """Client-Server API, "Room aliases"."""
    await service.delete_alias(api, requester.user_id, alias)
    return {}


@router.get("/rooms/{roomId}/aliases", operation_id="getLocalAliases")
async def get_local_aliases(api: Deps, requester: FullUser, room_id: RoomId) -> dict[str, list[str]]:
    """Client-Server API, "Room aliases"."""
    await api.platform.limits.check("query", requester.user_id)
    return {"aliases": await service.local_aliases(api, requester.user_id, room_id)}


@router.get("/directory/list/room/{roomId}", operation_id="getRoomVisibilityOnDirectory")
async def get_room_visibility_on_directory(api: Deps, room_id: RoomId) -> dict[str, str]:
    """Client-Server API, "Published room directory"."""
    return {"visibility": "public" if await service.is_published(api, room_id) else "private"}


@router.put("/directory/list/room/{roomId}", operation_id="setRoomVisibilityOnDirectory")
async def set_room_visibility_on_directory(
    api: Deps, requester: FullUser, room_id: RoomId, body: RoomVisibility
) -> dict[str, str]:
    """Client-Server API, "Published room directory"."""
    await service.publish(api, requester.user_id, room_id, body.visibility == "public")
    return {}


@router.get("/publicRooms", operation_id="getPublicRooms")
async def get_public_rooms(
    api: Deps,
    limit: Annotated[int | None, Query(ge=0, le=2**53 - 1, description="At most so many rooms.")] = None,
    since: Annotated[str | None, Query(description="A token of the page before.")] = None,
    server: Server = None,
) -> dict[str, Any]:
    """Client-Server API, "Published room directory"."""
    return await service.public_rooms(api, DirectoryQuery(limit=limit, since=since), server)


@router.post("/publicRooms", operation_id="queryPublicRooms")
async def query_public_rooms(
    api: Deps, requester: FullUser, body: DirectoryQuery, server: Server = None
) -> dict[str, Any]:
    """Client-Server API, "Published room directory"."""
    await api.platform.limits.check("query", requester.user_id)
    return await service.public_rooms(api, body, server)
