"""``/events``: what has happened since a token, as one list, held until there is something.

1. The cut, as in /sync; the ranges of the user's rooms between token and cut, or that of the one room asked
for. 2. A list without an end is no answer: lanes are told one after the other until there are `MANY` events.
The token
   that is given back stands still in the lanes that were not told, so nothing is lost by that. Of one room
   the newest `MOST` are told.
3. What the user may not see is left out, and what ignored users say.

Client-Server API, ``GET /events``; "Room Previews".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby

from plexus.platform.http import Requester
from plexus.protocol.errors import GuestAccessForbidden
from plexus.rooms import RoomRef, Rooms, TimelineRange
from plexus.sync.event_stream.models import EventsRequest
from plexus.sync.replica import Cut, UserView
from plexus.sync.replica.polls import Poll
from plexus.sync.replica.views import UNKNOWN, Membership, holds_at
from plexus.sync.service import Authenticate, SyncService

MANY = 500
MOST = 1_000
"""Events after which no other lane is told, and events of one room at most."""


@dataclass(frozen=True, slots=True)
class _Range:
    ref: RoomRef
    after: int
    upto: int


class EventStream:
    def __init__(self, sync: SyncService, rooms: Rooms) -> None:
        self._sync = sync
        self._replica = sync.replica
        self._rooms = rooms

    async def events(self, authenticate: Authenticate, request: EventsRequest) -> bytes:
        """A page of the stream. `Forbidden` for a room that the user may not see; guests have to name one."""
        async with self._sync.turns:
            requester = await authenticate()
        if requester.is_guest and request.room_id is None:
            raise GuestAccessForbidden
        await self._sync.reach_writes(requester.user_id)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.timeout
        arrival = self._sync.arrive()
        since = await self._since(request)
        start = since
        poll: Poll | None = None
        while True:
            async with self._sync.turns if poll is None else nullcontext():
                view = await self._sync.view(requester.user_id, requester.lane)
                cut = self._replica.cut()
                ref = None if request.room_id is None else await self._visible(request.room_id, requester)
                told, end = await self._between(requester, view, since, cut, ref)
                await authenticate()
            if told or loop.time() >= deadline or self._sync.draining:
                if poll is not None and told:
                    self._sync.delivered(poll)
                return b'{"start":"%b","chunk":[%b],"end":"%b"}' % (
                    (request.start or _token(start)).encode(),
                    b",".join(told),
                    _token(end).encode(),
                )
            since = end
            if end.rooms != cut.rooms:
                continue
            if self._replica.is_abreast(cut, view):
                poll = Poll(requester.device_id, loop.create_future(), ("events", request.room_id), arrival)
                with self._replica.interest.looking_into(request.room_id, view):
                    await self._sync.hold(view, poll, deadline)
                if poll.superseded:
                    deadline = 0

    async def _since(self, request: EventsRequest) -> Cut:
        """Where the client stands; now if it does not say, or has a token that says nothing any more."""
        cut = None if request.start is None else (await self._sync.since(request.start)).cut
        return self._replica.cut() if cut is None else cut

    async def _visible(self, room_id: str, requester: Requester) -> RoomRef:
        return (await self._rooms.view(room_id, requester.user_id)).ref

    async def _between(
        self, requester: Requester, view: UserView, since: Cut, cut: Cut, ref: RoomRef | None
    ) -> tuple[list[bytes], Cut]:
        """The events between two cuts, and up to where that tells everything."""
        if since.generation != cut.generation:
            # The tokens of an ended generation lead to where the next one began.
            since = (await self._sync.since(_token(since))).cut or cut
        if since.rooms == cut.rooms:
            ranges: list[_Range] = []
        elif ref is not None:
            ranges = await self._ranges([ref], since, cut)
        else:
            ranges = await self._of_user(view, since, cut)
        heads = list(since.rooms)
        chosen: list[_Range] = []
        count = 0
        by_lane = {lane: list(group) for lane, group in groupby(ranges, key=lambda one: one.ref.lane)}
        for lane, position in enumerate(cut.rooms):
            if count < MANY:
                heads[lane] = position
                chosen += by_lane.get(lane, ())
                count += sum(min(MOST, one.upto - one.after) for one in by_lane.get(lane, ()))
        # Nothing ephemeral is told here, so the token says of that what it said before.
        end = Cut(cut.generation, tuple(heads), cut.users, epoch=since.epoch, moment=since.moment)
        end.shows = since.shows
        return await self._told(requester, view, chosen) if chosen else [], end

    async def _of_user(self, view: UserView, since: Cut, cut: Cut) -> list[_Range]:
        """The ranges of all rooms that the user was in between two cuts, lane after lane."""

        def is_new(membership: Membership) -> bool:
            return membership.position > since.rooms[membership.ref.lane]

        moved = {lane for lane, position in enumerate(cut.rooms) if position > since.rooms[lane]}
        joined = [m for m in view.joined.values() if m.ref.lane in moved and holds_at(cut, m)]
        gone = [m for m in view.others_since(since) if m.ref.lane in moved and holds_at(cut, m) and is_new(m)]
        was_there = [
            m
            for m in gone
            if m.joined_from is not None
            and (m.joined_from == UNKNOWN or m.joined_from <= since.rooms[m.ref.lane])
        ]
        found = {
            one.ref: one for one in await self._ranges([m.ref for m in (*joined, *was_there)], since, cut)
        }
        for membership in joined:
            one = found.get(membership.ref)
            if one is not None and is_new(membership):
                found[membership.ref] = _Range(one.ref, max(one.after, membership.ordinal - 1), one.upto)
        for membership in gone:
            # Invites are of these: of a room that the user is not in they are told their own membership.
            one = found.get(membership.ref)
            after = membership.ordinal - 1 if one is None else min(one.after, membership.ordinal - 1)
            found[membership.ref] = _Range(membership.ref, after, membership.ordinal)
        return sorted(found.values(), key=lambda one: (one.ref.lane, one.ref.room))

    async def _ranges(self, refs: Sequence[RoomRef], since: Cut, cut: Cut) -> list[_Range]:
        """What lies between the cuts in each room; all of it if it is not known any more where one stood."""
        heads = await self._rooms.heads(refs, cut.rooms)
        refs = [ref for ref in refs if ref in heads and heads[ref].position > since.rooms[ref.lane]]
        afters = await self._rooms.ordinals_at([(ref, since.rooms[ref.lane]) for ref in refs])
        return [
            _Range(ref, 0 if after is None else after, heads[ref].ordinal)
            for ref, after in zip(refs, afters, strict=True)
        ]

    async def _told(self, requester: Requester, view: UserView, ranges: Sequence[_Range]) -> list[bytes]:
        refs = [one.ref for one in ranges]
        pages = await self._rooms.timelines([TimelineRange(o.ref, o.after, o.upto, MOST) for o in ranges])
        eyes = await self._rooms.viewers(refs, requester.user_id)
        events = await self._rooms.shown([event for page in pages for event in page.events], eyes)
        ignored = frozenset() if view.rules is None else view.rules.ignored
        now_ms = self._sync.now_ms()
        told: list[bytes] = []
        for event in events:
            is_own = event.type == "m.room.member" and event.state_key == requester.user_id
            if event.state_key is None and event.sender in ignored:
                continue
            seen = eyes[event.ref].at(event.place)
            if seen.visible or is_own:
                told.append(
                    event.client_bytes(
                        now_ms=now_ms,
                        user_id=requester.user_id,
                        device_id=requester.device_id,
                        membership=seen.membership or "leave",
                    )
                )
        return told


def _token(cut: Cut) -> str:
    return cut.token(0, cut.shows)
