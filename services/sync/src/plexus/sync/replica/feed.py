"""From the lanes into the replica: facts enter the tails, move memberships, and wake those whom they concern.

A batch of facts is taken in one turn of the event loop, after whatever had to be read for it, so head,
memberships and polls always agree. A fact of a room in which nobody here is costs one look-up, and its place
in the tail.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from typing import TypeAlias

from plexus.platform.lanes import ROOM, USER, Fact, RoomFact, UserFact
from plexus.rooms import Rooms
from plexus.sync.ephemeral.moments import Moments
from plexus.sync.ephemeral.typing import TypingBook
from plexus.sync.events import SyncEvent
from plexus.sync.replica.arrivals import MOST_DELIVERIES, Arrivals, Cause
from plexus.sync.replica.bodies import Bodies
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.tail import BODY, POSITION, SUBJECT, FamilyTail, TailFact
from plexus.sync.replica.views import DeviceListChange, Interest, Move, UserView

Moves: TypeAlias = Sequence[SyncEvent | Move]

_TYPED = frozenset({"m.room.message", "m.room.encrypted"})
"""What somebody was typing until they sent it."""
_NOBODY: Mapping[str, Collection[str]] = {}


class Feed:
    """The tails and what facts do to them. ``forget`` is told of a room whose events have lost something,
    ``typing`` who types no more.
    """

    def __init__(
        self,
        rooms: Rooms,
        bodies: Bodies,
        interest: Interest,
        forget: Callable[[str], None],
        limit: int,
        arrivals: Arrivals | None = None,
        moments: Moments | None = None,
        typing: TypingBook | None = None,
    ) -> None:
        self._rooms = rooms
        self._bodies = bodies
        self._interest = interest
        self._forget = forget
        self._limit = limit
        self._arrivals = arrivals
        self._moments = moments
        self._typing = typing
        self._typists = _NOBODY if typing is None else typing.rooms
        self._generation = 0
        self._serial = 0
        self._cut: Cut | None = None
        self.rooms = FamilyTail((), 0)
        self.users = FamilyTail((), 0)

    def begin(self, generation: int, rooms: Sequence[int], users: Sequence[int]) -> None:
        """Begin anew, with empty tails, at these positions."""
        self.rooms = FamilyTail(rooms, self._limit)
        self.users = FamilyTail(users, self._limit // 8)
        self._generation = generation
        self._cut = None

    def cut(self) -> Cut:
        """Everything seen so far. The same object until more is seen."""
        if self._cut is None:
            self._serial += 1
            epoch, moment = (0, 0) if self._moments is None else (self._moments.epoch, self._moments.now)
            self._cut = Cut(
                self._generation, self.rooms.heads, self.users.heads, self._serial, epoch=epoch, moment=moment
            )
        return self._cut

    def move_moment(self) -> None:
        """Something ephemeral has changed: the next cut is another one."""
        self._cut = None

    def of(self, family: str) -> FamilyTail:
        return self.rooms if family == ROOM else self.users

    def handle(self, family: str, lane: int, facts: Sequence[Fact]) -> Awaitable[None] | None:
        """Take the next facts of a lane. Facts seen before are passed over, so a batch may be given again."""
        if family == USER:
            if self._interest.views and any(fact.kind == UserFact.DEVICE_LIST for fact in facts):
                return self._read_and_take_users(lane, facts)
            self._take_users(lane, facts, {})
        elif not all(self._bodies.is_ready(lane, fact) for fact in self._wanted(facts)):
            return self._read_and_take_rooms(lane, facts)
        else:
            self._take_rooms(lane, facts, {})
        return None

    def _wanted(self, facts: Sequence[Fact]) -> Sequence[Fact]:
        """Those whose memberships matter here: all if there is anybody, else those of rooms in which somebody
        types, for they may leave. A replica with nothing to do looks at no fact for that.
        """
        if self._interest.views:
            return facts
        return [fact for fact in facts if fact.subject in self._typists] if self._typists else ()

    async def _read_and_take_rooms(self, lane: int, facts: Sequence[Fact]) -> None:
        """Facts read from PostgreSQL come without events: read the member events, they move memberships.
        Facts of forked rooms do not say which they move.
        """
        missing = [fact for fact in self._wanted(facts) if not self._bodies.is_ready(lane, fact)]
        self._take_rooms(lane, facts, await self._bodies.prepare(missing))

    def _take_rooms(self, lane: int, facts: Sequence[Fact], read: Mapping[int, Moves]) -> None:
        woken: set[UserView] = set()
        for fact in facts:
            entry: TailFact = (
                fact.position, fact.kind, fact.subject, fact.lo, fact.hi, fact.data, fact.body,
            )  # fmt: skip
            if not self.rooms.append(lane, entry):
                continue
            self._cut = None
            concerned = self._interest.rooms.get(fact.subject)
            if concerned is not None:
                woken |= self._private(fact) if fact.data and fact.kind == RoomFact.RECEIPT else concerned
            if self._interest.looking:
                woken.update(self._interest.looking.get(fact.subject, ()))
            if fact.kind == RoomFact.EVENTS:
                typists = self._typists.get(fact.subject)
                if typists or self._interest.views:
                    members = self._members(lane, entry, read)
                    for event in members:
                        view = self._interest.apply(event, fact.position)
                        if view is not None:
                            woken.add(view)
                    if typists:
                        self._end_typing(lane, entry, members, typists)
            elif fact.kind in (RoomFact.REDACTED, RoomFact.PURGE):
                # What was redacted is one event; what was purged is all up to one.
                self.rooms.erase(fact.subject, RoomFact.EVENTS, *_erased(fact))
                self._forget(fact.subject)
        self._wake(ROOM, lane, facts, woken)

    def _private(self, fact: Fact) -> set[UserView]:
        """Who is concerned by receipts that are all private."""
        views = self._interest.views
        return {views[user_id] for user_id in fact.data.decode().split(" ") if user_id in views}

    def _members(self, lane: int, fact: TailFact, read: Mapping[int, Moves]) -> Moves:
        """The memberships that a fact moves; nothing is decoded if there can be none."""
        if not self._bodies.may_have_members(fact):
            return ()
        known = read.get(fact[POSITION])
        if known is not None:
            return known
        # Where the room is may have been forgotten while something was read for other facts.
        self._bodies.know_again(lane, fact)
        return [event for event in self._bodies.events(fact) or () if event.is_member]

    def _end_typing(self, lane: int, fact: TailFact, members: Moves, typists: Collection[str]) -> None:
        """Who has left the room or sent what they were typing types no more. Nothing is decoded for that if
        it names none of them; and of facts without events only those who leave are known, so that the others
        type until their time is up.
        """
        assert self._typing is not None
        room_id, body = fact[SUBJECT], fact[BODY]
        ended = [event.state_key for event in members if event.membership != "join"]
        if body is not None and any(user_id.encode() in body for user_id in typists):
            self._bodies.know_again(lane, fact)
            ended += [event.sender for event in self._bodies.events(fact) or () if event.type in _TYPED]
        for user_id in ended:
            if user_id is not None:
                self._typing.stop(room_id, user_id)

    async def _read_and_take_users(self, lane: int, facts: Sequence[Fact]) -> None:
        """A change of devices concerns those who share a room with the user: read which rooms those are."""
        rooms = {
            fact.subject: await self._rooms_of(fact.subject)
            for fact in facts
            if fact.kind == UserFact.DEVICE_LIST
        }
        self._take_users(lane, facts, rooms)

    async def _rooms_of(self, user_id: str) -> Sequence[str]:
        view = self._interest.views.get(user_id)
        if view is not None and view.loaded is not None:
            return tuple(view.joined)
        return [room.room_id for room in await self._rooms.rooms_of(user_id)]

    def _take_users(self, lane: int, facts: Sequence[Fact], rooms: Mapping[str, Sequence[str]]) -> None:
        woken: set[UserView] = set()
        for fact in facts:
            entry: TailFact = (fact.position, fact.kind, fact.subject, fact.lo, fact.hi, fact.data, None)
            if not self.users.append(lane, entry):
                continue
            self._cut = None
            view = self._interest.views.get(fact.subject)
            if view is not None:
                woken.add(view)
                if fact.kind == UserFact.KEY_COUNTS:
                    view.forget_key_counts(fact.data.decode())
                elif fact.kind == UserFact.ACCOUNT_DATA and not fact.data:
                    view.forget_rules()
            if fact.kind == UserFact.DEVICE_LIST:
                change = DeviceListChange(lane, fact.position, fact.subject)
                told = self._interest.tell_device_list(change, rooms.get(fact.subject, ()))
                for view in told:
                    view.tell_no_more(self.cut())
                woken |= told
        self._wake(USER, lane, facts, woken)

    def _wake(self, family: str, lane: int, facts: Sequence[Fact], woken: set[UserView]) -> None:
        wake(woken)
        if self._arrivals is not None and self._arrivals.waiting:
            span = self._arrivals.take(family, lane, facts)
            if span is not None:
                explain(woken, Cause(span.get_span_context(), time.time_ns()))
                span.end()


def _erased(fact: Fact) -> tuple[int, int]:
    return (fact.lo, fact.lo) if fact.kind == RoomFact.REDACTED else (0, fact.hi)


def wake(views: Set[UserView]) -> None:
    """Let the polls of these users look again."""
    now = time.monotonic() if views else 0.0
    for view in views:
        for poll in view.polls:
            if not poll.woken:
                poll.woken = now
            poll.wake()


def explain(views: set[UserView], cause: Cause) -> None:
    """Tell some of the polls that were just woken why."""
    left = MOST_DELIVERIES
    for view in views:
        for poll in view.polls:
            if poll.cause is None:
                poll.cause = cause
                left -= 1
                if not left:
                    return
