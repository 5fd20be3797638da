"""Summaries of rooms, and the trees of spaces."""

from __future__ import annotations

from plexus.client_api.deps import ClientApi
from plexus.client_api.summaries.describing import hierarchy_room, summary
from plexus.client_api.summaries.gathering import Eyes, gather
from plexus.client_api.summaries.models import DEFAULT_PAGE, MAX_DEPTH, MAX_PAGE
from plexus.client_api.summaries.tokens import PageEnd, Walk
from plexus.client_api.summaries.tree import page
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import Forbidden, NotFound
from plexus.protocol.identifiers import is_room_alias


async def room_summary(api: ClientApi, user_id: str | None, room: str) -> bytes:
    """``getRoomSummary``, of a room ID or alias, for a user or for anybody. `NotFound` tells nobody whether
    the room is not there or not for them.
    """
    hidden = NotFound("Room not found.")
    room_id = room
    if is_room_alias(room):
        alias = await api.rooms.resolve_alias(room)
        if alias is None:
            raise hidden
        room_id = alias.room_id
    found = (await gather(api, [room_id])).get(room_id)
    if found is None:
        raise hidden
    eyes = await Eyes.of(api, user_id)
    if not eyes.may_know(found):
        raise hidden
    told = summary(found)
    if not eyes.anybody:
        told["membership"] = eyes.memberships.get(room_id, "leave")
    return encode(told, strict=False)


async def hierarchy(
    api: ClientApi,
    user_id: str,
    room_id: str,
    *,
    suggested_only: bool,
    limit: int | None,
    max_depth: int | None,
    start: str | None,
) -> bytes:
    """``getSpaceHierarchy``: a page of the tree. `Forbidden` if the root is not there or not for the user."""
    depth = MAX_DEPTH if max_depth is None else min(max_depth, MAX_DEPTH)
    walk = Walk(room_id, depth, suggested_only)
    after = None if start is None else PageEnd.decode(start, walk)
    eyes = await Eyes.of(api, user_id)
    wanted = DEFAULT_PAGE if limit is None else min(limit, MAX_PAGE)
    rooms, end = await page(api, eyes, walk, limit=wanted, after=after)
    if not rooms and after is None:
        raise Forbidden("You are not allowed to view this room.")
    told: dict[str, object] = {"rooms": [hierarchy_room(room, children) for room, children in rooms]}
    if end is not None:
        told["next_batch"] = end.encode()
    # Content of a room of versions 1 to 5 may have integers that orjson does not print.
    return encode(told, strict=False)
