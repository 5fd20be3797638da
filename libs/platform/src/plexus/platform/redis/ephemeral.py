"""`Ephemeral` in Redis, shared by all replicas.

Without Redis each operation does what is least bad:

    take, increment       buckets and counters of this process stand in
    get, numbers          nothing is known: None, and no numbers
    set, delete           lost, and the key is emptied when Redis is back: see below
    merge_max             lost
    publish               lost, also for the subscribers of this process
    subscribe             is heard from when Redis is back, and told then that something may have been lost

A lost `set` or `delete` leaves an older value in Redis, which would be believed again afterwards. So this
process remembers the keys (10,000 of them) and removes them before it asks anything else of a Redis that is
back; what another replica has written meanwhile goes with them, and is as if it had expired. Until then, and
if this process dies before, replicas that still reach Redis see the older value until its time to live ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from plexus.platform.clock import Clock
from plexus.platform.ephemeral import MemoryEphemeral
from plexus.platform.ports import Subscription
from plexus.platform.redis.connection import RedisAway, RedisConnection
from plexus.platform.redis.pubsub import Subscriptions
from plexus.platform.redis.scripts import INCREMENT, MERGE_MAX, TAKE
from redis.exceptions import ResponseError

MOST_OWED = 10_000


class RedisEphemeral:
    """``clock`` is for the buckets and counters that stand in; Redis has its own."""

    def __init__(self, connection: RedisConnection, clock: Clock) -> None:
        self._redis = connection
        self._instead = MemoryEphemeral(clock)
        self._without = connection.without["ephemeral"]
        self._subscriptions = Subscriptions(connection)

    async def get(self, key: str) -> bytes | None:
        try:
            value: bytes | None = await self._redis.ask("GET", self._key(key))
        except RedisAway:
            self._without.add()
            return None
        except ResponseError as error:
            raise TypeError(f"{key} holds no bytes") from error
        return value

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        try:
            await self._redis.ask("SET", self._key(key), value, "PX", ttl_ms)
        except RedisAway:
            self._spoil(key)

    async def delete(self, key: str) -> None:
        try:
            await self._redis.ask("UNLINK", self._key(key))
        except RedisAway:
            self._spoil(key)
            await self._instead.delete(key)

    async def increment(self, key: str, by: int = 1, *, ttl_ms: int) -> int:
        try:
            return int(await self._redis.run(INCREMENT, self._key(key), by, ttl_ms))
        except RedisAway:
            self._without.add()
            return await self._instead.increment(key, by, ttl_ms=ttl_ms)
        except ResponseError as error:
            raise TypeError(f"{key} holds no number") from error

    async def merge_max(self, key: str, values: Mapping[str, int], *, ttl_ms: int) -> None:
        words = [word for pair in values.items() for word in pair]
        try:
            await self._redis.run(MERGE_MAX, self._key(key), ttl_ms, *words)
        except RedisAway:
            self._without.add()
        except ResponseError as error:
            raise TypeError(f"{key} holds no numbers") from error

    async def numbers(self, key: str) -> dict[str, int]:
        try:
            flat: list[bytes] = await self._redis.ask("HGETALL", self._key(key))
        except RedisAway:
            self._without.add()
            return {}
        except ResponseError as error:
            raise TypeError(f"{key} holds no numbers") from error
        return {flat[i].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}

    async def take(self, key: str, *, per_second: float, burst: float, cost: float = 1) -> float:
        try:
            return float(await self._redis.run(TAKE, self._redis.key("bucket", key), per_second, burst, cost))
        except RedisAway:
            self._without.add()
            return await self._instead.take(key, per_second=per_second, burst=burst, cost=cost)

    async def publish(self, channel: str, payload: bytes) -> None:
        try:
            await self._redis.ask("PUBLISH", self._redis.key("channel", channel), payload)
        except RedisAway:
            self._without.add()

    async def subscribe(
        self, channel: str, callback: Callable[[bytes], None], again: Callable[[], None] | None = None
    ) -> Subscription:
        return await self._subscriptions.add(channel, callback, again)

    async def close(self) -> None:
        await self._subscriptions.close()
        await self._instead.close()

    def _key(self, key: str) -> bytes:
        return self._redis.key("value", key)

    def _spoil(self, key: str) -> None:
        self._without.add()
        if self._redis.owed < MOST_OWED:
            self._redis.owe("UNLINK", self._key(key))
