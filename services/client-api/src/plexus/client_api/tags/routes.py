"""Client-Server API, "Room Tagging"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps
from plexus.client_api.own_user import OwnUser
from plexus.client_api.params import RoomId
from plexus.client_api.tags import service
from plexus.client_api.tags.models import Tag, TagContent
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags", tags=["User data"])


@router.get("", operation_id="getRoomTags")
async def get_room_tags(api: Deps, requester: OwnUser, room_id: RoomId) -> dict[str, Any]:
    """The tags that the user has set on a room."""
    return {"tags": await service.get(api, requester.user_id, room_id)}


@router.put("/{tag}", operation_id="setRoomTag")
async def set_room_tag(
    api: Deps, requester: OwnUser, room_id: RoomId, tag: Tag, body: TagContent
) -> dict[str, str]:
    """Add a tag to a room."""
    await service.put(api, requester.user_id, room_id, tag, body)
    return {}


@router.delete("/{tag}", operation_id="deleteRoomTag")
async def delete_room_tag(api: Deps, requester: OwnUser, room_id: RoomId, tag: Tag) -> dict[str, str]:
    """Remove a tag from a room."""
    await service.delete(api, requester.user_id, room_id, tag)
    return {}
