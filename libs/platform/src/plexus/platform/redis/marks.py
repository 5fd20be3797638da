"""`Marks` in Redis, seen by all replicas, and what is known to be missing.

A mark that is not there means nothing if it may have been lost. Beside the marks stand two keys:

    kept    there as long as this Redis has kept everything; missing after a restart that emptied it
    lost    there for the marks' time to live after some mark may have been lost

`get` reads both with the marks. Who finds ``kept`` missing sets both; a process that could not leave a mark
sets both as soon as Redis is back, before it asks anything else. And for their time to live after an outage
that it has seen, a process does not trust Redis: a replica of it may have taken over without the newest.

What this cannot know: that a writer which alone is cut off from Redis leaves none. Its users see their own
writes when the fan-out brings them, until the writer is back and says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence

from plexus.platform.marks import TTL_SECONDS, LaneKey
from plexus.platform.redis.connection import RedisAway, RedisConnection
from plexus.platform.redis.scripts import MARKS_ANEW, MARKS_OF, MERGE_MAX
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 500
"""Users in one question: Redis answers nobody else meanwhile."""


class _Reading:
    """A read that is to begin: for whom, and what it finds (None: that is not known)."""

    def __init__(self) -> None:
        self.users: set[str] = set()
        self.task: asyncio.Task[Mapping[str, Mapping[LaneKey, int]] | None]


class RedisMarks:
    def __init__(self, connection: RedisConnection, *, ttl: float = TTL_SECONDS) -> None:
        self._redis = connection
        self._ttl = ttl
        self._ttl_ms = round(ttl * 1000)
        self._without = connection.without["marks"]
        self._kept = connection.key("marks", "kept")
        self._lost = connection.key("marks", "lost")
        self._under_way: _Reading | None = None
        self._next: _Reading | None = None

    async def start(self) -> None:
        """See whether this Redis has kept everything. So the time in which marks may be missing begins with
        the process, and not with the first question.
        """
        try:
            await self._ask(())
        except RedisAway:
            self._without.add()

    async def set(self, user_id: str, positions: Mapping[LaneKey, int]) -> None:
        words: list[str | int] = []
        for (family, lane), position in positions.items():
            words += (f"{family}{lane}", position)
        try:
            await self._redis.run(MERGE_MAX, self._key(user_id), self._ttl_ms, *words)
        except RedisAway:
            self._without.add()
            self._redis.owe_script(MARKS_ANEW, self._kept, self._lost, self._ttl_ms)
        except ResponseError:
            # The commit stands, and the answer must not fail.
            log.exception("A mark could not be left")

    async def get(self, user_id: str) -> Mapping[LaneKey, int] | None:
        found = await self.get_many((user_id,))
        return None if found is None else found[user_id]

    async def get_many(self, user_ids: Collection[str]) -> Mapping[str, Mapping[LaneKey, int]] | None:
        # The polls that a message wakes come back one after the other. Who asks while a read is under way
        # shares the next one, which begins after the question: it finds what the user has been told.
        reading = self._next
        if reading is None:
            reading = self._next = _Reading()
            reading.task = asyncio.create_task(self._read(reading, self._under_way))
        reading.users.update(user_ids)
        found = await asyncio.shield(reading.task)
        if found is None:
            self._without.add()
        return found

    @property
    def at_hand(self) -> bool:
        return False

    async def _read(
        self, reading: _Reading, earlier: _Reading | None
    ) -> Mapping[str, Mapping[LaneKey, int]] | None:
        if earlier is not None:
            await asyncio.wait([earlier.task])
        self._under_way, self._next = reading, None
        users = list(reading.users)
        parts = [users[at : at + _MOST_AT_ONCE] for at in range(0, len(users), _MOST_AT_ONCE)]
        try:
            answers = await asyncio.gather(*(self._ask(part) for part in parts))
        except RedisAway:
            return None
        found: dict[str, Mapping[LaneKey, int]] = {}
        for answer in answers:
            if answer is None:
                return None
            found |= answer
        return found

    async def _ask(self, users: Sequence[str]) -> Mapping[str, Mapping[LaneKey, int]] | None:
        """The marks of these users; None if some may be missing. Raises `RedisAway`."""
        keys = (self._key(user_id) for user_id in users)
        kept, lost, *flats = await self._redis.run(MARKS_OF, self._kept, self._lost, *keys)
        if kept is None:
            await self._redis.run(MARKS_ANEW, self._kept, self._lost, self._ttl_ms)
        if kept is None or lost is not None or self._outage_counts():
            return None
        return {user_id: _positions(flat) for user_id, flat in zip(users, flats, strict=True)}

    def _outage_counts(self) -> bool:
        return asyncio.get_running_loop().time() < self._redis.since + self._ttl

    def _key(self, user_id: str) -> bytes:
        return self._redis.key("mark", user_id)


def _positions(flat: Sequence[bytes]) -> dict[LaneKey, int]:
    """Names and numbers in turn: ``r12``, ``345``."""
    return {(flat[i][:1].decode(), int(flat[i][1:])): int(flat[i + 1]) for i in range(0, len(flat), 2)}
