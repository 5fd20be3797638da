"""Who is in which room, as facts and database tell it."""

from __future__ import annotations

import asyncio

from plexus.rooms import RoomRef, UserRoom
from plexus.sync.events import SyncEvent
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.polls import Poll
from plexus.sync.replica.views import UNKNOWN, DeviceListChange, Interest, UserView

from tests.unit.sync.events import REF, member

ALICE, BOB = "@alice:example.org", "@bob:example.org"
START = Cut(1, (10,), (5,))


def event(num: int, user_id: str, membership: str, ref: RoomRef = REF) -> SyncEvent:
    return SyncEvent(member(num, user_id, membership, ref=ref))


def row(membership: str, position: int, ordinal: int = 1) -> UserRoom:
    return UserRoom(REF, membership, ordinal, position, ordinal, ALICE, forgotten=False)


def loaded(interest: Interest, *rows: UserRoom, user: str = ALICE) -> UserView:
    view = interest.view(user, 0)
    interest.load(view, rows, START)
    return view


def test_a_room_leads_to_the_views_of_its_members() -> None:
    interest = Interest(10)
    alice = loaded(interest, row("join", 4))
    loaded(interest, user=BOB)
    assert interest.rooms == {REF.room_id: {alice}}
    interest.apply(event(8, BOB, "join"), 12)
    assert interest.rooms[REF.room_id] == {alice, interest.views[BOB]}
    interest.apply(event(9, ALICE, "leave"), 13)
    assert interest.rooms[REF.room_id] == {interest.views[BOB]}
    interest.apply(event(10, BOB, "ban"), 14)
    assert interest.rooms == {}


def test_members_who_are_not_here_cost_nothing() -> None:
    interest = Interest(10)
    assert interest.apply(event(1, BOB, "join"), 11) is None
    assert not interest.views and not interest.rooms


def test_a_new_display_name_does_not_start_a_membership_anew() -> None:
    interest = Interest(10)
    alice = loaded(interest, row("join", 4))
    interest.apply(event(8, ALICE, "join"), 12)
    assert alice.joined[REF.room_id].position == 4


def test_who_leaves_is_known_with_the_join_that_ended() -> None:
    interest = Interest(10)
    alice = loaded(interest, row("join", 4))
    interest.apply(event(8, ALICE, "leave"), 12)
    left = alice.others[REF.room_id]
    assert (left.membership, left.position, left.ordinal, left.joined_from) == ("leave", 12, 8, 4)
    interest.apply(event(9, ALICE, "ban"), 13)
    assert alice.others[REF.room_id].joined_from is None


def test_what_had_ended_before_the_view_was_loaded_is_unknown() -> None:
    interest = Interest(10)
    alice = loaded(interest, row("leave", 4))
    assert alice.others[REF.room_id].joined_from == UNKNOWN


def test_a_fact_seen_while_loading_wins_over_older_rows() -> None:
    interest = Interest(10)
    view = interest.view(ALICE, 0)
    interest.apply(event(8, ALICE, "leave"), 12)
    interest.load(view, [row("join", 4)], START)
    assert view.membership(REF.room_id) == view.others[REF.room_id]
    assert view.others[REF.room_id].joined_from == UNKNOWN
    assert not interest.rooms


def test_a_row_newer_than_the_facts_is_not_undone_by_them() -> None:
    interest = Interest(10)
    view = loaded(interest, row("leave", 14))
    interest.apply(event(7, ALICE, "join"), 12)
    assert view.others[REF.room_id].position == 14
    interest.apply(event(8, ALICE, "leave"), 14)
    assert list(view.others_since(START)) == [view.others[REF.room_id]]


def test_only_what_changed_is_looked_at_by_a_token_that_is_new_enough() -> None:
    interest = Interest(10)
    other = RoomRef("!other:example.org", 0, 2, "10")
    view = loaded(interest, row("invite", 4))
    interest.apply(event(8, ALICE, "invite", other), 12)
    assert [m.ref for m in view.others_since(START)] == [other]
    assert {m.ref for m in view.others_since(Cut(1, (9,), (5,)))} == {REF, other}


def test_views_beyond_the_bound_go_the_least_used_first() -> None:
    interest = Interest(2)
    first = loaded(interest, row("join", 4), user="@1:x")
    loaded(interest, user="@2:x")
    interest.view("@1:x", 0)
    loaded(interest, user="@3:x")
    assert list(interest.views) == ["@1:x", "@3:x"]
    assert interest.rooms[REF.room_id] == {first}
    interest.view("@3:x", 0)
    loaded(interest, user="@4:x")
    assert list(interest.views) == ["@3:x", "@4:x"]
    assert not interest.rooms


def test_a_change_of_devices_is_told_to_neighbours_and_oneself() -> None:
    interest = Interest(10)
    alice, bob = loaded(interest, row("join", 4)), loaded(interest, user=BOB)
    loaded(interest, user="@carol:example.org")
    change = DeviceListChange(0, 6, BOB)
    assert interest.tell_device_list(change, [REF.room_id, "!other:x"]) == {alice, bob}
    assert alice.device_lists == [change]


def test_views_take_bounded_memory_and_the_one_used_least_recently_goes() -> None:
    refs = [REF._replace(room=room, room_id=f"!{room}:example.org") for room in range(200)]
    rows = [UserRoom(ref, "join", 1, 4, 1, ALICE, forgotten=False) for ref in refs]
    interest = Interest(1_000, limit_bytes=500_000)
    loaded(interest, *rows, user="@polls:example.org").polls.append(
        Poll("D", asyncio.new_event_loop().create_future())
    )
    for number in range(20):
        loaded(interest, *rows, user=f"@{number}:example.org")
        interest.view(f"@{number}:example.org", 0)
        assert interest.bytes <= 500_000
    assert "@polls:example.org" in interest.views
    assert "@19:example.org" in interest.views
    assert "@0:example.org" not in interest.views
    assert 3 <= len(interest.views) < 20
    assert interest.bytes == sum(view.weighed for view in interest.views.values())
    assert interest.rooms[refs[0].room_id] == set(interest.views.values())


def test_making_room_looks_at_a_few_views_though_all_of_them_hold_polls() -> None:
    loop = asyncio.new_event_loop()
    interest = Interest(100)
    for number in range(1_000):
        loaded(interest, user=f"@{number}:example.org").polls.append(Poll("D", loop.create_future()))
    assert len(interest.views) == 1_000
    for number in range(900):
        interest.views[f"@{number}:example.org"].polls.clear()
    # Each who comes finds some who went.
    for number in range(100):
        loaded(interest, user=f"@new{number}:example.org")
    assert len(interest.views) <= 201
    assert all(f"@{number}:example.org" in interest.views for number in range(900, 1_000))
