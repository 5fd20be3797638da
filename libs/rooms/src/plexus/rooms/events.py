"""Reading events: by number, by id, the newest of many rooms, pages of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson
from plexus.rooms.erasure import Erasure
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import Place, RoomRef, TimelinePage, TimelineRange
from plexus.rooms.visibility import Viewer

EventKey = tuple[RoomRef, int]

_BY_NUMS = with_columns("""
SELECT q.i - 1, {columns}
  FROM unnest(%s::smallint[], %s::integer[], %s::integer[], %s::integer[])
       WITH ORDINALITY AS q (lane, room, lo, hi, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.event e
                      WHERE e.lane = q.lane AND e.room = q.room
                        AND e.num = ANY ((%s::bigint[])[q.lo : q.hi]) OFFSET 0) AS e
""")

_BY_ID = with_columns("""
SELECT {columns} FROM rooms.event
 WHERE lane = %s::smallint AND room = %s::integer AND event_id = %s
""")

_CURRENT = with_columns("""
SELECT {columns} FROM rooms.event
 WHERE lane = %(lane)s::smallint AND room = %(room)s::integer
   AND num = (SELECT num FROM rooms.current_state
               WHERE lane = %(lane)s::smallint AND room = %(room)s::integer
                 AND type = %(type)s AND state_key = %(key)s)
""")

_ANYWHERE = with_columns("""
SELECT r.room_id, r.lane, r.room, r.room_version, {columns}
  FROM (SELECT * FROM rooms.event WHERE event_id = %s) AS e
  JOIN rooms.room r ON r.lane = e.lane AND r.room = e.room
""")

_NEWEST = with_columns("""
SELECT q.i - 1, {columns}
  FROM unnest(%s::smallint[], %s::integer[], %s::bigint[], %s::bigint[], %s::integer[])
       WITH ORDINALITY AS q (lane, room, after, upto, most, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.event e
                      WHERE e.lane = q.lane AND e.room = q.room AND e.num > q.after AND e.num <= q.upto
                        AND e.ordinal IS NOT NULL AND e.sub = 0
                      ORDER BY e.num DESC LIMIT q.most) AS e
 ORDER BY q.i, e.num
""")

# Live events are in the order of the primary key; history fetched later has an index of its own.
_BACKWARDS = with_columns("""
SELECT {columns} FROM (
    (SELECT * FROM rooms.event
      WHERE lane = %(lane)s::smallint AND room = %(room)s::integer
        AND num <= %(live)s AND num > %(live_end)s AND ordinal IS NOT NULL AND sub = 0
      ORDER BY num DESC LIMIT %(most)s)
    UNION ALL
    (SELECT * FROM rooms.event
      WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND sub < 0
        AND (ordinal, sub) <= (%(ordinal)s, %(sub)s::integer)
        AND (ordinal, sub) > (%(end_ordinal)s, %(end_sub)s::integer)
      ORDER BY ordinal DESC, sub DESC LIMIT %(most)s)
) AS e ORDER BY ordinal DESC, sub DESC LIMIT %(most)s
""")

_FORWARDS = with_columns("""
SELECT {columns} FROM (
    (SELECT * FROM rooms.event
      WHERE lane = %(lane)s::smallint AND room = %(room)s::integer
        AND num > %(live)s AND num <= %(live_end)s AND ordinal IS NOT NULL AND sub = 0
      ORDER BY num LIMIT %(most)s)
    UNION ALL
    (SELECT * FROM rooms.event
      WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND sub < 0
        AND (ordinal, sub) > (%(ordinal)s, %(sub)s::integer)
        AND (ordinal, sub) <= (%(end_ordinal)s, %(end_sub)s::integer)
      ORDER BY ordinal, sub LIMIT %(most)s)
) AS e ORDER BY ordinal, sub LIMIT %(most)s
""")

# Both sides of many events, each as by the two above; side 0 are those before.
_AROUND = with_columns("""
SELECT q.i - 1, e.side, {columns}
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(nums)s::bigint[], %(ordinals)s::bigint[],
              %(subs)s::integer[]) WITH ORDINALITY AS q (lane, room, live, at_ordinal, at_sub, i)
 CROSS JOIN LATERAL (
    (SELECT 0 AS side, b.* FROM (
        (SELECT * FROM rooms.event
          WHERE lane = q.lane AND room = q.room AND num < q.live AND ordinal IS NOT NULL AND sub = 0
          ORDER BY num DESC LIMIT %(before)s)
        UNION ALL
        (SELECT * FROM rooms.event
          WHERE lane = q.lane AND room = q.room AND sub < 0 AND (ordinal, sub) < (q.at_ordinal, q.at_sub)
          ORDER BY ordinal DESC, sub DESC LIMIT %(before)s)
      ) AS b ORDER BY ordinal DESC, sub DESC LIMIT %(before)s)
    UNION ALL
    (SELECT 1, a.* FROM (
        (SELECT * FROM rooms.event
          WHERE lane = q.lane AND room = q.room AND num > q.live AND ordinal IS NOT NULL AND sub = 0
          ORDER BY num LIMIT %(after)s)
        UNION ALL
        (SELECT * FROM rooms.event
          WHERE lane = q.lane AND room = q.room AND sub < 0 AND (ordinal, sub) > (q.at_ordinal, q.at_sub)
          ORDER BY ordinal, sub LIMIT %(after)s)
      ) AS a ORDER BY ordinal, sub LIMIT %(after)s)
 ) AS e
""")


class EventReader:
    def __init__(self, ground: Ground, erasure: Erasure) -> None:
        self._ground = ground
        self._erasure = erasure

    async def by_nums(self, wanted: Sequence[tuple[RoomRef, Iterable[int]]]) -> dict[EventKey, StoredEvent]:
        """Events by room and number, in one query. What is not there is left out."""
        by_room: dict[RoomRef, set[int]] = {}
        for ref, numbers in wanted:
            by_room.setdefault(ref, set()).update(numbers)
        refs = [ref for ref, numbers in by_room.items() if numbers]
        if not refs:
            return {}
        nums: list[int] = []
        los, his = [], []
        for ref in refs:
            los.append(len(nums) + 1)
            nums += by_room[ref]
            his.append(len(nums))
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _BY_NUMS,
                (
                    int4([ref.lane for ref in refs]),
                    int4([ref.room for ref in refs]),
                    int4(los),
                    int4(his),
                    int8(nums),
                ),
            )
        return {(refs[row[0]], row[1]): StoredEvent.of_row(refs[row[0]], row[1:]) for row in rows}

    async def by_id(self, ref: RoomRef, event_id: str) -> StoredEvent | None:
        async with self._ground.db.read() as session:
            row = await session.one(_BY_ID, (ref.lane, ref.room, event_id))
        return None if row is None else StoredEvent.of_row(ref, row)

    async def current(self, ref: RoomRef, type: str, state_key: str) -> StoredEvent | None:
        """The state event in force now."""
        if not _is_storable(type) or not _is_storable(state_key):
            return None
        async with self._ground.db.read() as session:
            row = await session.one(
                _CURRENT, {"lane": ref.lane, "room": ref.room, "type": type, "key": state_key}
            )
        return None if row is None else StoredEvent.of_row(ref, row)

    async def anywhere(self, event_id: str) -> StoredEvent | None:
        """An event by its id alone. Asks every partition: not for hot paths."""
        async with self._ground.db.read() as session:
            row = await session.one(_ANYWHERE, (event_id,))
        return None if row is None else StoredEvent.of_row(RoomRef(*row[:4]), row[4:])

    async def newest(self, ranges: Sequence[TimelineRange]) -> list[TimelinePage]:
        """The newest live events of each range, oldest first, in one query."""
        if not ranges:
            return []
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _NEWEST,
                (
                    int4([wanted.ref.lane for wanted in ranges]),
                    int4([wanted.ref.room for wanted in ranges]),
                    int8([wanted.after for wanted in ranges]),
                    int8([wanted.upto for wanted in ranges]),
                    int4([wanted.limit + 1 for wanted in ranges]),
                ),
            )
        found: list[list[StoredEvent]] = [[] for _ in ranges]
        for i, *row in rows:
            found[i].append(StoredEvent.of_row(ranges[i].ref, row))
        pages = []
        for wanted, events in zip(ranges, found, strict=True):
            limited = len(events) > wanted.limit
            kept = events[len(events) - wanted.limit :] if limited else events
            start = kept[0].place.before if kept and limited else Place(wanted.after)
            if limited and not kept:
                start = Place(wanted.upto)
            pages.append(TimelinePage(kept, start, Place(wanted.upto), limited))
        return pages

    async def page(
        self, ref: RoomRef, start: Place, end: Place, *, backwards: bool, limit: int
    ) -> list[StoredEvent]:
        """At most ``limit`` events from the boundary ``start`` towards the boundary ``end``, in that
        order.
        """
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _BACKWARDS if backwards else _FORWARDS,
                {
                    "lane": ref.lane,
                    "room": ref.room,
                    "live": live_upto(start),
                    "live_end": live_upto(end),
                    "ordinal": start.ordinal,
                    "sub": start.sub,
                    "end_ordinal": end.ordinal,
                    "end_sub": end.sub,
                    "most": limit,
                },
            )
        return [StoredEvent.of_row(ref, row) for row in rows]

    async def around(
        self, events: Sequence[StoredEvent], before: int, after: int
    ) -> list[tuple[list[StoredEvent], list[StoredEvent]]]:
        """The events next to each of these live ones: at most so many before and after, the nearest first."""
        found: list[tuple[list[StoredEvent], list[StoredEvent]]] = [([], []) for _ in events]
        if not events or before + after == 0:
            return found
        places = [event.place for event in events]
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _AROUND,
                {
                    "lanes": int4([event.ref.lane for event in events]),
                    "rooms": int4([event.ref.room for event in events]),
                    "nums": int8([event.num for event in events]),
                    "ordinals": int8([place.ordinal for place in places]),
                    "subs": int4([place.sub for place in places]),
                    "before": before,
                    "after": after,
                },
            )
        for i, side, *row in rows:
            found[i][side].append(StoredEvent.of_row(events[i].ref, row))
        for earlier, later in found:
            earlier.sort(key=_place_of, reverse=True)
            later.sort(key=_place_of)
        return found

    async def shown(
        self, events: Sequence[StoredEvent], eyes: Mapping[RoomRef, Viewer], *, joined: bool = False
    ) -> list[StoredEvent]:
        """Events that a viewer may see, decorated, and redacted where their senders are erased. ``joined``:
        the viewer was at all of them, and is shown them as they are but for what they tell of others.
        """
        await self.decorate(events)
        if joined and not any(
            event.prev_content is not None or event.redaction is not None for event in events
        ):
            return list(events)
        return await self._erasure.shown(eyes, events)

    async def decorate(self, events: Iterable[StoredEvent]) -> None:
        """Attach to each event what its ``unsigned`` speaks of, in one query."""
        lacking = [
            event
            for event in events
            if (event.replaces is not None and event.replaces_state is None)
            or (event.redacted_by is not None and event.redaction is None)
        ]
        if not lacking:
            return
        wanted = [
            (event.ref, [num for num in (event.replaces, event.redacted_by) if num is not None])
            for event in lacking
        ]
        found = await self.by_nums(wanted)
        for event in lacking:
            replaced = None if event.replaces is None else found.get((event.ref, event.replaces))
            redaction = None if event.redacted_by is None else found.get((event.ref, event.redacted_by))
            event.attach(
                replaces_state=None if replaced is None else replaced.event_id,
                prev_content=None if replaced is None else orjson.dumps(replaced.content),
                redaction=redaction,
            )


def _place_of(event: StoredEvent) -> Place:
    return event.place


def live_upto(boundary: Place) -> int:
    """The ordinal of the last live event before a boundary: (n, 0) stands before it if the boundary is after
    (n, 0), and not if it is among the history that stands before (n, 0).
    """
    return boundary.ordinal if boundary.sub >= 0 else boundary.ordinal - 1


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL could hold this text at all; clients ask for anything."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
