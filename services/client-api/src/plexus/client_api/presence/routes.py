"""Presence. Client-Server API, "Presence"."""

from __future__ import annotations

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.own_user import OwnUser, UserId
from plexus.client_api.presence import service
from plexus.client_api.presence.models import NewPresence, Presence
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Presence"])


@router.put("/presence/{userId}/status", operation_id="setPresence")
async def set_presence(api: Deps, requester: OwnUser, body: NewPresence) -> dict[str, str]:
    """Set one's presence, and the status message."""
    await api.platform.limits.check("ephemeral", requester.user_id)
    service.set_presence(api, requester, body)
    return {}


@router.get("/presence/{userId}/status", operation_id="getPresence", response_model_exclude_none=True)
async def get_presence(api: Deps, requester: FullUser, user_id: UserId) -> Presence:
    """The presence of somebody with whom one shares a room."""
    return await service.get_presence(api, requester, user_id)
