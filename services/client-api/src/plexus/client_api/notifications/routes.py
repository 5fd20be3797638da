"""The list of notifications. Client-Server API, "Push Notifications", "Listing Notifications"."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.notifications import service
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Push notifications"])

From = Annotated[str | None, Query(alias="from", description="The ``next_token`` of the page before.")]
Limit = Annotated[int, Query(ge=1, lt=2**31, description="Notifications in a page.")]
Only = Annotated[Literal["highlight"] | None, Query(description="Only those that highlight.")]


@router.get("/notifications", operation_id="getNotifications")
async def get_notifications(
    api: Deps, requester: FullUser, start: From = None, limit: Limit = service.DEFAULT, only: Only = None
) -> dict[str, Any]:
    """What the user has been notified of, the newest first."""
    return await service.list_notifications(api, requester, start, limit, highlights=only is not None)
