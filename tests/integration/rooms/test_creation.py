"""Making rooms, their aliases, and the public directory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from plexus.platform.lanes import RoomFact
from plexus.platform.postgres import StoreUnavailable
from plexus.protocol.errors import (
    AuthRejected,
    BadJson,
    InvalidParam,
    NotFound,
    RoomInUse,
    UnsupportedRoomVersion,
)
from plexus.rooms import NewEvent, Rooms, lane_writer
from plexus.rooms.directory import claim_alias
from plexus.rooms.writes import Outcome

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    SERVER,
    MakeRooms,
    TestGround,
    first_events,
    join,
    make_room,
    member,
    message,
    state,
)

VERSIONS = ("1", "3", "10", "11", "12")


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_in_one_write(rooms: Rooms, ground: TestGround, version: str) -> None:
    events = [
        *first_events(ALICE, version, visibility="shared"),
        state("m.room.name", name="A room"),
        member(BOB, "invite", is_direct=True),
        NewEvent("m.room.message", {"body": "welcome"}),
    ]
    written = await rooms.create(ALICE, version, events)
    await asyncio.sleep(0)
    [fact] = ground.groups[-1].facts
    assert (fact.kind, fact.lo, fact.hi, fact.position) == (RoomFact.EVENTS, 1, 8, written.position)
    found = (await rooms.timeline(written.room_id, backwards=False, limit=100)).events
    assert [(e.type, e.state_key) for e in found] == [(e.type, e.state_key) for e in events]
    assert found[-1].event_id == written.event_id
    create = found[0]
    assert create.content["room_version"] == version
    assert ("creator" in create.content) == (int(version) <= 10)
    assert (written.room_id == "!" + create.event_id[1:]) == (version == "12")
    info = await rooms.room(written.room_id)
    assert info is not None
    assert (info.room_version, info.creator, info.created) == (version, ALICE, create.origin_server_ts)
    assert (info.joined_members, info.invited_members, info.version, info.published) == (1, 1, 1, False)
    assert {event.key for event in await rooms.current_state(written.room_id)} == {
        (event.type, event.state_key) for event in events if event.state_key is not None
    }
    assert await rooms.membership(written.room_id, BOB) == "invite"
    assert await rooms.hosts(written.room_id) == [SERVER]
    [invite] = await rooms.rooms_of(BOB, {"invite"}) if version == VERSIONS[0] else [None]
    assert invite is None or (invite.sender, invite.room_id) == (ALICE, written.room_id)


@pytest.mark.parametrize("version", VERSIONS)
async def test_nothing_or_all(rooms: Rooms, ground: TestGround, version: str) -> None:
    before = (await ground.log.heads()).rooms
    events = first_events(ALICE, version)
    for wrong, error in (
        ([*events, NewEvent("m.x", {"a": float("nan") if int(version) < 6 else 1.5}, "")], BadJson),
        ([*events, member(ALICE, "ban")], AuthRejected),
        ([events[0], *events[2:]], AuthRejected),
        (events[1:], InvalidParam),
        ([*events, NewEvent("m.room.create", {}, "")], AuthRejected),
    ):
        with pytest.raises(error):
            await rooms.create(ALICE, version, wrong)
    assert (await ground.log.heads()).rooms == before


async def test_a_version_nobody_knows(rooms: Rooms) -> None:
    with pytest.raises(UnsupportedRoomVersion):
        await rooms.create(ALICE, "org.example.99", first_events(ALICE))


async def test_twice_in_the_same_millisecond(make_rooms: MakeRooms) -> None:
    """In version 12 the same create event would be the same room."""
    engines = [make_rooms() for _ in range(3)]
    made = await asyncio.gather(*(make_room(engine) for engine in engines * 3))
    assert len(set(made)) == 9
    for room_id in made:
        await engines[0].send(room_id, ALICE, message("x"))


@pytest.mark.parametrize("version", VERSIONS)
async def test_events_that_speak_of_the_room(rooms: Rooms, version: str) -> None:
    def events(room_id: str) -> list[NewEvent]:
        return [*first_events(ALICE, version), state("m.x", room=room_id)]

    written = await rooms.create(ALICE, version, events)
    found = await rooms.state_event(written.room_id, "m.x", "")
    assert found is not None and found.content == {"room": written.room_id}


@pytest.mark.parametrize("version", VERSIONS)
async def test_many_first_events(rooms: Rooms, version: str) -> None:
    """More than a checkpoint takes, in the first write."""
    events = [*first_events(ALICE, version), *(state("m.x", str(n % 280), n=n) for n in range(400))]
    written = await rooms.create(ALICE, version, events)
    await rooms.send(written.room_id, ALICE, state("m.x", "0", n=-1))
    current = {
        e.state_key: e.content["n"] for e in await rooms.current_state(written.room_id) if e.type == "m.x"
    }
    expected = {str(n % 280): n for n in range(400)} | {"0": -1}
    assert current == expected


class TestAliases:
    async def test_a_room_made_with_an_alias(self, rooms: Rooms) -> None:
        alias = f"#taken:{SERVER}"
        written = await rooms.create(ALICE, "12", first_events(ALICE), alias=alias)
        found = await rooms.resolve_alias(alias)
        assert found is not None and (found.room_id, found.creator) == (written.room_id, ALICE)
        with pytest.raises(RoomInUse):
            await rooms.create(BOB, "12", first_events(BOB), alias=alias)
        assert await rooms.rooms_of(BOB) == []

    async def test_a_room_that_could_not_be_made_has_none(self, rooms: Rooms) -> None:
        with pytest.raises(BadJson):
            await rooms.create(
                ALICE, "12", [*first_events(ALICE), state("m.x", a=0.5)], alias=f"#free:{SERVER}"
            )
        assert await rooms.resolve_alias(f"#free:{SERVER}") is None

    async def test_what_a_kill_leaves_behind(
        self, rooms: Rooms, ground: TestGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Claimed for a room that was never written: it leads nowhere, and a minute later it is free."""
        alias = f"#orphan:{SERVER}"
        other = await make_room(rooms, creator=BOB)

        async def die(*_: object) -> list[Outcome]:
            raise StoreUnavailable("connection lost")

        with monkeypatch.context() as patch:
            patch.setattr(lane_writer, "call_write", die)
            with pytest.raises(StoreUnavailable):
                await rooms.create(ALICE, "12", first_events(ALICE), alias=alias)
        assert await rooms.resolve_alias(alias) is None
        ground.clock.advance(50)
        with pytest.raises(RoomInUse):
            await rooms.create(BOB, "12", first_events(BOB), alias=alias)
        assert not await rooms.create_alias(alias, other, BOB)
        ground.clock.advance(11)
        written = await rooms.create(BOB, "12", first_events(BOB), alias=alias)
        found = await rooms.resolve_alias(alias)
        assert found is not None and (found.room_id, found.creator) == (written.room_id, BOB)
        # That one has a room: it is never free.
        ground.clock.advance(3_600)
        assert not await rooms.create_alias(alias, other, ALICE)

    async def test_an_orphan_is_claimed_for_a_room_that_is_there(
        self, rooms: Rooms, ground: TestGround
    ) -> None:
        alias = f"#adopted:{SERVER}"
        assert await claim_alias(ground, alias, f"!never:{SERVER}", ALICE)
        room_id = await make_room(rooms)
        assert not await rooms.create_alias(alias, room_id, BOB)
        ground.clock.advance(61)
        claims = await asyncio.gather(*(rooms.create_alias(alias, room_id, BOB) for _ in range(4)))
        assert sorted(claims) == [False, False, False, True]
        assert [found.alias for found in await rooms.aliases_of(room_id)] == [alias]

    async def test_it_stays_while_nobody_knows(
        self, make_rooms: MakeRooms, ground: TestGround, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The room was written, but the answer was lost and cannot be looked up."""
        alias = f"#lost:{SERVER}"
        write = lane_writer.call_write

        async def lose(*args: Any) -> list[Outcome]:
            await write(*args)
            raise StoreUnavailable("connection lost")

        async def find_nothing(*_: object) -> list[None]:
            return [None]

        rooms = make_rooms()
        with monkeypatch.context() as patch:
            patch.setattr(lane_writer, "call_write", lose)
            patch.setattr(lane_writer, "look_up", find_nothing)
            with pytest.raises(StoreUnavailable):
                await rooms.create(ALICE, "12", first_events(ALICE), alias=alias)
        found = await rooms.resolve_alias(alias)
        assert found is not None and await rooms.membership(found.room_id, ALICE) == "join"
        ground.clock.advance(61)
        with pytest.raises(RoomInUse):
            await rooms.create(BOB, "12", first_events(BOB), alias=alias)

    async def test_it_stays_with_a_creator_who_goes_away(
        self, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alias = f"#cut:{SERVER}"
        write = lane_writer.call_write
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(*args: Any) -> list[Outcome]:
            begun.set()
            await go_on.wait()
            return await write(*args)

        monkeypatch.setattr(lane_writer, "call_write", slow)
        creating = asyncio.create_task(rooms.create(ALICE, "12", first_events(ALICE), alias=alias))
        await begun.wait()
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        go_on.set()
        await rooms.stop()
        found = await rooms.resolve_alias(alias)
        assert found is not None and await rooms.membership(found.room_id, ALICE) == "join"

    async def test_it_is_free_at_once_after_a_refusal(
        self, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PostgreSQL says why: it has rolled back."""
        alias = f"#refused:{SERVER}"

        async def refuse(*_: object) -> list[Outcome]:
            raise StoreUnavailable("cancelled", sqlstate="57014")

        with monkeypatch.context() as patch:
            patch.setattr(lane_writer, "call_write", refuse)
            with pytest.raises(StoreUnavailable):
                await rooms.create(ALICE, "12", first_events(ALICE), alias=alias)
        await rooms.create(BOB, "12", first_events(BOB), alias=alias)

    async def test_their_life(self, rooms: Rooms) -> None:
        room_id, other = await make_room(rooms), await make_room(rooms)
        one, two = f"#one:{SERVER}", f"#two:{SERVER}"
        assert await rooms.create_alias(two, room_id, ALICE)
        assert await rooms.create_alias(one, room_id, BOB)
        assert not await rooms.create_alias(one, other, ALICE)
        assert [(a.alias, a.creator) for a in await rooms.aliases_of(room_id)] == [(one, BOB), (two, ALICE)]
        assert await rooms.delete_alias(one)
        assert not await rooms.delete_alias(one)
        assert await rooms.resolve_alias(one) is None
        assert await rooms.create_alias(one, other, ALICE)
        for nonsense in ("", "#nul\0:x", "\ud800", "one"):
            assert await rooms.resolve_alias(nonsense) is None
        with pytest.raises(NotFound):
            await rooms.create_alias(f"#three:{SERVER}", "!nothing:here.example.org", ALICE)


async def test_the_public_directory(rooms: Rooms) -> None:
    shown = []
    for n in range(5):
        written = await rooms.create(
            ALICE,
            "11",
            [
                *first_events(ALICE, "11", visibility="world_readable" if n == 4 else "shared"),
                state("m.room.name", name=f"Room number {n}"),
                state("m.room.topic", topic=f"All about ÄPFEL {n}"),
                state("m.room.guest_access", guest_access="can_join"),
            ],
            published=n != 0,
        )
        for member_number in range(n):
            await join(rooms, written.room_id, f"@public{member_number}:{SERVER}")
        shown.append(written.room_id)
    await rooms.publish(shown[1], False)
    first, following, previous, total = await rooms.published_rooms(limit=2)
    assert [room.room_id for room in first] == [shown[4], shown[3]]
    assert (first[0].name, first[0].joined_members, first[0].join_rule) == ("Room number 4", 5, "public")
    assert [room.world_readable for room in first] == [True, False]
    assert first[0].guest_can_join
    assert (previous, total) == (None, 3)
    rest, end, back, _ = await rooms.published_rooms(limit=2, since=following)
    assert [room.room_id for room in rest] == [shown[2]]
    assert (end, back) == (None, "d0")
    found, _, _, count = await rooms.published_rooms(limit=10, search="äpfel 3")
    assert ([room.room_id for room in found], count) == ([shown[3]], 1)
    with pytest.raises(InvalidParam):
        await rooms.published_rooms(limit=2, since="nonsense")
    # An update of the row must not look like a write of the room to somebody who knows its version.
    await rooms.send(shown[2], ALICE, message("still here"))


async def test_a_room_of_many_state_events_in_one_write(rooms: Rooms) -> None:
    # More than two checkpoints: the second rewrites pages of the first, which nobody has written yet.
    many = [NewEvent("org.example", {"n": n}, state_key=str(n)) for n in range(700)]
    written = await rooms.create(ALICE, "11", [*first_events(ALICE, "11"), *many])
    again = NewEvent("org.example", {"n": "other"}, state_key="3")
    await rooms.send(written.room_id, ALICE, again)
    found = {event.state_key: event.content for event in await rooms.current_state(written.room_id)}
    assert {key: found[key] for key in map(str, range(700))} == {
        **{str(n): {"n": n} for n in range(700)},
        "3": {"n": "other"},
    }
