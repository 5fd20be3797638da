"""Looking for the event that is closest to a time. What other servers know is not asked for."""

from __future__ import annotations

from typing import Literal

from plexus.client_api.deps import ClientApi
from plexus.protocol.errors import Forbidden, NotFound


async def event_by_timestamp(
    api: ClientApi, user_id: str, room_id: str, ts: int, direction: Literal["b", "f"]
) -> dict[str, str | int]:
    """``getEventByTimestamp``: `NotFound` if there is no event in that direction, `Forbidden` if the room is
    not there or not for the user.
    """
    if await api.rooms.ref(room_id) is None:
        raise Forbidden("You are not in this room")
    found = await api.rooms.event_by_time(room_id, ts, backwards=direction == "b", viewer=user_id)
    if found is None:
        way = "backward" if direction == "b" else "forward"
        raise NotFound(f"Unable to find event from {ts} in {way} direction")
    return {"event_id": found.event_id, "origin_server_ts": found.origin_server_ts}
