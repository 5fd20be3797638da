"""Where rooms end: now, and at a cut."""

from __future__ import annotations

from collections.abc import Sequence

from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.values import Head, Place, RoomInfo, RoomRef

_ROOM = """
SELECT version, creator, created, head_position, head_ordinal, snapshot, joined_members, invited_members,
published,
       partial
  FROM rooms.room WHERE lane = %s::smallint AND room = %s::integer
"""

_HEADS = """
SELECT q.i - 1, r.head_position, r.head_ordinal, r.snapshot, r.joined_members, r.invited_members
  FROM unnest(%s::smallint[], %s::integer[]) WITH ORDINALITY AS q (lane, room, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.room r WHERE r.lane = q.lane AND r.room = q.room LIMIT 1) AS r
"""

# The first fact of events after a position says where the room ended at it: one before its first ordinal.
# None after it: the head. A position below the floor cannot be told, because that fact may have been dropped.
_ORDINALS = """
SELECT q.i - 1, q.position >= l.floor, coalesce(f.lo - 1, r.head_ordinal)
  FROM unnest(%s::smallint[], %s::integer[], %s::bigint[]) WITH ORDINALITY AS q (lane, room, position, i)
  JOIN lanes.lane l ON l.family = 'r' AND l.lane = q.lane
 CROSS JOIN LATERAL (SELECT room_id, head_ordinal FROM rooms.room r
                      WHERE r.lane = q.lane AND r.room = q.room LIMIT 1) AS r
  LEFT JOIN LATERAL (SELECT lo FROM lanes.fact f
                      WHERE f.family = 'r' AND f.lane = q.lane AND f.subject = r.room_id
                        AND f.position > q.position AND f.kind = 1
                      ORDER BY f.position LIMIT 1) AS f ON true
"""

_SNAPSHOTS = """
SELECT q.i - 1, e.snapshot
  FROM unnest(%s::smallint[], %s::integer[], %s::bigint[]) WITH ORDINALITY AS q (lane, room, num, i)
 CROSS JOIN LATERAL (SELECT coalesce(room_after, snap_after) AS snapshot FROM rooms.event e
                      WHERE e.lane = q.lane AND e.room = q.room AND e.num <= q.num
                        AND e.ordinal IS NOT NULL AND e.sub = 0
                      ORDER BY e.num DESC LIMIT 1) AS e
"""

_SNAPSHOT_AT = """
SELECT coalesce(room_after, snap_after) FROM rooms.event
 WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND sub < 0
   AND ordinal = %(ordinal)s AND sub <= %(sub)s::integer
 ORDER BY sub DESC LIMIT 1
"""


class HeadReader:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def room(self, ref: RoomRef) -> RoomInfo | None:
        async with self._ground.db.read() as session:
            row = await session.one(_ROOM, (ref.lane, ref.room))
        return None if row is None else RoomInfo(ref, *row)

    async def heads(self, refs: Sequence[RoomRef], cut: Sequence[int] | None) -> dict[RoomRef, Head]:
        """The heads, of those that have moved beyond the cut the head at the cut."""
        if not refs:
            return {}
        async with self._ground.db.read() as session:
            rows = await session.fetch(_HEADS, (int4([r.lane for r in refs]), int4([r.room for r in refs])))
        heads = {refs[i]: Head(*row) for i, *row in rows}
        if cut is None:
            return heads
        beyond = [ref for ref, head in heads.items() if head.position > cut[ref.lane]]
        if not beyond:
            return heads
        ordinals = await self.ordinals_at([(ref, cut[ref.lane]) for ref in beyond])
        snapshots = await self.snapshots_upto(
            [(ref, ordinal or 0) for ref, ordinal in zip(beyond, ordinals, strict=True)]
        )
        for ref, ordinal, snapshot in zip(beyond, ordinals, snapshots, strict=True):
            now = heads.pop(ref)
            if ordinal and snapshot is not None:
                heads[ref] = Head(cut[ref.lane], ordinal, snapshot, now.joined_members, now.invited_members)
        return heads

    async def ordinals_at(self, places: Sequence[tuple[RoomRef, int]]) -> list[int | None]:
        """For each room the ordinal of its last live event at a position; None if that cannot be told any
        more.
        """
        answer: list[int | None] = [None] * len(places)
        if places:
            async with self._ground.db.read() as session:
                rows = await session.fetch(
                    _ORDINALS,
                    (
                        int4([ref.lane for ref, _ in places]),
                        int4([ref.room for ref, _ in places]),
                        int8([position for _, position in places]),
                    ),
                )
            for i, is_known, ordinal in rows:
                answer[i] = ordinal if is_known else None
        return answer

    async def snapshot_at(self, ref: RoomRef, place: Place) -> int | None:
        """The room's current state after the last event at or before a place; None if there is none."""
        if place.sub < 0:
            async with self._ground.db.read() as session:
                row = await session.one(
                    _SNAPSHOT_AT,
                    {"lane": ref.lane, "room": ref.room, "ordinal": place.ordinal, "sub": place.sub},
                )
            if row is not None:
                return int(row[0])
        before = place.ordinal if place.sub >= 0 else place.ordinal - 1
        return (await self.snapshots_upto([(ref, before)]))[0]

    async def snapshots_upto(self, places: Sequence[tuple[RoomRef, int]]) -> list[int | None]:
        """For each room its state after the last event up to an ordinal; None if there is none."""
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _SNAPSHOTS,
                (
                    int4([ref.lane for ref, _ in places]),
                    int4([ref.room for ref, _ in places]),
                    int8([ordinal for _, ordinal in places]),
                ),
            )
        answer: list[int | None] = [None] * len(places)
        for i, snapshot in rows:
            answer[i] = snapshot
        return answer
