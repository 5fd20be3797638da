"""Reports. Client-Server API, "Reporting Content"."""

from __future__ import annotations

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.params import EventId, RoomId
from plexus.client_api.reports import service
from plexus.client_api.reports.models import EventReport, ReportedUser, SubjectReport
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Reporting content"])


@router.post("/rooms/{roomId}/report/{eventId}", operation_id="reportEvent")
async def report_event(
    api: Deps, requester: FullUser, room_id: RoomId, event_id: EventId, body: EventReport
) -> dict[str, str]:
    """Client-Server API, "Reporting Content"."""
    await api.platform.limits.check("report", requester.user_id)
    await service.report_event(api, requester, room_id, event_id, body.reason)
    return {}


@router.post("/rooms/{roomId}/report", operation_id="reportRoom")
async def report_room(api: Deps, requester: FullUser, room_id: RoomId, body: SubjectReport) -> dict[str, str]:
    """Client-Server API, "Reporting Content"."""
    await api.platform.limits.check("report", requester.user_id)
    await service.report_room(api, requester, room_id, body.reason)
    return {}


@router.post("/users/{userId}/report", operation_id="reportUser")
async def report_user(
    api: Deps, requester: FullUser, user_id: ReportedUser, body: SubjectReport
) -> dict[str, str]:
    """Client-Server API, "Reporting Content"."""
    await api.platform.limits.check("report", requester.user_id)
    await service.report_user(api, requester, user_id, body.reason)
    return {}
