"""From a date to an event."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.params import RoomId
from plexus.client_api.timestamps import service
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v1", tags=["Room participation"])


@router.get("/rooms/{roomId}/timestamp_to_event", operation_id="getEventByTimestamp")
async def get_event_by_timestamp(
    api: Deps,
    requester: FullUser,
    room_id: RoomId,
    ts: Annotated[
        int, Query(ge=-(2**53) + 1, le=2**53 - 1, description="Milliseconds since the Unix epoch.")
    ],
    dir: Annotated[Literal["f", "b"], Query(description="Forwards or backwards from there.")],
) -> dict[str, str | int]:
    """Client-Server API, "Getting events for a room"."""
    await api.platform.limits.check("query", requester.user_id)
    return await service.event_by_timestamp(api, requester.user_id, room_id, ts, dir)
