"""Where rooms are. A room's number and version never change, so what was read once is kept.

Only a new generation of the lanes empties it: the number of a room whose making was lost is given again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from plexus.protocol.errors import NotFound
from plexus.protocol.identifiers import is_room_id
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4
from plexus.rooms.values import RoomRef

MOST = 50_000

_REF = "SELECT room, room_version FROM rooms.room WHERE lane = %s::smallint AND room_id = %s"

_REFS = """
SELECT r.room_id, r.lane, r.room, r.room_version
  FROM unnest(%s::smallint[], %s::text[]) AS q (lane, room_id)
  JOIN rooms.room r ON r.lane = q.lane AND r.room_id = q.room_id
"""


class Refs:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._known: OrderedDict[str, RoomRef] = OrderedDict()
        self._generation: int | None = None

    def learn(self, ref: RoomRef) -> None:
        """Keep what somebody else has found out."""
        self._check_generation()
        self._known[ref.room_id] = ref
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    async def get(self, room_id: str) -> RoomRef | None:
        """None if there is no such room, or this is not a room ID at all."""
        generation = self._check_generation()
        known = self._known.get(room_id)
        if known is not None or not is_room_id(room_id):
            return known
        lane = self._ground.lanes.room(room_id)
        async with self._ground.db.read() as session:
            row = await session.one(_REF, (lane, room_id))
        if row is None:
            return None
        ref = RoomRef(room_id, lane, row[0], row[1])
        if generation == self._check_generation():
            self.learn(ref)
        return ref

    async def get_many(self, room_ids: Iterable[str]) -> dict[str, RoomRef]:
        """Those of these rooms that are here, in the order given, in one query at most."""
        generation = self._check_generation()
        wanted = [room_id for room_id in dict.fromkeys(room_ids) if is_room_id(room_id)]
        found = {room_id: self._known[room_id] for room_id in wanted if room_id in self._known}
        missing = [room_id for room_id in wanted if room_id not in found]
        if missing:
            lanes = [self._ground.lanes.room(room_id) for room_id in missing]
            async with self._ground.db.read() as session:
                rows = await session.fetch(_REFS, (int4(lanes), missing))
            for row in rows:
                found[row[0]] = ref = RoomRef(*row)
                if generation == self._check_generation():
                    self.learn(ref)
        return {room_id: found[room_id] for room_id in wanted if room_id in found}

    async def require(self, room_id: str) -> RoomRef:
        """`NotFound` if there is no such room."""
        ref = await self.get(room_id)
        if ref is None:
            raise NotFound("There is no such room")
        return ref

    def _check_generation(self) -> int:
        generation = self._ground.log.generation()
        if generation != self._generation:
            self._known.clear()
            self._generation = generation
        return generation
