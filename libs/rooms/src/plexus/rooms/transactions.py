"""The transaction ids that a room knows: (user, device, endpoint, id) to the event that was made with it.

They are written with their event and compared by the write itself. Asking is for those cases in which nothing
is to be written: a retry by somebody who may no longer send, or of state that has come to be so again.

Client-Server API, "Transaction identifiers".
"""

from __future__ import annotations

from collections.abc import Sequence

from plexus.platform.postgres import ReadSession
from plexus.rooms.values import RoomRef, Txn
from plexus.rooms.wishes import Wish

_SENT = """
SELECT q.i - 1, e.event_id
  FROM unnest(%(users)s::text[], %(devices)s::text[], %(endpoints)s::text[], %(txns)s::text[])
       WITH ORDINALITY AS q (user_id, device_id, endpoint, txn_id, i)
  JOIN rooms.txn t
    ON t.lane = %(lane)s::smallint AND t.room = %(room)s::integer AND t.user_id = q.user_id
   AND t.device_id = q.device_id AND t.endpoint = q.endpoint AND t.txn_id = q.txn_id
  JOIN rooms.event e ON e.lane = t.lane AND e.room = t.room AND e.num = t.num
"""

_MADE = """
SELECT e.event_id, r.head_position
  FROM rooms.event e JOIN rooms.room r ON r.lane = e.lane AND r.room = e.room
 WHERE e.lane = %s::smallint AND e.room = %s::integer AND e.num = %s
"""


async def sent_before(session: ReadSession, ref: RoomRef, wishes: Sequence[Wish]) -> dict[int, str]:
    """By index, for those of these wishes whose transaction id has made an event: that event's ID."""
    asked = [(at, wish.sender, wish.txn) for at, wish in enumerate(wishes) if wish.txn is not None]
    rows = await session.fetch(
        _SENT,
        {
            "users": [sender for _, sender, _ in asked],
            "devices": [txn.device_id for _, _, txn in asked],
            "endpoints": [txn.endpoint for _, _, txn in asked],
            "txns": [txn.txn_id for _, _, txn in asked],
            "lane": ref.lane,
            "room": ref.room,
        },
    )
    return {asked[i][0]: event_id for i, event_id in rows}


async def event_of(session: ReadSession, ref: RoomRef, txn: Txn) -> str | None:
    """The ID of the event that was made with a transaction id."""
    row = await session.one(
        "SELECT e.event_id FROM rooms.txn t"
        " JOIN rooms.event e ON e.lane = t.lane AND e.room = t.room AND e.num = t.num"
        " WHERE t.lane = %s::smallint AND t.room = %s::integer AND t.user_id = %s AND t.device_id = %s"
        " AND t.endpoint = %s AND t.txn_id = %s",
        (ref.lane, ref.room, txn.user_id, txn.device_id, txn.endpoint, txn.txn_id),
    )
    return None if row is None else row[0]


async def made_by(session: ReadSession, ref: RoomRef, num: int) -> tuple[str, int] | None:
    """The ID of event ``num``, and the position of its room's head."""
    row = await session.one(_MADE, (ref.lane, ref.room, num))
    return None if row is None else (row[0], row[1])
