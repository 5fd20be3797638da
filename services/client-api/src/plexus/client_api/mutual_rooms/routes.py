"""Client-Server API, "Mutual Rooms"."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.mutual_rooms import service
from plexus.client_api.params import USER_ID_SCHEMA
from plexus.platform.http import make_router
from pydantic import WithJsonSchema

router = make_router(tags=["Mutual Rooms"])


@router.get("/_matrix/client/v1/mutual_rooms", operation_id="getMutualRooms")
async def get_mutual_rooms(
    api: Deps,
    requester: FullUser,
    user_id: Annotated[str, Query(description="The other user."), WithJsonSchema(USER_ID_SCHEMA)],
    after: Annotated[str | None, Query(alias="from", description="The ``next_batch`` of a page.")] = None,
) -> dict[str, Any]:
    """The rooms that the requester and the other user have both joined."""
    await api.platform.limits.check("query", requester.user_id)
    return await service.mutual_rooms(api, requester, user_id, after)
