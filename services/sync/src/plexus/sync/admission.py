"""Who may be told everything now, who waits, and who is sent away.

An initial sync reads all rooms of its user, so a replica makes few at a time (``initial_concurrency``); the
others wait in the order in which they came. What waits is bounded as well, by number and by time: who finds
the queue full, or waits in vain, is answered 503 with a time to come back, and may find another replica.

A device asks again when its request has taken too long for it, and nobody reads the older answer. So a newer
initial sync of a device ends its older one: at once where it waits, between two batches of rooms where it is
being made. A user has no more than ``initial_per_user`` at a time.

While the replica is behind the lanes it begins none: what it would tell is old, and making it would put it
further behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from plexus.platform.settings import SyncSettings
from plexus.platform.telemetry.metrics import CounterCell
from plexus.protocol.errors import LimitExceeded, Unavailable

RETRY_MS = 5_000
"""When to come back, for who is sent away."""


class Place:
    """One initial sync, waiting or being made. ``turn`` says whether it may go on: not if it has ended
    because a newer one of its device has come, with the same ``kind``.
    """

    __slots__ = ("device_id", "ended", "kind", "turn")

    def __init__(self, device_id: str | None, kind: object) -> None:
        self.device_id = device_id
        self.kind = kind
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.ended = False

    def replaces(self, other: Place) -> bool:
        return self.device_id is not None and (self.device_id, self.kind) == (other.device_id, other.kind)

    def end(self) -> None:
        self.ended = True
        if not self.turn.done():
            self.turn.set_result(False)

    def check(self) -> None:
        """`Unavailable` if nobody waits for this answer any more."""
        if self.ended:
            raise Unavailable("A newer sync of this device has taken the place of this one")


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
        self.running = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def place(self, user_id: str, device_id: str | None, kind: object) -> AsyncIterator[Place]:
        """A place for as long as the block lasts, once there is one.

        `LimitExceeded` if the user has too many, `Unavailable` if there are too many altogether.
        """
        place = Place(device_id, kind)
        self._enter(user_id, place)
        try:
            await self._take_turn(place)
            try:
                place.check()
                self._check_behind()
                yield place
            finally:
                self._pass_on()
        finally:
            mine = self._places[user_id]
            mine.remove(place)
            if not mine:
                del self._places[user_id]

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
                older.end()
                if older in self._queue:
                    self._queue.remove(older)
        if sum(not other.ended for other in mine) >= self._per_user:
            self._refused.add()
            raise LimitExceeded(RETRY_MS, "This user has too many initial syncs under way")
        if self.running >= self._most and len(self._queue) >= self._most_waiting:
            self._refused.add()
            raise Unavailable("Too many initial syncs are waiting here", retry_after_ms=RETRY_MS)
        self._places.setdefault(user_id, mine).append(place)

    async def _take_turn(self, place: Place) -> None:
        """Wait for a turn. It is the caller's to pass on, once this returns."""
        if self.running < self._most:
            self.running += 1
            return
        self._queue.append(place)
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
