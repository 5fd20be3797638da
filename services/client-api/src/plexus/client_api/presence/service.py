"""Presence, set and shown.

With presence switched off everybody is offline, and what is set is not kept.

Client-Server API, "Presence".
"""

from __future__ import annotations

from plexus.client_api.deps import ClientApi
from plexus.client_api.presence.models import NewPresence, Presence
from plexus.platform.http import Requester
from plexus.protocol.errors import Forbidden
from plexus.users.presence import OFFLINE, ONLINE, STATE_NAMES, STATES


def set_presence(api: ClientApi, requester: Requester, body: NewPresence) -> None:
    """``setPresence``: of this device, with the status message of the user."""
    api.users.presence.set(
        requester.user_id, requester.device_id, STATES[body.presence], body.status_msg or None
    )


async def get_presence(api: ClientApi, requester: Requester, user_id: str) -> Presence:
    """``getPresence``: `Forbidden` for who shares no room with the user, also if there is no such user."""
    if user_id != requester.user_id and not await api.rooms.share_room(requester.user_id, [user_id]):
        raise Forbidden("You are not allowed to see their presence")
    presence = api.users.presence
    shown = presence.shown(user_id)
    return Presence.model_validate(
        {
            "presence": STATE_NAMES[shown.state],
            "last_active_ago": presence.last_active_ago(user_id),
            "status_msg": shown.status_msg,
            "currently_active": None if shown.state == OFFLINE else shown.state == ONLINE,
        }
    )
