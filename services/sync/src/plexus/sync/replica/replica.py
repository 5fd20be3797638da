"""The replica: what this process knows without asking the database.

A follower of all lanes feeds it. In one turn of the event loop a batch of facts enters the tail, moves
memberships, and wakes the polls of those whom it concerns; so head, memberships and polls always agree. A
fact of a room in which nobody here is costs one look-up (and its place in the tail).

When a new generation begins, or facts were dropped before this replica saw them, everything here is
forgotten: the polls that are held look again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence

from plexus.platform.context import Platform
from plexus.platform.lanes import ROOM, USER, Fact, Follower, RoomFact, UserFact
from plexus.rooms import Rooms
from plexus.sync.events import SyncEvent
from plexus.sync.fragments.cache import RoomCache
from plexus.sync.fragments.fragment import Fragment
from plexus.sync.fragments.members import MemberEvents
from plexus.sync.replica.bodies import Bodies
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.polls import Poll, Wheel
from plexus.sync.replica.span import Span
from plexus.sync.replica.tail import POSITION, FamilyTail, TailFact
from plexus.sync.replica.views import DeviceListChange, Interest, UserView

log = logging.getLogger(__name__)

_MEMBERSHIPS = frozenset({"join", "invite", "knock", "leave", "ban"})
_MB = 1024 * 1024


class Replica:
    def __init__(self, platform: Platform, rooms: Rooms) -> None:
        settings = platform.settings.sync
        self._platform = platform
        self._rooms = rooms
        self._follower = Follower(
            platform, (ROOM, USER), self._handle, name="sync", on_generation=self._on_generation
        )
        self._tail_bytes = settings.tail_mb * _MB
        self.bodies = Bodies(rooms, settings.tail_mb * _MB // 4)
        self.fragments: RoomCache[Fragment] = RoomCache(settings.cache_mb * _MB)
        self.members = MemberEvents(rooms, settings.cache_mb * _MB // 4)
        self.interest = Interest(settings.max_users)
        self.rooms = FamilyTail((), 0)
        self.users = FamilyTail((), 0)
        self._cut: Cut | None = None
        self._serial = 0
        self._span: Span | None = None
        self._started = False
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._wheel: Wheel

    async def start(self) -> None:
        self._wheel = Wheel()
        await self._follower.start()
        self._reset()
        self._started = True

    async def stop(self) -> None:
        self._wheel.wake_all()
        await self._follower.stop()

    def not_ready(self) -> list[str]:
        return [] if self._started else ["sync does not follow the lanes yet"]

    @property
    def generation(self) -> int:
        return self._follower.generation

    def cut(self) -> Cut:
        """Everything seen so far. The same object until more is seen."""
        if self._cut is None:
            self._serial += 1
            self._cut = Cut(self._follower.generation, self.rooms.heads, self.users.heads, self._serial)
        return self._cut

    async def reach(self, positions: Mapping[tuple[str, int], int], timeout: float) -> bool:
        """Wait until this view has seen these positions; False after ``timeout`` seconds."""
        ahead = {
            (family, lane): position
            for (family, lane), position in positions.items()
            if position > (self.rooms if family == ROOM else self.users).lanes[lane].head
        }
        if not ahead:
            return True
        reached = await asyncio.gather(
            *(self._follower.wait_for(family, lane, p, timeout) for (family, lane), p in ahead.items())
        )
        return all(reached)

    async def view(self, user_id: str, lane: int) -> UserView:
        """The view of this user, loaded if it is not here yet: two awaits at most, and none when it is."""
        while True:
            view = self.interest.view(user_id, lane)
            if view.loaded is not None:
                return view
            loading = self._loading.get(user_id)
            if loading is None:
                break
            await asyncio.shield(loading)
        done = self._loading[user_id] = asyncio.get_running_loop().create_future()
        try:
            return await self._load(view)
        finally:
            del self._loading[user_id]
            done.set_result(None)

    @property
    def held(self) -> int:
        """How many polls are held."""
        return self._wheel.held

    def span(self, since: Cut, cut: Cut) -> Span:
        """What the tail has between two cuts. The members of a room ask for the same one after the other."""
        span = self._span
        if span is None or not span.is_of(self.rooms, since, cut):
            span = self._span = Span.of(self.rooms, since, cut)
        return span

    def wake_all(self) -> None:
        """Let every held poll look again."""
        self._wheel.wake_all()

    async def hold(self, view: UserView, device_id: str | None, deadline: float, most: int) -> bool:
        """Wait for a fact that concerns this user, or for the deadline; then look again. False if the poll
        has to end: a device may hold ``most`` polls at a time, and one more ends its oldest.
        """
        poll = Poll(device_id, asyncio.get_running_loop().create_future())
        mine = [other for other in view.polls if other.device_id == device_id and not other.superseded]
        if len(mine) >= most:
            mine[0].superseded = True
            mine[0].wake()
        view.polls.append(poll)
        try:
            await self._wheel.hold(poll, deadline)
        finally:
            view.polls.remove(poll)
        return not poll.superseded

    async def _load(self, view: UserView) -> UserView:
        # Facts are applied to the view from here on, so none is missed between the query and the head.
        since = self.cut()
        rows = await self._rooms.rooms_of(view.user_id, _MEMBERSHIPS)
        ahead: dict[tuple[str, int], int] = {}
        for row in rows:
            ahead[ROOM, row.lane] = max(row.position, ahead.get((ROOM, row.lane), 0))
        if not await self.reach(ahead, self._platform.settings.sync.reach_seconds):
            log.warning("a view was loaded ahead of the lanes, which did not follow in time")
        if self.interest.views.get(view.user_id) is not view:
            return await self.view(view.user_id, view.lane)
        self.bodies.know(row.ref for row in rows)
        self.interest.load(view, rows, since)
        return view

    def _handle(self, family: str, lane: int, facts: Sequence[Fact]) -> Awaitable[None] | None:
        if family == USER:
            return self._handle_users(lane, facts)
        if self.interest.views and not all(map(self.bodies.is_ready, facts)):
            return self._read_and_take(lane, facts)
        self._take_room_facts(lane, facts, {})
        return None

    async def _read_and_take(self, lane: int, facts: Sequence[Fact]) -> None:
        """Facts read from PostgreSQL come without events: read the member events, they move memberships."""
        missing = [fact for fact in facts if not self.bodies.is_ready(fact)]
        self._take_room_facts(lane, facts, await self.bodies.prepare(missing))

    def _take_room_facts(
        self, lane: int, facts: Sequence[Fact], read: Mapping[int, Sequence[SyncEvent]]
    ) -> None:
        woken: set[UserView] = set()
        rooms = self.interest.rooms
        for fact in facts:
            entry: TailFact = (
                fact.position, fact.kind, fact.subject, fact.lo, fact.hi, fact.data, fact.body,
            )  # fmt: skip
            if not self.rooms.append(lane, entry):
                continue
            self._cut = None
            if fact.kind == RoomFact.REDACTED:
                self.rooms.erase(fact.subject, RoomFact.EVENTS, fact.lo)
                self._forget(fact.subject)
            elif fact.kind == RoomFact.PURGE:
                self._forget(fact.subject)
            concerned = rooms.get(fact.subject)
            if concerned is not None:
                woken |= concerned
            if fact.kind != RoomFact.EVENTS:
                continue
            for event in self._members(entry, read):
                view = self.interest.apply(event, fact.position)
                if view is not None:
                    woken.add(view)
        _wake(woken)

    def _members(self, fact: TailFact, read: Mapping[int, Sequence[SyncEvent]]) -> Sequence[SyncEvent]:
        """The member events of a fact; nothing is decoded if there can be none, or nobody here."""
        if not self.interest.views or not self.bodies.may_have_members(fact):
            return ()
        known = read.get(fact[POSITION])
        if known is not None:
            return known
        return [event for event in self.bodies.events(fact) or () if event.is_member]

    async def _handle_users(self, lane: int, facts: Sequence[Fact]) -> None:
        """Device lists concern everybody who shares a room with the user; all else only the user."""
        neighbours = {
            fact.subject: await self._rooms.neighbours(fact.subject)
            for fact in facts
            if fact.kind == UserFact.DEVICE_LIST and self.interest.views
        }
        woken: set[UserView] = set()
        for fact in facts:
            entry: TailFact = (fact.position, fact.kind, fact.subject, fact.lo, fact.hi, fact.data, None)
            if not self.users.append(lane, entry):
                continue
            self._cut = None
            view = self.interest.views.get(fact.subject)
            if view is not None:
                woken.add(view)
                if fact.kind == UserFact.KEY_COUNTS:
                    view.forget_key_counts(fact.data.decode())
            if fact.kind == UserFact.DEVICE_LIST:
                change = DeviceListChange(lane, fact.position, fact.subject)
                told = self.interest.tell_device_list(change, neighbours.get(fact.subject, set()))
                for view in told:
                    view.tell_no_more(self.cut())
                woken |= told
        _wake(woken)

    def _forget(self, room_id: str) -> None:
        self.fragments.forget(room_id)
        self.members.forget(room_id)
        self.bodies.forget(room_id)

    def _on_generation(self, old: int, new: int) -> None:
        log.info("generation %d after %d: the replica begins anew", new, old)
        self._reset()

    def _reset(self) -> None:
        self.rooms = FamilyTail(self._follower.positions(ROOM), self._tail_bytes)
        self.users = FamilyTail(self._follower.positions(USER), self._tail_bytes // 8)
        self.fragments.clear()
        self.members.clear()
        self.bodies.clear()
        self.interest.clear()
        self._cut = self._span = None
        self._wheel.wake_all()


def _wake(views: set[UserView]) -> None:
    for view in views:
        for poll in view.polls:
            poll.wake()
