"""Facts into the replica, without a database: what has to be read, and what a fact tells by itself."""

from __future__ import annotations

from typing import Any, cast

from plexus.platform.clock import SystemClock
from plexus.platform.lanes import ROOM, Fact, RoomFact
from plexus.proto.lanes.v1 import room_body_pb2 as proto
from plexus.rooms import RoomRef, Rooms, StoredEvent
from plexus.rooms.typing import Typing
from plexus.sync.ephemeral.moments import Moments
from plexus.sync.ephemeral.typing import TypingBook
from plexus.sync.replica.bodies import Bodies
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.feed import Feed
from plexus.sync.replica.tail import TailFact
from plexus.sync.replica.views import Interest

from tests.unit.sync.events import REF, member, stored

ALICE, BOB = "@alice:example.org", "@bob:example.org"


class Asked:
    """Rooms that are asked where one of them is."""

    def __init__(self) -> None:
        self.refs: list[str] = []

    async def ref(self, room_id: str) -> RoomRef:
        self.refs.append(room_id)
        return REF

    async def timelines(self, ranges: list[Any]) -> list[Any]:
        assert not ranges
        return []


def join(user_id: str, room: int) -> Fact:
    """The fact of a join in `REF`; ``room`` is what the body says of the room's number."""
    return fact_of(member(1, user_id, "join"), room)


def fact_of(event: StoredEvent, room: int = REF.room) -> Fact:
    """The next fact of `REF`, of one event."""
    num = event.num
    told = proto.StoredEvent(num=num, ordinal=num, event_id=event.event_id, snap_after=1, raw=event.raw)
    body = proto.RoomBody(room_version=REF.room_version, room=room, events=[told])
    return Fact(num, RoomFact.EVENTS, REF.room_id, num, num, body=body.SerializeToString())


def feed_with_alice() -> tuple[Feed, Interest, Asked]:
    asked = Asked()
    rooms = cast(Rooms, asked)
    interest = Interest(10)
    interest.load(interest.view(ALICE, 0), [], Cut(1, (0,) * 4, (0,)))
    feed = Feed(rooms, Bodies(rooms, 1_000_000), interest, lambda room_id: None, 1_000_000)
    feed.begin(1, (0,) * 4, (0,))
    return feed, interest, asked


async def test_a_member_event_of_an_unknown_room_is_taken_in_the_same_turn() -> None:
    feed, interest, asked = feed_with_alice()
    assert feed.handle(ROOM, REF.lane, [join(ALICE, REF.room)]) is None
    assert interest.views[ALICE].joined[REF.room_id].ref == REF
    assert not asked.refs


async def test_where_the_room_is_is_read_if_the_body_does_not_say() -> None:
    feed, interest, asked = feed_with_alice()
    reading = feed.handle(ROOM, REF.lane, [join(ALICE, 0)])
    assert reading is not None
    await reading
    assert interest.views[ALICE].joined[REF.room_id].ref == REF
    assert asked.refs == [REF.room_id]


class Counting(Bodies):
    """Bodies that count what was decoded."""

    decoded = 0

    def events(self, fact: TailFact) -> Any:
        self.decoded += 1
        return super().events(fact)


async def test_who_leaves_or_sends_types_no_more_also_where_nobody_is() -> None:
    """And nothing is decoded but what those have sent who are typing in the room."""
    rooms, interest = cast(Rooms, Asked()), Interest(10)
    book, bodies = TypingBook(Moments(SystemClock()), lambda room_id: None), Counting(rooms, 1_000_000)
    feed = Feed(rooms, bodies, interest, lambda room_id: None, 1_000_000, typing=book)
    feed.begin(1, (0,) * 4, (0,))
    told = iter(
        [
            (member(1, BOB, "join"), 0, [ALICE, BOB]),
            (stored(2, sender="@carol:example.org"), 0, [ALICE, BOB]),
            (stored(3, "m.reaction", sender=BOB), 1, [ALICE, BOB]),
            (stored(4, sender=BOB), 1, [ALICE]),
            (member(5, ALICE, "leave"), 2, []),
            (stored(6, sender=ALICE), 0, []),
            (member(7, BOB, "leave"), 0, []),
        ]
    )
    try:
        assert feed.handle(ROOM, REF.lane, [fact_of(next(told)[0])]) is None and bodies.decoded == 0
        for user_id in (ALICE, BOB):
            book.take(Typing(REF.room_id, user_id, 60_000))
        for event, decoded, typists in told:
            bodies.decoded = 0
            assert feed.handle(ROOM, REF.lane, [fact_of(event)]) is None
            assert (book.who(REF.room_id), bodies.decoded) == (typists, decoded), event.event_id
    finally:
        book.close()
