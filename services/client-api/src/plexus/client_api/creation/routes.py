"""POST /createRoom."""

from __future__ import annotations

from plexus.client_api.creation import service
from plexus.client_api.creation.models import CreateRoom
from plexus.client_api.deps import Deps, FullUser
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Room creation"])


@router.post("/createRoom", operation_id="createRoom")
async def create_room(api: Deps, requester: FullUser, body: CreateRoom) -> dict[str, str]:
    """Client-Server API, "Creation"."""
    await api.platform.limits.check("room_creation", requester.user_id)
    return {"room_id": await service.create_room(api, requester, body)}
