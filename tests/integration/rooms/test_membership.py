"""Memberships, restricted joins, hosts, and the rooms of a user at a cut."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from plexus.protocol.errors import AuthRejected, Forbidden, MatrixError
from plexus.rooms import NewEvent, Place, Rooms, View, Wanted

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    CAROL,
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


async def test_the_life_of_a_membership(rooms: Rooms) -> None:
    room_id = await make_room(rooms, join_rule="invite")
    seen = []
    for sender, membership in (
        (ALICE, "invite"),
        (BOB, "join"),
        (ALICE, "leave"),
        (ALICE, "ban"),
        (ALICE, "leave"),
        (ALICE, "invite"),
        (BOB, "leave"),
    ):
        await rooms.send(room_id, sender, member(BOB, membership))
        seen.append(await rooms.membership(room_id, BOB))
        info = await rooms.room(room_id)
        assert info is not None
        assert info.joined_members == 1 + (membership == "join")
        assert info.invited_members == (membership == "invite")
    assert seen == ["invite", "join", "leave", "ban", "leave", "invite", "leave"]


async def test_doing_it_again_changes_nothing(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    joined = await rooms.send(room_id, BOB, member(BOB, displayname="Bob"))
    again = await rooms.send(room_id, BOB, member(BOB, displayname="Bob"))
    assert (again.event_id, again.replayed) == (joined.event_id, True)
    left = await rooms.send(room_id, BOB, member(BOB, "leave"))
    assert (await rooms.send(room_id, BOB, member(BOB, "leave"))).event_id == left.event_id
    invited = await rooms.send(room_id, ALICE, member(CAROL, "invite"))
    assert (await rooms.send(room_id, ALICE, member(CAROL, "invite"))).event_id == invited.event_id


async def test_another_name_does_not_begin_a_new_membership(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    [before] = await rooms.rooms_of(BOB)
    named = await rooms.send(room_id, BOB, member(BOB, displayname="Bobby", avatar_url="mxc://x/y"))
    [after] = await rooms.rooms_of(BOB)
    assert (after.position, after.from_ordinal) == (before.position, before.from_ordinal)
    assert after.num > before.num
    members = {m.user_id: m for m in await rooms.joined_members(await rooms.view(room_id, BOB))}
    assert (members[BOB].displayname, members[BOB].avatar_url) == ("Bobby", "mxc://x/y")
    assert members[ALICE].displayname is None
    current = await rooms.state_event(room_id, "m.room.member", BOB)
    assert current is not None and current.event_id == named.event_id
    info = await rooms.room(room_id)
    assert info is not None and info.joined_members == 2


async def test_the_rooms_of_a_user_at_a_cut(rooms: Rooms, ground: TestGround) -> None:
    first, second, third = [await make_room(rooms) for _ in range(3)]
    dave = f"@dave:{SERVER}"
    await join(rooms, first, dave)
    await join(rooms, second, dave)
    cut = (await ground.log.heads()).rooms
    await rooms.send(second, dave, member(dave, "leave"))
    await join(rooms, third, dave)
    now = {room.room_id: room.membership for room in await rooms.rooms_of(dave, {"join", "leave"})}
    assert now == {first: "join", second: "leave", third: "join"}
    then = {room.room_id: room.membership for room in await rooms.rooms_of(dave, {"join", "leave"}, cut=cut)}
    assert then == {first: "join", second: "join"}
    assert [room.room_id for room in await rooms.rooms_of(dave, {"leave"})] == [second]
    assert await rooms.rooms_of(dave, {"leave"}, cut=cut) == []


class TestForgetting:
    async def test_only_what_was_left(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        await join(rooms, room_id, BOB)
        with pytest.raises(MatrixError) as refusal:
            await rooms.forget(room_id, BOB)
        assert (refusal.value.status, refusal.value.errcode) == (400, "M_UNKNOWN")
        await rooms.send(room_id, BOB, member(BOB, "leave"))
        await rooms.timeline(room_id, viewer=BOB)
        await rooms.forget(room_id, BOB)
        [left] = [room for room in await rooms.rooms_of(BOB, {"leave"}) if room.room_id == room_id]
        assert left.forgotten
        with pytest.raises(Forbidden):
            await rooms.timeline(room_id, viewer=BOB)
        with pytest.raises(Forbidden):
            await rooms.view(room_id, BOB)
        await join(rooms, room_id, BOB)
        assert (await rooms.timeline(room_id, viewer=BOB)).events

    async def test_a_stranger_has_nothing_to_forget(self, rooms: Rooms) -> None:
        with pytest.raises(Forbidden):
            await rooms.forget(await make_room(rooms), CAROL)


class TestRestricted:
    async def make(self, rooms: Rooms, version: str, **power: Any) -> tuple[str, str]:
        club = await make_room(rooms, version=version)
        events = first_events(ALICE, version, **power)
        events[3] = state(
            "m.room.join_rules",
            join_rule="restricted",
            allow=[
                {"type": "m.something.else"},
                {"type": "m.room_membership", "room_id": "!unknown:here.example.org"},
                {"type": "m.room_membership", "room_id": club},
            ],
        )
        written = await rooms.create(ALICE, version, events)
        return club, written.room_id

    @pytest.mark.parametrize("version", ["8", "9", "10", "11", "12"])
    async def test_members_of_the_other_room_may_join(self, rooms: Rooms, version: str) -> None:
        club, room_id = await self.make(rooms, version)
        with pytest.raises(Forbidden):
            await join(rooms, room_id, BOB)
        await join(rooms, club, BOB)
        await join(rooms, room_id, BOB)
        event = await rooms.state_event(room_id, "m.room.member", BOB)
        assert event is not None
        assert event.content["join_authorised_via_users_server"] == ALICE
        authorised = await rooms.state_event(room_id, "m.room.member", ALICE)
        assert authorised is not None and authorised.event_id in event.event.auth_events

    async def test_only_who_may_invite_lets_others_in(self, rooms: Rooms) -> None:
        club, room_id = await self.make(rooms, "11", invite=50)
        await join(rooms, club, BOB)
        await join(rooms, club, CAROL)
        await join(rooms, room_id, BOB)
        await rooms.send(room_id, ALICE, member(ALICE, "leave"))
        with pytest.raises(Forbidden):
            await join(rooms, room_id, CAROL)

    @pytest.mark.parametrize("named", [ALICE, CAROL, "@mallory:elsewhere.example.org", 5])
    async def test_nobody_names_the_authoriser_but_the_engine(self, rooms: Rooms, named: object) -> None:
        club, room_id = await self.make(rooms, "11")
        asking = member(BOB, join_authorised_via_users_server=named)
        with pytest.raises(Forbidden):
            await rooms.send(room_id, BOB, asking)
        assert await rooms.membership(room_id, BOB) is None
        await join(rooms, club, BOB)
        await rooms.send(room_id, BOB, asking)
        event = await rooms.state_event(room_id, "m.room.member", BOB)
        assert event is not None and event.content["join_authorised_via_users_server"] == ALICE

    async def test_a_name_that_is_carried_along(self, rooms: Rooms) -> None:
        """As clients do that copy what their membership said before; also in other memberships, and in those
        of a new room.
        """
        club, room_id = await self.make(rooms, "12")
        await join(rooms, club, BOB)
        await join(rooms, room_id, BOB)
        before = await rooms.state_event(room_id, "m.room.member", BOB)
        assert before is not None
        for content in (
            {**before.content, "displayname": "Bob"},
            {**before.content, "membership": "leave"},
        ):
            sent = await rooms.send(room_id, BOB, NewEvent("m.room.member", content, BOB))
            event = await rooms.event(room_id, sent.event_id, viewer=None)
            expected = {key: value for key, value in content.items() if not key.startswith("join_auth")}
            assert event.content == expected
        events = first_events(ALICE)
        events[1] = member(ALICE, join_authorised_via_users_server=BOB)
        written = await rooms.create(ALICE, "12", events)
        own = await rooms.state_event(written.room_id, "m.room.member", ALICE)
        assert own is not None and own.content == {"membership": "join"}

    async def test_the_invited_need_nobody(self, rooms: Rooms) -> None:
        _, room_id = await self.make(rooms, "12")
        await rooms.send(room_id, ALICE, member(BOB, "invite"))
        await join(rooms, room_id, BOB)
        event = await rooms.state_event(room_id, "m.room.member", BOB)
        assert event is not None and "join_authorised_via_users_server" not in event.content


async def test_knocking(rooms: Rooms) -> None:
    room_id = await make_room(rooms, join_rule="knock")
    await rooms.send(room_id, BOB, member(BOB, "knock", reason="please"))
    with pytest.raises(AuthRejected):
        await join(rooms, room_id, BOB)
    await rooms.send(room_id, ALICE, member(BOB, "invite"))
    await join(rooms, room_id, BOB)
    assert await rooms.membership(room_id, BOB) == "join"


async def test_hosts_come_and_go(rooms: Rooms, ground: TestGround, make_rooms: MakeRooms) -> None:
    """A server is a host from its first member's join to its last member's leave."""
    room_id = await make_room(rooms)
    ground.settings.server_name = "there.example.org"
    there = make_rooms()
    dora, emil = "@dora:there.example.org", "@emil:there.example.org"
    await join(there, room_id, dora)
    first = await rooms.room(room_id)
    await join(there, room_id, emil)
    await there.send(room_id, dora, member(dora, "leave"))
    assert set(await rooms.hosts(room_id)) == {SERVER, "there.example.org"}
    await there.send(room_id, emil, member(emil, "leave"))
    gone = await rooms.room(room_id)
    assert first is not None and gone is not None
    assert await rooms.hosts(room_id) == [SERVER]
    at = {n: "there.example.org" in await rooms.hosts(room_id, n) for n in range(1, gone.head_ordinal + 1)}
    assert at == {n: first.head_ordinal <= n < gone.head_ordinal for n in at}
    await join(there, room_id, dora)
    assert set(await rooms.hosts(room_id)) == {SERVER, "there.example.org"}


async def test_who_shares_a_room(rooms: Rooms) -> None:
    anna, ben, cleo, dan = (f"@{name}-shares:{SERVER}" for name in ("anna", "ben", "cleo", "dan"))
    one, two = await make_room(rooms, anna), await make_room(rooms, cleo)
    await join(rooms, one, ben)
    await join(rooms, two, dan)
    await join(rooms, two, ben)
    assert await rooms.neighbours(anna) == {ben}
    assert await rooms.neighbours(ben) == {anna, cleo, dan}
    assert await rooms.share_room(ben, [anna, cleo, dan, BOB]) == {anna, cleo, dan}
    await rooms.send(two, ben, member(ben, "leave"))
    assert await rooms.neighbours(ben) == {anna}
    assert await rooms.share_room(anna, [cleo, dan]) == set()


async def test_heroes(rooms: Rooms) -> None:
    room_id, empty = await make_room(rooms), await make_room(rooms, creator=BOB)
    people = [f"@hero{n}:{SERVER}" for n in range(8)]
    for person in people:
        await join(rooms, room_id, person)
    await join(rooms, empty, CAROL)
    await rooms.send(empty, CAROL, member(CAROL, "leave"))
    heads = [info for info in (await rooms.room(room_id), await rooms.room(empty)) if info is not None]
    many, alone = await rooms.summaries([(info.ref, info.head_ordinal, info.snapshot) for info in heads])
    assert (many.joined, many.invited) == (9, 0)
    assert many.heroes(people[0], 5) == [ALICE, *people[1:5]]
    assert many.heroes(people[7], 5) == [ALICE, *people[:4]]
    assert alone.heroes(BOB, 5) == [CAROL] and alone.heroes(CAROL, 5) == [BOB]


async def test_a_summary_is_of_the_event_it_is_asked_for(rooms: Rooms) -> None:
    """What has happened since is not in it: who came, who went, who has another membership now."""
    room_id = await make_room(rooms)
    people = [f"@then{n}:{SERVER}" for n in range(7)]
    seen = []
    for person, membership in [
        *((person, "join") for person in people[:3]),
        (people[3], "invite"),
        (people[0], "leave"),
        (people[3], "join"),
        (people[1], "ban"),
        (people[0], "join"),
        (people[2], "leave"),
        (people[4], "invite"),
        (people[4], "leave"),
    ]:
        own = membership == "join" or (membership == "leave" and person != people[4])
        await rooms.send(room_id, person if own else ALICE, member(person, membership))
        await rooms.send(room_id, ALICE, message("state goes on as it is"))
        info = await rooms.room(room_id)
        assert info is not None
        place = (info.ref, info.head_ordinal, info.snapshot)
        seen.append((place, (await rooms.summaries([place], heroes=3))[0]))
    counts = [(summary.joined, summary.invited) for _, summary in seen]
    assert counts == [
        *[(2, 0), (3, 0), (4, 0)],
        *[(4, 1), (3, 1), (4, 0), (3, 0), (4, 0), (3, 0), (3, 1), (3, 0)],
    ]
    again = await rooms.summaries([place for place, _ in seen], heroes=3)
    assert again == [summary for _, summary in seen]
    assert [summary.heroes(ALICE, 3) for summary in again[-3:]] == [
        [people[3], people[0]],
        [people[3], people[0], people[4]],
        [people[3], people[0]],
    ]


async def test_members_now_and_then(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    then = await rooms.room(room_id)
    await rooms.send(room_id, BOB, member(BOB, "leave"))
    await rooms.send(room_id, ALICE, member(CAROL, "invite"))
    assert then is not None

    view = await rooms.view(room_id, ALICE)

    async def found(view: View) -> set[tuple[str | None, str]]:
        events = await rooms.state_seen(view, Wanted(types=frozenset({"m.room.member"})))
        return {(event.state_key, event.content["membership"]) for event in events}

    assert await found(view) == {(ALICE, "join"), (BOB, "leave"), (CAROL, "invite")}
    earlier = replace(view, snapshot=then.snapshot, is_current=False)
    assert await found(earlier) == {(ALICE, "join"), (BOB, "join")}
    assert set(await rooms.member_ids(then.ref)) == {ALICE}
    assert set(await rooms.member_ids(then.ref, {"leave", "invite"})) == {BOB, CAROL}


async def test_a_storm_of_joins(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    people = [f"@storm{n}:{SERVER}" for n in range(400)]
    await asyncio.gather(*(join(rooms, room_id, person) for person in people))
    info = await rooms.room(room_id)
    assert info is not None and info.joined_members == 401
    assert set(await rooms.member_ids(info.ref)) == {ALICE, *people}
    assert len(await rooms.joined_members(await rooms.view(room_id, ALICE))) == 401
    # Lazy-loading reads three of them.
    lazy = await rooms.state_at(info.ref, info.snapshot, Wanted(members=frozenset(people[:3])))
    assert {key for kind, key in lazy if kind == "m.room.member"} == set(people[:3])
    assert ("m.room.create", "") in lazy and ("m.room.power_levels", "") in lazy


async def test_the_place_of_a_leave(rooms: Rooms) -> None:
    """Who has left sees the state as it was then, and nothing that came after."""
    room_id = await make_room(rooms)
    await rooms.send(room_id, ALICE, state("m.room.topic", topic="old"))
    await join(rooms, room_id, BOB)
    await rooms.send(room_id, ALICE, message("for bob"))
    await rooms.send(room_id, BOB, member(BOB, "leave"))
    await rooms.send(room_id, ALICE, state("m.room.topic", topic="new"))
    hidden = await rooms.send(room_id, ALICE, message("not for bob"))
    view = await rooms.view(room_id, BOB)
    assert (view.is_current, view.viewer.membership) == (False, "leave")
    topic = (await rooms.state_at(view.ref, view.snapshot))["m.room.topic", ""]
    assert topic.content == {"topic": "old"}
    page = await rooms.timeline(room_id, viewer=BOB, limit=3)
    assert [event.type for event in page.events] == ["m.room.member", "m.room.message", "m.room.member"]
    assert page.start == Place(page.events[0].place.ordinal)
    with pytest.raises(MatrixError) as refusal:
        await rooms.event(room_id, hidden.event_id, viewer=BOB)
    assert refusal.value.status == 404
    current = await rooms.view(room_id, ALICE)
    assert current.is_current
    with pytest.raises(Forbidden):
        await rooms.view(room_id, CAROL)


async def test_a_member_event_needs_a_user(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    with pytest.raises(AuthRejected):
        await rooms.send(room_id, ALICE, NewEvent("m.room.member", {"membership": "join"}))
