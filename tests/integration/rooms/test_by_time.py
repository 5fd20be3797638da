"""The event closest to a time: against a search by hand, for users who see different parts of a room."""

from __future__ import annotations

import asyncio
import random

import pytest
from plexus.protocol.errors import Forbidden, NotFound
from plexus.rooms import Rooms, StoredEvent

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    CAROL,
    TestGround,
    join,
    make_room,
    member,
    message,
    state,
)


async def visible(rooms: Rooms, room_id: str, user_id: str) -> list[StoredEvent]:
    """All that the user may see, by time and then in the order of the room."""
    page = await rooms.timeline(room_id, backwards=False, limit=1000, viewer=user_id)
    return sorted(page.events, key=lambda event: (event.origin_server_ts, event.num))


@pytest.mark.parametrize("visibility", ["shared", "joined", "invited", "world_readable"])
async def test_it_is_the_closest_that_the_user_may_see(
    rooms: Rooms, ground: TestGround, visibility: str
) -> None:
    """Clocks of servers go back and stand still; who came late or left early sees less."""
    chance = random.Random(visibility)
    room_id = await make_room(rooms, visibility=visibility)
    begun = ground.clock.now_ms()

    async def chat(count: int) -> None:
        for number in range(count):
            ground.clock.advance(chance.choice((-3, -1, 0, 0, 1, 2, 5)))
            await rooms.send(room_id, ALICE, message(f"{number}"))

    await chat(15)
    await join(rooms, room_id, BOB)
    await chat(15)
    await rooms.send(room_id, BOB, member(BOB, "leave"))
    await chat(10)
    await join(rooms, room_id, CAROL)
    await chat(5)
    for user_id in (ALICE, BOB, CAROL):
        events = await visible(rooms, room_id, user_id)
        assert events
        times = {begun - 60_000, 0, -5, ground.clock.now_ms() + 60_000, 2**53 - 1}
        times |= {event.origin_server_ts + more for event in events for more in (-1, 0, 1)}
        for ts in times:
            after = [event.event_id for event in events if event.origin_server_ts >= ts]
            before = [event.event_id for event in events if event.origin_server_ts <= ts]
            found = await rooms.event_by_time(room_id, ts, backwards=False, viewer=user_id)
            assert (found and found.event_id) == next(iter(after), None), (user_id, ts)
            found = await rooms.event_by_time(room_id, ts, backwards=True, viewer=user_id)
            assert (found and found.event_id) == next(iter(reversed(before)), None), (user_id, ts)


async def test_nothing_for_strangers(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    with pytest.raises(Forbidden):
        await rooms.event_by_time(room_id, 0, backwards=False, viewer=BOB)
    with pytest.raises(NotFound):
        await rooms.event_by_time("!no:where", 0, backwards=False, viewer=ALICE)


async def test_what_a_user_was_shown_by_a_later_visibility(rooms: Rooms, ground: TestGround) -> None:
    room_id = await make_room(rooms, visibility="joined")
    ground.clock.advance(60)
    hidden = ground.clock.now_ms()
    await rooms.send(room_id, ALICE, message("hidden"))
    ground.clock.advance(60)
    shared = ground.clock.now_ms()
    await rooms.send(room_id, ALICE, state("m.room.history_visibility", history_visibility="shared"))
    ground.clock.advance(60)
    await rooms.send(room_id, ALICE, message("before Bob came"))
    await join(rooms, room_id, BOB)
    found = await rooms.event_by_time(room_id, hidden, backwards=False, viewer=BOB)
    assert found is not None
    assert found.origin_server_ts == shared


async def test_many_hidden_events_do_not_hide_the_next(rooms: Rooms, ground: TestGround) -> None:
    """More than are read in all."""
    room_id = await make_room(rooms, visibility="shared")
    await rooms.send(room_id, ALICE, state("m.room.history_visibility", history_visibility="joined"))
    for _ in range(21):
        ground.clock.advance(100)
        await asyncio.gather(*(rooms.send(room_id, ALICE, message("not for Bob")) for _ in range(100)))
    ground.clock.advance(1)
    joined = await join(rooms, room_id, BOB)
    first = await rooms.event_by_time(room_id, 0, backwards=False, viewer=BOB)
    assert first is not None
    assert first.type == "m.room.create"
    found = await rooms.event_by_time(room_id, ground.clock.now_ms() - 2_050_000, backwards=False, viewer=BOB)
    assert found is not None
    assert found.event_id == joined.event_id
