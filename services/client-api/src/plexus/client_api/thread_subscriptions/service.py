"""Which threads a user follows, and pages of them.

A thread is its root: an event that the user may see and that is itself no reply in a thread, edit, or
anything else that relates by a type, for on such an event no thread can stand. There need be no reply yet: a
client subscribes while it sends the first one.

MSC4306; MSC4308, "Companion endpoint".
"""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.thread_subscriptions.models import MAX_PAGE
from plexus.platform.lanes import SyncToken, decode_pos
from plexus.protocol.errors import InvalidParam, MatrixError, NotFound
from plexus.rooms import RoomRef

_UNSTABLE = "IO.ELEMENT.MSC4306"


async def subscribe(api: ClientApi, user_id: str, room_id: str, root: str, cause: str | None) -> None:
    """``setThreadSubscription``. `NotFound` without such a thread, 400 if the cause is not in it, 409 if it
    comes too late.
    """
    await _thread(api, user_id, room_id, root)
    ordinal = None
    if cause is not None:
        target = await api.rooms.receipt_target(room_id, cause)
        if target is None or target.thread != root:
            raise MatrixError(400, f"{_UNSTABLE}.M_NOT_IN_THREAD", "The event is not in this thread")
        ordinal = target.place.ordinal
    if not await api.users.subscribe_to_thread(user_id, room_id, root, ordinal):
        raise MatrixError(
            409, f"{_UNSTABLE}.M_CONFLICTING_UNSUBSCRIPTION", "You have unsubscribed since that event"
        )


async def unsubscribe(api: ClientApi, user_id: str, room_id: str, root: str) -> None:
    """``deleteThreadSubscription``. Everything in the room so far counts as seen."""
    ref = await _thread(api, user_id, room_id, root)
    heads = await api.rooms.heads([ref])
    await api.users.unsubscribe_from_thread(user_id, room_id, root, heads[ref].ordinal)


async def get(api: ClientApi, user_id: str, room_id: str, root: str) -> dict[str, bool]:
    """``getThreadSubscription``; `NotFound` without one."""
    await _thread(api, user_id, room_id, root)
    automatic = await api.users.thread_subscription(user_id, room_id, root)
    if automatic is None:
        raise NotFound("You are not subscribed to this thread")
    return {"automatic": automatic}


async def page(api: ClientApi, user_id: str, start: str | None, to: str | None, limit: int) -> dict[str, Any]:
    """``getThreadSubscriptions``: the newest changes first."""
    after = 0 if to is None else await _position(api, user_id, to)
    found = await api.users.thread_subscription_page(user_id, after, start, min(limit, MAX_PAGE))
    more = {} if found.rest is None else {"end": found.rest}
    return {**found.sections(), **more}


async def _thread(api: ClientApi, user_id: str, room_id: str, root: str) -> RoomRef:
    event = await api.rooms.event(room_id, root, viewer=user_id)
    if event.rel_type is not None:
        raise NotFound("There is no such thread")
    return event.ref


async def _position(api: ClientApi, user_id: str, pos: str) -> int:
    """How far the holder of a ``pos`` of sliding sync knows the user's lane; 0 if that cannot be told."""
    token = SyncToken.decode(decode_pos(pos)[1])
    if len(token.users) != api.platform.lanes.users:
        raise InvalidParam("This token is of another deployment")
    sync = await api.platform.log.clamp(token)
    return 0 if sync is None else sync.users[api.platform.lanes.user(user_id)]
