"""Whole current states, kept in memory for the next who asks: ``/members`` and ``/state`` of large rooms.

What is kept is of one moment of its room, and is compared with the room's head whenever it is used. If the
room has gone on, one statement brings the state events since, and says whether anything else may have changed
the state or the events of it: a redaction, or a fork. Then it is read anew. So a list of ten thousand members
is read once, and after a join one event more. Nothing has to be told to this cache, and every replica may
have one of its own. Only a new generation of the lanes empties it: numbers may then come again.

An event is kept as it is printed, without its PDU, and what answers have in common as well (`StateInForce`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from plexus.rooms.ground import Ground
from plexus.rooms.printed_state import Entry, StateInForce
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import RoomRef, View

MOST_BEHIND = 5_000
"""Events after which a state is read anew instead of looking for redactions among them."""

_AT_A_TIME = 500
"""Events that are printed before others have a turn: some 10 ms."""

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

Entries = dict[tuple[str, str], Entry]


class InForce:
    """``most_bytes`` is the memory for all states that are kept, estimated. A room that would take half of it
    is not kept.
    """

    def __init__(self, ground: Ground, most_bytes: int) -> None:
        self._ground = ground
        self._most_bytes = most_bytes
        self._kept: OrderedDict[RoomRef, StateInForce] = OrderedDict()
        self._bytes = 0
        self._generation: int | None = None

    async def state(self, view: View) -> StateInForce | None:
        """The whole state that a viewer of a room as it is now sees; None if it has changed since it was
        looked at whether the viewer is in the room.
        """
        generation = self._ground.log.generation()
        if generation != self._generation:
            self._kept.clear()
            self._bytes, self._generation = 0, generation
        kept = self._kept.get(view.ref)
        if kept is not None and kept.num < view.num:
            kept = await self._catch_up(view, kept)
        if kept is None:
            kept = await self._read(view.ref)
        if generation == self._generation:
            self._keep(kept)
        return kept if kept.since <= view.num <= kept.num else None

    async def _read(self, ref: RoomRef) -> StateInForce:
        async with self._ground.db.read() as session:
            rows = await session.fetch(_STATE, (ref.lane, ref.room))
        entries = await _entries(ref, [row[1:] for row in rows])
        return StateInForce.of(ref, rows[0][0], entries)

    async def _catch_up(self, view: View, kept: StateInForce) -> StateInForce | None:
        """The state as of now; None if it must be read."""
        ref = view.ref
        if view.num - kept.num > MOST_BEHIND:
            return None
        async with self._ground.db.read() as session:
            rows = await session.fetch(_SINCE, {"num": kept.num, "lane": ref.lane, "room": ref.room})
        if not rows or not rows[0][1]:
            return None
        new = [row[2:] for row in rows if row[2] is not None]
        if new:
            return kept.later(rows[0][0], new[-1][0], await _entries(ref, new))
        kept.num = max(kept.num, rows[0][0])
        return kept

    def _keep(self, state: StateInForce) -> None:
        old = self._kept.get(state.ref)
        if old is not None:
            if old.num > state.num:
                return
            del self._kept[state.ref]
            self._bytes -= old.size
        if state.size * 2 > self._most_bytes:
            return
        self._kept[state.ref] = state
        self._bytes += state.size
        while self._bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size


async def _entries(ref: RoomRef, rows: Sequence[Sequence[object]]) -> Entries:
    found: Entries = {}
    for number, row in enumerate(rows, 1):
        event = StoredEvent.of_row(ref, row)
        found[event.key] = Entry(event)
        if number % _AT_A_TIME == 0:
            await asyncio.sleep(0)
    return found
