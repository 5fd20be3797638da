"""Taking reports.

Whether a reported room or user exists is told to nobody: a report of a room that is not here is kept as well,
for it may be one that somebody elsewhere has invited the reporter into. An event must be in a room that the
reporter is in, and be one that they may see.

Client-Server API, "Reporting Content".
"""

from __future__ import annotations

from plexus.client_api.deps import ClientApi
from plexus.client_api.reports import queries
from plexus.client_api.reports.models import Subject
from plexus.platform.http import Requester
from plexus.protocol.errors import NotFound


async def report_event(
    api: ClientApi, requester: Requester, room_id: str, event_id: str, reason: str
) -> None:
    """``reportEvent``: `NotFound` for who is not in the room, and for what they may not see."""
    if await api.rooms.membership(room_id, requester.user_id) != "join":
        raise NotFound("The event was not found or you are not joined to the room.")
    found = await api.rooms.event(room_id, event_id, viewer=requester.user_id)
    shown = found.client_bytes(now_ms=api.platform.clock.now_ms()).decode()
    await _keep(api, requester, Subject("event", room_id, event_id, found.sender, shown), reason)


async def report_room(api: ClientApi, requester: Requester, room_id: str, reason: str) -> None:
    """``reportRoom``: by anybody, in the room or not."""
    await _keep(api, requester, Subject("room", room_id), reason)


async def report_user(api: ClientApi, requester: Requester, user_id: str, reason: str) -> None:
    """``reportUser``: by anybody. One of a user of ours who does not exist is of no use, and is not kept."""
    is_ours = user_id.endswith(":" + api.server_name)
    if is_ours and await api.users.account(user_id) is None:
        return
    await _keep(api, requester, Subject("user", user_id=user_id), reason)


async def _keep(api: ClientApi, requester: Requester, subject: Subject, reason: str) -> None:
    now = api.platform.clock.now_ms()
    await queries.add(api.platform.db, requester.user_id, subject, reason, now)
