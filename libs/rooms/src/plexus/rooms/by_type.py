"""Live events of some types, for who makes something of every such event: an index, a directory.

Read from the primary: who follows the log must not find less than the facts told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import RoomRef

_IN_RANGES = with_columns("""
SELECT q.i - 1, {columns}
  FROM unnest(%s::smallint[], %s::integer[], %s::bigint[], %s::bigint[])
       WITH ORDINALITY AS q (lane, room, lo, hi, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.event e
                      WHERE e.lane = q.lane AND e.room = q.room AND e.num BETWEEN q.lo AND q.hi
                        AND e.type = ANY (%s::text[]) AND e.ordinal IS NOT NULL AND e.sub = 0) AS e
 ORDER BY q.i, e.num
""")

_OF_LANE = with_columns("""
SELECT r.room_id, r.lane, r.room, r.room_version, {columns}
  FROM (SELECT * FROM rooms.event
         WHERE lane = %(lane)s::smallint AND (room, num) > (%(room)s::integer, %(num)s)
           AND type = ANY (%(types)s::text[]) AND ordinal IS NOT NULL AND sub = 0
         ORDER BY room, num LIMIT %(most)s) AS e
  JOIN rooms.room r USING (lane, room)
 ORDER BY r.room, e.num
""")


async def events_in(
    ground: Ground, ranges: Sequence[tuple[RoomRef, int, int]], types: Collection[str]
) -> list[StoredEvent]:
    async with ground.db.read(primary=True) as session:
        rows = await session.fetch(
            _IN_RANGES,
            (
                int4([ref.lane for ref, _, _ in ranges]),
                int4([ref.room for ref, _, _ in ranges]),
                int8([lo for _, lo, _ in ranges]),
                int8([hi for _, _, hi in ranges]),
                list(types),
            ),
        )
    return [StoredEvent.of_row(ranges[i][0], row) for i, *row in rows]


async def events_of_lane(
    ground: Ground, lane: int, types: Collection[str], after: tuple[int, int], limit: int
) -> list[StoredEvent]:
    async with ground.db.read(primary=True) as session:
        rows = await session.fetch(
            _OF_LANE, {"lane": lane, "room": after[0], "num": after[1], "types": list(types), "most": limit}
        )
    return [StoredEvent.of_row(RoomRef(*row[:4]), row[4:]) for row in rows]
