"""Marks: how a user reads their own writes.

A reply to a change leaves a mark (lane to position) for the user before it is sent; an endpoint that takes a
token waits, at most a second, until its view has reached the mark. Marks live in memory or in Redis and
expire. They may be lost there, and then it is said: who is told that the marks are not known reads the heads
of the lanes from the primary, and waits for those. That is slower and as good.

    MemoryMarks   of the only process
    RedisMarks    of several, in Redis
    NoMarks       of one of several without Redis: what the others have written is never known
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from math import inf
from typing import Protocol

from plexus.platform.clock import Clock, SystemClock

LaneKey = tuple[str, int]

TTL_SECONDS = 60.0
"""Longer than any view lags behind that still serves."""


class Marks(Protocol):
    async def set(self, user_id: str, positions: Mapping[LaneKey, int]) -> None:
        """Merge by maximum into what the user has. Never raises and never waits long: it is called after a
        commit, for an answer that must not fail any more. A mark that cannot be left is lost.
        """
        ...

    async def get(self, user_id: str) -> Mapping[LaneKey, int] | None:
        """The user's marks by (family, lane); empty if there are none, None if that is not known: some may
        have been lost. Never raises and never waits long.
        """
        ...

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Mapping[LaneKey, int]] | None:
        """What `get` tells of each of these, asked once; None if that is not known of one of them."""
        ...

    @property
    def at_hand(self) -> bool:
        """Whether `get` asks nobody and takes no time."""
        ...


class MemoryMarks:
    """Marks of one process. Each user's expire ``ttl`` seconds after the last one was set. With more than
    ``users`` the oldest are lost before their time.
    """

    def __init__(self, clock: Clock | None = None, *, ttl: float = TTL_SECONDS, users: int = 100_000) -> None:
        self._clock = clock or SystemClock()
        self._ttl = ttl
        self._most = users
        self._marks: OrderedDict[str, tuple[float, dict[LaneKey, int]]] = OrderedDict()
        self._lost_until = -inf

    async def set(self, user_id: str, positions: Mapping[LaneKey, int]) -> None:
        now = self._clock.monotonic()
        kept = self._marks.pop(user_id, None)
        merged = kept[1] if kept is not None and kept[0] > now else {}
        for lane, position in positions.items():
            if position > merged.get(lane, 0):
                merged[lane] = position
        self._marks[user_id] = (now + self._ttl, merged)
        self._forget_expired(now)

    async def get(self, user_id: str) -> Mapping[LaneKey, int] | None:
        kept = self._marks.get(user_id)
        now = self._clock.monotonic()
        if kept is not None and kept[0] > now:
            return dict(kept[1])
        return None if now < self._lost_until else {}

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Mapping[LaneKey, int]] | None:
        found: dict[str, Mapping[LaneKey, int]] = {}
        for user_id in user_ids:
            marks = await self.get(user_id)
            if marks is None:
                return None
            found[user_id] = marks
        return found

    @property
    def at_hand(self) -> bool:
        return True

    def _forget_expired(self, now: float) -> None:
        # Oldest first: every set moves its user to the end and the time to live is the same for all.
        while self._marks:
            user_id, (expires, _) = next(iter(self._marks.items()))
            if expires > now and len(self._marks) <= self._most:
                return
            del self._marks[user_id]
            self._lost_until = max(expires, self._lost_until)


class NoMarks:
    """Of one of several processes that share none: the user may have written through another one."""

    async def set(self, user_id: str, positions: Mapping[LaneKey, int]) -> None:
        """Nobody could read it."""

    async def get(self, user_id: str) -> Mapping[LaneKey, int] | None:
        return None

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Mapping[LaneKey, int]] | None:
        return None

    @property
    def at_hand(self) -> bool:
        return False
