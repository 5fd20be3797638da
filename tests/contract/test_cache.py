"""What `Cache` promises, of each adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.platform.cache import REMEMBERED_SECONDS, MemoryCache
from plexus.platform.clock import ManualClock
from plexus.platform.ports import Cache
from plexus.platform.redis import RedisCache, RedisConnection

from tests.support.redis import Place

TTL = 60_000


@dataclass
class Subject:
    cache: Cache
    age: Callable[[float], None]

    async def pass_time(self, seconds: float) -> None:
        """By the clock of the adapter, whatever that is."""
        self.age(seconds)


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        clock = ManualClock()
        yield Subject(MemoryCache(clock), clock.advance)
        return
    place: Place = request.getfixturevalue("redis")
    connection = RedisConnection(place.settings())
    await connection.start()
    cache = RedisCache(connection)
    await settled(cache, place)
    yield Subject(cache, place.age)
    await connection.close()


async def settled(cache: RedisCache, place: Place) -> None:
    """An empty Redis stores nothing for a minute after the first try."""
    assert not await cache.put("first", b"", generation=1, position=1, ttl_ms=TTL)
    assert not await cache.put("first", b"", generation=1, position=1, ttl_ms=TTL)
    place.age(REMEMBERED_SECONDS)


async def test_values_are_valid_at_a_position(subject: Subject) -> None:
    cache = subject.cache
    assert await cache.get("k", generation=1) is None
    assert await cache.put("k", b"v5", generation=1, position=5, ttl_ms=TTL)
    assert await cache.get("k", generation=1, at_least=5) == b"v5"
    assert await cache.get("k", generation=1, at_least=6) is None
    assert not await cache.put("k", b"v4", generation=1, position=4, ttl_ms=TTL)
    assert await cache.put("k", b"v7", generation=1, position=7, ttl_ms=TTL)
    assert await cache.get("k", generation=1) == b"v7"


async def test_a_slow_reader_cannot_put_back_what_was_invalidated(subject: Subject) -> None:
    cache = subject.cache
    await cache.put("k", b"old", generation=1, position=5, ttl_ms=TTL)
    await cache.invalidate("k", generation=1, position=8)
    assert await cache.get("k", generation=1) is None
    assert not await cache.put("k", b"old", generation=1, position=7, ttl_ms=TTL)
    assert await cache.put("k", b"new", generation=1, position=8, ttl_ms=TTL)
    await cache.invalidate("k", generation=1, position=8)
    assert await cache.get("k", generation=1) == b"new"


async def test_values_expire(subject: Subject) -> None:
    await subject.cache.put("k", b"v", generation=1, position=1, ttl_ms=1_000)
    await subject.pass_time(1.1)
    assert await subject.cache.get("k", generation=1) is None


async def test_the_newest_position_outlives_the_value(subject: Subject) -> None:
    cache = subject.cache
    await cache.put("k", b"new", generation=1, position=9, ttl_ms=1_000)
    await subject.pass_time(REMEMBERED_SECONDS - 10)
    assert await cache.get("k", generation=1) is None
    assert not await cache.put("k", b"old", generation=1, position=8, ttl_ms=TTL)
    # An invalidation is remembered as long, whatever was known before.
    await cache.invalidate("k", generation=1, position=12)
    await subject.pass_time(REMEMBERED_SECONDS - 10)
    assert not await cache.put("k", b"old", generation=1, position=11, ttl_ms=TTL)
    assert await cache.put("k", b"new", generation=1, position=12, ttl_ms=TTL)


async def test_positions_are_exact(subject: Subject) -> None:
    cache = subject.cache
    await cache.invalidate("k", generation=-(2**62), position=2**62)
    assert not await cache.put("k", b"old", generation=-(2**62), position=2**62 - 1, ttl_ms=TTL)
    assert await cache.put("k", b"a:b\0:\xff", generation=-(2**62), position=2**62, ttl_ms=TTL)
    assert await cache.get("k", generation=-(2**62), at_least=2**62) == b"a:b\0:\xff"
    assert await cache.get("k", generation=-(2**62), at_least=2**62 + 1) is None


async def test_generations_do_not_mix(subject: Subject) -> None:
    cache = subject.cache
    await cache.put("k", b"lost", generation=1, position=900, ttl_ms=TTL)
    assert await cache.get("k", generation=2) is None
    assert await cache.put("k", b"v", generation=2, position=3, ttl_ms=TTL)
    assert await cache.get("k", generation=2) == b"v"
    # A process that has not seen the new generation yet.
    assert not await cache.put("k", b"lost", generation=1, position=901, ttl_ms=TTL)
    await cache.invalidate("k", generation=1, position=950)
    assert await cache.get("k", generation=1) is None
    assert await cache.get("k", generation=2) == b"v"


async def test_memory_is_bounded_and_forgetting_is_never_stale() -> None:
    cache = MemoryCache(ManualClock(), max_bytes=1_000)
    await cache.put("k", b"new", generation=1, position=9, ttl_ms=TTL)
    for number in range(100):
        await cache.put(f"other{number}", b"x" * 50, generation=1, position=1, ttl_ms=TTL)
    assert await cache.get("k", generation=1) is None
    assert await cache.get("other99", generation=1) is not None
    # Gone from memory, and still what it had is known to be newer.
    assert not await cache.put("k", b"old", generation=1, position=8, ttl_ms=TTL)


_steps = st.lists(
    st.tuples(st.sampled_from(["change", "read", "store"]), st.integers(0, 2), st.integers(0, 3)), max_size=40
)


@given(_steps)
async def test_whatever_the_order_nothing_older_than_the_last_invalidation_is_served(
    steps: list[tuple[str, int, int]],
) -> None:
    await follow(steps, MemoryCache(ManualClock(), max_bytes=60), "")


async def test_whatever_the_order_and_the_replica(redis: Place) -> None:
    """As above; each reader is a process of its own."""
    connections = [RedisConnection(redis.settings()) for _ in range(4)]
    for connection in connections:
        await connection.start()
    caches = [RedisCache(connection) for connection in connections]
    await settled(caches[0], redis)
    random = Random(7)
    for number in range(40):
        steps = [
            (random.choice(["change", "read", "store", "store"]), random.randrange(3), random.randrange(4))
            for _ in range(40)
        ]
        await follow(steps, caches[3], f"{number}/", *caches)
    for connection in connections:
        await connection.close()


async def follow(steps: list[tuple[str, int, int]], cache: Cache, prefix: str, *replicas: Cache) -> None:
    """Readers read the truth at some time and store it later; the value is its position."""
    truth = [0, 0, 0]
    position = 0
    read: dict[int, tuple[int, int]] = {}
    for step, key, reader in steps:
        its = replicas[reader] if replicas else cache
        if step == "change":
            position += 1
            truth[key] = position
            await its.invalidate(f"{prefix}k{key}", generation=1, position=position)
        elif step == "read":
            read[reader] = (key, position)
        elif reader in read:
            stored, at = read.pop(reader)
            await its.put(f"{prefix}k{stored}", str(at).encode(), generation=1, position=at, ttl_ms=TTL)
        for number, changed in enumerate(truth):
            found = await cache.get(f"{prefix}k{number}", generation=1)
            assert found is None or int(found) >= changed
