"""Redactions: who may, what is left, and that everybody hears of it."""

from __future__ import annotations

import asyncio

import pytest
from plexus.platform.lanes import RoomFact
from plexus.protocol.errors import AuthRejected, Forbidden, InvalidParam
from plexus.rooms import NewEvent, Rooms, StoredEvent

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    CAROL,
    MakeRooms,
    TestGround,
    join,
    make_room,
    member,
    message,
    state,
)

VERSIONS = ("1", "3", "10", "11", "12")


def redaction(event_id: str, **content: object) -> NewEvent:
    return NewEvent("m.room.redaction", content, redacts=event_id)


async def find(rooms: Rooms, room_id: str, event_id: str) -> StoredEvent:
    return await rooms.event(room_id, event_id, viewer=ALICE)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_content_is_gone(rooms: Rooms, ground: TestGround, version: str) -> None:
    room_id = await make_room(rooms, version=version)
    sent = await rooms.send(room_id, ALICE, message("secret"))
    before = await find(rooms, room_id, sent.event_id)
    redacted = await rooms.send(room_id, ALICE, redaction(sent.event_id, reason="typo"))
    after = await find(rooms, room_id, sent.event_id)
    assert b"secret" in before.raw and b"secret" not in after.raw
    assert after.content == {}
    assert after.event.event_id == before.event.event_id
    client = after.client_dict(now_ms=after.origin_server_ts)
    because = client["unsigned"]["redacted_because"]
    assert (because["event_id"], because["redacts"]) == (redacted.event_id, sent.event_id)
    assert because["content"]["reason"] == "typo"
    own = await find(rooms, room_id, redacted.event_id)
    assert own.event.redacts == sent.event_id
    assert ("redacts" in own.content) == (int(version) >= 11)
    await asyncio.sleep(0)
    facts = ground.groups[-1].facts
    assert [fact.kind for fact in facts] == [RoomFact.EVENTS, RoomFact.REDACTED]
    assert facts[1].lo == before.num
    assert facts[1].position == facts[0].position + 1
    written = await ground.log.facts_of("r", redacted.lane, room_id, redacted.position - 1, 2**60)
    assert [(f.position, f.kind, f.lo) for f in written] == [(f.position, f.kind, f.lo) for f in facts]


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_may(rooms: Rooms, version: str) -> None:
    room_id = await make_room(rooms, version=version)
    await join(rooms, room_id, BOB)
    await join(rooms, room_id, CAROL)
    of_bob = await rooms.send(room_id, BOB, message("bob's"))
    with pytest.raises(Forbidden):
        await rooms.send(room_id, CAROL, redaction(of_bob.event_id))
    assert (await find(rooms, room_id, of_bob.event_id)).redacted_by is None
    await rooms.send(room_id, BOB, redaction(of_bob.event_id))
    assert (await find(rooms, room_id, of_bob.event_id)).redacted_by is not None
    again = await rooms.send(room_id, CAROL, message("carol's"))
    await rooms.send(room_id, ALICE, redaction(again.event_id))
    assert (await find(rooms, room_id, again.event_id)).content == {}
    stranger = "@stranger:here.example.org"
    with pytest.raises(AuthRejected):
        await rooms.send(room_id, stranger, redaction(of_bob.event_id))


async def test_the_create_event_stays(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    create = await rooms.state_event(room_id, "m.room.create", "")
    assert create is not None
    with pytest.raises(Forbidden):
        await rooms.send(room_id, ALICE, redaction(create.event_id))


async def test_the_first_redaction_counts(rooms: Rooms, ground: TestGround) -> None:
    room_id = await make_room(rooms)
    sent = await rooms.send(room_id, ALICE, message("x"))
    first = await rooms.send(room_id, ALICE, redaction(sent.event_id))
    second = await rooms.send(room_id, ALICE, redaction(sent.event_id))
    event = await find(rooms, room_id, sent.event_id)
    assert event.redacted_by == (await find(rooms, room_id, first.event_id)).num
    await asyncio.sleep(0)
    assert [fact.kind for fact in ground.groups[-1].facts] == [RoomFact.EVENTS]
    # The head has no redaction either way; the next write still fits.
    assert second.position + 1 == (await rooms.send(room_id, ALICE, message("y"))).position


async def test_two_redactions_in_one_chain(rooms: Rooms, ground: TestGround) -> None:
    room_id = await make_room(rooms)
    sent = await rooms.send(room_id, ALICE, message("x"))
    await asyncio.gather(*(rooms.send(room_id, ALICE, redaction(sent.event_id)) for _ in range(3)))
    await asyncio.sleep(0)
    kinds = [fact.kind for group in ground.groups for fact in group.facts if fact.subject == room_id]
    assert kinds.count(RoomFact.REDACTED) == 1


async def test_what_is_not_here(rooms: Rooms) -> None:
    """The event is written, and takes nothing away. What is no event id is refused."""
    room_id, other = await make_room(rooms), await make_room(rooms)
    elsewhere = await rooms.send(other, ALICE, message("in another room"))
    await rooms.send(room_id, ALICE, redaction("$" + "x" * 43))
    await rooms.send(room_id, ALICE, redaction(elsewhere.event_id))
    assert (await find(rooms, other, elsewhere.event_id)).redacted_by is None
    for nonsense in ("", "x", "$nul\0"):
        with pytest.raises(InvalidParam):
            await rooms.send(room_id, ALICE, redaction(nonsense))


async def test_redacted_state_is_still_the_state(rooms: Rooms, make_rooms: MakeRooms) -> None:
    """Its content is not; also for the rules, in this process and in others."""
    room_id = await make_room(rooms)
    topic = await rooms.send(room_id, ALICE, state("m.room.topic", topic="secret"))
    bobs = await rooms.send(room_id, BOB, member(BOB, displayname="Bob"))
    await rooms.send(room_id, ALICE, redaction(topic.event_id))
    await rooms.send(room_id, ALICE, redaction(bobs.event_id))
    current = {event.key: event for event in await rooms.current_state(room_id)}
    assert current["m.room.topic", ""].event_id == topic.event_id
    assert current["m.room.topic", ""].content == {}
    assert current["m.room.member", BOB].content == {"membership": "join"}
    again = await rooms.send(room_id, ALICE, state("m.room.topic", topic="secret"))
    assert again.event_id != topic.event_id, "the same content is new after a redaction"
    for engine in (rooms, make_rooms()):
        await engine.send(room_id, BOB, message("still a member"))
    event = await find(rooms, room_id, again.event_id)
    assert event.client_dict(now_ms=0)["unsigned"]["prev_content"] == {}


async def test_a_redacted_join_rule_closes_the_room(rooms: Rooms) -> None:
    room_id = await make_room(rooms, join_rule="invite")
    rule = await rooms.send(room_id, ALICE, state("m.room.join_rules", join_rule="public", extra=1))
    await rooms.send(room_id, ALICE, redaction(rule.event_id))
    current = await rooms.state_event(room_id, "m.room.join_rules", "")
    assert current is not None and current.content == {"join_rule": "public"}
    await join(rooms, room_id, BOB)


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_target_in_the_content(rooms: Rooms, version: str) -> None:
    room_id = await make_room(rooms, version=version)
    sent = await rooms.send(room_id, ALICE, message("x"))
    await rooms.send(room_id, ALICE, NewEvent("m.room.redaction", {"redacts": sent.event_id}))
    assert (await find(rooms, room_id, sent.event_id)).redacted_by is not None
