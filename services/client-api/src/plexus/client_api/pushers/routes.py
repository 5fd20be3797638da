"""Pushers. Client-Server API, "Push Notifications"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.pushers import service
from plexus.client_api.pushers.models import PusherRequest
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Push notifications"])


@router.get("/pushers", operation_id="getPushers")
async def get_pushers(api: Deps, requester: FullUser) -> dict[str, Any]:
    """All pushers of the user."""
    return {"pushers": await service.list_pushers(api, requester.user_id)}


@router.post("/pushers/set", operation_id="postPusher")
async def post_pusher(api: Deps, requester: FullUser, body: PusherRequest) -> dict[str, Any]:
    """Make, change or delete a pusher."""
    await api.platform.limits.check("account", requester.user_id)
    await service.set_pusher(api, requester, body)
    return {}
