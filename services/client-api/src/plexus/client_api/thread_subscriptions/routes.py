"""Thread subscriptions. MSC4306, "New Endpoints"; MSC4308, "Companion endpoint"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.params import EventId, RoomId
from plexus.client_api.thread_subscriptions import service
from plexus.client_api.thread_subscriptions.models import (
    DEFAULT_PAGE,
    Direction,
    End,
    NewSubscription,
    PageLimit,
    Start,
)
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/unstable", tags=["Threads"])

_SUBSCRIPTION = "/io.element.msc4306/rooms/{roomId}/thread/{eventId}/subscription"


@router.put(_SUBSCRIPTION, operation_id="setThreadSubscription")
async def set_thread_subscription(
    api: Deps, requester: FullUser, room_id: RoomId, event_id: EventId, body: NewSubscription
) -> dict[str, str]:
    """MSC4306, "Subscribing to a thread"."""
    await api.platform.limits.check("ephemeral", requester.user_id)
    await service.subscribe(api, requester.user_id, room_id, event_id, body.automatic)
    return {}


@router.delete(_SUBSCRIPTION, operation_id="deleteThreadSubscription")
async def delete_thread_subscription(
    api: Deps, requester: FullUser, room_id: RoomId, event_id: EventId
) -> dict[str, str]:
    """MSC4306, "Unsubscribing from a thread"."""
    await api.platform.limits.check("ephemeral", requester.user_id)
    await service.unsubscribe(api, requester.user_id, room_id, event_id)
    return {}


@router.get(_SUBSCRIPTION, operation_id="getThreadSubscription")
async def get_thread_subscription(
    api: Deps, requester: FullUser, room_id: RoomId, event_id: EventId
) -> dict[str, bool]:
    """MSC4306, "Retrieving thread subscription"."""
    return await service.get(api, requester.user_id, room_id, event_id)


@router.get("/io.element.msc4308/thread_subscriptions", operation_id="getThreadSubscriptions")
async def get_thread_subscriptions(
    api: Deps,
    requester: FullUser,
    dir: Direction,
    start: Start = None,
    to: End = None,
    limit: PageLimit = DEFAULT_PAGE,
) -> dict[str, Any]:
    """MSC4308, "Companion endpoint for backpaginating thread subscription changes"."""
    return await service.page(api, requester.user_id, start, to, limit)
