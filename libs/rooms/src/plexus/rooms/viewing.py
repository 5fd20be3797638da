"""What one user may see: an event, the state of a room, a set of places. Judged by ``visibility``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from plexus.protocol.errors import Forbidden, NotFound
from plexus.protocol.identifiers import is_event_id
from plexus.rooms.events import EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.heads import HeadReader
from plexus.rooms.refs import Refs
from plexus.rooms.stored import StoredEvent
from plexus.rooms.stretches import MOST_BEHIND, Stretches
from plexus.rooms.values import Place, RoomRef, View, Visibility
from plexus.rooms.visibility import INTERVALS, Viewer, read_viewers, viewer_of

# One row for each interval, each with the room's head; one with nothing else if there are none.
_VIEW = """
SELECT q.head_ordinal, q.head_num, q.snapshot,
       EXISTS (SELECT FROM rooms.relation WHERE lane = %(lane)s::smallint AND room = %(room)s::integer),
       (SELECT bool_or(n.redacts IS NOT NULL OR n.sub < 0)
          FROM (SELECT redacts, sub FROM rooms.event
                 WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND num > %(known)s
                 ORDER BY num LIMIT {most}) AS n), x.*
  FROM (SELECT * FROM rooms.room WHERE lane = %(lane)s::smallint AND room = %(room)s::integer) AS q
  LEFT JOIN LATERAL ({intervals}) AS x ON true ORDER BY x.from_ordinal
""".replace("{intervals}", INTERVALS).replace("{most}", str(MOST_BEHIND))

_LANES_A_PART = 8
_TABLES = ("room", "event", "relation", "membership", "visibility")


def _of_part(part: int) -> LiteralString:
    # Whoever reads a room asks this. Over all parts of the tables PostgreSQL locks and opens forty: planning
    # was four times as dear, and each time after that twice.
    sql: LiteralString = _VIEW
    for table in _TABLES:
        sql = sql.replace(f"rooms.{table}", f"rooms.{table}_{part}")
    return sql


_VIEWS = [_of_part(part) for part in range(8)]


class Viewing:
    def __init__(
        self, ground: Ground, refs: Refs, events: EventReader, heads: HeadReader, stretches: Stretches
    ) -> None:
        self._ground = ground
        self._refs = refs
        self._events = events
        self._heads = heads
        self._stretches = stretches

    async def viewers(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, Viewer]:
        return await read_viewers(self._ground, refs, user_id)

    async def can_see(self, ref: RoomRef, user_id: str, places: Sequence[Place]) -> list[Visibility]:
        viewer = await self._viewer(ref, user_id)
        return [viewer.at(place) for place in places]

    async def event(self, room_id: str | None, event_id: str, viewer: str | None) -> StoredEvent:
        """One event, decorated; `NotFound` if there is none or ``viewer`` may not see it."""
        event: StoredEvent | None = None
        if is_event_id(event_id):
            if room_id is None:
                event = await self._events.anywhere(event_id)
            elif (ref := await self._refs.get(room_id)) is not None:
                event = await self._events.by_id(ref, event_id)
        eyes = None if event is None or viewer is None else await self._viewer(event.ref, viewer)
        if event is None or not (eyes is None or eyes.sees(event)):
            raise NotFound("There is no such event, or you may not see it")
        if eyes is None:
            await self._events.decorate([event])
            return event
        return (await self._events.shown([event], {event.ref: eyes}))[0]

    async def view(self, room_id: str, user_id: str) -> View:
        """What the user may see of the room's state; `Forbidden` if nothing, or there is no such room."""
        ref = await self._refs.get(room_id)
        if ref is None:
            raise Forbidden("You are not in this room")
        known = self._stretches.known(ref)
        async with self._ground.db.read() as session:
            values = {"lane": ref.lane, "room": ref.room, "user": user_id, "known": known}
            rows = await session.fetch(_VIEWS[ref.lane // _LANES_A_PART], values)
        if not rows:
            raise Forbidden("You are not in this room")
        head_ordinal, num, snapshot, relates, touched = rows[0][:5]
        self._stretches.looked(ref, known, num, touched=bool(touched))
        newest = Place(head_ordinal)
        viewer = viewer_of(user_id, (row[5:] for row in rows if row[5] is not None))
        if viewer.membership == "join" or viewer.history_visibility == "world_readable":
            return View(ref, snapshot, newest, viewer, True, newest, num, relates)
        left_at = viewer.left_at
        if viewer.forgotten or left_at is None:
            raise Forbidden("You are not in this room")
        snapshot = await self._heads.snapshot_at(ref, Place(left_at))
        if snapshot is None:
            raise Forbidden("You are not in this room")
        return View(ref, snapshot, Place(left_at), viewer, False, newest, num, relates)

    async def _viewer(self, ref: RoomRef, user_id: str) -> Viewer:
        return (await read_viewers(self._ground, [ref], user_id))[ref]
