"""What happens to a view or a cache while an answer is made from it: the answer does not miss it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from plexus.platform.clock import SystemClock
from plexus.platform.lanes import ROOM, Fact, RoomFact
from plexus.protocol.filters import Filter
from plexus.rooms import Card, Counts, RoomRef, Rooms, TimelineToken, Unread
from plexus.rooms.typing import Typing
from plexus.rooms.values import Place
from plexus.sync.ephemeral.moments import Moments
from plexus.sync.ephemeral.typing import TypingBook
from plexus.sync.filters import Shape, SyncFilter
from plexus.sync.fragments.build import Builder
from plexus.sync.fragments.cache import RoomCache
from plexus.sync.fragments.fragment import Fragment
from plexus.sync.fragments.timeline import Work
from plexus.sync.models import STATE
from plexus.sync.replica import Cut, Replica, UserView
from plexus.sync.replica.views import Membership
from plexus.sync.service import SyncService
from plexus.sync.sliding.table import Tables
from plexus.sync.streams.context import Answer
from plexus.sync.streams.devices import DeviceStream
from plexus.sync.streams.rooms import RoomStream
from plexus.sync.streams.typing import TypingStream
from plexus.sync.streams.unread import UnreadStream
from plexus.users import ContactRules, Users

from tests.unit.sync.events import REF
from tests.unit.sync.test_feed import ALICE, feed_with_alice, join

OTHER = RoomRef("!other:example.org", 3, 2, "10")
CUT = Cut(1, (9, 9, 9, 9), (9,))


def view_in(*refs: RoomRef) -> UserView:
    view = UserView(ALICE, 0)
    view.loaded = CUT
    view.joined = {ref.room_id: Membership(ref, "join", 1, 1, None) for ref in refs}
    return view


def answer_for(view: UserView, *, to_device: int = 0) -> Answer:
    everything = SyncFilter(Filter(), Shape(Filter()))
    return Answer(view, "PHONE", CUT, CUT, everything, STATE, 0, to_device)


async def test_who_is_ignored_stays_so_while_account_data_change() -> None:
    view = view_in()
    mallory = ContactRules(ignored=frozenset({"@mallory:example.org"}))

    class Known:
        async def view(self, user_id: str, lane: int) -> UserView:
            return view

        async def contact_rules(self, user_ids: Sequence[str]) -> dict[str, ContactRules]:
            return {ALICE: mallory}

    known = Known()
    service = cast(SyncService, SimpleNamespace(replica=known, _users=known))
    assert await SyncService.view(service, ALICE, 0) is view
    view.forget_rules()
    assert view.rules == mallory
    mallory = ContactRules()
    await SyncService.view(service, ALICE, 0)
    assert view.rules == mallory


async def test_counts_that_another_request_drops_are_told() -> None:
    view = view_in(REF, OTHER)
    view.unread[REF.room_id] = Unread(9, 5, "$five", Counts(2, 1))

    class Counting:
        async def unread(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, Unread]:
            assert refs == [OTHER]
            del view.unread[REF.room_id]
            return {OTHER: Unread(9, 7, "$seven", Counts(3, 0))}

    stream = UnreadStream(cast(Replica, None), cast(Rooms, Counting()), 1)
    answer = answer_for(view)
    await stream.everything(answer, [REF.room_id, OTHER.room_id])
    assert answer.unread.keys() == {REF.room_id, OTHER.room_id}
    assert b'"notification_count":2' in answer.unread[REF.room_id]


async def test_who_are_all_woken_at_once_are_counted_a_few_at_a_time() -> None:
    under_way: list[str] = []
    most: list[int] = []

    class Counting:
        async def unread(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, Unread]:
            under_way.append(user_id)
            most.append(len(under_way))
            await asyncio.sleep(0)
            under_way.remove(user_id)
            return {REF: Unread(9, 5, "$five", Counts(2, 1))}

    stream = UnreadStream(cast(Replica, None), cast(Rooms, Counting()), 3)
    answers = [answer_for(view_in(REF)) for _ in range(20)]
    await asyncio.gather(*(stream.everything(answer, [REF.room_id]) for answer in answers))
    assert all(REF.room_id in answer.unread for answer in answers)
    assert len(most) == 20 and max(most) == 3


async def test_a_typist_who_begins_while_the_answer_is_made_is_in_its_token() -> None:
    book = TypingBook(Moments(SystemClock()), lambda room_id: None)
    stream = TypingStream(book)
    answer = answer_for(view_in(REF))
    answer.shows = stream.shown_to(answer.view)
    assert not answer.shows
    book.take(Typing(REF.room_id, "@bob:example.org", 30_000))
    stream.changes(answer, Cut(1, CUT.rooms, CUT.users))
    book.close()
    assert answer.ephemeral
    assert answer.shows


async def test_an_inbox_is_not_empty_because_an_older_look_found_nothing() -> None:
    view = view_in()

    class Inbox:
        async def inbox(self, *_: object) -> list[Any]:
            looks.append(None)
            if len(looks) == 1:
                # Another request of the device comes later, and finds what this one has missed.
                await stream.add_messages(answer_for(view), None)
                return []
            return [SimpleNamespace(event=b"{}", sequence=3)]

    looks: list[None] = []
    stream = DeviceStream(cast(Users, Inbox()))
    await stream.add_messages(answer_for(view), None)
    assert len(looks) == 2
    assert not view.device("PHONE").inbox_empty


async def test_messages_beyond_the_cut_are_told_by_the_next_answer() -> None:
    """The place in the inbox is cut back with the token, so it must not be ahead of it."""
    view = view_in()

    class Inbox:
        async def inbox(self, *_: object) -> list[Any]:
            return [SimpleNamespace(event=b"{}", sequence=sequence) for sequence in (9, 10)]

    answer = answer_for(view)
    await DeviceStream(cast(Users, Inbox())).add_messages(answer, None)
    assert (len(answer.messages), answer.to_device) == (1, 9)
    assert not view.device("PHONE").inbox_empty, "it is looked at again"


def fragment(work: Work) -> Fragment:
    return Fragment(work.ref, [], False, TimelineToken(Place(1)), [], 1)


async def test_a_section_made_before_a_redaction_is_not_kept() -> None:
    cache: RoomCache[Fragment] = RoomCache(1_000_000)
    redacted = [REF.room_id]

    class Making:
        async def build(self, works: Sequence[Work]) -> list[Fragment]:
            if redacted:
                cache.forget(redacted.pop())
            return [fragment(work) for work in works]

        async def for_viewer(self, made: Sequence[object], viewer: str) -> list[Fragment]:
            return []

    replica = cast(Replica, SimpleNamespace(fragments=cache))
    stream = RoomStream(replica, cast(Rooms, None), cast(Builder, Making()))
    answer = answer_for(view_in(REF, OTHER))
    works = [Work(ref, 1, 2, answer.filter.shape, False) for ref in (REF, OTHER)]
    await stream.add(answer, works, answer.joined)
    assert len(cache) == 0
    await stream.add(answer, works, answer.joined)
    assert len(cache) == 2


async def test_a_position_of_another_generation_is_another_one() -> None:
    now = Cut(1, CUT.rooms, CUT.users)
    subjects = {REF.room_id: SimpleNamespace(last=9)}
    replica = SimpleNamespace(generation=1, cut=lambda: now, rooms=SimpleNamespace(subjects=subjects))
    names = iter(["Before", "After"])

    class Cards:
        async def cards(self, wanted: Sequence[tuple[RoomRef, int | None]]) -> dict[RoomRef, Card]:
            return {ref: Card(9, 1, 1, None, next(names), False) for ref, _ in wanted}

    tables = Tables(cast(Replica, replica), cast(Rooms, Cards()))
    assert (await tables.of(view_in(REF))).ordered[0].card.name == "Before"
    assert (await tables.of(view_in(REF))).ordered[0].card.name == "Before"
    replica.generation = 2
    assert (await tables.of(view_in(REF))).ordered[0].card.name == "After"


async def test_a_member_event_counts_though_its_room_was_forgotten_meanwhile() -> None:
    feed, interest, asked = feed_with_alice()
    bodies = feed._bodies
    bodies.know([REF])

    async def ref(room_id: str) -> RoomRef:
        bodies._refs.clear()
        return OTHER

    asked.ref = ref  # type: ignore[method-assign]
    elsewhere = Fact(2, RoomFact.EVENTS, OTHER.room_id, 1, 1, body=join(ALICE, 0).body)
    reading = feed.handle(ROOM, REF.lane, [join(ALICE, REF.room), elsewhere])
    assert reading is not None
    await reading
    assert interest.views[ALICE].joined.keys() == {REF.room_id, OTHER.room_id}
