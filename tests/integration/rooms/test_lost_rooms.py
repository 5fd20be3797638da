"""A room that a failover has lost: its number is given to another one, and nobody takes that for it."""

from __future__ import annotations

import pytest
from plexus.protocol.errors import NotFound
from plexus.rooms import Rooms, Txn

from tests.integration.rooms.conftest import ALICE, TestGround, make_room, message


async def test_what_is_kept_of_a_lost_room_does_not_lead_to_the_one_with_its_number(
    ground: TestGround, rooms: Rooms
) -> None:
    lost = await make_room(rooms)
    txn = Txn(ALICE, "PHONE", "send", "1")
    await rooms.send(lost, ALICE, message("hello"), txn=txn)
    ref = await rooms.ref(lost)
    assert ref is not None
    other = "!other" + lost
    await ground.db.call(
        "UPDATE rooms.room SET room_id = %s WHERE lane = %s::smallint AND room = %s::integer RETURNING 1",
        (other, ref.lane, ref.room),
    )
    assert await rooms.ref(lost) == ref  # there is no failover of which anybody has heard
    await ground.log.begin_generation("for this test")
    assert await rooms.ref(lost) is None
    for retried in (txn, None):
        with pytest.raises(NotFound):
            await rooms.send(lost, ALICE, message("hello"), txn=retried)
