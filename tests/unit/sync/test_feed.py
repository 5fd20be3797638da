"""Facts into the replica, without a database: what has to be read, and what a fact tells by itself."""

from __future__ import annotations

from typing import Any, cast

from plexus.platform.lanes import ROOM, Fact, RoomFact
from plexus.proto.lanes.v1 import room_body_pb2 as proto
from plexus.rooms import RoomRef, Rooms
from plexus.sync.replica.bodies import Bodies
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.feed import Feed
from plexus.sync.replica.views import Interest

from tests.unit.sync.events import REF, member

ALICE = "@alice:example.org"


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
    raw = member(1, user_id, "join").raw
    event = proto.StoredEvent(num=1, ordinal=1, event_id="$join", snap_after=1, raw=raw)
    body = proto.RoomBody(room_version=REF.room_version, room=room, events=[event])
    return Fact(1, RoomFact.EVENTS, REF.room_id, 1, 1, body=body.SerializeToString())


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
