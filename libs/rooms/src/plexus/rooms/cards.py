"""What a list of rooms needs to know of each: how active it is, and by what it is filtered.

As of now, and not of a cut: a list that is a moment ahead is put right by the next look.

MSC4186, "Lists".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.values import RoomRef

# Of a room that the user is not in, what counts is the event by which they came to be so.
_CARDS = """
SELECT q.i - 1, r.head_position, coalesce(own.origin_server_ts, r.active_ts),
       coalesce(own.origin_server_ts, r.bump_ts), made.raw, called.raw, encrypted.is_so IS NOT NULL
  FROM unnest(%s::smallint[], %s::integer[], %s::bigint[]) WITH ORDINALITY AS q (lane, room, own, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.room r WHERE r.lane = q.lane AND r.room = q.room LIMIT 1) AS r
  LEFT JOIN LATERAL (SELECT e.origin_server_ts FROM rooms.event e
                      WHERE e.lane = q.lane AND e.room = q.room AND e.num = q.own LIMIT 1) AS own ON true
  LEFT JOIN LATERAL (SELECT e.raw FROM rooms.current_state s JOIN rooms.event e USING (lane, room, num)
                      WHERE s.lane = q.lane AND s.room = q.room AND s.type = 'm.room.create'
                        AND s.state_key = '' LIMIT 1) AS made ON true
  LEFT JOIN LATERAL (SELECT e.raw FROM rooms.current_state s JOIN rooms.event e USING (lane, room, num)
                      WHERE s.lane = q.lane AND s.room = q.room AND s.type = 'm.room.name'
                        AND s.state_key = '' LIMIT 1) AS called ON true
  LEFT JOIN LATERAL (SELECT true AS is_so FROM rooms.current_state s
                      WHERE s.lane = q.lane AND s.room = q.room AND s.type = 'm.room.encryption'
                        AND s.state_key = '' LIMIT 1) AS encrypted ON true
"""


@dataclass(frozen=True, slots=True)
class Card:
    """``position`` is that of the room's last fact of events; ``active_ts`` and ``bump_ts`` are milliseconds,
    when the last event came in, and the last of those that people call activity. ``type`` is that of the
    m.room.create event, None for an ordinary room.
    """

    position: int
    active_ts: int
    bump_ts: int
    type: str | None
    name: str | None
    encrypted: bool


async def read_cards(ground: Ground, rooms: Sequence[tuple[RoomRef, int | None]]) -> dict[RoomRef, Card]:
    """The cards of these rooms. One query. A number is that of the user's own member event, for a room they
    are not in: then its times are the room's.
    """
    if not rooms:
        return {}
    async with ground.db.read() as session:
        rows = await session.fetch(
            _CARDS,
            (
                int4([ref.lane for ref, _ in rooms]),
                int4([ref.room for ref, _ in rooms]),
                int8([own for _, own in rooms]),
            ),
        )
    return {
        rooms[i][0]: Card(
            position, active, bump, _text_in(created, "type"), _text_in(called, "name"), encrypted
        )
        for i, position, active, bump, created, called, encrypted in rows
    }


def _text_in(raw: bytes | None, key: str) -> str | None:
    content: Any = None if raw is None else orjson.loads(raw).get("content")
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None
