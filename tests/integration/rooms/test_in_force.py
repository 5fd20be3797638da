"""The whole current state, kept in memory: always what the snapshots say, whoever has written."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from plexus.protocol.errors import Forbidden
from plexus.rooms import NewEvent, Rooms, Txn
from plexus.rooms.values import DELAY_ID

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    CAROL,
    Eyes,
    MakeRooms,
    TestGround,
    join,
    make_room,
    member,
    message,
    state,
)

NOW = 1_800_000_000_000

Printed = dict[tuple[str, str], dict[str, Any]]


def parsed(printed: bytes) -> Printed:
    events = orjson.loads(printed)
    found = {(event["type"], event["state_key"]): event for event in events}
    assert len(found) == len(events)
    return found


async def same(rooms: Rooms, room_id: str) -> Printed:
    """What Alice sees by what is kept, which is what the snapshot holds: all of it, and its members."""
    view = await rooms.view(room_id, ALICE)
    kept = await rooms.state_in_force(view)
    assert kept is not None
    seen = parsed(kept.events(Eyes(NOW), b"[", b"]"))
    state = await rooms.state_at(view.ref, view.snapshot)
    assert seen == {key: event.client_dict(now_ms=NOW) for key, event in state.items()}
    members = {key: event for key, event in seen.items() if key[0] == "m.room.member"}
    assert parsed(kept.members(Eyes(NOW + 1), b"[", b"]")) == {
        key: event | {"unsigned": {"age": event["unsigned"]["age"] + 1}} for key, event in members.items()
    }
    for some in (frozenset({"join"}), frozenset({"leave", "ban"})):
        assert parsed(kept.members(Eyes(NOW), b"[", b"]", some)) == {
            key: event for key, event in members.items() if event["content"]["membership"] in some
        }
    joined = orjson.loads(kept.joined())
    assert {(user, shown.get("display_name")) for user, shown in joined.items()} == {
        (key[1], event["content"].get("displayname"))
        for key, event in members.items()
        if event["content"]["membership"] == "join"
    }
    return seen


def content(state: Printed, type: str, state_key: str = "") -> dict[str, Any]:
    found: dict[str, Any] = state[type, state_key]["content"]
    return found


async def test_what_others_write_is_seen(rooms: Rooms, make_rooms: MakeRooms) -> None:
    other = make_rooms()
    room_id = await make_room(rooms)
    await same(rooms, room_id)
    joined = await other.send(room_id, BOB, member(BOB, displayname="Bobby Tables"))
    assert content(await same(rooms, room_id), "m.room.member", BOB)["displayname"] == "Bobby Tables"
    await other.send(room_id, BOB, message("hello"))
    await join(other, room_id, CAROL)
    await other.send(room_id, ALICE, state("m.room.topic", topic="new"))
    assert content(await same(rooms, room_id), "m.room.topic")["topic"] == "new"
    await other.send(room_id, ALICE, NewEvent("m.room.redaction", {}, redacts=joined.event_id))
    assert "displayname" not in content(await same(rooms, room_id), "m.room.member", BOB)
    # A redaction that is not the newest event any more when somebody looks.
    named = await other.send(room_id, BOB, member(BOB, displayname="Robert"))
    await same(rooms, room_id)
    await other.send(room_id, ALICE, NewEvent("m.room.redaction", {}, redacts=named.event_id))
    await other.send(room_id, BOB, member(BOB, "leave"))
    await other.send(room_id, BOB, member(BOB, displayname="Rob"))
    assert content(await same(rooms, room_id), "m.room.member", BOB)["displayname"] == "Rob"


async def test_who_was_there_earlier_gets_no_later_state(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    before = await rooms.view(room_id, BOB)
    await rooms.send(room_id, BOB, message("state as it was"))
    await same(rooms, room_id)
    assert await rooms.state_in_force(before) is None, "the join may be of later than that"
    in_between = await rooms.view(room_id, BOB)
    await rooms.send(room_id, BOB, message("and still is"))
    await same(rooms, room_id)
    assert await rooms.state_in_force(in_between) is not None
    await rooms.send(room_id, ALICE, state("m.room.topic", topic="later"))
    assert ("m.room.topic", "") in await same(rooms, room_id)
    assert await rooms.state_in_force(in_between) is None
    assert ("m.room.topic", "") not in {event.key for event in await rooms.state_seen(in_between)}
    with pytest.raises(Forbidden):
        await rooms.view(room_id, CAROL)


async def test_what_only_its_sender_sees(rooms: Rooms) -> None:
    """A delayed event tells its sender under which ID it was scheduled."""
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    await same(rooms, room_id)
    txn = Txn.of_delayed_event(ALICE, "delay-1")
    await rooms.send(room_id, ALICE, state("m.room.topic", topic="100 %"), txn=txn)
    kept = await rooms.state_in_force(await rooms.view(room_id, BOB))
    assert kept is not None
    by_user = {
        user: parsed(kept.events(Eyes(NOW, user, "DEVICE"), b"[", b"]"))["m.room.topic", ""]["unsigned"]
        for user in (ALICE, BOB)
    }
    assert by_user[ALICE][DELAY_ID] == "delay-1" and by_user[ALICE].keys() == {"age", DELAY_ID}
    assert by_user[BOB].keys() == {"age"}


async def test_a_new_generation_begins_anew(rooms: Rooms, ground: TestGround) -> None:
    """What was lost with the generation before is not remembered."""
    room_id = await make_room(rooms)
    await same(rooms, room_id)
    view = await rooms.view(room_id, ALICE)
    kept = await rooms.state_in_force(view)
    assert kept is await rooms.state_in_force(view)
    await ground.log.begin_generation("for this test")
    assert kept is not await rooms.state_in_force(view)
    await same(rooms, room_id)


async def test_when_there_is_no_more_space(ground: TestGround) -> None:
    """One room is given up for another, and a room that is too large is answered without being kept."""
    rooms = Rooms(ground, state_cache_bytes=20_000)
    first, second = [await make_room(rooms) for _ in range(2)]
    for room_id in (first, second, first, second):
        await same(rooms, room_id)
    for number in range(40):
        await rooms.send(first, ALICE, state("m.x", str(number)))
    assert len(await same(rooms, first)) > 40
    await rooms.send(first, ALICE, state("m.x", "0", changed=True))
    assert content(await same(rooms, first), "m.x", "0")["changed"]
