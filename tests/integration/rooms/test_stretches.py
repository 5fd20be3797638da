"""Pages of the timeline from memory: always those that the database gives, whoever has written."""

from __future__ import annotations

import random
from typing import Any

from plexus.rooms import NewEvent, Place, Rooms, StoredEvent, TimelinePage, Txn
from plexus.rooms.stored import COLUMNS

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

NOW = 1_800_000_000_000


def shown(page: TimelinePage) -> Any:
    columns = [[getattr(event, name) for name in COLUMNS.split(", ")] for event in page.events]
    events = [event.client_dict(now_ms=NOW) for event in page.events]
    return page.start, page.end, list(page.memberships), columns, events


async def same(rooms: Rooms, room_id: str, user_id: str = ALICE, **wanted: Any) -> TimelinePage:
    """A page by a view, which is the one without."""
    view = await rooms.view(room_id, user_id)
    wanted = {"start": view.newest, **wanted}
    page = await rooms.timeline(room_id, viewer=view, **wanted)
    assert shown(page) == shown(await rooms.timeline(room_id, viewer=user_id, **wanted))
    return page


async def all_back(rooms: Rooms, room_id: str, limit: int) -> list[StoredEvent]:
    page = await same(rooms, room_id, limit=limit)
    events = [*page.events]
    while page.end is not None:
        page = await same(rooms, room_id, limit=limit, start=page.end)
        events += page.events
    return events


async def test_what_others_write_is_read(rooms: Rooms, make_rooms: MakeRooms) -> None:
    other = make_rooms()
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    sent = [await other.send(room_id, BOB, message(f"message {number}")) for number in range(130)]
    for limit in (7, 100):
        events = await all_back(rooms, room_id, limit)
        assert len(events) == 5 + 130 and len({event.event_id for event in events}) == 135
    sent.append(await other.send(room_id, BOB, message("one more")))
    assert (await same(rooms, room_id, limit=1)).events[0].event_id == sent[-1].event_id
    # One that was read before, and what is told of a state event that another has replaced.
    named = await other.send(room_id, BOB, member(BOB, displayname="Bobby Tables"))
    again = await other.send(room_id, BOB, member(BOB, displayname="Robert"))
    [replacing] = (await same(rooms, room_id, limit=1)).events
    assert replacing.event_id == again.event_id and b"Bobby Tables" in (replacing.prev_content or b"")
    await other.send(room_id, BOB, NewEvent("m.room.redaction", {}, redacts=sent[60].event_id))
    await other.send(room_id, BOB, NewEvent("m.room.redaction", {}, redacts=named.event_id))
    await other.send(room_id, BOB, message("after it"))
    events = await all_back(rooms, room_id, 50)
    by_id = {event.event_id: event for event in events}
    assert by_id[sent[60].event_id].content == {} and by_id[sent[61].event_id].content["body"] == "message 61"
    assert b"Bobby Tables" not in (by_id[again.event_id].prev_content or b"")


async def test_what_was_written_here_is_not_read(
    rooms: Rooms, make_rooms: MakeRooms, ground: TestGround
) -> None:
    """Of a room that was made here, and, once somebody has looked, of one that others have written to."""

    async def reads(limit: int) -> int:
        view = await rooms.view(room_id, ALICE)
        before = ground.db.readers.stats.acquired
        page = await rooms.timeline(room_id, start=view.newest, viewer=view, limit=limit)
        count = ground.db.readers.stats.acquired - before
        assert shown(page) == shown(
            await rooms.timeline(room_id, start=view.newest, viewer=ALICE, limit=limit)
        )
        return count

    room_id = await make_room(rooms)
    for number in range(90):
        txn = Txn(ALICE, "DEVICE", "send", f"txn {number}")
        await rooms.send(room_id, ALICE, message(f"message {number}"), txn=txn)
    assert await reads(100) == 0
    await make_rooms().send(room_id, ALICE, message("of another replica"))
    # This one is written under the lock, which is left to the next look.
    await rooms.send(room_id, ALICE, message("after it"))
    assert await reads(100) == 1
    ground.clock.advance(2)
    await rooms.send(room_id, ALICE, message("and one more"))
    assert await reads(100) == 0
    # Without a look in between nothing is known of what others have changed.
    target = await rooms.send(room_id, ALICE, message("to be redacted"))
    await make_rooms().send(room_id, ALICE, NewEvent("m.room.redaction", {}, redacts=target.event_id))
    await rooms.send(room_id, ALICE, message("after that"))
    # The events, and the redaction that one of them tells of.
    assert await reads(100) == 2


async def test_any_page(ground: TestGround) -> None:
    """Random pages in a room that goes on, whose stretches find no place for long."""
    chance = random.Random(7)
    rooms = Rooms(ground, timeline_cache_bytes=150_000)
    room_id = await make_room(rooms)
    events = [await join(rooms, room_id, BOB)]
    for _ in range(60):
        for _ in range(chance.randrange(8)):
            what = message("x" * chance.randrange(50))
            if chance.random() < 0.1:
                what = NewEvent("m.room.redaction", {}, redacts=chance.choice(events).event_id)
            elif chance.random() < 0.1:
                what = state("m.room.topic", topic=str(len(events)))
            events.append(await rooms.send(room_id, ALICE, what))
        newest = len(events) + 5
        backwards = chance.random() < 0.6
        start, end = sorted((Place(chance.randrange(newest)) for _ in range(2)), reverse=backwards)
        only = None if chance.random() < 0.7 else lambda event: event.type != "m.room.message"
        await same(
            rooms,
            room_id,
            start=start,
            end=None if chance.random() < 0.5 else end,
            backwards=backwards,
            limit=chance.randrange(1, 90),
            event_filter=only,
        )
    await rooms.stop()


async def test_everybody_sees_what_is_theirs(rooms: Rooms) -> None:
    """From the same stretches: who joined later, and who has left."""
    room_id = await make_room(rooms, visibility="joined")
    for number in range(20):
        await rooms.send(room_id, ALICE, message(f"before {number}"))
    await join(rooms, room_id, BOB)
    for number in range(20):
        await rooms.send(room_id, ALICE, message(f"with Bob {number}"))
    assert len((await same(rooms, room_id, limit=100)).events) == 46
    page = await same(rooms, room_id, BOB, limit=100)
    # The room's first events are from before it was said who sees what.
    assert page.memberships == ["join"] * 21 + [None] * 5
    await rooms.send(room_id, BOB, member(BOB, "leave"))
    for number in range(5):
        await rooms.send(room_id, ALICE, message(f"after Bob {number}"))
    page = await same(rooms, room_id, BOB, limit=100)
    assert page.memberships == ["leave"] + ["join"] * 21 + [None] * 5


async def test_members_at_a_snapshot(rooms: Rooms, make_rooms: MakeRooms) -> None:
    """Those of the snapshot, whoever looks again, and redacted once they are."""
    room_id = await make_room(rooms)
    joined = await join(rooms, room_id, BOB)
    named = await rooms.send(room_id, BOB, member(BOB, displayname="Bobby Tables"))
    event = await rooms.event(room_id, joined.event_id, viewer=None)
    later = await rooms.event(room_id, named.event_id, viewer=None)
    await rooms.view(room_id, ALICE)

    async def found(at: StoredEvent) -> dict[str | None, str | None]:
        members = await rooms.members_at(at.ref, at.room_after, {ALICE, BOB, CAROL})
        return {each.state_key: each.content.get("displayname") for each in members}

    for _ in range(2):
        assert await found(event) == {ALICE: None, BOB: None}
        assert await found(later) == {ALICE: None, BOB: "Bobby Tables"}
    await make_rooms().send(room_id, BOB, NewEvent("m.room.redaction", {}, redacts=named.event_id))
    assert await found(later) == {ALICE: None, BOB: None}


async def test_who_looked_earlier_sees_nothing_later(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    sent = await rooms.send(room_id, ALICE, message("seen"))
    view = await rooms.view(room_id, ALICE)
    await rooms.send(room_id, ALICE, message("later"))
    await same(rooms, room_id)
    page = await rooms.timeline(room_id, viewer=view, limit=1)
    assert page.events[0].event_id == sent.event_id


async def test_a_new_generation_begins_anew(rooms: Rooms, ground: TestGround) -> None:
    """What was lost with the generation before is not remembered."""
    room_id = await make_room(rooms)
    [kept] = (await same(rooms, room_id, limit=1)).events
    assert (await same(rooms, room_id, limit=1)).events[0] is kept
    await ground.log.begin_generation("for this test")
    assert (await same(rooms, room_id, limit=1)).events[0] is not kept
