"""The replica: what this process knows without asking the database, and who waits for more.

A follower of all lanes feeds it (`feed`). When a new generation begins, or facts were dropped before this
replica saw them, everything here is forgotten, and the polls that are held look again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Set

from plexus.platform.context import Platform
from plexus.platform.lanes import ROOM, USER, Follower
from plexus.platform.lanes.metrics import observe_follower
from plexus.protocol.errors import Unavailable
from plexus.rooms import Rooms
from plexus.sync.ephemeral.moments import Moments
from plexus.sync.ephemeral.typing import TypingBook, TypingChannel
from plexus.sync.fragments.cache import RoomCache
from plexus.sync.fragments.fragment import Fragment
from plexus.sync.fragments.members import MemberEvents
from plexus.sync.replica.arrivals import Arrivals
from plexus.sync.replica.bodies import Bodies
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.feed import Feed, wake
from plexus.sync.replica.held_polls import make_room
from plexus.sync.replica.polls import Poll, Wheel
from plexus.sync.replica.span import Span
from plexus.sync.replica.tail import FamilyTail
from plexus.sync.replica.views import Interest, UserView

log = logging.getLogger(__name__)

_MEMBERSHIPS = frozenset({"join", "invite", "knock", "leave", "ban"})
_MB = 1024 * 1024
LAG_RETRY_MS = 5_000
"""When to come back to a replica that is behind or full, or to another one."""


class Replica:
    def __init__(self, platform: Platform, rooms: Rooms) -> None:
        settings = self._settings = platform.settings.sync
        self._patience = settings.reach_seconds
        self._rooms = rooms
        self.bodies = Bodies(rooms, settings.tail_mb * _MB // 4)
        self.fragments: RoomCache[Fragment] = RoomCache(settings.cache_mb * _MB)
        self.members = MemberEvents(rooms, settings.cache_mb * _MB // 4)
        self.interest = Interest(settings.max_users, settings.views_mb * _MB)
        self._arrivals = Arrivals(platform.telemetry)
        self.moments = Moments(platform.clock)
        self.typing = TypingBook(self.moments, self._typists_changed)
        self._typing_channel = TypingChannel(platform.ephemeral, self.typing)
        self._feed = Feed(
            rooms,
            self.bodies,
            self.interest,
            self._forget,
            settings.tail_mb * _MB,
            self._arrivals,
            self.moments,
            self.typing,
        )
        self._follower = Follower(
            platform,
            (ROOM, USER),
            self._feed.handle,
            name="sync",
            on_generation=self._on_generation,
            on_trace=self._arrivals.arrived if platform.telemetry.tracing else None,
            waiting_bytes=platform.settings.facts.waiting_mb * _MB,
        )
        observe_follower(platform.telemetry.metrics, self._follower)
        self._span: Span | None = None
        self._anew = asyncio.Event()
        """Set when this replica has begun anew; each such time has an event of its own."""
        self._started = False
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._wheel: Wheel

    async def start(self) -> None:
        self._wheel = Wheel()
        await self._follower.start()
        self._reset()
        await self._typing_channel.start()
        self._started = True

    async def stop(self) -> None:
        self._wheel.wake_all()
        await self._typing_channel.stop()
        await self._follower.stop()

    def not_ready(self) -> list[str]:
        if not self._started:
            return ["sync does not follow the lanes yet"]
        behind = self._follower.behind
        if behind > self._settings.lag_unready_seconds:
            return [f"sync is {behind:.0f} seconds behind the lanes"]
        return []

    @property
    def is_behind(self) -> bool:
        """Whether it lags so much that it should tell nobody what may be old without their knowing, nor take
        on what costs much: what it has is for its follower.
        """
        return self._follower.behind > self._settings.lag_seconds

    def check_lag(self) -> None:
        """`Unavailable` if this replica `is_behind`."""
        if self.is_behind:
            raise Unavailable("This replica is behind, try again", retry_after_ms=LAG_RETRY_MS)

    @property
    def generation(self) -> int:
        return self._follower.generation

    @property
    def rooms(self) -> FamilyTail:
        return self._feed.rooms

    @property
    def users(self) -> FamilyTail:
        return self._feed.users

    @property
    def tail_bytes(self) -> int:
        """What the tails take, by their own count."""
        return self.rooms.bytes + self.users.bytes

    def memory(self) -> dict[str, int]:
        """Bytes by what they are for, by the counts by which each is bounded."""
        return {
            "tail": self.tail_bytes,
            "events": self.bodies.bytes,
            "fragments": self.fragments.bytes,
            "members": self.members.bytes,
            "views": self.interest.bytes,
            "waiting": self._follower.waiting_bytes,
        }

    @property
    def held(self) -> int:
        """How many polls are held."""
        return self._wheel.held if self._started else 0

    def cut(self) -> Cut:
        """Everything seen so far. The same object until more is seen."""
        return self._feed.cut()

    def see_moment(self, cut: Cut) -> None:
        """Go on from where another replica was."""
        if cut.epoch != self.moments.epoch:
            self.moments.meet(cut.moment)
            self._feed.move_moment()

    def begin_moments(self) -> None:
        """From now on everything that is in no lane is heard of."""
        self.moments.begin()
        self._feed.move_moment()

    def tell_ephemeral(self, views: Set[UserView]) -> None:
        """Something that is in no lane concerns these."""
        self._feed.move_moment()
        wake(views)

    def _typists_changed(self, room_id: str) -> None:
        self.tell_ephemeral(self.interest.rooms.get(room_id, frozenset()))

    def span(self, since: Cut, cut: Cut) -> Span:
        """What the tail has between two cuts. The members of a room ask for the same one after the other."""
        span = self._span
        if span is None or not span.is_of(self.rooms, since, cut):
            span = self._span = Span.of(self.rooms, since, cut)
        return span

    async def reach(self, positions: Mapping[tuple[str, int], int], timeout: float) -> bool:
        """Wait until this view has seen these positions; False after ``timeout`` seconds."""
        ahead = self._ahead(positions)
        if not ahead:
            return True
        reached = await asyncio.gather(
            *(self._follower.wait_for(family, lane, p, timeout) for (family, lane), p in ahead.items())
        )
        return all(reached)

    def has_seen(self, positions: Mapping[tuple[str, int], int]) -> bool:
        return not self._ahead(positions)

    def _ahead(self, positions: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        return {
            (family, lane): position
            for (family, lane), position in positions.items()
            if position > self._feed.of(family).lanes[lane].head
        }

    async def begins(self, generation: int, timeout: float) -> bool:
        """Wait until this view belongs to a generation; False after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.generation != generation:
                    await self._anew.wait()
        except TimeoutError:
            return False
        return True

    async def view(self, user_id: str, lane: int) -> UserView:
        """The view of this user, loaded if it is not here yet. Nothing is awaited when it is."""
        while True:
            view = self.interest.view(user_id, lane)
            if view.loaded is not None:
                return view
            loading = self._loading.get(user_id)
            if loading is not None:
                await asyncio.shield(loading)
                continue
            done = self._loading[user_id] = asyncio.get_running_loop().create_future()
            try:
                await self._load(view)
            finally:
                del self._loading[user_id]
                done.set_result(None)

    def is_abreast(self, cut: Cut, view: UserView) -> bool:
        """Whether nothing was seen after this cut, and what will be wakes the polls of this view: not so when
        it had to make room for others.
        """
        return self.cut() is cut and self.interest.views.get(view.user_id) is view

    async def hold(self, view: UserView, poll: Poll, deadline: float) -> None:
        """Wait for a fact that concerns this user, or for the deadline; then look again. Not at all if this
        poll is superseded: see `held_polls`. `Unavailable` if too many are held altogether.
        """
        if self.held >= self._settings.max_polls:
            raise Unavailable("This replica holds as many requests as it may", retry_after_ms=LAG_RETRY_MS)
        make_room(view, poll, self._settings, asyncio.get_running_loop().time())
        if poll.superseded:
            return
        view.polls.append(poll)
        try:
            await self._wheel.hold(poll, deadline)
        finally:
            view.polls.remove(poll)

    def wake_device(self, user_id: str, device_id: str) -> None:
        """Let the held polls of a device look again, and with "" those of all devices of the user."""
        view = self.interest.views.get(user_id)
        if view is not None:
            for poll in view.polls:
                if device_id in ("", poll.device_id):
                    poll.wake()

    def wake_all(self) -> None:
        """Let every held poll look again."""
        self._wheel.wake_all()

    async def _load(self, view: UserView) -> None:
        # Facts are applied to the view from here on, so none is missed between the query and the head.
        since = self.cut()
        rows = await self._rooms.rooms_of(view.user_id, _MEMBERSHIPS)
        ahead: dict[tuple[str, int], int] = {}
        for row in rows:
            ahead[ROOM, row.lane] = max(row.position, ahead.get((ROOM, row.lane), 0))
        if not await self.reach(ahead, self._patience):
            self.check_lag()
            log.warning("a view was loaded ahead of the lanes, which did not follow in time")
        if self.interest.views.get(view.user_id) is view:
            self.bodies.know(row.ref for row in rows)
            self.interest.load(view, rows, since)

    def _forget(self, room_id: str) -> None:
        self.fragments.forget(room_id)
        self.members.forget(room_id)
        self.bodies.forget(room_id)

    def _on_generation(self, old: int, new: int) -> None:
        log.info("generation %d after %d: the replica begins anew", new, old)
        self._reset()

    def _reset(self) -> None:
        follower = self._follower
        self._feed.begin(follower.generation, follower.positions(ROOM), follower.positions(USER))
        self.fragments.clear()
        self.members.clear()
        self.bodies.clear()
        self.interest.clear()
        self._span = None
        self._arrivals.clear()
        self._anew.set()
        self._anew = asyncio.Event()
        self._wheel.wake_all()
