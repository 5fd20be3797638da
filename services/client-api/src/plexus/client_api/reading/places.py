"""Tokens into places of one room's timeline.

A client holds two kinds: `TimelineToken` (a boundary in one room, from /messages and /sync's ``prev_batch``)
and `SyncToken` (positions of all lanes), which also stands in a ``pos`` of sliding sync. /sync and /messages
use one order, so the second converts into the first.
"""

from __future__ import annotations

from plexus.client_api.deps import ClientApi
from plexus.platform.lanes import SyncToken, decode_pos
from plexus.protocol.errors import InvalidParam
from plexus.rooms import Place, RoomRef, TimelineToken


async def place_of(api: ClientApi, ref: RoomRef, token: str) -> Place | None:
    """The boundary that ``token`` stands for: just after the place. `InvalidParam` if it is no token of ours.

    None for a sync token so old that the facts which would tell have been dropped: no boundary.
    """
    if token.startswith("t"):
        return TimelineToken.decode(token).place
    if token.startswith("p"):
        _, token = decode_pos(token)
    sync = await api.platform.log.clamp(SyncToken.decode(token))
    if sync is None:
        return None
    if len(sync.rooms) != api.platform.lanes.rooms:
        raise InvalidParam("This token is of another deployment")
    ordinal = await api.rooms.ordinal_at(ref, sync.rooms[ref.lane])
    return None if ordinal is None else Place(ordinal)


def token_of(place: Place) -> str:
    return TimelineToken(place).encode()
