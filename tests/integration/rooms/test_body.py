"""What rides along with a fact says where its room is."""

import asyncio

import pytest
from plexus.proto.lanes.v1 import room_body_pb2 as proto
from plexus.rooms import NewEvent, Rooms, ref_in

from tests.integration.rooms.conftest import ALICE, TestGround, make_room, message

MIGRATIONS = ("platform", "rooms")


@pytest.mark.parametrize("version", ["10", "12"])
async def test_a_body_tells_where_its_room_is(rooms: Rooms, ground: TestGround, version: str) -> None:
    room_id = await make_room(rooms, version=version)
    await rooms.send(room_id, ALICE, message("hello"))
    await rooms.send(room_id, ALICE, NewEvent("m.room.topic", {"topic": "tea"}, ""))
    await asyncio.sleep(0)  # the fan-out hands on in the next turn of the loop
    ref = await rooms.ref(room_id)
    assert ref is not None and ref.room > 0
    bodies = [(group.lane, fact.body) for group in ground.groups for fact in group.facts]
    assert len(bodies) == 3
    for lane, body in bodies:
        assert body is not None and ref_in(room_id, lane, body) == ref


def test_a_writer_that_does_not_say_is_not_believed_to_mean_room_0() -> None:
    body = proto.RoomBody(room_version="10").SerializeToString()
    assert ref_in("!room:example.org", 3, body) is None
