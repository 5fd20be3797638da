"""One sync, from request to answer.

1. Wait until this view has seen what the user's token has seen, and before anything is told what they wrote.
2. Take the cut: the head of the tail in this turn of the event loop.
3. An initial sync (and one that asks for the full state) waits for its turn, and is sent room by room.
4. Otherwise ask each stream what there is between token and cut. If there is nothing and time is left, hold
   the poll until a fact concerns the user, and ask again from the cut on.

A token may become void while its request waits, for one thing or another. So who asks is authenticated again
before each answer, before a poll is held, and between the batches of an initial sync: a look-up in a dict,
which knows what was revoked a second ago. A revocation wakes the polls that it ends.

Client-Server API, "Syncing".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count

from plexus.platform.context import Platform
from plexus.platform.http import ClientGone, Requester
from plexus.platform.lanes import FAMILIES, InboxToken
from plexus.platform.telemetry import peer_of_request
from plexus.rooms import Rooms
from plexus.sync.admission import Admission
from plexus.sync.answer import Outlet, Pieces, Response
from plexus.sync.ephemeral.presence import PresenceIndex
from plexus.sync.filters import FilterCache, SyncFilter
from plexus.sync.fragments.build import Builder
from plexus.sync.fragments.timeline import Timelines
from plexus.sync.metrics import Metrics
from plexus.sync.models import STATE, SyncRequest
from plexus.sync.own_writes import Looks, OwnWrites
from plexus.sync.replica import Cut, Replica, UserView
from plexus.sync.replica.polls import Poll
from plexus.sync.replica.sent_members import SentMembers
from plexus.sync.since import Since, Tokens
from plexus.sync.streams.account_data import AccountDataStream
from plexus.sync.streams.context import Answer
from plexus.sync.streams.device_lists import DeviceListStream
from plexus.sync.streams.devices import DeviceStream
from plexus.sync.streams.invited import InvitedStream
from plexus.sync.streams.presence import PresenceStream
from plexus.sync.streams.receipts import ReceiptStream
from plexus.sync.streams.rooms import RoomStream
from plexus.sync.streams.typing import TypingStream
from plexus.sync.streams.unread import UnreadStream
from plexus.sync.streams.user_facts import user_facts
from plexus.sync.turns import Turns
from plexus.users import NO_RULES, Users, Watch
from plexus.users.presence import STATES

Authenticate = Callable[[], Awaitable[Requester]]
"""Who asks; raises `UnknownToken`."""

Progress = Callable[[Pieces], Awaitable[None]]
"""Is shown a response that grows, and may take from it and send."""


@dataclass(slots=True)
class _Asker:
    """Who asks, and for what."""

    requester: Requester
    authenticate: Authenticate
    filter: SyncFilter
    state_keys: tuple[bytes, ...]
    kind: str | None
    arrival: int
    own: OwnWrites


class SyncService:
    def __init__(self, platform: Platform, rooms: Rooms, users: Users) -> None:
        self._platform = platform
        self._settings = platform.settings.sync
        self._users = users
        self._access = users.tokens
        self._stop_watching: Callable[[], None] | None = None
        self._arrivals = count()
        self.draining = False
        self.turns = Turns(self._settings.turns)
        self.replica = Replica(platform, rooms)
        self.metrics = Metrics(platform.telemetry, self.replica)
        self._looks = Looks(platform.marks, self.replica)
        self._filters = FilterCache(users.filter)
        self._tokens = Tokens(platform.log, self.replica, self._settings.reach_seconds)
        self.admission = Admission(self._settings, self.metrics.refused, self.replica.check_lag)
        self.metrics.observe(self.admission, self.turns)
        builder = Builder(rooms, Timelines(rooms, self.replica.bodies), self.replica.members, platform.clock)
        self.unread_stream = UnreadStream(self.replica, rooms, self._settings.turns)
        self.room_stream = RoomStream(self.replica, rooms, builder)
        self.receipts = ReceiptStream(self.replica, rooms, self._settings.cache_mb * 2**20 // 8)
        self._typing = TypingStream(self.replica.typing)
        self._presence_index = PresenceIndex(
            users.presence,
            rooms,
            self.replica.moments,
            self.replica.interest,
            self.replica.tell_ephemeral,
        )
        self._presence = PresenceStream(self._presence_index)
        self._invited = InvitedStream(rooms)
        self._account_data = AccountDataStream(users)
        self._devices = DeviceStream(users)
        self._device_lists = DeviceListStream(rooms, users)

    async def start(self) -> None:
        await self.replica.start()
        self._presence_index.start()
        await self._users.presence.start()
        self.replica.begin_moments()
        watch = Watch(self.replica.wake_device, lambda: self.replica.held > 0)
        self._stop_watching = self._access.watch(watch)

    async def drain(self) -> None:
        """Answer all held polls with what they have, and send away the initial syncs that wait. Those that
        come later are not held, and do not wait.

        Between the failure of readiness and this all goes on as before: a poll that was answered at once
        meanwhile would come back here at once, as the gateway has not noticed yet.
        """
        self.draining = True
        self.admission.drain()
        self.replica.wake_all()

    async def stop(self) -> None:
        if self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None
        await self._looks.stop()
        await self._presence_index.stop()
        await self.replica.stop()

    async def sync(self, authenticate: Authenticate, request: SyncRequest, outlet: Outlet) -> None:
        """Answer one request through ``outlet``. `ClientGone` if nobody waits for the answer any more.

        Who asks is told by ``authenticate``, again whenever the token may have become void meanwhile.
        """
        async with self.turns:
            requester = await authenticate()
            self.note_presence(requester, request.set_presence, request.timeout)
            sync_filter = await self._filters.get(requester.user_id, request.filter)
        own = OwnWrites(requester.user_id)
        if self._platform.marks.at_hand:
            await self._reach_own(own)
        since = Since(None, 0)
        if request.since is not None:
            since = (await self._tokens.since(request.since)).of(requester.lane)
        asker = _Asker(
            requester,
            authenticate,
            sync_filter,
            request.state_keys,
            request.filter,
            self.arrive(),
            own,
        )
        if not request.full_state:
            response = await self._incremental(asker, since, request)
            if response is not None:
                await outlet.finish(response)
                return
        await self._reach_own(own)
        started = asyncio.get_running_loop().time()
        async with self.admission.place(requester.user_id, requester.device_id, request.filter) as place:
            await authenticate()

            async def checked(response: Pieces) -> None:
                place.check()
                await outlet.progress(response)

            response = await self._full(asker, since, request, checked)
            self.metrics.full_seconds.record(asyncio.get_running_loop().time() - started)
            await outlet.finish(response)

    def arrive(self) -> int:
        """Which of all requests this one is."""
        return next(self._arrivals)

    async def presence(self, requester: Requester, view: UserView) -> list[bytes]:
        """``m.presence`` of who is there now."""

        async def authenticate() -> Requester:
            return requester

        everything = await self._filters.get(requester.user_id, None)
        asker = _Asker(requester, authenticate, everything, STATE, None, 0, OwnWrites(requester.user_id))
        answer = self._answer(asker, view, Since(None, 0), None)
        await self._presence.everything(answer)
        return answer.presence

    def now_ms(self) -> int:
        return self._platform.clock.now_ms()

    async def since(self, token: str) -> Since:
        """What a token stands for. `InvalidParam` for what is none."""
        return await self._tokens.since(token)

    def inbox(self, token: InboxToken, lane: int) -> InboxToken:
        """What a token of the inbox stands for here, of a user of this lane."""
        return self._tokens.inbox(token, lane)

    def note_presence(self, requester: Requester, state: str, seconds: float) -> None:
        """A device is there for so long, in this state of presence."""
        self._users.presence.note_sync(requester.user_id, requester.device_id, STATES[state], seconds)

    def know(self, cut: Cut) -> None:
        """Keep what a token of this cut says: it goes out, and will come back."""
        self._tokens.know(cut.token(0), Since(cut, 0))

    async def reach_writes(self, user_id: str) -> None:
        """Wait until this view has seen what the user wrote: up to their marks, or if those are not known up
        to everything that is written by now. `Unavailable` if a replica that is behind does not come so far.
        """
        marks = await self._platform.marks.get(user_id)
        if marks is None:
            self.metrics.unmarked.add()
            heads = await self._platform.log.heads(primary=True)
            await self.replica.begins(heads.generation, self._settings.reach_seconds)
            marks = {(family, lane): p for family in FAMILIES for lane, p in enumerate(heads.of(family))}
        if marks and not await self.replica.reach(marks, self._settings.reach_seconds):
            self.replica.check_lag()

    async def _reach_own(self, own: OwnWrites) -> None:
        if not own.seen:
            await self.reach_writes(own.user_id)
            own.seen = True

    async def _incremental(self, asker: _Asker, since: Since, request: SyncRequest) -> Response | None:
        """What happened since a token, once there is something; None if that cannot be told any more."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.timeout
        token, own = request.since, asker.own
        poll: Poll | None = None
        while (after := since.cut) is not None:
            if after.generation != self.replica.generation:
                again = await self._tokens.since(after.token(since.to_device, after.shows))
                since = again.of(asker.requester.lane)
                continue
            async with self.turns if poll is None else nullcontext():
                view = await self.view(asker.requester.user_id, asker.requester.lane)
                if poll is None:
                    self._begin_members(asker, view, token)
                cut, answer = self.replica.cut(), None
                if cut.generation != after.generation:
                    continue
                may_wait = loop.time() < deadline and not self.draining
                # Mostly a client comes back from an answer, and there is nothing yet: then none is made.
                quiet = may_wait and self._tells_nothing(asker, view, since, cut)
                # A look that is under way may find it while the token is read; no answer is made by then.
                seen = own.seen
                if seen and not quiet:
                    answer = self._answer(asker, view, since, after)
                    await self._add_changes(answer, after)
                await asker.authenticate()
            if not seen and (own.put_off or not quiet):
                await self._reach_own(own)
                continue
            if answer is not None:
                if answer.tells_something or loop.time() >= deadline or self.draining:
                    if poll is not None and answer.tells_something:
                        self.delivered(poll)
                    return self._finish(asker, answer)
                cut, since = answer.cut, Since(answer.cut, answer.to_device)
            elif self.draining:
                # Who is held from now on is woken by nobody.
                continue
            else:
                since = Since(cut, since.to_device)
            # What was seen while the token was read has woken nobody: then look again. Revocations are in the
            # cut too, so none of them slips through here, whoever hears of it first.
            if self.replica.is_abreast(cut, view):
                del answer
                poll = Poll(asker.requester.device_id, loop.create_future(), asker.kind, asker.arrival)
                if not own.seen:
                    self._looks.put_off(own, poll)
                await self.hold(view, poll, deadline)
                if poll.superseded:
                    deadline = 0
        return None

    def count_answer(self, since: Cut, cut: Cut) -> None:
        """A sync tells what is new between these, from the tail or not."""
        in_tail = self.replica.span(since, cut).in_tail
        (self.metrics.tail if in_tail else self.metrics.database).add()

    async def hold(self, view: UserView, poll: Poll, deadline: float) -> None:
        """`Replica.hold`, counted. `ClientGone` as soon as there is nobody to answer."""
        peer = peer_of_request()
        if not peer.gone:
            peer.on_gone = poll.wake
            try:
                await self.replica.hold(view, poll, deadline)
            finally:
                peer.on_gone = None
        if peer.gone:
            raise ClientGone
        if poll.superseded:
            self.metrics.ended.add()

    def delivered(self, poll: Poll) -> None:
        """A held poll is answered with what woke it."""
        if poll.woken:
            self.metrics.wakes.record(asyncio.get_running_loop().time() - poll.woken)
        if poll.cause is not None:
            self._platform.telemetry.deliver(poll.cause.span, "deliver", poll.cause.woken_ns, {})

    async def _add_changes(self, answer: Answer, since: Cut) -> None:
        device_idle = _is_idle(answer.view, answer.device_id, answer.to_device)
        if answer.cut.same_place(since) and device_idle:
            answer.key_counts = answer.view.device(answer.device_id or "").key_counts or b""
            if not answer.cut.same_moment(since):
                self._typing.changes(answer, since)
                await self._presence.changes(answer, since)
            return
        self.count_answer(since, answer.cut)
        facts = user_facts(self.replica, answer, since)
        await self.room_stream.changes(answer, since)
        await self.receipts.changes(answer, since)
        if answer.newly_joined or answer.came or not answer.cut.same_moment(since):
            self._typing.changes(answer, since)
            await self._presence.changes(answer, since)
        await self.unread_stream.changes(answer, since)
        await self._invited.add(answer, since)
        if facts.is_nothing and device_idle and not answer.newly_joined:
            answer.key_counts = answer.view.device(answer.device_id or "").key_counts or b""
        else:
            await self._account_data.changes(answer, since, facts)
            await self._devices.add(answer, facts)
        await self._device_lists.changes(answer, since)

    async def _full(self, asker: _Asker, since: Since, request: SyncRequest, progress: Progress) -> Response:
        """Every room with its state, as at an initial sync; the timelines from ``since`` on, if any."""
        view = await self.view(asker.requester.user_id, asker.requester.lane)
        self._begin_members(asker, view, None)
        answer = self._answer(asker, view, since, since.cut)
        (self.metrics.initial if request.since is None else self.metrics.full_state).add()
        # Joined rooms and cut are taken in the same turn: nothing may be awaited before.
        rooms = self.room_stream.everything(answer, since.cut)
        await self._invited.add(answer, since.cut)
        archived = since.cut is None and asker.filter.filter.room.include_leave
        await self._account_data.everything(answer, archived)
        await self._devices.add(answer, None)
        if since.cut is not None:
            # Who came and went is said by the sections of an incremental sync only: those here are whole.
            beside = self._answer(asker, view, since, since.cut)
            beside.cut = answer.cut
            await self.room_stream.changes(beside, since.cut)
            answer.newly_joined, answer.newly_left = beside.newly_joined, beside.newly_left
            answer.came, answer.went, answer.encrypted = beside.came, beside.went, beside.encrypted
            await self._device_lists.changes(answer, since.cut)
        elif request.since is not None:
            await self._device_lists.anybody(answer)
        if since.cut is None:
            self._typing.everything(answer)
            await self._presence.everything(answer)
        else:
            self._typing.changes(answer, since.cut)
            await self._presence.changes(answer, since.cut)
        response = Response()
        response.open(answer)
        async for _ in rooms:
            await self.receipts.everything(answer, answer.joined)
            await self.unread_stream.everything(answer, answer.joined)
            response.add_rooms(answer)
            await asker.authenticate()
            await progress(response)
        await asker.authenticate()
        response.close(answer)
        self._end_members(asker, answer)
        return response

    async def view(self, user_id: str, lane: int) -> UserView:
        """What is known of the user, and their rules. Nothing is awaited when that is here."""
        while True:
            view = await self.replica.view(user_id, lane)
            if not view.rules_stale:
                return view
            changes = view.rules_changes
            found = await self._users.contact_rules([user_id])
            if view.rules_changes == changes:
                view.rules, view.rules_stale = found.get(user_id, NO_RULES), False

    def _answer(self, asker: _Asker, view: UserView, since: Since, after: Cut | None) -> Answer:
        rules, cut = view.rules or NO_RULES, self.replica.cut()
        # A full sync may have waited long for its turn: in a new generation the sequence is of others.
        counts = after is None or after.generation == cut.generation
        return Answer(
            view=view,
            device_id=asker.requester.device_id,
            since=after,
            cut=cut,
            filter=asker.filter,
            state_keys=asker.state_keys,
            now_ms=self.now_ms(),
            to_device=since.to_device if counts else 0,
            shows=self._typing.shown_to(view),
            rules=rules,
            ignoring=self._filters.ignoring(asker.filter, rules.ignored) if rules.ignored else None,
        )

    def _finish(self, asker: _Asker, answer: Answer) -> Response:
        response = Response()
        response.open(answer)
        response.close(answer)
        self._tokens.know(answer.next_batch, Since(answer.cut, answer.to_device))
        self._end_members(asker, answer)
        return response

    def _tells_nothing(self, asker: _Asker, view: UserView, since: Since, cut: Cut) -> bool:
        """Whether it is known without looking that there is nothing between a token and this cut."""
        after = since.cut
        return (
            after is not None
            and cut.same_place(after)
            and cut.same_moment(after)
            and _is_idle(view, asker.requester.device_id, since.to_device)
        )

    def _begin_members(self, asker: _Asker, view: UserView, token: str | None) -> None:
        """With lazy-loading, take note of what the device says it has."""
        if asker.filter.shape.lazy and asker.requester.device_id is not None:
            device = view.device(asker.requester.device_id)
            if device.members is None:
                device.members = SentMembers()
            device.members.begin(token)

    def _end_members(self, asker: _Asker, answer: Answer) -> None:
        """Also when no member event was sent: the token is another one, and what the device has it keeps."""
        if asker.filter.shape.lazy and asker.requester.device_id is not None:
            members = answer.view.device(asker.requester.device_id).members
            if members is not None:
                members.answered(answer.next_batch, answer.members)


def _is_idle(view: UserView, device_id: str | None, to_device: int) -> bool:
    """Whether the device needs nothing looked up: counts known, and inbox as it was told."""
    if device_id is None:
        return True
    device = view.device(device_id)
    return (
        device.key_counts is not None
        and not device.key_counts_stale
        and device.inbox_empty
        and to_device <= device.acknowledged
    )
