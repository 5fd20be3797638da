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
from collections.abc import Mapping

from plexus.platform.marks import TTL_SECONDS, LaneKey
from plexus.platform.redis.connection import RedisAway, RedisConnection
from plexus.platform.redis.scripts import MARKS_ANEW, MERGE_MAX
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)


class RedisMarks:
    def __init__(self, connection: RedisConnection, *, ttl: float = TTL_SECONDS) -> None:
        self._redis = connection
        self._ttl = ttl
        self._ttl_ms = round(ttl * 1000)
        self._without = connection.without["marks"]
        self._kept = connection.key("marks", "kept")
        self._lost = connection.key("marks", "lost")

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
        try:
            [[kept, lost], flat] = await self._redis.ask_all(
                ("MGET", self._kept, self._lost), ("HGETALL", self._key(user_id))
            )
            if kept is None:
                await self._redis.run(MARKS_ANEW, self._kept, self._lost, self._ttl_ms)
        except RedisAway:
            self._without.add()
            return None
        if kept is None or lost is not None or self._outage_counts():
            return None
        return {(flat[i][:1].decode(), int(flat[i][1:])): int(flat[i + 1]) for i in range(0, len(flat), 2)}

    def _outage_counts(self) -> bool:
        return asyncio.get_running_loop().time() < self._redis.since + self._ttl

    def _key(self, user_id: str) -> bytes:
        return self._redis.key("mark", user_id)
