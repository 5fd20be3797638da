"""Pages of the rooms that two users share, in the order of their IDs.

A token is the last room ID of its page, so it never expires, and a room that is joined or left meanwhile
moves no other.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.platform.http import Requester
from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import is_compliant_user_id, is_room_id

PAGE = 100


async def mutual_rooms(
    api: ClientApi, requester: Requester, user_id: str, token: str | None
) -> dict[str, Any]:
    """``getMutualRooms``; `InvalidParam` for oneself, and for what is no user ID or no token."""
    if not is_compliant_user_id(user_id):
        raise InvalidParam("Not a user ID")
    if user_id == requester.user_id:
        raise InvalidParam("You share every room with yourself")
    after = "" if token is None else _decode(token)
    count, room_ids = await api.rooms.mutual_rooms(requester.user_id, user_id, after=after, limit=PAGE + 1)
    answer: dict[str, Any] = {"joined": room_ids[:PAGE], "count": count}
    if len(room_ids) > PAGE:
        answer["next_batch"] = _encode(room_ids[PAGE - 1])
    return answer


def _encode(room_id: str) -> str:
    return urlsafe_b64encode(room_id.encode()).decode().rstrip("=")


def _decode(token: str) -> str:
    try:
        room_id = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        raise InvalidParam("This is no token of ours") from None
    if not is_room_id(room_id) or _encode(room_id) != token:
        raise InvalidParam("This is no token of ours")
    return room_id
