"""Timelines, states and heads: of one room and of many, in the same number of queries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from plexus.platform.postgres import ReadSession
from plexus.protocol.errors import Forbidden, NotFound
from plexus.rooms import EVERYTHING, Place, RoomRef, Rooms, TimelineRange, Wanted
from plexus.sync.fragments.members import MemberEvents

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


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements read so far."""
    asked: list[str] = []
    for name in ("fetch", "one"):
        original = getattr(ReadSession, name)

        def counting(
            self: ReadSession, sql: str, params: object = None, *, _original: object = original
        ) -> object:
            asked.append(sql)
            return _original(self, sql, params)  # type: ignore[operator]

        monkeypatch.setattr(ReadSession, name, counting)
    return asked


async def ref_of(rooms: Rooms, room_id: str) -> RoomRef:
    ref = await rooms.ref(room_id)
    assert ref is not None
    return ref


@contextmanager
def asking(queries: list[str], most: int) -> Iterator[None]:
    queries.clear()
    yield
    assert len(queries) <= most, queries


class TestPages:
    async def test_walking_through(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        for n in range(23):
            await rooms.send(room_id, ALICE, message(str(n)))
        whole = (await rooms.timeline(room_id, backwards=False, limit=100)).events
        assert [event.ordinal for event in whole] == list(range(1, 28))
        for backwards in (True, False):
            seen, at, pages = [], None, 0
            while True:
                page = await rooms.timeline(room_id, start=at, backwards=backwards, limit=5, viewer=ALICE)
                seen += [event.event_id for event in page.events]
                pages += 1
                if page.end is None:
                    break
                at = page.end
            expected = [event.event_id for event in whole]
            assert seen == (expected[::-1] if backwards else expected)
            assert pages == 6

    async def test_between_two_places(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        for n in range(10):
            await rooms.send(room_id, ALICE, message(str(n)))
        page = await rooms.timeline(room_id, start=Place(10), end=Place(6), limit=100)
        assert [event.ordinal for event in page.events] == [10, 9, 8, 7]
        assert page.end is None
        page = await rooms.timeline(room_id, start=Place(6), end=Place(10), backwards=False, limit=100)
        assert [event.ordinal for event in page.events] == [7, 8, 9, 10]

    async def test_a_filter_reads_on(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms)
        wanted = await rooms.send(room_id, ALICE, state("m.room.topic", topic="here"))
        for n in range(120):
            await rooms.send(room_id, ALICE, message(str(n)))
        page = await rooms.timeline(
            room_id, limit=1, viewer=ALICE, event_filter=lambda event: event.type == "m.room.topic"
        )
        assert [event.event_id for event in page.events] == [wanted.event_id]
        found = await rooms.timeline(
            room_id, limit=5, viewer=ALICE, event_filter=lambda event: event.content.get("body") == "nowhere"
        )
        assert list(found.events) == []

    async def test_history_fetched_later_stands_before_its_gap(
        self, rooms: Rooms, ground: TestGround
    ) -> None:
        """Rows as a backfill will write them."""
        room_id = await make_room(rooms)
        for n in range(3):
            await rooms.send(room_id, ALICE, message(str(n)))
        ref = await ref_of(rooms, room_id)
        for sub in (-1, -2, -3):
            await ground.db.call(
                "INSERT INTO rooms.event (lane, room, num, ordinal, sub, event_id, type, sender, depth,"
                " origin_server_ts, snap_before, snap_after, prev, auth, raw)"
                " SELECT lane, room, %s, 6, %s::integer, %s, type, sender, depth, origin_server_ts,"
                " snap_before, snap_after, prev, auth, raw FROM rooms.event"
                " WHERE lane = %s::smallint AND room = %s::integer AND num = 5 RETURNING true",
                (1000 - sub, sub, f"$history{sub}{room_id[-5:]}", ref.lane, ref.room),
            )
        backwards = await rooms.timeline(room_id, limit=100)
        places = [tuple(event.place) for event in backwards.events]
        assert places == [(7, 0), (6, 0), (6, -1), (6, -2), (6, -3), (5, 0), (4, 0), (3, 0), (2, 0), (1, 0)]
        forwards = await rooms.timeline(room_id, limit=100, backwards=False)
        assert [tuple(event.place) for event in forwards.events] == places[::-1]
        seen, at = [], None
        while True:
            page = await rooms.timeline(room_id, start=at, limit=1)
            seen += [tuple(event.place) for event in page.events]
            if page.end is None:
                break
            at = page.end
        assert seen == places
        # What sync shows is live.
        [live] = await rooms.timelines([TimelineRange(ref, 0, 7, 100)])
        assert [event.sub for event in live.events] == [0] * 7
        await around_is_as_the_timeline(rooms, [ref], ALICE)

    async def test_no_room(self, rooms: Rooms) -> None:
        with pytest.raises(NotFound):
            await rooms.timeline("!nothing:here.example.org")
        with pytest.raises(NotFound):
            await rooms.event("!nothing:here.example.org", "$x", viewer=None)
        with pytest.raises(NotFound):
            await rooms.event(None, "$nul\0", viewer=None)


class TestVisibility:
    async def story(self, rooms: Rooms, visibility: str) -> tuple[str, dict[str, str]]:
        """Bob is invited, joins, leaves; Alice says something in between. Body to event id."""
        room_id = await make_room(rooms, join_rule="invite", visibility=visibility)
        said = {}

        async def say(body: str) -> None:
            said[body] = (await rooms.send(room_id, ALICE, message(body))).event_id

        await say("before")
        await rooms.send(room_id, ALICE, member(BOB, "invite"))
        await say("invited")
        await join(rooms, room_id, BOB)
        await say("joined")
        await rooms.send(room_id, BOB, member(BOB, "leave"))
        await say("gone")
        return room_id, said

    async def visible(self, rooms: Rooms, room_id: str, said: dict[str, str], user_id: str) -> set[str]:
        """What the user can see, asked in three ways that must agree."""
        seen = set()
        for body, event_id in said.items():
            try:
                await rooms.event(room_id, event_id, viewer=user_id)
                seen.add(body)
            except NotFound:
                pass
        try:
            page = await rooms.timeline(room_id, viewer=user_id, limit=100)
            paged = {e.content["body"] for e in page.events if e.type == "m.room.message"}
        except Forbidden:
            paged = set()
        assert paged == seen
        ref = await ref_of(rooms, room_id)
        nums = [(await rooms.event(room_id, event_id, viewer=None)).place for event_id in said.values()]
        judged = await rooms.can_see(ref, user_id, nums)
        assert {body for body, one in zip(said, judged, strict=True) if one.visible} == seen
        return seen

    @pytest.mark.parametrize(
        ("visibility", "left", "back"),
        [
            ("joined", {"joined"}, {"joined", "again"}),
            ("invited", {"invited", "joined"}, {"invited", "joined", "again"}),
            ("shared", {"before", "invited", "joined"}, {"before", "invited", "joined", "gone", "again"}),
            (
                "world_readable",
                {"before", "invited", "joined", "gone"},
                {"before", "invited", "joined", "gone", "again"},
            ),
        ],
    )
    async def test_each_history_visibility(
        self, rooms: Rooms, visibility: str, left: set[str], back: set[str]
    ) -> None:
        room_id, said = await self.story(rooms, visibility)
        assert await self.visible(rooms, room_id, said, BOB) == left
        stranger = set(said) if visibility == "world_readable" else set()
        assert await self.visible(rooms, room_id, said, CAROL) == stranger
        await rooms.send(room_id, ALICE, member(BOB, "invite"))
        await join(rooms, room_id, BOB)
        said["again"] = (await rooms.send(room_id, ALICE, message("again"))).event_id
        assert await self.visible(rooms, room_id, said, BOB) == back
        assert await self.visible(rooms, room_id, said, ALICE) == set(said)

    async def test_it_is_the_visibility_at_the_event_that_counts(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms, visibility="world_readable")
        said = {"open": (await rooms.send(room_id, ALICE, message("open"))).event_id}
        closing = await rooms.send(
            room_id, ALICE, state("m.room.history_visibility", history_visibility="joined")
        )
        said["closed"] = (await rooms.send(room_id, ALICE, message("closed"))).event_id
        assert await self.visible(rooms, room_id, said, CAROL) == {"open"}
        await rooms.event(room_id, closing.event_id, viewer=CAROL)
        with pytest.raises(Forbidden):
            await rooms.view(room_id, CAROL)
        await join(rooms, room_id, CAROL)
        assert await self.visible(rooms, room_id, said, CAROL) == {"open"}

    async def test_ones_own_memberships(self, rooms: Rooms) -> None:
        room_id = await make_room(rooms, join_rule="invite", visibility="joined")
        own = [await rooms.send(room_id, ALICE, member(BOB, "invite"))]
        own.append(await join(rooms, room_id, BOB))
        own.append(await rooms.send(room_id, ALICE, member(BOB, "leave", reason="out")))
        own.append(await rooms.send(room_id, ALICE, member(BOB, "ban")))
        # Those before or after which Bob was in the room: he has been told of the others by /sync.
        seen = own[1:3]
        for written in own:
            if written in seen:
                await rooms.event(room_id, written.event_id, viewer=BOB)
            else:
                with pytest.raises(NotFound):
                    await rooms.event(room_id, written.event_id, viewer=BOB)
        page = await rooms.timeline(room_id, viewer=BOB, limit=100)
        own_ids = {written.event_id for written in own}
        found = [event.event_id for event in page.events if event.event_id in own_ids]
        assert found == [written.event_id for written in seen][::-1]
        assert list(page.memberships)[:2] == ["leave", "join"]

    async def test_around_many_events_is_what_the_viewer_may_see(self, rooms: Rooms) -> None:
        refs = []
        for visibility in ("joined", "shared"):
            room_id = await make_room(rooms, visibility=visibility)
            await rooms.send(room_id, ALICE, message("before"))
            await join(rooms, room_id, BOB)
            await rooms.send(room_id, BOB, message("here"))
            await rooms.send(room_id, BOB, member(BOB, "leave"))
            for n in range(3):
                await rooms.send(room_id, ALICE, message(f"without {n}"))
            await join(rooms, room_id, BOB)
            await rooms.send(room_id, BOB, message("again"))
            refs.append(await ref_of(rooms, room_id))
        await around_is_as_the_timeline(rooms, refs, BOB)


async def around_is_as_the_timeline(rooms: Rooms, refs: list[RoomRef], user_id: str) -> None:
    """For each live event that the user may see: the pages of the timeline that begin there."""
    viewers = await rooms.viewers(refs, user_id)
    live = await rooms.timelines([TimelineRange(ref, 0, 1000, 100) for ref in refs])
    asked = [(event, viewers[event.ref]) for page in live for event in page.events]
    asked = [(event, viewer) for event, viewer in asked if viewer.sees(event)]
    assert {event.ref for event, _ in asked} == set(refs)
    for before, after in ((2, 3), (1, 0)):
        found = await rooms.around(asked, before, after)
        for (event, viewer), (earlier, later) in zip(asked, found, strict=True):
            sides = [(earlier, event.place.before, before, True), (later, event.place, after, False)]
            for page, start, limit, backwards in sides:
                if limit == 0:
                    assert not page.events
                    continue
                expected = await rooms.timeline(
                    event.room_id, start=start, backwards=backwards, limit=limit, viewer=viewer
                )
                assert [each.place for each in page.events] == [each.place for each in expected.events]
                assert (page.start, page.end) == (expected.start, expected.end)
                assert list(page.memberships) == list(expected.memberships)
                shown = [each.client_dict(now_ms=0) for each in page.events]
                assert shown == [each.client_dict(now_ms=0) for each in expected.events]


class TestManyRooms:
    async def make(self, rooms: Rooms, count: int) -> list[RoomRef]:
        refs = []
        for n in range(count):
            room_id = await make_room(rooms, version="11")
            await join(rooms, room_id, BOB)
            await asyncio.gather(*(rooms.send(room_id, BOB, message(f"{n}-{i}")) for i in range(n % 4)))
            refs.append(await ref_of(rooms, room_id))
        return refs

    async def test_an_initial_sync_is_a_handful_of_queries(self, rooms: Rooms, queries: list[str]) -> None:
        refs = await self.make(rooms, 30)
        with asking(queries, 9):
            mine = [room.ref for room in await rooms.rooms_of(BOB)]
            heads = await rooms.heads(mine)
            pages = await rooms.timelines([TimelineRange(ref, 0, heads[ref].ordinal, 3) for ref in mine])
            senders = [frozenset(event.sender for event in page.events) for page in pages]
            states = await rooms.states(
                [
                    (ref, page.events[0].snap_before, Wanted(members=members))
                    for ref, page, members in zip(mine, pages, senders, strict=True)
                ]
            )
            await rooms.decorate(event for page in pages for event in page.events)
            await rooms.viewers(mine, BOB)
        assert set(refs) <= set(mine)
        for ref, page, found in zip(mine, pages, states, strict=True):
            whole = await rooms.timeline(ref.room_id, limit=3)
            assert [e.event_id for e in page.events] == [e.event_id for e in whole.events][::-1]
            assert page.limited and page.start == page.events[0].place.before
            assert ("m.room.create", "") in found
            assert {key for kind, key in found if kind == "m.room.member"} <= {ALICE, BOB}

    async def test_states_of_many_equal_those_of_each(self, rooms: Rooms) -> None:
        refs = await self.make(rooms, 12)
        for n, ref in enumerate(refs):
            for i in range(n):
                await rooms.send(ref.room_id, ALICE, state("m.x", str(i % 3), n=i))
        heads = await rooms.heads(refs)
        requests = []
        for ref in refs:
            for wanted in (
                EVERYTHING,
                Wanted(members=frozenset({BOB})),
                Wanted(members=frozenset()),
                Wanted(types=frozenset({"m.x", "m.room.member"}), members=frozenset({ALICE})),
                Wanted(types=frozenset({"m.x"})),
                Wanted(not_types=frozenset({"m.room.member"})),
                Wanted(types=frozenset()),
            ):
                requests += [(ref, snap, wanted) for snap in (1, 3, heads[ref].snapshot)]
        found = await rooms.states(requests)
        nums = await rooms.state_nums(requests)
        for (ref, snap, wanted), many, numbers in zip(requests, found, nums, strict=True):
            whole = await rooms.state_at(ref, snap)
            expected = {
                key: event.num
                for key, event in whole.items()
                if (wanted.types is None or key[0] in wanted.types)
                and key[0] not in wanted.not_types
                and (key[0] != "m.room.member" or wanted.members is None or key[1] in wanted.members)
            }
            assert {key: event.num for key, event in many.items()} == expected == numbers

    async def test_members_in_force_are_one_query(self, rooms: Rooms, queries: list[str]) -> None:
        """Of each room all, some, or none of those who are asked for; and of a state that is not in force."""
        refs = await self.make(rooms, 4)
        heads = await rooms.heads(refs)
        asked = [frozenset({ALICE, BOB}), frozenset({BOB, CAROL}), frozenset({CAROL}), frozenset[str]()]
        requests = [
            (ref, heads[ref].snapshot, Wanted(types=frozenset({"m.room.member"}), members=members))
            for ref, members in zip(refs, asked, strict=True)
        ]
        with asking(queries, 1):
            found = await rooms.states(requests)
        assert [{user for _, user in members} for members in found] == [{ALICE, BOB}, {BOB}, set(), set()]
        for (ref, snapshot, _), members in zip(requests, found, strict=True):
            whole = await rooms.state_at(ref, snapshot)
            assert all(whole[key].event_id == event.event_id for key, event in members.items())
        await join(rooms, refs[1].room_id, CAROL)
        await rooms.send(refs[0].room_id, BOB, member(BOB, "leave"))
        later = await rooms.states(requests)
        assert [members.keys() for members in later] == [members.keys() for members in found]
        assert later[0]["m.room.member", BOB].content["membership"] == "join"

    async def test_all_members_of_a_small_room_come_with_one(self, rooms: Rooms, queries: list[str]) -> None:
        """Of a larger room, and of a state that is not in force any more, those who are asked for."""
        refs = await self.make(rooms, 3)
        await join(rooms, refs[1].room_id, CAROL)
        await rooms.send(refs[2].room_id, BOB, member(BOB, "leave"))
        heads = await rooms.heads(refs)
        requests = [(ref, heads[ref].snapshot, frozenset({ALICE})) for ref in refs]
        with asking(queries, 1):
            found = await rooms.members(requests, small=2)
        assert [members.keys() for members in found] == [{ALICE, BOB}, {ALICE}, {ALICE}]
        with asking(queries, 1):
            found = await rooms.members([(refs[0], heads[refs[0]].snapshot, frozenset({CAROL}))], small=2)
        assert [members.keys() for members in found] == [{ALICE, BOB}]
        for user, event in found[0].items():
            assert event.key == ("m.room.member", user) and event.content["membership"] == "join"
        await join(rooms, refs[0].room_id, CAROL)
        found = await rooms.members(requests, small=10)
        assert [members.keys() for members in found] == [{ALICE}, {ALICE, BOB, CAROL}, {ALICE}]

    async def test_who_speaks_second_is_known(self, rooms: Rooms, queries: list[str]) -> None:
        """What sync keeps for lazy-loading devices: in a small room one query for all who are in it."""
        [ref] = await self.make(rooms, 1)
        members = MemberEvents(rooms, 1_000_000)
        snapshot = (await rooms.heads([ref]))[ref].snapshot
        with asking(queries, 1):
            for user in (ALICE, BOB):
                [answer] = await members.read([(ref, snapshot, frozenset({user}))])
                event = answer[user]
                assert event is not None and event.key == ("m.room.member", user)
        members.forget(ref.room_id)
        await members.read([(ref, snapshot, frozenset({BOB}))])
        assert len(queries) == 2, "what is forgotten is read again"

    async def test_differences(self, rooms: Rooms, queries: list[str]) -> None:
        refs = await self.make(rooms, 10)
        olds = await rooms.heads(refs)
        for n, ref in enumerate(refs):
            for i in range(n * 40):
                await rooms.send(ref.room_id, ALICE, state("m.x", str(i % 50), n=i))
            await join(rooms, ref.room_id, CAROL)
        news = await rooms.heads(refs)
        pairs = [(ref, olds[ref].snapshot, news[ref].snapshot, EVERYTHING) for ref in refs]
        with asking(queries, 4):
            changes = await rooms.snapshot_diffs(pairs)
        for (ref, old, new, _), change in zip(pairs, changes, strict=True):
            before, after = await rooms.state_at(ref, old), await rooms.state_at(ref, new)
            expected = {k: e.num for k, e in after.items() if k not in before or before[k].num != e.num}
            assert {key: event.num if event else None for key, event in change.items()} == expected
            back = await rooms.snapshot_diff(ref, new, old)
            assert {key for key, event in back.items() if event is None} == set(after) - set(before)
            some = await rooms.snapshot_diff(ref, old, new, Wanted(members=frozenset()))
            assert set(some) == {key for key in expected if key[0] != "m.room.member"}

    async def test_heads_at_a_cut(self, rooms: Rooms, ground: TestGround) -> None:
        refs = await self.make(rooms, 8)
        then = await rooms.heads(refs)
        cut = (await ground.log.heads()).rooms
        for ref in refs[::2]:
            await rooms.send(ref.room_id, ALICE, state("m.room.topic", topic="later"))
            await rooms.send(ref.room_id, ALICE, message("later"))
        young = await make_room(rooms)
        young_ref = await ref_of(rooms, young)
        assert await rooms.heads(refs) != then
        at_cut = await rooms.heads([*refs, young_ref], cut)
        assert young_ref not in at_cut
        for ref in refs:
            assert (at_cut[ref].ordinal, at_cut[ref].snapshot) == (then[ref].ordinal, then[ref].snapshot)
        for ref in refs:
            assert await rooms.ordinal_at(ref, cut[ref.lane]) == then[ref].ordinal
            assert await rooms.ordinal_at(ref, 0) == 0
            assert await rooms.ordinal_at(ref, 2**60) == (await rooms.heads([ref]))[ref].ordinal

    async def test_below_the_floor_nobody_can_tell(self, rooms: Rooms, ground: TestGround) -> None:
        [ref] = await self.make(rooms, 1)
        head = (await rooms.heads([ref]))[ref]
        await ground.db.call(
            "UPDATE lanes.lane SET floor = %s WHERE family = 'r' AND lane = %s::smallint RETURNING true",
            (head.position, ref.lane),
        )
        assert await rooms.ordinal_at(ref, head.position - 1) is None
        assert await rooms.ordinal_at(ref, head.position) == head.ordinal

    async def test_nothing_asked_nothing_read(self, rooms: Rooms, queries: list[str]) -> None:
        with asking(queries, 0):
            assert await rooms.heads([]) == {}
            assert await rooms.timelines([]) == []
            assert await rooms.states([]) == []
            assert await rooms.snapshot_diffs([]) == []
            assert await rooms.events([]) == {}
            assert await rooms.viewers([], ALICE) == {}
            assert await rooms.ordinals_at([]) == []


async def test_a_timeline_within_its_limit(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    ref = await ref_of(rooms, room_id)
    since = (await rooms.heads([ref]))[ref].ordinal
    for n in range(3):
        await rooms.send(room_id, ALICE, message(str(n)))
    [page] = await rooms.timelines([TimelineRange(ref, since, since + 3, 10)])
    assert (len(page.events), page.limited, page.start) == (3, False, Place(since))
    [page] = await rooms.timelines([TimelineRange(ref, since, since + 2, 1)])
    assert ([event.ordinal for event in page.events], page.limited) == ([since + 2], True)
    assert page.start == Place(since + 2).before
    [page] = await rooms.timelines([TimelineRange(ref, since, since + 2, 0)])
    assert (list(page.events), page.limited, page.start) == ([], True, Place(since + 2))


async def test_the_snapshot_at_a_place(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    await rooms.send(room_id, ALICE, message("x"))
    topic = await rooms.send(room_id, ALICE, state("m.room.topic", topic="t"))
    ref = await ref_of(rooms, room_id)
    event = await rooms.event(room_id, topic.event_id, viewer=None)
    assert await rooms.snapshot_at(ref, event.place) == event.snap_after
    assert await rooms.snapshot_at(ref, event.place.before) == event.snap_before
    assert await rooms.snapshot_at(ref, Place(10**9)) == event.snap_after
    assert await rooms.snapshot_at(ref, Place(0)) is None


async def test_the_bytes_a_client_gets(rooms: Rooms) -> None:
    room_id = await make_room(rooms)
    await rooms.send(room_id, ALICE, state("m.room.topic", topic="ä"))
    written = await rooms.send(room_id, ALICE, state("m.room.topic", topic='"quoted"'))
    event = await rooms.event(room_id, written.event_id, viewer=ALICE)
    for options in (
        {},
        {"with_room_id": False},
        {"membership": "join"},
        {"user_id": ALICE, "device_id": "X"},
    ):
        as_dict = event.client_dict(now_ms=event.origin_server_ts + 7, **options)
        as_bytes = event.client_bytes(now_ms=event.origin_server_ts + 7, **options)
        assert orjson.loads(as_bytes) == as_dict
        assert as_dict["unsigned"]["age"] == 7
