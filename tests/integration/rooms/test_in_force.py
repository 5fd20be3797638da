"""The whole current state, kept in memory: always what the snapshots say, whoever has written."""

from __future__ import annotations

import pytest
from plexus.protocol.errors import Forbidden
from plexus.rooms import NewEvent, Rooms

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    CAROL,
    MakeRooms,
    join,
    make_room,
    member,
    message,
    state,
)


async def same(rooms: Rooms, room_id: str) -> dict[tuple[str, str], bytes]:
    """What Alice sees by what is kept, which is what the snapshot holds."""
    view = await rooms.view(room_id, ALICE)
    seen = {event.key: event.raw for event in await rooms.state_seen(view)}
    assert seen == {key: event.raw for key, event in (await rooms.state_at(view.ref, view.snapshot)).items()}
    return seen


async def test_what_others_write_is_seen(rooms: Rooms, make_rooms: MakeRooms) -> None:
    other = make_rooms()
    room_id = await make_room(rooms)
    await same(rooms, room_id)
    joined = await other.send(room_id, BOB, member(BOB, displayname="Bobby Tables"))
    assert b"Bobby Tables" in (await same(rooms, room_id))["m.room.member", BOB]
    await other.send(room_id, BOB, message("hello"))
    await join(other, room_id, CAROL)
    await other.send(room_id, ALICE, state("m.room.topic", topic="new"))
    assert b'"new"' in (await same(rooms, room_id))["m.room.topic", ""]
    await other.send(room_id, ALICE, NewEvent("m.room.redaction", {}, redacts=joined.event_id))
    assert b"Bobby Tables" not in (await same(rooms, room_id))["m.room.member", BOB]
    # A redaction that is not the newest event any more when somebody looks.
    named = await other.send(room_id, BOB, member(BOB, displayname="Robert"))
    await same(rooms, room_id)
    await other.send(room_id, ALICE, NewEvent("m.room.redaction", {}, redacts=named.event_id))
    await other.send(room_id, BOB, member(BOB, "leave"))
    await other.send(room_id, BOB, member(BOB, displayname="Rob"))
    assert b"Rob" in (await same(rooms, room_id))["m.room.member", BOB]


async def test_who_was_there_earlier_gets_no_later_state(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    before = await rooms.view(room_id, BOB)
    await rooms.send(room_id, ALICE, state("m.room.topic", topic="later"))
    assert ("m.room.topic", "") in await same(rooms, room_id)
    assert ("m.room.topic", "") not in {event.key for event in await rooms.state_seen(before)}
    with pytest.raises(Forbidden):
        await rooms.view(room_id, CAROL)


async def test_when_there_is_no_more_space(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """One room is given up for another, and a room that is too large is answered without being kept."""
    monkeypatch.setattr("plexus.rooms.in_force.MOST_BYTES", 40_000)
    first, second = [await make_room(rooms) for _ in range(2)]
    for room_id in (first, second, first, second):
        await same(rooms, room_id)
    for number in range(40):
        await rooms.send(first, ALICE, state("m.x", str(number)))
    assert len(await same(rooms, first)) > 40
    await rooms.send(first, ALICE, state("m.x", "0", changed=True))
    assert b"changed" in (await same(rooms, first))["m.x", "0"]
