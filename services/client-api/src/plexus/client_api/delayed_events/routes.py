"""The endpoints of MSC4140 under their unstable prefix. Guests may use all of them.

An event can also be scheduled by a query parameter of the endpoints that send (``sending``).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from plexus.client_api.delayed_events import service
from plexus.client_api.delayed_events.models import DelayId, Draft, Scheduling, Update
from plexus.client_api.delayed_events.sending import send
from plexus.client_api.deps import ClientApi, Deps
from plexus.client_api.params import EventType, RoomId
from plexus.client_api.sending.service import txn_of
from plexus.platform.http import Requester, User, make_router

router = make_router(prefix="/_matrix/client/unstable/org.matrix.msc4140", tags=["Delayed events"])


@router.put("/rooms/{roomId}/delayed_event/{eventType}/{txnId}", operation_id="scheduleDelayedEvent")
async def schedule_delayed_event(
    api: Deps,
    requester: User,
    room_id: RoomId,
    event_type: EventType,
    txn_id: Annotated[str, Path(alias="txnId", description="The transaction ID.")],
    body: Scheduling,
) -> dict[str, str]:
    """MSC4140, "Scheduling a delayed event"."""
    draft = Draft(room_id, event_type, body.state_key, body.content)
    txn = txn_of(requester, "delayed_event", event_type, txn_id)
    return await service.schedule(api, requester, txn, draft, body.delay_ms)


@router.get("/delayed_events", operation_id="getDelayedEvents")
async def get_delayed_events(api: Deps, requester: User) -> dict[str, Any]:
    """MSC4140, "Getting a list of delayed events"."""
    await api.platform.limits.check("query", requester.user_id)
    found = await service.scheduled(api, requester.user_id)
    return {"delayed_events": [event.json() for event in found]}


@router.get("/delayed_events/{delayId}", operation_id="getDelayedEvent")
async def get_delayed_event(api: Deps, requester: User, delay_id: DelayId) -> dict[str, Any]:
    """MSC4140, "Getting a single delayed event"."""
    await api.platform.limits.check("query", requester.user_id)
    return (await service.get(api, requester.user_id, delay_id)).json()


@router.post("/delayed_events/{delayId}/send", operation_id="sendDelayedEvent")
async def send_delayed_event(api: Deps, requester: User, delay_id: DelayId) -> dict[str, str]:
    """MSC4140, "Managing scheduled delayed events"."""
    return await _manage(api, requester, delay_id, "send")


@router.post("/delayed_events/{delayId}/cancel", operation_id="cancelDelayedEvent")
async def cancel_delayed_event(api: Deps, requester: User, delay_id: DelayId) -> dict[str, str]:
    """MSC4140, "Managing scheduled delayed events"."""
    return await _manage(api, requester, delay_id, "cancel")


@router.post("/delayed_events/{delayId}/restart", operation_id="restartDelayedEvent")
async def restart_delayed_event(api: Deps, requester: User, delay_id: DelayId) -> dict[str, str]:
    """MSC4140, "Managing scheduled delayed events"."""
    return await _manage(api, requester, delay_id, "restart")


@router.post("/delayed_events/{delayId}", operation_id="updateDelayedEvent")
async def update_delayed_event(api: Deps, requester: User, delay_id: DelayId, body: Update) -> dict[str, str]:
    """The three in one, with the action in the body."""
    return await _manage(api, requester, delay_id, body.action)


async def _manage(api: ClientApi, requester: Requester, delay_id: str, action: str) -> dict[str, str]:
    await api.platform.limits.check("delayed_event", requester.user_id)
    if action == "cancel":
        await service.cancel(api, requester.user_id, delay_id)
    elif action == "restart":
        await service.restart(api, requester.user_id, delay_id)
    else:
        await service.send_now(api, requester.user_id, delay_id, lambda event: send(api, event))
    return {}
