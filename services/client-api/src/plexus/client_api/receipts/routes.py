"""Receipts and read markers. Client-Server API, "Receipts"; "Read and unread markers"."""

from __future__ import annotations

from plexus.client_api.deps import ClientApi, Deps, FullUser
from plexus.client_api.params import RoomId
from plexus.client_api.receipts import service
from plexus.client_api.receipts.hot import post_receipt_route
from plexus.client_api.receipts.models import ReadMarkers
from plexus.platform.http import HotRoute, make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Read Markers"])


def hot(api: ClientApi) -> list[HotRoute]:
    """The routes that are plain ASGI."""
    return [post_receipt_route(api)]


@router.post("/rooms/{roomId}/read_markers", operation_id="setReadMarker")
async def set_read_marker(
    api: Deps, requester: FullUser, room_id: RoomId, body: ReadMarkers
) -> dict[str, str]:
    """Client-Server API, "Fully read markers"."""
    await api.platform.limits.check("ephemeral", requester.user_id)
    await service.set_read_marker(api, requester.user_id, room_id, body)
    api.users.presence.note_active(requester.user_id)
    return {}
