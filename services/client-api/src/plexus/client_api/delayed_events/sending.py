"""Sending a delayed event: as its user would now."""

from __future__ import annotations

import orjson
from plexus.client_api.delayed_events.models import DelayedEvent, Draft
from plexus.client_api.deps import ClientApi
from plexus.client_api.sending.service import REDACTION, check_own_redaction, message_event, state_event
from plexus.protocol.errors import UserDeactivated, UserLocked, UserSuspended
from plexus.rooms import Txn


async def send(api: ClientApi, event: DelayedEvent) -> str:
    """The ID of the event that was made. What keeps the user from sending it now is raised; `LimitExceeded`
    too, for else many events could be scheduled for one moment.
    """
    user_id, txn = event.user_id, Txn.of_delayed_event(event.user_id, event.delay_id)
    if event.tries > 1:
        # Who tried it before may have died after the event was written: then it is sent, whatever holds now.
        sent = await api.rooms.sent(event.room_id, txn)
        if sent is not None:
            return sent
    account = await api.users.account(user_id)
    if account is None or account.deactivated:
        raise UserDeactivated
    if account.locked:
        raise UserLocked
    if account.suspended and event.type != REDACTION:
        raise UserSuspended
    await api.platform.limits.check("message", user_id)
    draft = Draft(event.room_id, event.type, event.state_key, orjson.loads(event.content))
    if draft.state_key is None:
        made = message_event(draft.type, draft.content)
    else:
        made = await state_event(api, draft, is_guest=account.is_guest)
    if account.suspended:
        await check_own_redaction(api, user_id, draft.room_id, made)
    written = await api.rooms.send(draft.room_id, user_id, made, txn=txn)
    return written.event_id
