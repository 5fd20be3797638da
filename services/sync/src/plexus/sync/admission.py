"""Who may be told everything now, who waits, and who is sent away.

An initial sync reads all rooms of its user, so a replica makes few at a time (``initial_concurrency``); the
others wait in the order in which they came. What waits is bounded as well, by number and by time: who finds
the queue full, or waits in vain, is answered 503 with a time to come back, and may find another replica.

A device asks again when its request has taken too long for it, and nobody reads the older answer. So a newer
initial sync of a device ends its older one: at once where it waits, between two batches of rooms where it is
being made. A client that goes away leaves its place as well. A user has no more than ``initial_per_user`` at
a time.

A place is kept until its answer has been read, or its client is cut off because it does not read: what is
unread is as large as what is being made.

While the replica is behind the lanes it begins none: what it would tell is old, and making it would put it
further behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from plexus.platform.http import ClientGone
from plexus.platform.peer import Peer
from plexus.platform.settings import SyncSettings
from plexus.platform.telemetry import peer_of_request
from plexus.platform.telemetry.metrics import CounterCell
from plexus.protocol.errors import LimitExceeded, Unavailable

RETRY_MS = 5_000
"""When to come back, for who is sent away."""


class Place:
    """One initial sync, waiting or being made, for ``peer``. ``turn`` says whether it may go on. ``ended``
    says why it may not: a newer one of its device with the same ``kind`` has come, its client has gone, or
    the replica leaves.
    """

    __slots__ = ("device_id", "ended", "kind", "peer", "turn")

    def __init__(self, device_id: str | None, kind: object, peer: Peer) -> None:
        self.device_id = device_id
        self.kind = kind
        self.peer = peer
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.ended: Unavailable | ClientGone | None = None

    def replaces(self, other: Place) -> bool:
        return self.device_id is not None and (self.device_id, self.kind) == (other.device_id, other.kind)

    def end(self, why: Unavailable | ClientGone) -> None:
        self.ended = why
        if not self.turn.done():
            self.turn.set_result(False)

    def check(self) -> None:
        """`Unavailable` or `ClientGone` if nobody waits for this answer any more."""
        if self.ended is not None:
            raise self.ended
        if self.peer.gone:
            raise ClientGone


class Admission:
    """``refused`` counts those who were sent away. ``check_lag`` raises `Unavailable` while the replica is
    behind.
    """

    def __init__(
        self, settings: SyncSettings, refused: CounterCell, check_lag: Callable[[], None] = lambda: None
    ) -> None:
        self._check_lag = check_lag
        self._most = settings.initial_concurrency
        self._most_waiting = settings.initial_waiting
        self._patience = settings.initial_wait_seconds
        self._per_user = settings.initial_per_user
        self._refused = refused
        self._queue: deque[Place] = deque()
        self._places: dict[str, list[Place]] = {}
        self._draining = False
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def place(self, user_id: str, device_id: str | None, kind: object) -> AsyncIterator[Place]:
        """A place for as long as the block lasts, once there is one, and until what was sent in it is read.

        `LimitExceeded` if the user has too many, `Unavailable` if there are too many altogether, `ClientGone`
        if nobody waits for the answer any more.
        """
        place = Place(device_id, kind, peer_of_request())
        self._enter(user_id, place)
        try:
            await self._take_turn(place)
            try:
                place.check()
                self._check_behind()
                yield place
                await place.peer.taken()
            finally:
                self._pass_on()
        finally:
            mine = self._places[user_id]
            mine.remove(place)
            if not mine:
                del self._places[user_id]

    def drain(self) -> None:
        """Send away all who wait, and from now on all who would have to. Those whose turn it is go on."""
        self._draining = True
        for place in list(self._queue):
            self._end(place, _leaving())

    def _end(self, place: Place, why: Unavailable | ClientGone) -> None:
        place.end(why)
        if place in self._queue:
            self._queue.remove(place)

    def _check_behind(self) -> None:
        try:
            self._check_lag()
        except Unavailable:
            self._refused.add()
            raise

    def _enter(self, user_id: str, place: Place) -> None:
        self._check_behind()
        mine = self._places.get(user_id, [])
        for older in mine:
            if place.replaces(older):
                newer = "A newer sync of this device has taken the place of this one"
                self._end(older, Unavailable(newer))
        if sum(not other.ended for other in mine) >= self._per_user:
            self._refused.add()
            raise LimitExceeded(RETRY_MS, "This user has too many initial syncs under way")
        if self.running >= self._most and self._draining:
            raise _leaving()
        if self.running >= self._most and len(self._queue) >= self._most_waiting:
            self._refused.add()
            raise Unavailable("Too many initial syncs are waiting here", retry_after_ms=RETRY_MS)
        self._places.setdefault(user_id, mine).append(place)

    async def _take_turn(self, place: Place) -> None:
        """Wait for a turn. It is the caller's to pass on, once this returns."""
        if self.running < self._most:
            self.running += 1
            return
        place.check()
        self._queue.append(place)
        place.peer.on_gone = partial(self._end, place, ClientGone())
        try:
            async with asyncio.timeout(self._patience):
                has_turn = await place.turn
        except BaseException as error:
            if place in self._queue:
                self._queue.remove(place)
            elif not place.turn.cancelled() and place.turn.result():
                # It had just got its turn.
                self._pass_on()
            if isinstance(error, TimeoutError):
                self._refused.add()
                raise Unavailable(
                    "This replica is busy with initial syncs", retry_after_ms=RETRY_MS
                ) from None
            raise
        finally:
            place.peer.on_gone = None
        if not has_turn:
            place.check()

    def _pass_on(self) -> None:
        """Give the turn to who has waited longest."""
        while self._queue:
            turn = self._queue.popleft().turn
            if not turn.done():
                turn.set_result(True)
                return
        self.running -= 1


def _leaving() -> Unavailable:
    return Unavailable("This replica is leaving", retry_after_ms=RETRY_MS)
