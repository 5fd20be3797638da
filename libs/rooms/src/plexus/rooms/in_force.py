"""Whole current states, kept in memory for the next who asks: ``/members`` and ``/state`` of large rooms.

What is kept is of one moment of its room, and is compared with the room's head whenever it is used. If the
room has gone on, one statement brings the state events since, and says whether anything else may have changed
the state or the events of it: a redaction, or a fork. Then it is read anew. So a list of ten thousand members
is read once, and after a join one event more. Nothing has to be told to this cache, and every replica may
have one of its own.

The events are kept as bytes, with their client form once that has been printed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from plexus.rooms.ground import Ground
from plexus.rooms.state import StateReader
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import EVERYTHING, RoomRef, View

MOST_BYTES = 2**26
"""Of all states that are kept, estimated. A room that would take a quarter of it is not kept."""

MOST_BEHIND = 5_000
"""Events after which a state is read anew instead of looking for redactions among them."""

_EVENT_BYTES = 1_000

State = Mapping[tuple[str, str], StoredEvent]

# One statement, so that head and state are of one moment.
_STATE = with_columns("""
SELECT r.head_num, e.*
  FROM rooms.room r
  JOIN rooms.current_state c ON c.lane = r.lane AND c.room = r.room
 CROSS JOIN LATERAL (SELECT {columns} FROM rooms.event e
                      WHERE e.lane = c.lane AND e.room = c.room AND e.num = c.num LIMIT 1) AS e
 WHERE r.lane = %s::smallint AND r.room = %s::integer
 ORDER BY e.num
""")

# An event of which neither is noted has changed the room's state from what it was by itself alone.
_SINCE = with_columns("""
SELECT r.head_num, s.is_plain, e.*
  FROM rooms.room r
 CROSS JOIN LATERAL (SELECT bool_and(redacts IS NULL AND flags = 0 AND room_before IS NULL
                                     AND room_after IS NULL) AS is_plain
                       FROM rooms.event e
                      WHERE e.lane = r.lane AND e.room = r.room AND e.num > %(num)s) AS s
  LEFT JOIN LATERAL (SELECT {columns} FROM rooms.event e
                      WHERE e.lane = r.lane AND e.room = r.room AND e.num > %(num)s
                        AND e.state_key IS NOT NULL) AS e ON true
 WHERE r.lane = %(lane)s::smallint AND r.room = %(room)s::integer
 ORDER BY e.num
""")


@dataclass(frozen=True, slots=True)
class _Kept:
    """The state of a room when its newest event was ``num``."""

    num: int
    state: State
    size: int


class InForce:
    def __init__(self, ground: Ground, states: StateReader) -> None:
        self._ground = ground
        self._states = states
        self._kept: OrderedDict[RoomRef, _Kept] = OrderedDict()
        self._bytes = 0

    async def state(self, view: View) -> State:
        """The whole state that a viewer of a room as it is now sees."""
        kept = self._kept.get(view.ref)
        if kept is not None and kept.num < view.num:
            kept = await self._catch_up(view, kept)
        if kept is None:
            kept = await self._read(view.ref)
        self._keep(view.ref, kept)
        if kept.num > view.num:
            # The room has gone on since it was looked at whether the viewer is in it.
            return (await self._states.states([(view.ref, view.snapshot, EVERYTHING)]))[0]
        return kept.state

    async def _read(self, ref: RoomRef) -> _Kept:
        async with self._ground.db.read() as session:
            rows = await session.fetch(_STATE, (ref.lane, ref.room))
        events = [StoredEvent.of_row(ref, row[1:]) for row in rows]
        return _Kept(rows[0][0], {event.key: event for event in events}, _size(events))

    async def _catch_up(self, view: View, kept: _Kept) -> _Kept | None:
        """The state as of now; None if it must be read."""
        ref = view.ref
        if view.num - kept.num > MOST_BEHIND:
            return None
        async with self._ground.db.read() as session:
            rows = await session.fetch(_SINCE, {"num": kept.num, "lane": ref.lane, "room": ref.room})
        if not rows or not rows[0][1]:
            return None
        events = [StoredEvent.of_row(ref, row[2:]) for row in rows if row[2] is not None]
        state = {**kept.state, **{event.key: event for event in events}} if events else kept.state
        return _Kept(rows[0][0], state, kept.size + _size(events))

    def _keep(self, ref: RoomRef, kept: _Kept) -> None:
        old = self._kept.pop(ref, None)
        self._bytes -= 0 if old is None else old.size
        if kept.size * 4 > MOST_BYTES:
            return
        self._kept[ref] = kept
        self._bytes += kept.size
        while self._bytes > MOST_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size


def _size(events: list[StoredEvent]) -> int:
    return sum(_EVENT_BYTES + len(event.raw) for event in events)
