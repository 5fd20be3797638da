"""Scheduling and managing delayed events.

An event is checked when it is scheduled for what never changes (its form and size), and for all the rest when
it is sent: whether its user may, whether there is such a room. A newer state event cancels nothing, and
neither does a logout: the event that says that somebody has gone is wanted most then.

MSC4140, "Cancellable delayed events".
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

import orjson
from plexus.client_api.delayed_events import queries
from plexus.client_api.delayed_events.models import DelayedEvent, Draft
from plexus.client_api.deps import ClientApi
from plexus.client_api.params import MAX_NAME_BYTES
from plexus.client_api.sending.service import message_event
from plexus.platform.http import Requester
from plexus.protocol.errors import (
    Forbidden,
    InvalidParam,
    LimitExceeded,
    MatrixError,
    NotFound,
    TooLarge,
    Unavailable,
)
from plexus.rooms import Txn

MAX_CONTENT_BYTES = 65_536
"""Of an event as a whole; one that is larger could never be sent."""

LEASE_MS = 20_000
"""For how long who claims an event has it alone. Sending one takes milliseconds."""

_Done = TypeVar("_Done")

_BUSY_SECONDS = 3.0
_BUSY_STEP = 0.05


async def schedule(
    api: ClientApi, requester: Requester, txn: Txn | None, draft: Draft, delay_ms: int
) -> dict[str, str]:
    """The answer with the ``delay_id``. With a transaction id that is known it is the one given then."""
    settings = api.platform.settings.delayed_events
    if settings.max_scheduled == 0:
        raise Forbidden("This server sends no delayed events")
    if delay_ms <= 0:
        raise InvalidParam("The delay must be a positive number of milliseconds")
    if delay_ms > settings.max_delay_seconds * 1000:
        raise Forbidden(f"The delay is at most {settings.max_delay_seconds * 1000} milliseconds")
    _check_form(draft)
    await api.platform.limits.check("delayed_event", requester.user_id)
    delay_id, wait_ms = await queries.schedule(
        api.platform.db,
        secrets.token_urlsafe(18),
        requester.user_id,
        txn,
        draft,
        delay_ms,
        settings.max_scheduled,
    )
    if delay_id is None:
        raise LimitExceeded(wait_ms, "The maximum number of delayed events has been reached")
    return {"delay_id": delay_id}


def _check_form(draft: Draft) -> None:
    for name in (draft.type, draft.state_key or ""):
        if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
            raise InvalidParam(f"An event's type and state key have at most {MAX_NAME_BYTES} bytes")
    if len(orjson.dumps(draft.content)) > MAX_CONTENT_BYTES:
        raise TooLarge
    if draft.state_key is None:
        message_event(draft.type, draft.content)


async def get(api: ClientApi, user_id: str, delay_id: str) -> DelayedEvent:
    """One of the user's; `NotFound`."""
    found = await queries.get(api.platform.db, user_id, delay_id)
    if found is None:
        raise NotFound("There is no such delayed event")
    return found


async def scheduled(api: ClientApi, user_id: str) -> list[DelayedEvent]:
    """Those of the user that wait, the first due first."""
    return await queries.scheduled(api.platform.db, user_id)


async def cancel(api: ClientApi, user_id: str, delay_id: str) -> None:
    """Never send it; also if it is cancelled already."""
    db = api.platform.db
    await _manage(api, user_id, delay_id, lambda: queries.cancel(db, user_id, delay_id), is_sent=False)


async def restart(api: ClientApi, user_id: str, delay_id: str) -> None:
    """Let its whole delay begin anew."""
    db = api.platform.db
    await _manage(api, user_id, delay_id, lambda: queries.restart(db, user_id, delay_id), is_sent=None)


async def send_now(
    api: ClientApi, user_id: str, delay_id: str, send: Callable[[DelayedEvent], Awaitable[str]]
) -> None:
    """Send it at once, by ``send``. What refuses it is the answer, and it stays scheduled."""
    db = api.platform.db

    async def claim() -> DelayedEvent | None:
        return await queries.claim(db, user_id, delay_id, LEASE_MS)

    claimed = await _manage(api, user_id, delay_id, claim, is_sent=True)
    if claimed is None:
        return
    try:
        event_id = await send(claimed)
    except MatrixError:
        await queries.release(db, delay_id)
        raise
    await queries.finalise(db, delay_id, event_id, None)


async def _manage(
    api: ClientApi, user_id: str, delay_id: str, act: Callable[[], Awaitable[_Done]], *, is_sent: bool | None
) -> _Done | None:
    """What ``act`` gives when it finds the event free. Otherwise the event is finalised: None if it was so as
    ``is_sent`` says, else 409 ``M_UNKNOWN``. One that is just being sent is waited for.
    """
    deadline = asyncio.get_running_loop().time() + _BUSY_SECONDS
    while True:
        done = await act()
        if done:
            return done
        found = await get(api, user_id, delay_id)
        if found.finalised_ts is not None:
            if is_sent is (found.event_id is not None):
                return None
            state = "sent" if found.event_id is not None else "cancelled"
            raise MatrixError(409, "M_UNKNOWN", f"The delayed event has been {state} already")
        if asyncio.get_running_loop().time() >= deadline:
            raise Unavailable("The delayed event is being sent, try again")
        await asyncio.sleep(_BUSY_STEP)
