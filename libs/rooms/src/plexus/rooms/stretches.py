"""Stretches of rooms' timelines, kept in memory for the next who reads back.

A timeline is cut into stretches of `SPAN` numbers each, so that readers who begin at different places find
the same ones. They are kept as events, with what is printed of them. Nobody tells this cache anything: the
statement that looks whether a reader may see the room (`Viewing.view`) looks as well whether an event since
the last look changes one before it, which is a redaction. If so, the room's stretches are given up. What is
read to be kept names the room's head, so that a replica of PostgreSQL that is behind cannot leave a gap. A
new generation of the lanes empties all of it: numbers may then come again.

What this process writes at the head of a room that it has made, or looked at lately, is kept at once: fresh
history is what is read next.

Rooms into which history was fetched later are read from the database: their order is not that of the numbers.
Whatever changes an event by another way than a later event of its room must empty this too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from plexus.rooms.events import EventReader, live_upto
from plexus.rooms.ground import Ground
from plexus.rooms.state import StateReader
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import Place, RoomRef, Wanted
from plexus.rooms.writes import Outcome, RoomWrite

SPAN = 32

MOST_BEHIND = 1_000
"""Events after which a room is given up instead of looking for redactions among them."""

UNKNOWN = 2**62
"""As the last number that is known of a room: after it there is nothing to look at."""

_MEMBER = "m.room.member"
_MOST_ROOMS = 10_000
_MOST_MEMBERS = 2_000
"""Of one room."""
_UNREAD = -1
_EVENT_BYTES = 1_500

_STRETCH = with_columns("""
SELECT r.head_num,
       EXISTS (SELECT FROM rooms.event h WHERE h.lane = r.lane AND h.room = r.room AND h.sub < 0), e.*
  FROM rooms.room r
  LEFT JOIN LATERAL (SELECT {columns} FROM rooms.event e
                      WHERE e.lane = r.lane AND e.room = r.room AND e.num > %(after)s AND e.num <= %(upto)s
                        AND e.ordinal IS NOT NULL AND e.sub = 0) AS e ON true
 WHERE r.lane = %(lane)s::smallint AND r.room = %(room)s::integer
 ORDER BY e.num
""")


@dataclass(slots=True)
class _Span:
    """The live events of the numbers of a span, of which those up to ``upto`` are known."""

    upto: int
    events: list[StoredEvent]
    size: int


@dataclass(slots=True)
class _Room:
    """``num`` is the room's head when it was last looked at. ``plain``: no history was fetched later."""

    num: int
    plain: bool = True
    spans: dict[int, _Span] = field(default_factory=dict)
    members: dict[tuple[int, str], int | None] = field(default_factory=dict)
    """The numbers of the member events of users in a snapshot."""


class Stretches:
    """``most_bytes`` is the memory for all events that are kept, estimated."""

    def __init__(self, ground: Ground, events: EventReader, states: StateReader, most_bytes: int) -> None:
        self._ground = ground
        self._events = events
        self._states = states
        self._most_bytes = most_bytes
        self._rooms: OrderedDict[RoomRef, _Room] = OrderedDict()
        self._order: OrderedDict[tuple[RoomRef, int], None] = OrderedDict()
        self._bytes = 0
        self._generation: int | None = None

    def known(self, ref: RoomRef) -> int:
        """The number after which a look at the room is to search for events that change others."""
        self._begin(self._ground.log.generation())
        room = self._rooms.get(ref)
        return UNKNOWN if room is None else room.num

    def wrote(self, generation: int, write: RoomWrite, outcome: Outcome) -> None:
        """Keep what was written in this generation, if it is next to what is known of its room and changes
        nothing before it. What is not kept is found by the next look.
        """
        self._begin(generation)
        ref = write.ref if write.new is None else write.ref._replace(room=outcome.room)
        room = self._rooms.get(ref)
        if room is None and write.new is not None:
            room = self._know(ref, 0)
        rows = write.events
        if room is None or not rows or rows[0].num != room.num + 1:
            return
        if write.ends is not None or write.redactions:
            return
        room.num = rows[-1].num
        read: dict[int, list[StoredEvent]] = {}
        for row in rows:
            read.setdefault((row.num - 1) // SPAN, []).append(StoredEvent.of_write(ref, row))
        for number, events in read.items():
            known = room.spans.get(number)
            if events[0].num - 1 == (number * SPAN if known is None else known.upto):
                self._put(ref, room, number, events[-1].num, events)
        self._shrink(ref, range(0))

    def looked(self, ref: RoomRef, known: int, num: int, *, touched: bool) -> None:
        """What a look has found: the room's head is ``num``, and an event between ``known`` and it changes
        one before it or not.
        """
        room = self._rooms.get(ref)
        if room is None:
            self._know(ref, num)
        elif num > room.num and (touched or known > room.num or num - known > MOST_BEHIND):
            self._give_up(ref)
            self._know(ref, num)
        else:
            room.num = max(num, room.num)
            self._rooms.move_to_end(ref)

    def _begin(self, generation: int) -> None:
        if generation != self._generation:
            self._rooms.clear()
            self._order.clear()
            self._bytes, self._generation = 0, generation

    def _know(self, ref: RoomRef, num: int) -> _Room:
        room = self._rooms[ref] = _Room(num)
        if len(self._rooms) > _MOST_ROOMS:
            self._give_up(next(iter(self._rooms)))
        return room

    async def page(
        self, ref: RoomRef, num: int, start: Place, end: Place, *, backwards: bool, limit: int
    ) -> list[StoredEvent]:
        """As `EventReader.page`, for who has looked at the room when its head was ``num``, and of nothing
        that came after.
        """
        room = self._rooms.get(ref)
        low, high = sorted((live_upto(start), live_upto(end)))
        high = min(high, num)
        found: list[StoredEvent] = []
        if room is None or room.num < num:
            return await self._events.page(ref, start, end, backwards=backwards, limit=limit)
        while low < high and len(found) < limit:
            spans = _spans(low, high, limit - len(found), backwards=backwards)
            if not await self._have(ref, room, num, spans):
                return await self._events.page(ref, start, end, backwards=backwards, limit=limit)
            for number in reversed(spans) if backwards else spans:
                events = room.spans[number].events
                self._order.move_to_end((ref, number))
                found += [
                    event for event in (reversed(events) if backwards else events) if low < event.num <= high
                ]
            if backwards:
                high = spans[0] * SPAN
            else:
                low = (spans[-1] + 1) * SPAN
        return found[:limit]

    async def members(self, ref: RoomRef, snapshot: int, user_ids: Collection[str]) -> list[StoredEvent]:
        """The member events of these users in a snapshot. Which they are is kept; they are read."""
        room = self._rooms.get(ref)
        known = {} if room is None else room.members
        nums = {user_id: known.get((snapshot, user_id), _UNREAD) for user_id in user_ids}
        lacking = frozenset(user_id for user_id, num in nums.items() if num == _UNREAD)
        if lacking:
            wanted = Wanted(types=frozenset({_MEMBER}), members=lacking)
            [found] = await self._states.state_nums([(ref, snapshot, wanted)])
            if len(known) + len(lacking) > _MOST_MEMBERS:
                known.clear()
            for user_id in lacking:
                nums[user_id] = known[snapshot, user_id] = found.get((_MEMBER, user_id))
        there = [num for num in nums.values() if num is not None]
        return list((await self._events.by_nums([(ref, there)])).values())

    async def _have(self, ref: RoomRef, room: _Room, num: int, spans: range) -> bool:
        """Read what is not known of these spans; False if it cannot be kept."""
        if not room.plain:
            return False

        def lacks(number: int) -> bool:
            span = room.spans.get(number)
            return span is None or span.upto < min(num, (number + 1) * SPAN)

        lacking = [number for number in spans if lacks(number)]
        if not lacking:
            return True
        there = {number: room.spans.get(number) for number in spans}
        known = there[lacking[0]]
        after = lacking[0] * SPAN if known is None else known.upto
        upto = (lacking[-1] + 1) * SPAN
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _STRETCH, {"after": after, "upto": upto, "lane": ref.lane, "room": ref.room}
            )
        head, has_history = rows[0][:2] if rows else (0, False)
        room.plain = not has_history
        if not room.plain or head < room.num or self._rooms.get(ref) is not room:
            return False
        if any(span is not None and room.spans.get(number) is not span for number, span in there.items()):
            # Another reader has had to make room, and what was read continues what is gone.
            return False
        read: dict[int, list[StoredEvent]] = {}
        for row in rows:
            if row[2] is not None:
                read.setdefault((row[2] - 1) // SPAN, []).append(StoredEvent.of_row(ref, row[2:]))
        for number in lacking:
            self._put(ref, room, number, min(head, (number + 1) * SPAN), read.get(number, []))
        self._shrink(ref, spans)
        return self._rooms.get(ref) is room

    def _put(self, ref: RoomRef, room: _Room, number: int, upto: int, events: list[StoredEvent]) -> None:
        span = room.spans.get(number)
        if span is None:
            span = room.spans[number] = _Span(number * SPAN, [], 0)
            self._order[ref, number] = None
        new = [event for event in events if event.num > span.upto]
        size = sum(_EVENT_BYTES + 2 * len(event.raw) for event in new)
        span.events = [*span.events, *new]
        span.upto = max(span.upto, upto)
        span.size += size
        self._bytes += size

    def _shrink(self, ref: RoomRef, spans: range) -> None:
        """Give up what was not used for the longest, but not what is about to be."""
        while self._bytes > self._most_bytes:
            oldest = next(iter(self._order))
            if oldest[0] == ref and oldest[1] in spans:
                break
            del self._order[oldest]
            self._bytes -= self._rooms[oldest[0]].spans.pop(oldest[1]).size

    def _give_up(self, ref: RoomRef) -> None:
        room = self._rooms.pop(ref)
        for number, span in room.spans.items():
            del self._order[ref, number]
            self._bytes -= span.size


def _spans(low: int, high: int, limit: int, *, backwards: bool) -> range:
    """Those that have ``limit`` numbers of low < number <= high, from one end, if there are so many."""
    first, last = low // SPAN, (high - 1) // SPAN
    if backwards:
        in_last = high - last * SPAN
        return range(max(first, last - -(-max(0, limit - in_last) // SPAN)), last + 1)
    in_first = (first + 1) * SPAN - low
    return range(first, min(last, first + -(-max(0, limit - in_first) // SPAN)) + 1)
