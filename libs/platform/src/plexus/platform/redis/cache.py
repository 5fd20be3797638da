"""`Cache` in Redis, shared by all replicas.

Two keys stand for an entry: the value, with the position it is valid at, and the newest position known, which
outlives the value for a minute and keeps away what a slow reader read before.

**Generations.** The generation is part of both names, so entries of different ones never meet, whichever
process has seen which. In one memory a generation that was left must not come back, because it would empty
the memory of the newer one; here each process only holds itself to that: once it has stored or invalidated
something of a newer generation, it neither reads nor stores anything of those it left. One that lags behind
works among its like, on entries that nobody ahead of it looks at and that expire.

**Losses.** An entry counts only in its *era*, a key of Redis. A new era begins when there is none (Redis was
emptied), and when a process that saw an outage is back: it may have lost an invalidation, or Redis may have.
For a minute from then on nothing is stored, because the newest positions are gone and a slow reader would not
be noticed. Without Redis nothing is found and nothing stored.
"""

from __future__ import annotations

from secrets import token_hex

from plexus.platform.cache import REMEMBERED_SECONDS, Generations
from plexus.platform.redis.connection import RedisAway, RedisConnection
from plexus.platform.redis.scripts import CACHE_ANEW, CACHE_INVALIDATE, CACHE_PUT

_REMEMBERED_MS = round(REMEMBERED_SECONDS * 1000)


class RedisCache:
    def __init__(self, connection: RedisConnection) -> None:
        self._redis = connection
        self._without = connection.without["cache"]
        self._generations = Generations()
        self._era = connection.key("cache", "era")
        self._settling = connection.key("cache", "settling")
        connection.on_outage(self._owe_new_era)

    async def get(self, key: str, *, generation: int, at_least: int = 0) -> bytes | None:
        if self._generations.was_left(generation):
            return None
        try:
            era, entry = await self._redis.ask("MGET", self._era, self._entry(key, generation))
        except RedisAway:
            self._without.add()
            return None
        if era is None or entry is None:
            return None
        valid_in, position, value = entry.split(b":", 2)
        return value if valid_in == era and int(position) >= at_least else None

    async def put(self, key: str, value: bytes, *, generation: int, position: int, ttl_ms: int) -> bool:
        if not self._generations.enter(generation):
            return False
        keys = (self._era, self._settling, self._newest(key, generation), self._entry(key, generation))
        try:
            stored = await self._redis.run(CACHE_PUT, *keys, position, value, ttl_ms, _REMEMBERED_MS)
            if stored < 0:
                await self._redis.run(CACHE_ANEW, self._era, self._settling, token_hex(16), _REMEMBERED_MS)
        except RedisAway:
            self._without.add()
            return False
        return bool(stored > 0)

    async def invalidate(self, key: str, *, generation: int, position: int) -> None:
        if not self._generations.enter(generation):
            return
        keys = (self._newest(key, generation), self._entry(key, generation))
        try:
            await self._redis.run(CACHE_INVALIDATE, *keys, position, _REMEMBERED_MS)
        except RedisAway:
            # A new era is owed already: an outage has begun.
            self._without.add()

    async def close(self) -> None:
        """Nothing of it is ours alone."""

    def _owe_new_era(self) -> None:
        self._redis.owe_script(CACHE_ANEW, self._era, self._settling, token_hex(16), _REMEMBERED_MS)

    def _entry(self, key: str, generation: int) -> bytes:
        return self._redis.key("entry", f"{generation}:{key}")

    def _newest(self, key: str, generation: int) -> bytes:
        return self._redis.key("newest", f"{generation}:{key}")
