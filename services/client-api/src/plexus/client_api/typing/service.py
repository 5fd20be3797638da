"""Who may say that they are typing, and for how long.

Client-Server API, "Typing Notifications".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.protocol.errors import Forbidden, InvalidParam, MissingParam
from plexus.rooms.typing import MAX_TIMEOUT_MS, TYPING_CHANNEL, Typing, encode_typing

DEFAULT_TIMEOUT_MS = 30_000


async def set_typing(api: ClientApi, user_id: str, room_id: str, body: Mapping[str, Any]) -> None:
    """``setTyping``: publish it to whoever tells the clients of the room. `Forbidden` for who is not
    in it.
    """
    timeout_ms = _timeout(body)
    if await api.rooms.membership(room_id, user_id) != "join":
        raise Forbidden("You are not in this room")
    typing = Typing(room_id, user_id, timeout_ms)
    await api.platform.ephemeral.publish(TYPING_CHANNEL, encode_typing([typing]))


def _timeout(body: Mapping[str, Any]) -> int:
    """Milliseconds; 0 for who does not type."""
    if "typing" not in body:
        raise MissingParam("typing is missing")
    typing, timeout = body["typing"], body.get("timeout", DEFAULT_TIMEOUT_MS)
    if not isinstance(typing, bool):
        raise InvalidParam("typing is true or false")
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise InvalidParam("timeout is a number of milliseconds")
    return min(timeout, MAX_TIMEOUT_MS) if typing else 0
